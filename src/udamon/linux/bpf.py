"""Reading kernel memory by BPF programs: 512 tables or 1024 words in one call, without /proc/kcore.

Raw tracepoint programs that are attached to nothing, run by BPF_PROG_TEST_RUN (Linux 5.10): for each address in an
array that is mapped here one copies 4 KiB, the other 8 bytes, by bpf_probe_read_kernel, which fails on what is no
memory. The programs are put together here. They take CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) to load;
lockdown=confidentiality refuses them.

BPF does not tell where the direct map of RAM begins. It is found by trying the few possible addresses (`bases`), since
it begins at a multiple of 1 GiB.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from udamon.linux.kernel_memory import BadMemory, checked_segments
from udamon.linux.syscall import system_call
from udamon.model import Range
from udamon.native._native import (
    TABLE_BYTES,
    TABLE_ENTRIES,
    WINDOW_BYTES,
    WINDOW_OWN_AT,
    WINDOW_STATUS_AT,
    WINDOW_TABLES_AT,
    WINDOW_WORDS,
    WINDOW_WORDS_AT,
)

_NUMBER = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_ARRAY, _MAPPABLE = 2, 1 << 10
_RAW_TRACEPOINT = 17
_TASK_BYTES = 4 * TABLE_BYTES
_GIB = 1 << 30

# Instructions: code, then who is written and who is read; an offset of a jump or in memory; a number.
_MOVE, _MOVE_NUMBER, _ADD, _ADD_NUMBER, _SHIFT_LEFT, _MULTIPLY = 0xBF, 0xB7, 0x0F, 0x07, 0x67, 0x27
_LOAD, _STORE, _CALL, _EXIT, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST = 0x79, 0x7B, 0x85, 0x95, 0x05, 0x15, 0x35
_CURRENT_TASK, _PROBE_READ_KERNEL = 35, 113  # helpers


def _instruction(code: int, to: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, number)


def program(map_fd: int) -> bytes:
    """The program that reads tables, for an array of one value, the window of native/tables.h."""
    begin = [
        _instruction(_CALL, number=_CURRENT_TASK),
        _instruction(_STORE, 6, 0, WINDOW_OWN_AT),
    ]
    body = [
        (_LOAD, 3, 9, 0, 0),  # from where
        (_JUMP_EQUAL, 3, 0, 0, 0),
        (_MOVE, 8, 7, 0, 0),
        (_MULTIPLY, 8, 0, 0, TABLE_BYTES),
        (_MOVE, 1, 6, 0, 0),
        (_ADD, 1, 8, 0, 0),
        (_ADD_NUMBER, 1, 0, 0, WINDOW_TABLES_AT),  # to where
        (_MOVE_NUMBER, 2, 0, 0, TABLE_BYTES),
        (_CALL, 0, 0, 0, _PROBE_READ_KERNEL),
        (_STORE, 9, 0, WINDOW_STATUS_AT, 0),
    ]
    return _over_places(map_fd, TABLE_ENTRIES, begin, body)


def words_program(map_fd: int) -> bytes:
    """The program that reads words, for the same array: each word replaces its address, and 0 one that cannot be
    read."""
    body = [
        (_ADD_NUMBER, 9, 0, 0, WINDOW_WORDS_AT),
        (_LOAD, 3, 9, 0, 0),  # from where
        (_JUMP_EQUAL, 3, 0, 0, 0),
        (_MOVE, 1, 9, 0, 0),  # to where
        (_MOVE_NUMBER, 2, 0, 0, 8),
        (_CALL, 0, 0, 0, _PROBE_READ_KERNEL),
    ]
    return _over_places(map_fd, WINDOW_WORDS, [], body)


def _over_places(
    map_fd: int, most: int, begin: Sequence[bytes], each: Sequence[tuple[int, int, int, int, int]]
) -> bytes:
    """A loop over at most `most` indexes: r6 is the window, r7 the index, and r9 the window plus 8 times the index. It
    ends where `each` has read a 0 into r3."""
    value = 2  # BPF_PSEUDO_MAP_VALUE: the address of what the array of that descriptor holds
    body = [
        (_JUMP_AT_LEAST, 7, 0, 0, most),
        (_MOVE, 8, 7, 0, 0),
        (_SHIFT_LEFT, 8, 0, 0, 3),
        (_MOVE, 9, 6, 0, 0),
        (_ADD, 9, 8, 0, 0),
        *each,
        (_ADD_NUMBER, 7, 0, 0, 1),
        (_JUMP, 0, 0, 0, 0),
    ]
    loop = []
    for at, (code, to, source, offset, number) in enumerate(body):
        if code in (_JUMP_AT_LEAST, _JUMP_EQUAL):
            offset = len(body) - at - 1  # out of the loop
        elif code == _JUMP:
            offset = -at - 1  # to its beginning
        loop.append(_instruction(code, to, source, offset, number))
    return b"".join(
        [
            _instruction(0x18, 6, value, 0, map_fd) + _instruction(0),
            *begin,
            _instruction(_MOVE_NUMBER, 7, number=0),
            *loop,
            _instruction(_MOVE_NUMBER, 0),
            _instruction(_EXIT),
        ]
    )


def direct_map_bases(ram: Sequence[Range], address: int) -> Iterator[int]:
    """Addresses at which the direct map may begin, in ascending order: `address` may lie in any GiB of RAM, and the
    map of all of RAM must fit below the end of the address space."""
    last = max(r.end for r in ram)
    for gib in sorted({at // _GIB for r in ram for at in (*range(r.start, r.end, _GIB), r.end - 1)}):
        base = address - address % _GIB - gib * _GIB
        if base >> 56 == 0xFF and base + last <= 1 << 64:
            yield base


class Bpf:
    """Reads kernel memory by BPF programs. `ram`: the physical addresses that are RAM, as ranges. Making one raises
    OSError where the kernel refuses the programs, BadMemory on other machines than x86-64 and arm64."""

    name = "bpf"

    def __init__(self, ram: Sequence[Range]) -> None:
        self._ram = ram
        self.fd = self.words_fd = -1
        map_fd = -1
        with _much_locked_memory():
            map_fd = _bpf(_MAP_CREATE, struct.pack("<IIIII", _ARRAY, 4, WINDOW_BYTES, 1, _MAPPABLE))
            try:
                self._mapped = mmap.mmap(map_fd, WINDOW_BYTES)
                self.fd = _load(program(map_fd))
                self.words_fd = _load(words_program(map_fd))
            except OSError:
                if self.fd >= 0:
                    os.close(self.fd)
                raise
            finally:
                os.close(map_fd)  # the mapping and the programs keep it
        self.window: bytearray | memoryview = memoryview(self._mapped)
        self.base: int | None = None
        self.segments: array[int] = array("Q")

    def bases(self, address: int) -> Iterator[int]:
        """Addresses at which the direct map may begin, if `address` lies in it: one for each GiB of RAM."""
        return direct_map_bases(self._ram, address)

    def begin_at(self, base: int) -> None:
        """Take `base` for the address at which the direct map begins."""
        self.base = base
        self.segments = checked_segments([(r.start, r.size, r.start + base) for r in self._ram])

    def read(self, address: int, size: int) -> bytes:
        number = -(-size // TABLE_BYTES)
        if number > TABLE_ENTRIES or address >> 56 != 0xFF or address + number * TABLE_BYTES > 1 << 64:
            raise BadMemory(f"there is no kernel memory at {address:x}")
        places = [address + i * TABLE_BYTES for i in range(number)]
        self._run(places)
        status = struct.unpack_from(f"<{number}q", self.window, WINDOW_STATUS_AT)
        if any(status):
            raise BadMemory(f"there is no kernel memory at {address:x}")
        return bytes(self.window[WINDOW_TABLES_AT : WINDOW_TABLES_AT + size])

    def own_task(self) -> bytes:
        self._run([])
        task = int.from_bytes(self.window[WINDOW_OWN_AT : WINDOW_OWN_AT + 8], "little")
        found = b""
        with suppress(BadMemory):  # RAM may end behind it
            for at in range(task, task + _TASK_BYTES, TABLE_BYTES):
                found += self.read(at, TABLE_BYTES)
        return found

    def physical(self, address: int) -> int | None:
        if self.base is None:
            return None
        physical = address - self.base
        return physical if any(r.start <= physical < r.end for r in self._ram) else None

    def facts(self) -> dict[str, str]:
        return {}

    def _run(self, places: Sequence[int]) -> None:
        words = [*places, 0][:TABLE_ENTRIES]  # a 0 ends them where they are not full
        struct.pack_into(f"<{len(words)}Q", self.window, 0, *words)
        _bpf(_PROG_TEST_RUN, struct.pack("<I", self.fd))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self.words_fd)
            self.fd = self.words_fd = -1
            if isinstance(self.window, memoryview):
                self.window.release()
            self._mapped.close()


def _load(code: bytes) -> int:
    source = ctypes.create_string_buffer(code, len(code))
    license = ctypes.create_string_buffer(b"GPL")  # what the helpers ask of a program
    attributes = struct.pack(
        "<IIQQIIQII16s", _RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(source), ctypes.addressof(license),
        0, 0, 0, 0, 0, b"udamon",
    )  # fmt: skip
    return _bpf(_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    number = _NUMBER.get(os.uname().machine)
    if number is None:
        raise BadMemory("BPF can be used on x86-64 and arm64 only")
    buffer = ctypes.create_string_buffer(attributes, 128)
    return system_call(number, command, ctypes.addressof(buffer), 128)


@contextmanager
def _much_locked_memory() -> Iterator[None]:
    """Before Linux 5.11 maps and programs count as locked memory of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
