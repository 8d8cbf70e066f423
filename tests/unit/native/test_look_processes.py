"""Looks at many processes in one call: what they tell of real ones, and of those that are gone or somebody else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from udamon.linux.procfs import ProcessId, read_stat
from udamon.native._native import (
    LOOK,
    LOOK_CLEAR,
    LOOK_FLUSH,
    LOOK_GUEST,
    LOOK_SPLIT,
    PAGE_SIZE,
    ProcessLooks,
    look_processes,
)

MIB = 1 << 20
CLEAR = LOOK_CLEAR | LOOK_FLUSH
"""With the TLB: on an idle machine nothing displaces it, and what hits it sets no accessed bit."""
SPLIT = LOOK | LOOK_SPLIT
PROGRAM = """
import mmap, sys
area = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
area[::4096] = b"x" * len(area[::4096])
print(flush=True)
for line in sys.stdin:
    area[: int(line) : 4096] = b"y" * len(area[: int(line) : 4096])
    print(flush=True)
"""


@pytest.fixture
def proc() -> Iterator[int]:
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """It has 16 MiB, and touches as much of them as a line on its standard input says."""
    words = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def look(proc: int, processes: Sequence[ProcessId], what: int) -> ProcessLooks:
    return look_processes(
        proc=proc,
        pid=array("i", [one.pid for one in processes]),
        start_time=array("Q", [one.start_time for one in processes]),
        what=bytes([what] * len(processes)),
    )


def rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) << 10 for name, value in (line.split(":") for line in lines)}


def undisturbed_look(proc: int, process: ProcessId) -> tuple[ProcessLooks, dict[str, int]]:
    """A look, and what the kernel says before and after it: any program that starts or ends changes the shares of
    libraries."""
    while True:
        before, found, after = rollup(process.pid), look(proc, [process], SPLIT), rollup(process.pid)
        if before == after:
            return found, after


@pytest.mark.needs("clear_refs")
def test_what_is_touched_after_clearing_is_referenced(proc: int, program: subprocess.Popen[str]) -> None:
    process = read_stat(program.pid).id
    assert program.stdin is not None
    assert program.stdout is not None
    assert list(look(proc, [process], CLEAR).error) == [0]
    idle = look(proc, [process], SPLIT)
    print(8 * MIB, file=program.stdin, flush=True)
    program.stdout.readline()
    busy = look(proc, [process], SPLIT)
    again, expected = undisturbed_look(proc, process)
    # Only of private memory: where another program's bits are cleared, pages of libraries lose the kernel's own mark.
    assert 8 * MIB <= busy.sure[0] - idle.sure[0] < 12 * MIB
    assert again.sure[0] >= busy.sure[0], "a look does not clear"
    assert again.referenced[0] >= again.sure[0]
    assert again.resident[0] == expected["Rss"]
    assert again.proportional[0] == expected["Pss"]
    assert again.private[0] == expected["Private_Clean"] + expected["Private_Dirty"]
    assert again.anonymous[0] == expected["Anonymous"] >= 16 * MIB
    assert again.shmem[0] == expected["Pss_Shmem"]
    assert again.guest[0] == 0
    assert again.look_ns[0] > 0 == again.clear_ns[0]


@pytest.mark.needs("clear_refs")
def test_by_mappings_bounds_are_tighter(proc: int, program: subprocess.Popen[str]) -> None:
    """What is touched of libraries is told from what is touched of its own memory. It has 16 MiB in one mapping."""
    process = read_stat(program.pid).id
    assert program.stdin is not None
    assert program.stdout is not None
    look(proc, [process], CLEAR)
    print(8 * MIB, file=program.stdin, flush=True)
    program.stdout.readline()
    whole = look(proc, [process], LOOK)
    split = look(proc, [process], SPLIT)
    assert whole.idle[0] <= split.idle[0]
    assert whole.sure[0] <= split.sure[0]
    assert 8 * MIB <= split.sure[0] <= split.referenced[0]
    assert 8 * MIB <= split.idle[0] <= split.private[0] - 8 * MIB


AMOUNTS = (
    "Rss: {} kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: {} kB\nReferenced: {} kB\nAnonymous: {} kB\nKSM: {} kB\n"
)


def bounds_of(place: Path, smaps: str) -> tuple[int, int, int]:
    """(error, idle, sure) in KiB of a made-up process with these mappings."""
    (place / "7").mkdir()
    fields = " ".join(["S", *map(str, range(4, 52))])
    (place / "7" / "stat").write_text(f"7 (a) {fields}\n")
    (place / "7" / "smaps_rollup").write_text("0-1 [rollup]\nRss: 1 kB\n")
    (place / "7" / "smaps").write_text(smaps)
    fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        found = look(fd, [ProcessId(7, 22)], SPLIT)
    finally:
        os.close(fd)
    return found.error[0], found.idle[0] >> 10, found.sure[0] >> 10


def test_bounds_of_made_up_mappings(tmp_path: Path) -> None:
    """Two mappings, one of a file with a long name; a third that others have in part. Worked out by hand."""
    smaps = (
        "1000-2000 rw-p 0 0:0 0\n"
        + AMOUNTS.format(100, 100, 40, 100, 0)  # idle 60, sure 40
        + f"2000-3000 r--p 0 8:1 9 /{'x' * 70_000}\n"
        + AMOUNTS.format(50, 10, 30, 0, 0)  # idle 0, sure 0
        + "3000-4000 rw-p 0 0:0 0\n"
        + AMOUNTS.format(80, 60, 50, 80, 4)  # 24 may be marked by others: idle 10, sure 50 - 24 = 26
    )
    assert bounds_of(tmp_path, smaps) == (0, 70, 66)


@pytest.mark.parametrize(
    ("again", "idle", "sure"),
    [("2000-4000", 60 + 10, 40 + 30), ("1000-4000", 10, 30), ("2000-3000", 60 + 10, 40 + 30)],
    ids=["grew", "grew over two", "as before"],
)
def test_a_mapping_that_comes_again_counts_once(tmp_path: Path, again: str, idle: int, sure: int) -> None:
    """It grew while it was read. Where it covers what was counted before, bounds of that are given up."""
    smaps = (
        "1000-2000 rw-p 0 0:0 0\n"
        + AMOUNTS.format(100, 100, 40, 100, 0)
        + "2000-3000 rw-p 0 0:0 0\n"
        + AMOUNTS.format(20, 20, 15, 20, 0)
        + f"{again} rw-p 0 0:0 0\n"
        + AMOUNTS.format(40, 40, 30, 40, 0)
    )
    assert bounds_of(tmp_path, smaps) == (0, idle, sure)


def test_who_is_gone_or_another_is_an_answer(proc: int, program: subprocess.Popen[str]) -> None:
    """A zombie, no such pid, and the pid of a process that started at another time; those between are looked at."""
    alive = read_stat(program.pid).id
    with subprocess.Popen(["true"]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        zombie = read_stat(dead.pid).id
        other = ProcessId(alive.pid, alive.start_time + 1)
        found = look(proc, [zombie, alive, other, ProcessId(2**22 + 1, 1), alive], LOOK | LOOK_GUEST)
    assert list(found.error) == [errno.ESRCH, 0, errno.ESRCH, errno.ESRCH, 0]
    assert [size > 0 for size in found.resident] == [False, True, False, False, True]


def test_a_stopped_process_is_looked_at(proc: int, program: subprocess.Popen[str]) -> None:
    process = read_stat(program.pid).id
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    assert list(look(proc, [process], LOOK).error) == [0]


def test_a_process_whose_main_thread_ended(proc: int) -> None:
    """Its memory shows at a thread that lives."""
    code = (
        "import ctypes, threading, sys, time\n"
        "threading.Thread(target=lambda: (print(flush=True), time.sleep(600))).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while (stat := read_stat(process.pid)).state != "Z":
            threading.Event().wait(0.001)
        found = look(proc, [stat.id], LOOK)
        process.kill()
    assert list(found.error) == [0]
    assert found.resident[0] > PAGE_SIZE


def test_descriptors_that_run_out_are_no_end_of_a_process(proc: int, program: subprocess.Popen[str]) -> None:
    import resource

    process = read_stat(program.pid).id
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    full = os.dup(proc)
    resource.setrlimit(resource.RLIMIT_NOFILE, (full, hard))
    try:
        assert list(look(proc, [process], LOOK).error) == [errno.EMFILE]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(full)
    assert list(look(proc, [process], LOOK).error) == [0]


def test_made_up_files(tmp_path: Path) -> None:
    """A virtual machine is told by its mappings; the TLB is flushed by soft-dirty bits elsewhere only."""
    for pid, maps in (
        (7, b"7f00-7f01 rw-s 0 00:0e 9 anon_inode:kvm-vcpu:0\n"),
        (8, b"x" * 65530 + b"\n" + b"y"),
    ):
        place = tmp_path / str(pid)
        place.mkdir()
        fields = " ".join(["S", *map(str, range(4, 52))])
        (place / "stat").write_text(f"{pid} (a) b) {fields}\n")
        (place / "maps").write_bytes(maps)
        (place / "clear_refs").write_bytes(b"")
        (place / "smaps_rollup").write_text(
            "0-1 ---p 0 00:00 0 [rollup]\nRss: 40 kB\nPss: 20 kB\nReferenced: 99 kB\nAnonHugePages: 4 kB\n"
            "ShmemPmdMapped: 8 kB\nSwapPss: 12 kB\nKSM: 16 kB\n"
        )
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    what = LOOK_GUEST | LOOK | LOOK_CLEAR | LOOK_FLUSH
    try:
        found = look(fd, [ProcessId(7, 22), ProcessId(8, 22), ProcessId(9, 22)], what)
    finally:
        os.close(fd)
    assert list(found.error) == [0, 0, errno.ESRCH]
    assert list(found.guest) == [1, 0, 0]
    assert (tmp_path / "7/clear_refs").read_bytes() == b"1"
    assert (tmp_path / "8/clear_refs").read_bytes() == b"14"
    assert [found.resident[0], found.proportional[0], found.referenced[0]] == [40 << 10, 20 << 10, 40 << 10]
    assert [found.huge[0], found.swapped[0], found.merged[0]] == [12 << 10, 12 << 10, 16 << 10]


def test_it_takes_arrays_of_one_length() -> None:
    with pytest.raises(ValueError, match="what must have n = 1 items"):
        look_processes(proc=0, pid=array("i", [1]), start_time=array("Q", [1]), what=b"")
