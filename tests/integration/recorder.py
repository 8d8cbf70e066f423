"""`udamon` as a user runs it, and what the tests ask of its recordings."""

from __future__ import annotations

import contextlib
import encodings.ascii
import importlib
import json
import os
import pkgutil
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration import forking
from tests.integration.forking import Done, Word, run_forked, said
from udamon.cli import monitor, record, workload
from udamon.engine import census_watch, kdamond, resident, tuner, watch
from udamon.errors import RecordingError
from udamon.evaluation.statistics import percentile
from udamon.linux import residency
from udamon.model import Snapshot
from udamon.ops import refs, vaddr
from udamon.record.reader import Recording
from udamon.workload import shapes
from udamon.workload.config import load
from udamon.workload.spec import format_workload

UDAMON = [sys.executable, "-m", "udamon"]
WAIT_LIMIT_S = 60.0

# What a forked child runs as nobody must be imported before: interpreter and checkout may be closed to it.
_IMPORTED = (
    monitor,
    record,
    workload,
    kdamond,
    resident,
    tuner,
    watch,
    census_watch,
    refs,
    residency,
    vaddr,
    encodings.ascii,
)


def udamon(*words: Word, cwd: Path | None = None, prefix: Sequence[str] = ()) -> Done:
    """Run one command to its end, under `prefix` (a wrapper such as unshare)."""
    done = subprocess.run(
        [*prefix, *UDAMON, *map(str, words)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def forked_udamon(*words: Word, **environment: str) -> Done:
    """The same in a child that is forked, with variables added to its environment: without the start of an interpreter,
    which takes some ten seconds in an emulated guest."""
    for name in ("cli", "report", "ops", "assembly", "availability"):  # each child would import them anew
        package = importlib.import_module(f"udamon.{name}")
        for found in pkgutil.iter_modules(package.__path__, f"udamon.{name}."):
            importlib.import_module(found.name)
    return forking.udamon(*words, environment=environment)


@contextlib.contextmanager
def running_udamon(*words: Word, session: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; killed when left, if it still does."""
    process = subprocess.Popen(
        [*UDAMON, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=session,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> Done:
    stdout, stderr = process.communicate(timeout=WAIT_LIMIT_S)
    return Done(process.returncode, stdout, stderr)


def report(name: str, file: Path, *words: Word) -> dict[str, Any]:
    """The JSON document of a report."""
    done = udamon("report", name, file, "--json", *words)
    assert done.status == 0, done.stderr
    return dict(json.loads(done.stdout))


def until(condition: Callable[[], bool], what: str, patience_s: float = WAIT_LIMIT_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def snapshots_in(file: Path) -> int:
    """Snapshots that a reader sees now, also while the file is being written."""
    try:
        return sum(1 for _ in Recording(file).snapshots())
    except RecordingError:
        return 0


def until_recorded(file: Path, count: int = 1) -> None:
    """Wait until `count` snapshots are in the file."""
    until(lambda: snapshots_in(file) >= count, f"{count} snapshots in {file}")


@contextlib.contextmanager
def held_until(file: Path, *counts: int) -> Iterator[list[Path]]:
    """Named pipes for a recorded command to read: each reaches its end when so many snapshots are in the file, and the
    one before has been read. A command that waits so is watched long enough on any machine."""
    pipes = [file.with_name(f"{file.name}.go{number}") for number in range(len(counts))]
    for pipe in pipes:
        os.mkfifo(pipe)
        pipe.chmod(0o666)
    ended = threading.Event()

    def release() -> None:
        for pipe, count in zip(pipes, counts, strict=True):
            while snapshots_in(file) < count and not ended.wait(0.05):
                pass
            while not ended.is_set():
                try:
                    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                    break
                except OSError:  # nobody reads it yet
                    ended.wait(0.05)

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield pipes
    finally:
        ended.set()
        thread.join()


def scaled(shape: str, size: float, seconds: dict[str, float], path: Path) -> Path:
    """A committed workload with its regions `size` times as large; a phase whose name begins with a key
    of `seconds` lasts that long."""
    full = load(shapes.find(shape))
    phases = [
        replace(phase, duration_ns=round(length * 1e9))
        for phase in full.phases
        for name, length in seconds.items()
        if phase.name.startswith(name)
    ]
    regions = [replace(region, size=round(region.size * size) // 4096 * 4096) for region in full.regions]
    path.write_text(format_workload(replace(full, regions=tuple(regions), phases=tuple(phases))))
    return path


@contextlib.contextmanager
def hot_and_cold(config: Path, truth: Path) -> Iterator[subprocess.Popen[str]]:
    """`udamon workload`, its regions filled and its first phase begun; it runs on until left."""
    words = ("workload", config, "--layout", "separate", "--truth", truth, "--quiet", "--duration", "1h")
    with running_udamon(*words) as process:
        favour(process.pid)
        until_phase(truth)
        yield process


def record_snapshots(file: Path, count: int, *words: Word) -> Done:
    """Record as `words` say until `count` snapshots are in the file, then end it as Ctrl-C does."""
    with running_udamon("record", "-o", file, *words) as recorder:
        favour(recorder.pid)
        until(lambda: recorder.poll() is not None or snapshots_in(file) >= count, f"{count} snapshots")
        recorder.send_signal(signal.SIGINT)
        return finish(recorder)


def phase_begun(truth: Path) -> bool:
    """Has the workload that writes this truth log filled its regions and begun?"""
    return truth.exists() and '"kind": "phase"' in truth.read_text()


def until_phase(truth: Path) -> None:
    until(lambda: phase_begun(truth), f"a phase in {truth}")


def favour(pid: int) -> None:
    """Where it is permitted, let nothing else on the machine keep this process from touching its memory."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -15)


class Truth:
    """A truth log, asked for the bytes that were hot at any time in a window."""

    def __init__(self, log: Path) -> None:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        ends = [line["t"] for line in lines[1:]] + [float("inf")]
        regions = [(r["start"], r["end"]) for r in lines[0]["regions"]]
        self.span = min(regions)[0], max(regions)[1]
        self._phases = [
            (line["t"], end, line["kind"], {(r["start"], r["end"]) for r in line["regions"] if r["hot"]})
            for line, end in zip(lines, ends, strict=True)
        ]

    def bytes_in(self, begin: float, end: float) -> int | None:
        """The union over the phases that the window meets; None when it is not within phases alone."""
        met = [phase for phase in self._phases if phase[0] < end and phase[1] > begin]
        if not met or any(kind != "phase" for _, _, kind, _ in met):
            return None
        hot: set[tuple[int, int]] = set().union(*(hot for _, _, _, hot in met))
        return sum(high - low for low, high in hot)


class Accuracy(NamedTuple):
    """A recording against the truth of each snapshot's own window: relative errors, and percentiles.

    Only the workload's own regions are compared: a page of a library counts as referenced for all who have
    it mapped when any program that used it ends, so the rest depends on what else the machine does.
    `own` are arguments that make reports do the same.
    """

    errors: list[float]
    truth: list[int]
    own: tuple[str, str]

    def percentile(self, level: float) -> float:
        found = percentile([float(size) for size in self.truth], level)
        assert found is not None
        return found


def accuracy(file: Path, log: Path) -> Accuracy:
    truth = Truth(log)
    errors, sizes = [], []
    for snapshot in Recording(file).snapshots():
        size = truth.bytes_in(snapshot.begin_ns / 1e9, snapshot.end_ns / 1e9)
        if size:
            errors.append(abs(_touched_bytes(snapshot, *truth.span) - size) / size)
            sizes.append(size)
    return Accuracy(errors, sizes, ("--address", f"{truth.span[0]:#x}-{truth.span[1]:#x}"))


def _touched_bytes(snapshot: Snapshot, low: int, high: int) -> int:
    return sum(t for start, t in zip(snapshot.starts, snapshot.touched, strict=True) if low <= start < high)


@contextlib.contextmanager
def place_of_nobody() -> Iterator[Path]:
    """A directory where the user nobody may write."""
    entry = pwd.getpwnam("nobody")
    directory = Path(tempfile.mkdtemp(prefix="udamon-"))
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def as_nobody_runs(directory: Path, *words: Word) -> Iterator[int]:
    """The pid of a process of the user nobody that runs `udamon WORDS`; stdout and stderr go to files
    `out` and `err` in `directory`. Killed when left, if it still runs."""
    pid = _fork_nobody(directory, list(map(str, words)))
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def nobody_runs(directory: Path, *words: Word) -> Done:
    """The same, to its end."""
    _, status = os.waitpid(_fork_nobody(directory, list(map(str, words))), 0)
    return Done(os.waitstatus_to_exitcode(status), *said(directory))


def nobody_records(directory: Path, count: int, *words: Word) -> int:
    """`udamon record WORDS` as the user nobody until `count` snapshots are in a.udamon in `directory`, then ended as
    Ctrl-C does; returns its status."""
    pid = _fork_nobody(directory, ["record", *map(str, words)])
    try:
        until(lambda: snapshots_in(directory / "a.udamon") >= count, f"{count} snapshots")
    finally:
        os.kill(pid, signal.SIGINT)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status


def _fork_nobody(directory: Path, words: list[str]) -> int:
    pid = os.fork()
    if not pid:
        run_forked(directory, words, as_nobody=True)
    favour(pid)
    return pid
