"""Processes whose main thread ended before the others: memory and program show at these alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from tests.unit.targets.test_processes import Log
from udamon.core.target import Target
from udamon.errors import NotSupported, TargetGone
from udamon.linux.failure import process_errors
from udamon.linux.procfs import ProcessId, Stat, open_of, read_stat, resident_bytes, rss_bytes
from udamon.linux.roots import Roots
from udamon.native._native import GONE
from udamon.ops.idle import IdleSampler
from udamon.ops.vaddr import Vaddr
from udamon.targets.processes import NamedProcesses
from udamon.targets.spaces import AddressSpaces

PROGRAM = """
import ctypes, sys, threading, time
def go_on():
    print(flush=True)
    time.sleep(600)
threading.Thread(target=go_on).start()
sys.stdin.readline()
ctypes.CDLL(None).pthread_exit(None)
"""


class Split:
    """A process of PROGRAM."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.pid = self._process.pid

    def end_main(self) -> Stat:
        """Its main thread ends."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while (stat := read_stat(self.pid)).state != "Z":
            threading.Event().wait(0.001)
        return stat

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def two() -> Iterator[tuple[Split, Split]]:
    with ExitStack() as stack:
        both = Split(), Split()
        for one in both:
            stack.callback(one.close)
        yield both


def test_what_is_resident(two: tuple[Split, Split]) -> None:
    """It was 0, so that no limit of a pause held, and nothing was missed where such a process was."""
    process = two[0].end_main().id
    assert rss_bytes(process) > 1 << 20
    assert resident_bytes(process.pid) > 1 << 20


def test_two_of_them_are_two_address_spaces(two: tuple[Split, Split]) -> None:
    """The kernel says of two main threads without memory that it is the same."""
    before = [Target(i, one.pid, read_stat(one.pid).start_time) for i, one in enumerate(two)]
    spaces, later = AddressSpaces(), AddressSpaces()
    spaces.update(before)
    family = spaces.family(before[0])
    for one in two:
        one.end_main()
    for found in (spaces, later):
        found.update(before)
        assert [found.leader(one) for one in before] == [0, 1]
    assert spaces.family(before[0]) == family
    assert later.family(before[0]) is None


def test_no_program_was_executed(two: tuple[Split, Split], tmp_path: Path) -> None:
    log, roots, targets = Log(), Roots(locks=(tmp_path,)), list[Target]()
    ops = Vaddr(NamedProcesses([two[0].pid]), roots)
    ops.update(targets, log)
    two[0].end_main()
    log.take()
    for _ in range(3):
        ops.update(targets, log)
    assert "target_exec" not in log.names()
    assert len(targets) == 1
    ops.close()


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    found = FakeProc(tmp_path)
    found.process(9, state="Z", threads=2)
    (found.root / "9/task/9/stat").write_text("9 (x) Z 1\n")
    (found.root / "9/task/10").mkdir()  # without a stat: it ended since it was listed
    return found


def test_threads_that_end_during_a_look(fake: FakeProc) -> None:
    process = ProcessId(9, 100)
    with pytest.raises(TargetGone), process_errors(9, fake.root, 100):
        open_of(process, "maps", os.O_RDONLY, fake.root)
    (fake.root / "9/task/11").mkdir()
    (fake.root / "9/task/11/stat").write_text("11 (x) S 1\n")
    (fake.root / "9/task/11/maps").write_text("here")
    os.close(open_of(process, "maps", os.O_RDONLY, fake.root))


def test_a_file_that_this_kernel_has_is_not_called_missing(fake: FakeProc) -> None:
    """The thread at which the memory showed ended before its file was opened."""
    (fake.root / "9/task/11").mkdir()
    (fake.root / "9/task/11/stat").write_text("11 (x) S 1\n")
    with pytest.raises(NotSupported, match="CONFIG_PROC_PAGE_MONITOR"), process_errors(9, fake.root):
        open_of(ProcessId(9, 100), "pagemap", os.O_RDONLY, fake.root)
    (fake.root / "self/pagemap").write_bytes(b"")
    with pytest.raises(TargetGone), process_errors(9, fake.root):
        open_of(ProcessId(9, 100), "pagemap", os.O_RDONLY, fake.root)


def test_the_sampler_of_idle_pages_reads_the_memory_that_shows(fake: FakeProc, tmp_path: Path) -> None:
    bitmap = tmp_path / "sys/kernel/mm/page_idle/bitmap"
    bitmap.parent.mkdir(parents=True)
    bitmap.write_bytes(b"")
    (fake.root / "kpageflags").write_bytes(b"")
    (fake.root / "9/task/11").mkdir()
    (fake.root / "9/task/11/stat").write_text("11 (x) S 1\n")
    (fake.root / "9/task/11/pagemap").write_bytes(b"here")
    sampler = IdleSampler(Roots(fake.root, tmp_path / "sys"))
    fd = sampler._page_map(Target(0, 9, 100))
    assert fd != GONE
    assert os.pread(fd, 8, 0) == b"here"
    sampler.close()
