"""`udamon` as a user runs it, and what the tests ask of its recordings."""

from __future__ import annotations

import contextlib
import encodings.ascii
import functools
import importlib
import json
import os
import pkgutil
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.integration.forking import Done, Word, forked, started, to_its_end
from tests.integration.programs import become_nobody
from tests.waiting import WAIT_LIMIT_S, until
from udamon.cli import monitor, record, workload
from udamon.engine import census_watch, kdamond, resident, tuner, watch
from udamon.errors import RecordingError
from udamon.linux import residency
from udamon.ops import refs, vaddr
from udamon.record.reader import Recording
from udamon.workload import shapes
from udamon.workload.config import load
from udamon.workload.spec import format_workload

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
    return to_its_end(_forked(words, cwd=cwd))


def forked_udamon(*words: Word, **environment: str) -> Done:
    """The same with variables added to its environment."""
    return to_its_end(_forked(words, environment=environment))


def started_udamon(*words: Word, cwd: Path | None = None, prefix: Sequence[str] = ()) -> Done:
    """The same with an interpreter of its own, as a user starts it, under `prefix` (a wrapper such as unshare)."""
    return to_its_end(started(words, cwd=cwd, prefix=prefix))


@contextlib.contextmanager
def running_udamon(*words: Word, session: bool = False, fork: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile; killed when left, if it still does. Without `fork` it has an interpreter of its
    own, for its memory or its CPU time is the subject."""
    process = _forked(words, session=session) if fork else started(words, session=session)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _forked(
    words: Sequence[Word],
    *,
    cwd: Path | None = None,
    session: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    _load_commands()
    return forked(words, cwd=cwd, session=session, environment=environment)


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
    with running_udamon(*words, fork=False) as process:
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
def as_nobody_runs(directory: Path, *words: Word) -> Iterator[subprocess.Popen[str]]:
    """`udamon WORDS` in `directory` under the account "nobody". The process is killed when the block ends."""
    process = forked(words, cwd=directory, before=become_nobody)
    favour(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def nobody_runs(directory: Path, *words: Word) -> Done:
    """The same, to its end."""
    return to_its_end(forked(words, cwd=directory, before=become_nobody))


def nobody_records(directory: Path, count: int, *words: Word) -> int:
    """`udamon record WORDS` as the user nobody until `count` snapshots are in a.udamon in `directory`, then ended as
    Ctrl-C does; returns its status."""
    with as_nobody_runs(directory, "record", *words) as process:
        until(lambda: snapshots_in(directory / "a.udamon") >= count, f"{count} snapshots")
        process.send_signal(signal.SIGINT)
        return finish(process).status
