"""Page tables of processes: accessed bits of single pages, as native/page_tables.c reads them.

A process is named by the root of its tables. Accesses by devices, and those of a guest that it runs, set no bits there.
What hugetlb and the zero page show is not what was accessed: nothing clears it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from udamon.errors import NotSupported
from udamon.linux.kernel_memory import KernelMemory
from udamon.linux.pagemap import ENTRY_FRAME, ENTRY_PRESENT, page_map_entry
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE
from udamon.native._native import (
    BLOCK_SHIFT,
    GIB_SHIFT,
    MACHINE_ARM,
    MACHINE_X86,
    PAGE_ACCESSED,
    PAGE_GIANT,
    PAGE_HUGE,
    PAGE_MAPPED,
    PAGE_NOT_COUNTED,
    PAGE_UNKNOWN,
    RESIDENT,
    TABLE_BYTES,
    TABLE_PAGE_SHIFT,
    TABLE_PART_BYTES,
    TOUCHED,
    page_tables_look,
)

_GIB_PAGES = 1 << GIB_SHIFT - TABLE_PAGE_SHIFT
_X86_ADDRESS: Final = 0x000F_FFFF_FFFF_F000

PAGE_KINDS: Final = bytes(
    0
    if not state & PAGE_MAPPED or state & (PAGE_NOT_COUNTED | PAGE_UNKNOWN)
    else RESIDENT | TOUCHED
    if state & PAGE_ACCESSED
    else RESIDENT
    for state in range(256)
)
"""What the byte of a page means: 0 where nothing is known of it, RESIDENT, or TOUCHED as well."""


class Shape(NamedTuple):
    """`machine` is a MACHINE_… of native; `levels` of tables; `mask` are the bits of a physical address in an entry."""

    machine: int
    levels: int
    mask: int

    @property
    def root_bytes(self) -> int:
        """What the address of a topmost table is a multiple of: on arm64 with five levels it has 16 entries."""
        return TABLE_PART_BYTES if (self.machine, self.levels) == (MACHINE_ARM, 5) else TABLE_BYTES

    @property
    def user_bytes(self) -> int:
        """Where a process's own addresses end: on x86 half of those that the tables have are the kernel's."""
        bits = self.levels * (TABLE_PAGE_SHIFT - 3) + TABLE_PAGE_SHIFT
        return 1 << (bits - 1 if self.machine == MACHINE_X86 else min(bits, 52))


_ARM_SHAPES: Final = {
    48: Shape(MACHINE_ARM, 4, 0x0000_FFFF_FFFF_F000),
    39: Shape(MACHINE_ARM, 3, 0x0000_FFFF_FFFF_F000),
    52: Shape(MACHINE_ARM, 5, 0x0003_FFFF_FFFF_F000),
}
"""By bits of an address."""


class PageBytes(NamedTuple):
    """The pages [first, last), a byte each; the bytes are the caller's until it asks for the next."""

    first: int
    last: int
    states: memoryview


