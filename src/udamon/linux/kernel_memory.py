"""Reading the kernel's memory: what the ways to do it have in common, and the way through /proc/kcore.

Kernel memory is read for one purpose, the page tables of processes that are watched (linux/page_tables.py), and only
with consent (linux/consent.py). /proc/kcore is an ELF core file: its PT_LOAD headers say where the direct map of RAM
lies, and the note NT_TASKSTRUCT is the task_struct of the thread that reads it, so neither symbols nor KASLR matter.
It takes CAP_SYS_RAWIO to open, nothing to read, and lockdown=confidentiality refuses it.
"""

from __future__ import annotations

import os
import struct
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from udamon.linux.roots import PROC
from udamon.model import Range
from udamon.native._native import TABLE_BYTES, WINDOW_BYTES

MOST_PHYSICAL: Final = 1 << 52

_SEGMENTS = 4096
_NOTES = 1 << 20
_LOAD, _NOTE, _CORE_FILE = 1, 4, 4
_TASK = 4  # NT_TASKSTRUCT
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
# The kernel's image is mapped a second time above here; the direct map lies below (x86-64, arm64).
_IMAGE = {62: 0xFFFF_FFFF_8000_0000, 183: 0xFFFF_8000_0000_0000}


class KernelMemory(Protocol):
    """A way to read kernel memory. `fd`, `words_fd`, `window` and `segments` are what native/tables.h wants."""

    name: str
    fd: int
    words_fd: int
    window: bytearray | memoryview
    segments: array[int]

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a kernel address. Raises OSError where there is no such memory."""

    def own_task(self) -> bytes:
        """The task_struct of the calling thread, and maybe what lies behind it. Raises OSError."""

    def physical(self, address: int) -> int | None:
        """The physical address of one in the direct map of RAM; None for any other."""

    def facts(self) -> dict[str, str]:
        """What the kernel says of itself (VMCOREINFO); empty where it says nothing."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


class BadMemory(OSError):
    """What should be kernel memory does not look like it; the message says what is wrong."""


class Kcore:
    """/proc/kcore, or a file like it. Raises OSError when made, BadMemory among them."""

    name = "kcore"

    def __init__(self, path: Path = PROC / "kcore") -> None:
        self.fd = self.words_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.window: bytearray | memoryview = bytearray(WINDOW_BYTES)
        try:
            self._loads, self.segments, self._notes = _headers(self.fd)
        except BaseException:
            os.close(self.fd)
            raise

    def read(self, address: int, size: int) -> bytes:
        for start, end, offset in self._loads:
            if start <= address and address + size <= end:
                data = os.pread(self.fd, size, offset + address - start)
                if len(data) == size:
                    return data
        raise BadMemory(f"there is no kernel memory at {address:x}")

    def physical(self, address: int) -> int | None:
        offset = next((o + address - s for s, e, o in self._loads if s <= address < e), None)
        for at in range(0, len(self.segments), 3):
            physical, size, place = self.segments[at : at + 3]
            if offset is not None and place <= offset < place + size:
                return physical + offset - place
        return None

    def own_task(self) -> bytes:
        for kind, name, data in self._each_note():
            if kind == _TASK and name == b"CORE":
                return data
        raise BadMemory("kcore has no note about the task that reads it")

    def facts(self) -> dict[str, str]:
        for _, name, data in self._each_note():
            if name == b"VMCOREINFO":
                lines = data.decode("ascii", "replace").splitlines()
                return dict(line.split("=", 1) for line in lines if "=" in line)
        return {}

    def _each_note(self) -> list[tuple[int, bytes, bytes]]:
        """(kind, name, data) of each, as they are now: the task is that of the thread that reads them."""
        data = os.pread(self.fd, self._notes.size, self._notes.start)
        found, at = [], 0
        while at + 12 <= len(data):
            name_size, size, kind = struct.unpack_from("<III", data, at)
            name_at = at + 12
            begin = name_at + (name_size + 3 & ~3)
            if begin + size > len(data):
                break
            found.append(
                (kind, data[name_at : name_at + name_size].rstrip(b"\0"), data[begin : begin + size])
            )
            at = begin + (size + 3 & ~3)
        return found

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = self.words_fd = -1


def _headers(fd: int) -> tuple[list[tuple[int, int, int]], array[int], Range]:
    """Loads as (start, end, offset), segments of the direct map, and where the notes are. Raises OSError."""
    head = os.pread(fd, _HEADER.size, 0)
    if len(head) < _HEADER.size:
        raise BadMemory("kcore is empty")
    ident, kind, machine, _, _, at, _, _, _, entry_size, number, *_ = _HEADER.unpack(head)
    if ident[:6] != b"\x7fELF\x02\x01" or kind != _CORE_FILE or machine not in _IMAGE:
        raise BadMemory("kcore is no core file of a 64-bit x86 or Arm machine")
    if entry_size != _PROGRAM.size or not 0 < number <= _SEGMENTS or at > MOST_PHYSICAL:
        raise BadMemory("kcore has headers of another form")
    table = os.pread(fd, entry_size * number, at)
    if len(table) < entry_size * number:
        raise BadMemory("kcore ends in its headers")
    loads: list[tuple[int, int, int]] = []
    direct: list[tuple[int, int, int]] = []
    notes = None
    for program, _, offset, virtual, physical, in_file, size, _ in _PROGRAM.iter_unpack(table):
        if program == _NOTE and notes is None and 0 < in_file <= _NOTES and offset < 1 << 62:
            notes = Range(offset, offset + in_file)
        if program != _LOAD or size == 0:
            continue
        if virtual + size > 1 << 64 or offset + size >= 1 << 63:
            raise BadMemory("kcore has memory beyond all addresses")
        loads.append((virtual, virtual + size, offset))
        if virtual < _IMAGE[machine] and physical + size <= MOST_PHYSICAL:
            if (virtual | physical) % TABLE_BYTES:
                raise BadMemory("kcore has RAM that does not begin at a page")
            direct.append((physical, size, offset))
    if notes is None:
        raise BadMemory("kcore has no notes")
    return loads, checked_segments(direct), notes


def checked_segments(found: list[tuple[int, int, int]]) -> array[int]:
    """(physical address, size, place) in ascending order, flat. Raises BadMemory where they overlap or are none."""
    found.sort()
    for (before, size, _), (after, _, _) in pairwise(found):
        if before + size > after:
            raise BadMemory("kernel memory has the same RAM twice")
    if not found:
        raise BadMemory("kernel memory has no map of RAM")
    return array("Q", [number for segment in found for number in segment])
