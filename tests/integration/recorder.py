"""`udamon` as a user runs it, and what the tests ask of its recordings."""

from __future__ import annotations

import contextlib
import encodings.ascii
import functools
import gc
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from tests.integration.forking import Done, Word, run_command, run_forked, said
from udamon.cli import monitor, record, workload
from udamon.engine import census_watch, kdamond, resident, tuner, watch
from udamon.errors import RecordingError
from udamon.linux import residency
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


def udamon(*words: Word, cwd: Path | None = None) -> Done:
    """Run one command to its end."""
    return _to_its_end(_forked(words, cwd=cwd))


def forked_udamon(*words: Word, **environment: str) -> Done:
    """The same with variables added to its environment."""
    return _to_its_end(_forked(words, environment=environment))


def started_udamon(*words: Word, cwd: Path | None = None, prefix: Sequence[str] = ()) -> Done:
    """The same with an interpreter of its own, as a user starts it, under `prefix` (a wrapper such as unshare)."""
    return _to_its_end(_started(words, cwd=cwd, prefix=prefix))


@contextlib.contextmanager
def running_udamon(
    *words: Word, session: bool = False, forked: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; killed when left, if it still does. Not `forked`: with an interpreter of its own,
    for its memory or its CPU time is the subject."""
    process = _forked(words, session=session) if forked else _started(words, session=session)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _to_its_end(process: subprocess.Popen[str]) -> Done:
    with process:
        try:
            stdout, stderr = process.communicate(timeout=120)
        except BaseException:
            process.kill()
            raise
    return Done(process.returncode, stdout, stderr)


def _started(
    words: Sequence[Word],
    *,
    cwd: Path | None = None,
    session: bool = False,
    prefix: Sequence[str] = (),
    instead: Callable[[], NoReturn] | None = None,
) -> subprocess.Popen[str]:
    """`instead` is what the child does in place of executing the command, if anything."""
    return subprocess.Popen(
        [*prefix, *UDAMON, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=session,
        restore_signals=instead is None,
        preexec_fn=instead,
    )


def _forked(
    words: Sequence[Word],
    *,
    cwd: Path | None = None,
    session: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """A command in a child that does not execute an interpreter, which costs more than most commands do, and some ten
    seconds in an emulated guest. While other threads run, whose locks a fork might keep for ever, it does."""
    if threading.active_count() > 1 and not environment:
        return _started(words, cwd=cwd, session=session)
    _load_commands()

    def run() -> NoReturn:
        gc.enable()  # which subprocess has turned off
        gc.freeze()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in map(int, os.listdir("/proc/self/fd")):
            # They are closed, but not free: objects that own the numbers may close them again.
            if number > 2 and number != nothing:
                os.dup2(nothing, number, inheritable=False)
        os.environ.update(environment or {})
        run_command(list(map(str, words)))

    return _started(words, cwd=cwd, session=session, instead=run)


@functools.cache
def _load_commands() -> None:
    """What each forked child would import anew."""
    for name in ("cli", "report", "ops", "assembly", "availability"):
        package = importlib.import_module(f"udamon.{name}")
        for found in pkgutil.iter_modules(package.__path__, f"udamon.{name}."):
            importlib.import_module(found.name)


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
    with running_udamon(*words, forked=False) as process:
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
