"""Run stages at the same time, each in a process of its own, and print one summary.

Some workers take stages from the front of one list. A stage's output goes to .work/logs/NAME.log; it is
printed when the stage failed, and its last lines when it passed. How it ended is read from .work/results/NAME.json,
which the process wrote (stages.perform): a process that wrote none has failed. No process of a stage outlives it
(supervised.py), and a stage of which nothing is known has failed.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.stages import ROOT, WORK, Counts, Result, current, environment

LOGS, RESULTS = WORK / "logs", WORK / "results"
HEARTBEAT_S = 60.0
LAST_LINES = 6
LONGEST_REASON = 110
END_S = 60.0
"""How long stages that have to end may take: longer than supervised.py needs, which kills what does not end."""


@dataclass(frozen=True)
class Stage:
    """`limit`: seconds after which it is ended and has failed; 0 for none, where it has limits of its own."""

    name: str
    command: Sequence[str | Path]
    limit: float = 0

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def result(self) -> Path:
        return RESULTS / f"{self.name}.json"


@dataclass(frozen=True)
class Ended:
    stage: Stage
    result: Result
    seconds: float
    cpu_seconds: float
    max_rss_bytes: int  # of the largest process


@dataclass
class _Process:
    """A stage that runs; it leads a process group."""

    pid: int
    begin: float
    limit: float
    overdue: bool = False

    def end(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


@dataclass
class Run:
    """The stages in the order to begin them, `workers` of them at a time. `ended`: in the order in which they ended.

    `on_end` gets each stage that ended by itself, one at a time. `problems`: what went wrong beside the stages.
    """

    stages: list[Stage]
    workers: int
    ended: list[Ended] = field(default_factory=list)
    on_end: Callable[[Ended], None] = lambda ended: None
    problems: list[str] = field(default_factory=list)
    _running: dict[str, _Process] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _done: threading.Event = field(default_factory=threading.Event)
    _alive: int = 0
    _stop: bool = False

    def run(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # logs have what a terminal's encoding may lack
            sys.stdout.reconfigure(errors="backslashreplace")
        for directory in (LOGS, RESULTS):
            directory.mkdir(parents=True, exist_ok=True)
        queue = list(self.stages)
        with ended_by_signals():
            try:
                self._alive = self.workers
                for _ in range(self.workers):
                    threading.Thread(target=self._work, args=(queue,), daemon=True).start()
                self._wait()
            except BaseException:
                self._end_all()
                raise
        known = {each.stage.name for each in self.ended}
        self.problems += [f"{stage.name} was not run" for stage in self.stages if stage.name not in known]

    def _wait(self) -> None:
        """Until all have ended; a line now and then, so that a log tells what it waits for."""
        said = time.monotonic()
        # Not Thread.join: a signal while it waits makes it take the thread for ended (bpo-45274).
        while not self._done.wait(0.1):
            self._end_overdue()
            if time.monotonic() - said > HEARTBEAT_S:
                said = time.monotonic()
                with self._lock:
                    print(f".. running: {', '.join(sorted(self._running))}", flush=True)

    def _work(self, queue: list[Stage]) -> None:
        while True:
            with self._lock:
                if not queue or self._stop:
                    self._alive -= 1
                    if not self._alive:
                        self._done.set()
                    return
                stage = queue.pop(0)
            begin = time.monotonic()
            try:
                ended = self._run(stage)
            except Exception as error:  # a full disk, no memory, no such program: others go on
                result = Result("FAILED", f"{type(error).__name__}: {error}", Counts(failed=1))
                ended = Ended(stage, result, time.monotonic() - begin, 0, 0)
            self._keep(ended)

    def _run(self, stage: Stage) -> Ended:
        stage.result.unlink(missing_ok=True)
        begin = time.monotonic()
        with stage.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts.supervised", *(str(word) for word in stage.command)],
                cwd=ROOT,
                # A log is UTF-8, and so is a path in what pip writes, whatever the terminal is.
                env=environment(PYTHONUTF8="1", LC_ALL="C.UTF-8"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
            with self._lock:
                self._running[stage.name] = running = _Process(process.pid, begin, stage.limit)
                if self._stop:  # it began while all were ended
                    running.end(signal.SIGTERM)
            _say(f"-- {stage.name}: begins")
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode < 0:  # what should have ended all of the stage was killed itself
                running.end(signal.SIGKILL)
            with self._lock:
                del self._running[stage.name]
        seconds = time.monotonic() - begin
        result = _result(stage, process.returncode)
        if running.overdue:
            result = Result("FAILED", f"ended after its limit of {stage.limit:.0f} s", Counts(failed=1))
        cpu, rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
        return Ended(stage, result, seconds, cpu, rss)

    def _keep(self, ended: Ended) -> None:
        with self._lock:
            self.ended.append(ended)
            try:
                self._tell(ended.stage, ended.result, ended.seconds)
                if not self._stop:
                    self.on_end(ended)
            except Exception as error:  # a full disk, or our output was closed
                self.problems.append(f"{ended.stage.name}: {type(error).__name__}: {error}")

    def _tell(self, stage: Stage, result: Result, seconds: float) -> None:
        lines = stage.log.read_text(errors="replace").splitlines()
        shown = lines if result.verdict == "FAILED" else lines[-LAST_LINES:]
        print(f"\n== {stage.name}: {result.verdict} in {seconds:.0f} s {result.detail}")
        print("\n".join(shown), flush=True)

    def _end_overdue(self) -> None:
        with self._lock:
            for process in self._running.values():
                if process.limit and time.monotonic() - process.begin > process.limit and not process.overdue:
                    process.overdue = True
                    process.end(signal.SIGTERM)

    def _end_all(self) -> None:
        """End every stage and wait until none is left: who comes next has the checkout to itself."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self._lock:
                self._stop = True
                for process in self._running.values():
                    process.end(number)
            if self._done.wait(END_S):
                return


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that was closed, end this process as Ctrl-C does: what it began is ended. Under
    nohup a terminal that is closed ends nothing."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    wanted = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def without_room(what: str, error: OSError) -> int:
    """Say why a check ended before its summary, where that can still be said: the status of the process."""
    why = f"{what}: {error}: {WORK} and standard output must be writable and have room"
    with contextlib.suppress(OSError):
        print(why, file=sys.stderr, flush=True)
    return 1


