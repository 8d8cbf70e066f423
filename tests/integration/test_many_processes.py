"""More processes than files may be open: all are watched, what does not fit is told, and nothing is taken for gone."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.recorder import held_until
from udamon.errors import OutOfFiles
from udamon.linux import open_files, procfs
from udamon.linux.failure import proc_mounted
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import ProcessId
from udamon.record.reader import Recording

FAMILY = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""


@contextlib.contextmanager
def family(children: int) -> Iterator[int]:
    """The pid of a process with so many children that sleep."""
    words = [sys.executable, "-I", "-S", "-c", FAMILY, str(children)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


def limited(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def record(pid: int, path: Path, hard: int, duration: str, *more: str) -> subprocess.CompletedProcess[str]:
    words = [*UDAMON, "record", "-p", str(pid), "--children", "--via", "refs", "--duration", duration, *more]
    return subprocess.run(
        [*words, "-o", str(path)], capture_output=True, text=True, preexec_fn=limited(hard, hard), check=False
    )


def watched(path: Path) -> tuple[int, int]:
    """Targets that were found, and those with at least one snapshot."""
    recording = Recording(path)
    started = {event.data["target"] for event in recording.events() if event.name == "target_start"}
    return len(started), len({snapshot.target for snapshot in recording.snapshots()})


def test_more_targets_than_open_files(tmp_path: Path) -> None:
    """Every one has its snapshots; the lock of each holds meanwhile, and costs no file."""
    with family(80) as pid:
        done = record(pid, tmp_path / "many", 64, "2s")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert watched(tmp_path / "many") == (81, 81)


@pytest.mark.slow
def test_three_thousand_processes_under_the_usual_limit(tmp_path: Path) -> None:
    with family(2999) as pid:
        # Chosen by cost, a window of 3000 processes may be longer than any test on a busy machine.
        done = record(pid, tmp_path / "many", 1024, "45s", "--sample", "1s", "--aggr", "10s")
    assert done.returncode == 0, done.stderr
    assert watched(tmp_path / "many") == (3000, 3000)


def test_the_limit_is_raised_for_udamon_and_given_back_to_its_command(tmp_path: Path) -> None:
    """What it starts sees the limit that udamon was started with."""
    with held_until(tmp_path / "r", 1) as (pipe,):
        script = f"ulimit -S -n; ulimit -H -n; grep 'open files' /proc/$PPID/limits; read x < {pipe}; true"
        done = subprocess.run(
            [*UDAMON, "record", "-q", "--via", "refs", "-o", str(tmp_path / "r"), "--", "sh", "-c", script],
            capture_output=True, text=True, preexec_fn=limited(100, 200), check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    soft, hard, own = done.stdout.splitlines()
    assert (soft, hard) == ("100", "200")
    assert own.split()[3:5] == ["200", "200"]


def test_the_command_of_a_goal_gets_the_limit_back(tmp_path: Path) -> None:
    """And its text reaches the shell as it is."""
    program = f"""
import sys, time
from pathlib import Path
from udamon.linux import open_files
from udamon.scheme_metrics.command_number import CommandNumber
open_files.raise_limit()
command = CommandNumber('ulimit -S -n; echo "$0 it'"'"'s $(ulimit -H -n)" > {tmp_path}/told; exec sleep 60')
while command.value() is None or not Path("{tmp_path}/told").exists():
    time.sleep(0.01)
print(command.value(), open_files.limit())
command.close()
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(
        words, capture_output=True, text=True, preexec_fn=limited(100, 200), timeout=60, check=True
    )
    assert done.stdout == "100 200\n"
    assert (tmp_path / "told").read_text() == "/bin/sh it's 200\n"


READERS: dict[str, Callable[[ProcessId], object]] = {
    "stat": lambda process: procfs.read_stat(process.pid),
    "alive": procfs.is_alive,
    "list": lambda process: procfs.list_pids(),
    "children": lambda process: procfs.children(process.pid),
    "open": lambda process: procfs.open_of(process, "maps", os.O_RDONLY),
    "mounted": lambda process: proc_mounted(),
    "pidfd": open_process,
}


@pytest.mark.parametrize("name", READERS)
def test_no_file_left_is_never_a_process_that_is_gone(name: str) -> None:
    """Whatever reads of processes raises OutOfFiles, with the limit, where it may not open a file."""
    own = procfs.read_stat(os.getpid()).id
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited(min(before[1], 256), before[1])()
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
        with pytest.raises(OutOfFiles, match=rf"more than {open_files.limit()} files .*ulimit -n"):
            READERS[name](own)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    READERS[name](own)


def test_nothing_watched_is_a_failure(tmp_path: Path) -> None:
    """A recording that ends before its first window did holds nothing, and that is said."""
    words = [*UDAMON, "record", "--sim", "demo", "--aggr", "60s", "--sample", "1s", "--duration", "50ms"]
    done = subprocess.run([*words, "-o", str(tmp_path / "r")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing was watched in " in done.stderr