class PageTables:
    """Tables of any process through one way to read kernel memory."""

    def __init__(self, memory: KernelMemory, shape: Shape) -> None:
        self.memory = memory
        self.shape = shape
        self.read = self.changed = self.unknown = 0
        """Tables that were read, changes that were met, pages that stayed unknown."""
        self._states = bytearray(_GIB_PAGES)

    def look(self, root: int, start: int, end: int, entries: array[int] | None = None) -> Iterator[PageBytes]:
        """All pages in [start, end) where anything is mapped, in address order; `root` is a physical address.

        `entries` takes the leaf entries of the pages answered for. Raises OSError.
        """
        memory, shape = self.memory, self.shape
        while start < end:
            found = page_tables_look(
                fd=memory.fd, bpf=memory.name == "bpf", window=memory.window, segments=memory.segments,
                machine=shape.machine, levels=shape.levels, mask=shape.mask, root=root, start=start, end=end,
                states=self._states, entries=entries,
            )  # fmt: skip
            self.read += found.reads
            self.changed += found.changed
            self.unknown += found.unknown
            first, last = found.first, found.last
            if first < last:
                yield PageBytes(first, last, memoryview(self._states)[: (last - first) // PAGE_SIZE])
            start = last

    def page(self, root: int, address: int) -> tuple[int, int]:
        """(its byte, its frame number) of one page; (0, 0) where nothing is mapped. Raises OSError."""
        entries = array("Q", [0])
        for looked in self.look(root, address, address + PAGE_SIZE, entries):
            state, entry = looked.states[0], entries[0]
            if not state & PAGE_MAPPED:
                break
            return state, self.head(state, entry) + address % (1 << _shift(state)) // PAGE_SIZE
        return 0, 0

    def head(self, state: int, entry: int) -> int:
        """The frame number where a mapped page begins, a huge one's first, by its byte and its entry."""
        if self.shape.machine == MACHINE_X86 and not entry & 1:
            entry = ~entry  # PROT_NONE
        shift = _shift(state)
        return (entry & self.shape.mask) >> shift << shift - TABLE_PAGE_SHIFT

    def agrees(self, root: int, page_map: int, addresses: Sequence[int]) -> bool:
        """Whether tables and the page map have the same frames at these addresses, at one of them at least.

        Raises OSError, PermissionError where the page map hides frames.
        """
        if root % self.shape.root_bytes:
            return False
        seen = 0
        for address in addresses:
            entry = page_map_entry(page_map, address)
            if not entry & ENTRY_PRESENT:
                continue
            if not entry & ENTRY_FRAME:
                raise PermissionError(1, "page frame numbers are kept from you: run udamon as root")
            state, frame = self.page(root, address)
            if not state & PAGE_MAPPED or state & PAGE_UNKNOWN or frame != entry & ENTRY_FRAME:
                return False
            seen += 1
        return seen > 0


def _shift(state: int) -> int:
    """Of the page that a byte speaks of: log2 of its bytes."""
    return GIB_SHIFT if state & PAGE_GIANT else BLOCK_SHIFT if state & PAGE_HUGE else TABLE_PAGE_SHIFT


def shapes_of(memory: KernelMemory, machine: str, page_size: int, root: Path = PROC) -> Sequence[Shape]:
    """How tables may look here; which of them it is, the own page map tells. Raises NotSupported for a machine whose
    tables are not known."""
    if machine not in {"x86_64", "aarch64"}:
        raise NotSupported(f"page tables of {machine} are not known; use another --via.")
    if page_size != TABLE_BYTES:
        raise NotSupported(
            f"page tables with pages of {page_size >> 10} KiB are not known; use another --via."
        )
    facts = memory.facts()
    if machine == "aarch64":
        # What the processor was told; a kernel built for 52 bits has 48 where the processor knows no more.
        if (unused := facts.get("NUMBER(TCR_EL1_T1SZ)")) is not None:
            bits = 64 - _number(unused)
        elif "NUMBER(VA_BITS)" in facts:
            bits = _number(facts["NUMBER(VA_BITS)"])
        else:
            return list(_ARM_SHAPES.values())
        if bits not in _ARM_SHAPES:
            raise NotSupported(f"page tables for {bits} bits of address are not known; use another --via.")
        return [_ARM_SHAPES[bits]]
    five = facts.get("NUMBER(pgtable_l5_enabled)")
    deep = _number(five) != 0 if five is not None else _has_la57(root)
    # Memory encryption marks an address by a bit that is none of it.
    return [Shape(MACHINE_X86, 5 if deep else 4, _X86_ADDRESS & ~_number(facts.get("NUMBER(sme_mask)", "0")))]


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise NotSupported(
            f"the kernel says {text[:32]!r} where a number should be; use another --via."
        ) from None


def _has_la57(root: Path) -> bool:
    try:
        with open(root / "cpuinfo", encoding="ascii", errors="replace") as file:
            return next((" la57" in line for line in file if line.startswith("flags")), False)
    except OSError:
        return False