def _result(stage: Stage, status: int) -> Result:
    if not stage.result.exists():
        return Result("FAILED", f"ended with status {status} and no result", Counts(failed=1))
    try:
        result = Result.read(stage.result)
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = f"ended with status {status} and a result that cannot be read ({type(error).__name__}: {error})"
        return Result("FAILED", why, Counts(failed=1))
    if status and result.verdict != "FAILED":
        return Result("FAILED", f"ended with status {status} after {result.detail}", Counts(failed=1))
    return result


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the end of the stage notices that our output was closed
        print(line, flush=True)


def summarize(run: Run, seconds: float, problems: Sequence[str] = (), long: bool = False) -> bool:
    """Print what happened; returns whether all is well. The counts stand alone on the last line: CI reads them."""
    ended, problems = run.ended, [*run.problems, *problems]
    if not ended:
        problems.append("nothing was run")
    width = max((len(each.stage.name) for each in ended), default=0)
    print("\n== summary")
    for each in sorted(ended, key=lambda each: each.stage.name):
        times = f"{each.seconds:6.1f} s, {each.cpu_seconds:6.1f} s CPU"
        print(f"{each.stage.name:{width}}  {each.result.verdict:7}  {times}  {each.result.detail}".rstrip())
    rows = sorted({row for each in ended for row in each.result.slowest}, reverse=True)[:10]
    print("slowest tests:")
    for took, name in rows:
        print(f"  {took:6.1f} s  {name}")
    reasons: Counter[str] = sum((Counter(each.result.reasons) for each in ended), Counter())
    if reasons:
        print("skipped tests:")
    for reason, number in reasons.most_common():
        print(f"  {number:8}  {' '.join(reason.split())[:LONGEST_REASON]}")
    for problem in problems:
        print(f"FAILED: {problem}")
    # `current` is what this process did itself: planning the boots, fetching a kernel for them.
    for note in dict.fromkeys(note for each in [current, *(e.result for e in ended)] for note in each.notes):
        print(f"note: {note}")
    left = current.left_out + sum(each.result.left_out for each in ended)
    if not long:
        parts = [("guests", current.left_out), *((e.stage.name, e.result.left_out) for e in ended)]
        where = ", ".join(f"{name} {number}" for name, number in parts if number)
        print(
            f"left to make test-all: at least {left} tests{f' ({where})' if where else ''}, and longer property runs"
        )
    installs = current.install_seconds + sum(each.result.install_seconds for each in ended)
    largest = max((each.max_rss_bytes for each in ended), default=0)
    print(f"{seconds:.0f} s in all, {installs:.0f} s of installing in some stage")
    print(f"the largest process had {largest >> 20} MiB")
    total = sum((each.result.counts for each in ended), Counts()) + Counts(failed=len(problems))
    print(total, flush=True)
    sys.stdout.flush()
    return not total.failed and all(each.result.verdict != "FAILED" for each in ended)
