"""A made-up /proc/kcore: RAM in a file, a task_struct in a note, page tables that are built in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from udamon.linux.kernel_memory import Kcore
from udamon.linux.page_tables import PageTables, Shape
from udamon.ops.kernel_tables import Opened

PAGE = 4096
BASE = 0xFFFF_8880_0000_0000
RAM_AT = 0x10_0000  # physical
DATA_AT = 0x4000  # in the file
X86, ARM = 62, 183
VALID, USER, ACCESSED, DIRTY, LEAF, SPECIAL = 1, 4, 0x20, 0x40, 0x80, 0x200
TABLE = VALID | USER | 2 | ACCESSED
FRAME = 0x000F_FFFF_FFFF_F000


class FakeKcore:
    """`frames` of RAM; tables and pages are taken from it one after the other."""

    def __init__(self, path: Path, *, frames: int = 4096, machine: int = X86, levels: int = 4) -> None:
        self.path = path
        self.machine = machine
        self.levels = levels
        self.facts = f"NUMBER(pgtable_l5_enabled)={int(levels == 5)}\n"
        self.task = b"\0" * 64
        self._frames = frames
        self._next = 0
        with path.open("wb") as file:
            file.truncate(DATA_AT + frames * PAGE)
        self.write_headers()

    @property
    def base(self) -> int:
        return BASE if self.machine == X86 else 0xFFFF_0000_0000_0000

    def write_headers(self, *, loads: Sequence[tuple[int, int, int, int]] | None = None) -> None:
        """`loads` as (virtual, physical, size, offset)."""
        size = self._frames * PAGE
        loads = loads or [
            (self.base + RAM_AT, RAM_AT, size, DATA_AT),
            (0xFFFF_FFFF_8100_0000, RAM_AT, PAGE, DATA_AT),  # the kernel's image
            (0xFFFF_C900_0000_0000, (1 << 64) - 1, PAGE, DATA_AT),  # vmalloc
        ]
        notes = _note(b"CORE", 4, self.task) + _note(b"VMCOREINFO", 0, self.facts.encode())
        at = 64 + 56 * (1 + len(loads))
        head = struct.pack(
            "<16sHHIQQQIHHHHHH",
            b"\x7fELF\x02\x01\x01", 4, self.machine, 1, 0, 64, 0, 0, 64, 56, 1 + len(loads), 0, 0, 0,
        )  # fmt: skip
        head += struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 0)
        for virtual, physical, length, offset in loads:
            head += struct.pack("<IIQQQQQQ", 1, 7, offset, virtual, physical, length, length, PAGE)
        with self.path.open("r+b") as file:
            file.write(head + notes)

    def frame(self) -> int:
        """The physical address of a page that was not given out before."""
        self._next += 1
        assert self._next <= self._frames
        return RAM_AT + (self._next - 1) * PAGE

    def virtual(self, physical: int) -> int:
        return self.base + physical

    def put(self, physical: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(DATA_AT + physical - RAM_AT)
            file.write(data)

    def word(self, physical: int) -> int:
        with self.path.open("rb") as file:
            file.seek(DATA_AT + physical - RAM_AT)
            return int.from_bytes(file.read(8), "little")

    def put_word(self, physical: int, value: int) -> None:
        self.put(physical, struct.pack("<Q", value))

    def place(self, root: int, address: int, level: int = 0) -> int:
        """Where the entry of `address` is, tables on the way made: level 0 of a page, 1 of 2 MiB, 2 of 1 GiB."""
        table = root
        for depth in range(self.levels - 1, level, -1):
            at = table + (address >> (12 + 9 * depth) & 511) * 8
            entry = self.word(at)
            if not entry & VALID:
                entry = self.frame() | (TABLE if self.machine == X86 else 3)
                self.put_word(at, entry)
            table = entry & FRAME
        return table + (address >> (12 + 9 * level) & 511) * 8

    def map(self, root: int, address: int, entry: int, level: int = 0) -> int:
        """Returns where the entry is."""
        at = self.place(root, address, level)
        self.put_word(at, entry)
        return at

    def map_table(self, root: int, address: int, entries: bytes) -> None:
        """The 512 entries of a new table for the small pages of the 2 MiB at `address`."""
        table = self.frame()
        self.map(root, address, table | TABLE, 1)
        self.put(table, entries)


class FakeRoots:
    """One topmost table for every process. `asked`: the numbers of tasks that it was asked for."""

    name = "made up"
    threads = True

    def __init__(self, root: int) -> None:
        self.root = root
        self.asked: list[int] = []

    def own(self) -> int:
        return self.root

    def of(self, number: int) -> int:
        self.asked.append(number)
        return self.root


def opened(path: Path, root: int) -> Opened:
    """What is opened where a FakeKcore for x86 with four levels is at `path`; `root` is a virtual address."""
    tables = PageTables(Kcore(path), Shape(0, 4, FRAME))
    return Opened(tables, FakeRoots(root), "kcore", "made up", "")


def _note(name: bytes, kind: int, data: bytes) -> bytes:
    head = struct.pack("<III", len(name) + 1, len(data), kind) + name + b"\0"
    return head.ljust(-(-len(head) // 4) * 4, b"\0") + data.ljust(-(-len(data) // 4) * 4, b"\0")
