"""Where the page tables of a process begin (mm_struct.pgd), without symbols: the own task_struct leads there.

Two ways. By BTF, the kernel's own description of its structures: own task → struct pid → the namespace's IDR → any
number's struct pid → task → mm → pgd. By calibration, where there is none: values that are known are looked for in the
own task_struct, and what was found is proved by the own page map; other tasks are found in the list of all.
Everything that is followed may be freed meanwhile: what comes out is believed only where the page map agrees with it.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from udamon.errors import NotSupported
from udamon.linux.kernel_memory import BadMemory, KernelMemory
from udamon.linux.roots import SYS
from udamon.native._native import TABLE_BYTES, btf_members

Proves = Callable[[int], bool]
"""Whether a kernel address is that of the own topmost table."""

_LARGEST_BTF = 64 << 20
_MOST_TASKS = 1 << 20
_MOST_MM = 1024
_TRIES = 3
_PID, _TGID = 0, 1  # enum pid_type
_WANTED = (
    ("task_struct", "mm"), ("task_struct", "thread_pid"), ("task_struct", "pid_links"), ("mm_struct", "pgd"),
    ("pid", "level"), ("pid", "numbers"), ("pid", "tasks"), ("upid", "nr"), ("upid", "ns"), ("upid", ""),
    ("pid_namespace", "idr"), ("idr", "idr_rt"), ("idr", "idr_base"), ("xarray", "xa_head"), ("xa_node", "shift"),
    ("xa_node", "slots"),
)  # fmt: skip


class TableRoots(Protocol):
    """A way to find roots; `name` is for people."""

    name: str
    threads: bool
    """Whether it finds threads that lead no process, too."""

    def own(self) -> int:
        """The kernel address of the own topmost table. Raises OSError."""

    def of(self, number: int) -> int:
        """That of a process by its number here, or of one of its threads. Raises ProcessLookupError, and other
        OSErrors."""


class _FromTask(ABC):
    """From a task to its tables: by the offsets of mm in task_struct, and of pgd in mm_struct."""

    _memory: KernelMemory
    _mm: int
    _pgd: int

    @abstractmethod
    def _task(self, number: int) -> int:
        """The kernel address of a task by its number here. Raises ProcessLookupError, and other OSErrors."""

    def own(self) -> int:
        return self._root(int.from_bytes(self._memory.own_task()[self._mm : self._mm + 8], "little"))

    def of(self, number: int) -> int:
        for tried in range(_TRIES):
            try:
                return self._root(self._word(self._task(number) + self._mm))
            except BadMemory:
                if tried + 1 == _TRIES:
                    raise
        raise AssertionError

    def _root(self, mm: int) -> int:
        if not mm:
            raise ProcessLookupError  # it ends, or is a thread of the kernel
        return self._word(mm + self._pgd)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._memory.read(address, 8), "little")


class ByBtf(_FromTask):
    """Raises OSError or NotSupported when made."""

    name = "BTF"
    threads = True

    def __init__(self, memory: KernelMemory, path: Path = SYS / "kernel/btf/vmlinux") -> None:
        self._memory = memory
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BTF)
        try:
            offsets = btf_members(data, _WANTED)
        except ValueError:
            raise NotSupported(f"{path} is no BTF; use another --via.") from None
        self._at = dict(zip(_WANTED, offsets, strict=True))
        missing = [".".join(name).rstrip(".") for name, offset in self._at.items() if offset < 0]
        if missing:
            raise NotSupported(f"this kernel has no {', '.join(missing)}; use another --via.")
        self._mm, self._pgd = self._at["task_struct", "mm"], self._at["mm_struct", "pgd"]

    def _task(self, number: int) -> int:
        """The task that leads the thread group of that number in the own pid namespace, else the one that has it."""
        at, word = self._at, self._word
        task = self._memory.own_task()
        own = int.from_bytes(task[at["task_struct", "thread_pid"] :][:8], "little")
        namespace = word(self._number(own) + at["upid", "ns"])
        idr = namespace + at["pid_namespace", "idr"]
        index = number - (word(idr + at["idr", "idr_base"]) & 0xFFFF_FFFF)
        entry = word(idr + at["idr", "idr_rt"] + at["xarray", "xa_head"])
        for _ in range(16):  # an inner node is marked by its low bits
            if entry & 3 != 2:
                break
            node = entry - 2
            shift = word(node + at["xa_node", "shift"]) & 0xFF
            if shift > 60:
                raise BadMemory("a node of the IDR was freed meanwhile")
            if index < 0 or index >> shift > 63:
                raise ProcessLookupError
            entry = word(node + at["xa_node", "slots"] + 8 * (index >> shift))
            index &= (1 << shift) - 1
        if not entry or entry & 3 or index:
            raise ProcessLookupError
        if word(self._number(entry) + at["upid", "nr"]) & 0xFFFF_FFFF != number:
            raise BadMemory("a struct pid was freed meanwhile")
        # tasks[] are list heads, pid_links[] the nodes of two words in them.
        for kind in (_TGID, _PID):
            if node := word(entry + at["pid", "tasks"] + 8 * kind):
                return node - at["task_struct", "pid_links"] - 16 * kind
        raise ProcessLookupError

    def _number(self, pid: int) -> int:
        """The struct upid of a struct pid in its innermost namespace."""
        level = self._word(pid + self._at["pid", "level"]) & 0xFFFF_FFFF
        if level > 32:
            raise BadMemory("a struct pid makes no sense")
        return pid + self._at["pid", "numbers"] + level * self._at["upid", ""]


class ByCalibration(_FromTask):
    """Raises OSError when made, BadMemory where nothing fits."""

    name = "calibration"
    threads = False

    def __init__(self, memory: KernelMemory, proves: Proves, proc: Path) -> None:
        self._memory = memory
        task = memory.own_task()
        self._mm, self._pgd = self._tables(task, proves)
        alive = {int(name) for name in os.listdir(proc) if name.isdigit()}
        self._list, self._ids, self._leader = self._tasks(task, alive)

    def _tables(self, task: bytes, proves: Proves) -> tuple[int, int]:
        """Offsets of mm (which active_mm follows, and is the same of a process that runs) and of pgd."""
        words = memoryview(task[: len(task) // 8 * 8]).cast("Q")
        for at in range(len(words) - 1):
            if words[at] != words[at + 1] or not self._in_kernel(words[at]):
                continue
            try:
                mm = memoryview(self._memory.read(words[at], _MOST_MM)).cast("Q")
            except BadMemory:
                continue
            for offset, word in enumerate(mm):
                if word % TABLE_BYTES == 0 and self._in_kernel(word) and proves(word):
                    return 8 * at, 8 * offset
        raise BadMemory("the own page tables cannot be found")

    def _tasks(self, task: bytes, alive: set[int]) -> tuple[int, int, int]:
        """Offsets of the list of all tasks and of pid (which tgid follows), of the one whose members are in /proc; and
        where the task is that leads the own threads: it alone is in that list."""
        words = memoryview(task[: len(task) // 8 * 8]).cast("Q")
        me = threading.get_native_id().to_bytes(4, "little") + os.getpid().to_bytes(4, "little")
        ids = [at for at in range(0, len(task) - 7, 4) if task[at : at + 8] == me]
        best = (0, 0, 0, 0)
        for at, first in enumerate(words):
            if not self._in_kernel(first):
                continue
            for id_at in ids:
                try:
                    leader, found = self._members(first, 8 * at, id_at, words[self._mm // 8])
                except BadMemory:
                    continue
                best = max(best, (len(found & alive), 8 * at, id_at, leader))
        if best[0] < len(alive) / 2:
            raise BadMemory("the list of all tasks cannot be found, or this is not the first pid namespace")
        return best[1:]

    def _members(self, first: int, offset: int, id_at: int, mm: int) -> tuple[int, set[int]]:
        """The own task and the numbers of processes in the list, were it this one. Raises BadMemory."""
        back = self._word(first + 8)
        # Were it the own list head, the own task would begin there: its mm and numbers would be there, too.
        own = back
        if self._word(back) != first or not self._in_kernel(own - offset):
            raise BadMemory("no list")
        if self._word(own - offset + self._mm) != mm:
            raise BadMemory("not the own task")
        found: set[int] = set()
        at = first
        while at != back:
            number = self._word(at - offset + id_at) >> 32
            if number in found or len(found) == _MOST_TASKS:
                raise BadMemory("not processes, or a circle without the own task")
            found.add(number)
            at = self._word(at)
        return own - offset, found

    def _task(self, number: int) -> int:
        task = self._leader
        for _ in range(_MOST_TASKS):
            if self._word(task + self._ids) >> 32 == number:
                return task
            task = self._word(task + self._list) - self._list
            if task == self._leader:
                break  # once round
        raise ProcessLookupError

    @staticmethod
    def _in_kernel(address: int) -> bool:
        """The first task of all lies in the kernel's image, the others in the direct map."""
        return address >> 56 == 0xFF and address % 8 == 0

    def _word(self, address: int) -> int:
        if not self._in_kernel(address - address % 8):
            raise BadMemory(f"there is no kernel memory at {address:x}")
        return super()._word(address)
