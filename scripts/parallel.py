"""Run stages at the same time, each in a process of its own, and print one summary.

Some workers take stages from the front of one list. A stage's output goes to .work/logs/NAME.log; it is
printed when the stage failed, and its last lines when it passed. How it ended is read from .work/results/NAME.json,
which the process wrote (stages.perform): a process that wrote none has failed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.stages import WORK, Counts, Result, current

LOGS, RESULTS = WORK / "logs", WORK / "results"
HEARTBEAT_S = 60.0
LAST_LINES = 6


@dataclass(frozen=True)
class Stage:
    name: str
    command: Sequence[str | Path]

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
class Run:
    """The stages in the order to begin them, `workers` of them at a time. `ended`: in the order in which they ended.

    `on_end` gets each stage that ended by itself, one at a time.
    """

    stages: list[Stage]
    workers: int
    ended: list[Ended] = field(default_factory=list)
    on_end: Callable[[Ended], None] = lambda ended: None
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: bool = False

    def run(self) -> None:
        for directory in (LOGS, RESULTS):
            directory.mkdir(parents=True, exist_ok=True)
        queue = list(self.stages)
        workers = [
            threading.Thread(target=self._work, args=(queue,), daemon=True) for _ in range(self.workers)
        ]
        for worker in workers:
            worker.start()
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            self._wait(workers)
        except BaseException:
            self._end_all()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _wait(self, workers: list[threading.Thread]) -> None:
        """Until all have ended; a line now and then, so that a log tells what it waits for."""
        said = time.monotonic()
        while any(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.join(0.1)
            if time.monotonic() - said > HEARTBEAT_S:
                said = time.monotonic()
                with self._lock:
                    print(f".. running: {', '.join(sorted(self._running))}", flush=True)

    def _work(self, queue: list[Stage]) -> None:
        while True:
            with self._lock:
                if not queue or self._stop:
                    return
                stage = queue.pop(0)
            self._run(stage)

    def _run(self, stage: Stage) -> None:
        stage.result.unlink(missing_ok=True)
        begin = time.monotonic()
        with stage.log.open("wb") as log:
            process = subprocess.Popen(
                [str(word) for word in stage.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
            with self._lock:
                self._running[stage.name] = process
                print(f"-- {stage.name}: begins", flush=True)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        result = _result(stage, process.returncode)
        cpu, rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10
        ended = Ended(stage, result, seconds, cpu, rss)
        with self._lock:
            del self._running[stage.name]
            self.ended.append(ended)
            self._tell(stage, result, seconds)
            if not self._stop:
                self.on_end(ended)

    def _tell(self, stage: Stage, result: Result, seconds: float) -> None:
        lines = stage.log.read_text(errors="replace").splitlines()
        shown = lines if result.verdict == "FAILED" else lines[-LAST_LINES:]
        print(f"\n== {stage.name}: {result.verdict} in {seconds:.0f} s {result.detail}")
        print("\n".join(shown), flush=True)

    def _end_all(self) -> None:
        with self._lock:
            self._stop = True
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


def _result(stage: Stage, status: int) -> Result:
    if not stage.result.exists():
        return Result("FAILED", f"ended with status {status} and no result", Counts(failed=1))
    result = Result.read(stage.result)
    if status and result.verdict != "FAILED":
        return Result("FAILED", f"ended with status {status} after {result.detail}", Counts(failed=1))
    return result


def summarize(
    ended: Sequence[Ended], seconds: float, problems: Sequence[str] = (), long: bool = False
) -> bool:
    """Print what happened; returns whether all is well. The counts stand alone on the last line: CI reads them."""
    width = max((len(each.stage.name) for each in ended), default=0)
    print("\n== summary")
    for each in sorted(ended, key=lambda each: each.stage.name):
        times = f"{each.seconds:6.1f} s, {each.cpu_seconds:6.1f} s CPU"
        print(f"{each.stage.name:{width}}  {each.result.verdict:7}  {times}  {each.result.detail}".rstrip())
    rows = sorted({row for each in ended for row in each.result.slowest}, reverse=True)[:10]
    print("slowest tests:")
    for took, name in rows:
        print(f"  {took:6.1f} s  {name}")
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
