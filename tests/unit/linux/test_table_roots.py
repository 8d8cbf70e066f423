"""From the own task_struct to the page tables of any process, in made-up kernel memory: by BTF and by calibration."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fake_kcore import FakeKcore
from tests.unit.linux.test_page_tables import Types
from udamon.errors import NotSupported
from udamon.linux.kernel_memory import BadMemory, Kcore
from udamon.linux.table_roots import ByBtf, ByCalibration

IMAGE = 0xFFFF_FFFF_8100_0000

# The layout of the made-up kernel, bytes.
TASKS, MM, PIDS, THREAD_PID, LINKS = 64, 160, 240, 256, 264
PGD = 80
TASK_SIZE = 1024


class FakeTasks:
    """Tasks in a list and in an IDR of one inner node; numbers → root of tables."""

    def __init__(self, path: Path, numbers: list[int]) -> None:
        self.kcore = FakeKcore(path)
        fake = self.kcore
        image = fake.frame()  # the first one is mapped there, too
        self.pgd = {n: fake.frame() for n in numbers}
        tasks = {n: fake.frame() for n in numbers}
        mms = {n: fake.frame() for n in numbers}
        pids = {n: fake.frame() for n in numbers}
        namespace, self.node = fake.frame(), fake.frame()
        # The idle task, number 0, is in no IDR and has no memory.
        heads = [*(fake.virtual(tasks[n] + TASKS) for n in numbers), IMAGE + TASKS]
        fake.put(image + TASKS, struct.pack("<QQ", heads[0], heads[-2]))
        self.own = os.getpid()
        for i, n in enumerate(numbers):
            task = bytearray(TASK_SIZE)
            struct.pack_into("<QQ", task, TASKS, heads[(i + 1) % len(heads)], heads[i - 1])
            struct.pack_into("<QQ", task, MM, *[fake.virtual(mms[n])] * 2)
            first = threading.get_native_id() if n == self.own else n
            struct.pack_into("<II", task, PIDS, first, n)
            struct.pack_into("<Q", task, THREAD_PID, fake.virtual(pids[n]))
            struct.pack_into(
                "<QQ", task, 32, *[fake.virtual(tasks[n] + 32)] * 2
            )  # an empty list: a pair, too
            fake.put(tasks[n], bytes(task))
            fake.put_word(mms[n] + PGD, fake.virtual(self.pgd[n]))
            # struct pid: level at 4, tasks[] at 16, numbers[] at 64: nr, ns
            fake.put(pids[n], struct.pack("<II", 0, 1))
            fake.put_word(pids[n] + 24, fake.virtual(tasks[n] + LINKS + 16))
            fake.put(pids[n] + 64, struct.pack("<IIQ", n, 0, fake.virtual(namespace)))
            if n == self.own:
                fake.task = bytes(task)
                self.own_at = tasks[n]
        # struct idr at 8 of the namespace: base at 4, root at 8; nodes: shift at 0, slots at 16
        base = 1
        fake.put(namespace + 8, struct.pack("<II", 0, base))
        fake.put_word(namespace + 24, fake.virtual(self.node) | 2)
        fake.put(self.node, bytes([18]))
        for n in numbers:
            index = n - base
            self.hang(index, fake.virtual(pids[n]))
        fake.write_headers()
        self.mms, self.pids = mms, pids

    def hang(self, index: int, value: int) -> None:
        """Hang an entry below the top, by nodes of 64 slots."""
        fake, node = self.kcore, self.node
        for shift in (18, 12, 6):
            at = node + 16 + 8 * (index >> shift & 63)
            if not fake.word(at):
                below = fake.frame()
                fake.put(below, bytes([shift - 6]))
                fake.put_word(at, fake.virtual(below) | 2)
            node = (fake.word(at) & ~3) - fake.base
        fake.put_word(node + 16 + 8 * (index & 63), value)


def btf(path: Path) -> Path:
    t = Types()
    t.types += struct.pack("<IIII", t.name("int"), 1 << 24, 4, 32)
    t.number += 1
    for name, size, members in (
        ("task_struct", TASK_SIZE, {"mm": MM, "thread_pid": THREAD_PID, "pid_links": LINKS}),
        ("mm_struct", 512, {"pgd": PGD}),
        ("pid", 128, {"level": 4, "numbers": 48, "tasks": 16}),
        ("upid", 16, {"nr": 0, "ns": 8}),
        ("pid_namespace", 64, {"idr": 8}),
        ("idr", 24, {"idr_base": 4, "idr_rt": 8}),
        ("xarray", 16, {"xa_head": 8}),
        ("xa_node", 600, {"shift": 0, "slots": 16}),
    ):
        t.add(name, 4, size, tuple((member, 1, 8 * offset) for member, offset in members.items()))
    path.write_bytes(t.data())
    return path


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    (tmp_path / "proc").mkdir()
    numbers = [1, 77, os.getpid(), 250_000]
    for n in numbers:
        (tmp_path / "proc" / str(n)).mkdir()
    return FakeTasks(tmp_path / "kcore", numbers)


def is_own(tasks: FakeTasks) -> Callable[[int], bool]:
    return lambda address: address == tasks.kcore.virtual(tasks.pgd[tasks.own])


def test_by_btf(tasks: FakeTasks, tmp_path: Path) -> None:
    found = ByBtf(Kcore(tasks.kcore.path), btf(tmp_path / "vmlinux"))
    assert found.own() == tasks.kcore.virtual(tasks.pgd[tasks.own])
    for number, root in tasks.pgd.items():
        assert found.of(number) == tasks.kcore.virtual(root)
    for number in (2, 78, 250_001, 1 << 40):
        with pytest.raises(ProcessLookupError):
            found.of(number)


def test_a_thread_whose_process_has_no_main_thread_any_more(tasks: FakeTasks, tmp_path: Path) -> None:
    """The main thread has no memory; the others are found by their own numbers, where BTF leads to them."""
    fake, thread = tasks.kcore, 78
    memory = Kcore(fake.path)
    found = ByBtf(memory, btf(tmp_path / "vmlinux"))
    leader = found._task(77) - fake.base
    task, number = fake.frame(), fake.frame()
    fake.put_word(task + MM, fake.virtual(tasks.mms[77]))
    fake.put_word(leader + MM, 0)
    fake.put(number, struct.pack("<II", 0, 1))
    fake.put_word(
        number + 16, fake.virtual(task + LINKS)
    )  # it leads no thread group: tasks[PIDTYPE_PID] alone
    namespace = found._word(found._number(fake.virtual(tasks.pids[77])) + 8)
    fake.put(number + 64, struct.pack("<IIQ", thread, 0, namespace))
    tasks.hang(thread - 1, fake.virtual(number))
    with pytest.raises(ProcessLookupError):
        found.of(77)
    assert found.of(thread) == fake.virtual(tasks.pgd[77])
    calibrated = ByCalibration(memory, is_own(tasks), tmp_path / "proc")
    assert (found.threads, calibrated.threads) == (True, False)
    with pytest.raises(ProcessLookupError):
        calibrated.of(thread)


def test_by_calibration(tasks: FakeTasks, tmp_path: Path) -> None:
    found = ByCalibration(Kcore(tasks.kcore.path), is_own(tasks), tmp_path / "proc")
    assert found.own() == tasks.kcore.virtual(tasks.pgd[tasks.own])
    for number, root in tasks.pgd.items():
        assert found.of(number) == tasks.kcore.virtual(root)
    with pytest.raises(ProcessLookupError):
        found.of(2)


def test_calibration_serves_other_threads(tasks: FakeTasks, tmp_path: Path) -> None:
    """A thread is in no list of tasks: what its task_struct has there is left over from when it was begun."""
    found = ByCalibration(Kcore(tasks.kcore.path), is_own(tasks), tmp_path / "proc")
    task = bytearray(tasks.kcore.task)
    struct.pack_into("<QQ", task, TASKS, 0xFFFF_8888_0000_0000, 0xFFFF_8888_0000_0000)
    tasks.kcore.task = bytes(task)
    tasks.kcore.write_headers()
    assert found.own() == tasks.kcore.virtual(tasks.pgd[tasks.own])
    assert found.of(77) == tasks.kcore.virtual(tasks.pgd[77])
    assert found.of(tasks.own) == tasks.kcore.virtual(tasks.pgd[tasks.own])


def test_a_thread_of_the_kernel_has_no_tables(tasks: FakeTasks, tmp_path: Path) -> None:
    memory, fake = Kcore(tasks.kcore.path), tasks.kcore
    found = ByBtf(memory, btf(tmp_path / "vmlinux"))
    task = found._task(77)
    fake.put_word(task - fake.base + MM, 0)
    with pytest.raises(ProcessLookupError):
        found.of(77)


def test_calibration_never_guesses(tasks: FakeTasks, tmp_path: Path) -> None:
    """No table that proves right, or no list that holds the processes there are: an error."""
    memory = Kcore(tasks.kcore.path)
    with pytest.raises(BadMemory, match="own page tables"):
        ByCalibration(memory, lambda _: False, tmp_path / "proc")
    for n in range(1000, 1010):
        (tmp_path / "proc" / str(n)).mkdir()
    with pytest.raises(BadMemory, match="list of all tasks"):
        ByCalibration(memory, is_own(tasks), tmp_path / "proc")


@pytest.mark.parametrize("length", [1, 5000])
def test_calibration_leaves_a_circle_that_it_is_not_in(tasks: FakeTasks, tmp_path: Path, length: int) -> None:
    """A list that leads from the own task into a circle of others has no end, and they are no processes: each of those
    has a number of its own."""

    class Counting(Kcore):
        reads = 0

        def read(self, address: int, size: int) -> bytes:
            self.reads += 1
            return super().read(address, size)

    fake = tasks.kcore
    first = fake.frame()
    fake.put(first, struct.pack("<QQ", fake.virtual(first), fake.virtual(tasks.own_at + 32)))
    below = fake.frame()
    for _ in range(length * 256 // 4096):
        fake.frame()
    nodes = [fake.virtual(below + 256 * n) for n in range(length)]
    for node, after in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        fake.put_word(node - fake.base, after)
    fake.put_word(first, nodes[0])
    fake.put_word(tasks.own_at + 32, fake.virtual(first))
    task = bytearray(fake.task)
    struct.pack_into("<Q", task, 32, fake.virtual(first))
    fake.task = bytes(task)
    fake.write_headers()
    memory = Counting(fake.path)
    found = ByCalibration(memory, is_own(tasks), tmp_path / "proc")
    assert found.of(77) == fake.virtual(tasks.pgd[77])
    assert memory.reads < 1000


def test_memory_that_is_freed_meanwhile(tasks: FakeTasks, tmp_path: Path) -> None:
    """Pointers lead anywhere, in circles or nowhere: an error, and an end."""
    fake = tasks.kcore
    found = ByBtf(Kcore(fake.path), btf(tmp_path / "vmlinux"))
    top = tasks.node + 16
    for at, data in (
        (tasks.node, bytes([0xFF])),
        (top, struct.pack("<Q", fake.virtual(tasks.node) | 2)),
        (top, struct.pack("<Q", 0xFFFF_F000_0000_0002)),
        (top, struct.pack("<Q", 5)),
    ):
        before = struct.pack("<Q", fake.word(at))
        fake.put(at, data)
        with pytest.raises(OSError):  # noqa: PT011 (which one depends on what is found there)
            found.of(77)
        fake.put(at, before)
    assert found.of(77) == fake.virtual(tasks.pgd[77])


def test_btf_without_what_is_needed(tasks: FakeTasks, tmp_path: Path) -> None:
    memory, path = Kcore(tasks.kcore.path), tmp_path / "vmlinux"
    t = Types()
    t.add("task_struct", 4, 8)
    path.write_bytes(t.data())
    with pytest.raises(NotSupported, match=r"no task_struct\.mm"):
        ByBtf(memory, path)
    path.write_bytes(b"nothing")
    with pytest.raises(NotSupported, match="no BTF"):
        ByBtf(memory, path)
