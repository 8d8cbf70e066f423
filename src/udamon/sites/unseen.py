"""Why nothing was seen of a process's allocations: by its program, its environment and what it has loaded."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from udamon.errors import OutOfFiles
from udamon.linux.procfs import read_bytes
from udamon.units import format_size

_LOOKS = 5
"""In how many polls a process is examined after it was found, or has executed a program."""

_FARTHEST, _LARGEST_TABLE = 1 << 62, 1 << 24
"""The largest offset in a file that is asked for, and bytes that are read of a table of symbols."""

_PT_INTERP, _PT_NOTE, _PT_DYNAMIC = 3, 4, 2


class Program(NamedTuple):
    """What an ELF file says of how it is loaded. `interpreter` is None in one that is linked statically."""

    bits: int
    interpreter: str | None
    go: bool


class Unseen:
    """Follows the processes that are watched; `library` is the path of the preload library."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._comm: dict[int, str] = {}
        self._why: dict[int, str | None] = {}
        self._left: dict[int, int] = {}

    def found(self, pid: int, comm: str) -> None:
        """A process is watched from now on, or executes another program."""
        self._comm[pid] = comm
        self._left[pid] = _LOOKS

    def look(self) -> None:
        """Look at those that were found lately, while they live."""
        for pid, left in list(self._left.items()):
            if left == 0:
                del self._left[pid]
                continue
            self._left[pid] = left - 1
            try:
                self._why[pid] = why(pid, self._library)
            except (OSError, ValueError, struct.error, OutOfFiles):
                pass  # it has ended, or is not ours to read

    def reasons(self, seen: Collection[int], mean: int) -> Iterator[tuple[int, str, str]]:
        """(pid, comm, why) of those that have sent nothing, or execute a program now that cannot."""
        little = (
            f"it allocated too little by malloc, new and mmap to be sampled ({format_size(mean)} apart), "
            "or has an allocator of its own"
        )
        for pid, comm in self._comm.items():
            reason = self._why.get(pid, None if pid in seen else "it had ended before it could be looked at")
            if reason is not None or pid not in seen:
                yield pid, comm, little if reason is None else reason


def why(pid: int, library: str) -> str | None:
    """Why a process is not sampled; None where it is. Raises OSError, ValueError, struct.error."""
    path = f"/proc/{pid}/exe"
    mode = os.stat(path).st_mode
    if mode & (stat.S_ISUID | stat.S_ISGID):
        return "it is a set-uid or set-gid program, for which the loader preloads nothing"
    program = program_of(path)
    if program.go:
        return "it is a Go program, which allocates by itself"
    if program.interpreter is None:
        return "it is linked statically, so nothing can be preloaded"
    if program.bits != 64:
        return "it is a 32-bit program, and the library is for 64 bits"
    if "musl" in program.interpreter:
        return "its C library is musl, and the library needs glibc"
    loaded = os.fsencode(library) in read_bytes(f"/proc/{pid}/maps")
    if not loaded:
        environment = read_bytes(f"/proc/{pid}/environ").split(b"\0")
        if not any(word.startswith(b"LD_PRELOAD=") and os.fsencode(library) in word for word in environment):
            return "it was executed with an environment without LD_PRELOAD"
        return "the loader did not preload the library: it has privileges (file capabilities), or cannot reach it"
    if _defines_malloc(path):
        return "its own allocator is linked into the program"
    return None


def program_of(path: str) -> Program:
    """Raises OSError, ValueError or struct.error for what is no ELF file of this byte order."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no file")
        head = os.pread(fd, 64, 0)
        if head[:4] != b"\x7fELF":
            raise ValueError("it is no ELF file")
        if head[4] != 2:
            return Program(32, "", False)
        interpreter, go = None, False
        for kind, offset, size in _segments(fd, head):
            if kind == _PT_INTERP:
                interpreter = os.fsdecode(_read_at(fd, min(size, 4096), offset).rstrip(b"\0"))
            elif kind == _PT_NOTE:
                go = go or b"\x04\0\0\0Go\0\0" in _read_at(fd, min(size, 4096), offset)
        return Program(64, interpreter, go)
    finally:
        os.close(fd)


def _segments(fd: int, head: bytes) -> Iterator[tuple[int, int, int]]:
    (offset,) = struct.unpack_from("=Q", head, 32)
    size, count = struct.unpack_from("=HH", head, 54)
    if size != 56:
        raise ValueError("it is no ELF file")
    table = _read_at(fd, size * count, offset)
    for at in range(0, len(table) - size + 1, size):
        kind, _, where, _, _, length = struct.unpack_from("=IIQQQQ", table, at)
        yield kind, where, length


def _read_at(fd: int, size: int, offset: int) -> bytes:
    """Bytes of a file, fewer where it ends. The kernel does not look at most offsets in a program that it runs, so they
    may be any number of 64 bits."""
    return os.pread(fd, size, offset) if offset <= _FARTHEST else b""


def _defines_malloc(path: str) -> bool:
    """Whether the program has a malloc that others are linked to: it comes before every preloaded one."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        head = os.pread(fd, 64, 0)
        (offset,) = struct.unpack_from("=Q", head, 40)
        size, count = struct.unpack_from("=HH", head, 58)
        if size != 64:
            return False
        table = _read_at(fd, size * count, offset)
        sections = [struct.unpack_from("=IIQQQQIIQQ", table, at) for at in range(0, len(table) - 63, 64)]
        for section in sections:
            if section[1] != 11 or section[6] >= len(sections):  # SHT_DYNSYM
                continue
            symbols = _read_at(fd, min(section[5], _LARGEST_TABLE), section[4])
            names = _read_at(fd, min(sections[section[6]][5], _LARGEST_TABLE), sections[section[6]][4])
            for at in range(0, len(symbols) - 23, 24):
                name, _, _, index, _, _ = struct.unpack_from("=IBBHQQ", symbols, at)
                if index and names[name : name + 7] == b"malloc\0":
                    return True
            return False  # a file has one such section; another one would only take time
        return False
    finally:
        os.close(fd)
