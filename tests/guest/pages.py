"""A process that reads and writes the pages it is told to, and nothing else of its areas."""

from __future__ import annotations

import contextlib
import mmap
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from tests.guest.program import Program, run_program
from udamon.model import Range
from udamon.record.reader import Recording

MIB = 1 << 20
PAGE = mmap.PAGESIZE

# Commands, one a line, each answered with one line when done:
#   map NAME BYTES KIND       small, huge (anonymous), file (shared), private (of a file), scattered (a file's
#                             pages in another order, each a mapping), memfd, or the path of what is mapped shared,
#                             brk (heap; from then on the process gets no huge pages)
#   write|read NAME A B STEP  one byte of each page from page A up to B, by STEP
#   where NAME                its address
#   advise NAME N             madvise
#   grow NAME BYTES           sbrk
#   fork                      the child rests
#   loop NAME A B [MS]        write these pages again and again until the next line, with pauses of MS
PROGRAM = r"""
import ctypes, mmap, os, select, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
libc.sbrk.argtypes = [ctypes.c_long]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
PAGE, GAP, areas = mmap.PAGESIZE, 1 << 18, {}

def map_area(size, kind):
    if kind == "brk":
        # Away from what malloc keeps before and behind it, and without huge pages, which would reach there.
        libc.prctl(41, 1, 0, 0, 0)
        libc.sbrk(GAP - libc.sbrk(0) % PAGE)
        area = (ctypes.c_char * size).from_address(libc.sbrk(size))
        libc.sbrk(GAP)
        return area
    if kind == "memfd" or kind.startswith("/"):
        fd = os.memfd_create("udamon") if kind == "memfd" else os.open(kind, os.O_RDWR)
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    if kind == "scattered":
        base = libc.mmap(None, size, 0, 0x4022, -1, 0)
        with open("/run/udamon-pages", "w+b") as file:
            file.truncate(size)
            for page in range(size // PAGE):
                there = (page * 37 + 11) % (size // PAGE)
                libc.mmap(base + page * PAGE, PAGE, 3, 0x11, file.fileno(), there * PAGE)
        return (ctypes.c_char * size).from_address(base)
    if kind in ("file", "private"):
        with open("/run/udamon-pages", "w+b") as file:
            file.truncate(size)
            flags = mmap.MAP_SHARED if kind == "file" else mmap.MAP_PRIVATE
            area = mmap.mmap(file.fileno(), size, flags=flags)
    else:
        # Between inaccessible pages, or the kernel would join it with its neighbours.
        base = libc.mmap(None, size + 2 * PAGE, 0, 0x4022, -1, 0)
        libc.mprotect(base + PAGE, size, 3)
        libc.madvise(base + PAGE, size, 14 if kind == "huge" else 15)
        area = (ctypes.c_char * size).from_address(base + PAGE)
    return area

def address(area):
    return ctypes.addressof(ctypes.c_char.from_buffer(area))

while line := sys.stdin.readline():
    command, *words = line.split()
    name = words[0] if words else ""
    numbers = [int(word) for word in words[1:] if word.lstrip("-").isdigit()]
    answer = "done"
    if command == "map":
        areas[name] = map_area(numbers[0], words[2])
        answer = address(areas[name])
    elif command == "write":
        area = areas[name]
        for page in range(*numbers):
            area[page * PAGE] = 1
    elif command == "read":
        area = areas[name]
        for page in range(*numbers):
            area[page * PAGE]
    elif command == "where":
        answer = address(areas[name])
    elif command == "advise":
        libc.madvise(address(areas[name]), len(areas[name]), numbers[0])
    elif command == "grow":
        libc.sbrk(numbers[0])
    elif command == "fork":
        answer = os.fork()
        if not answer:
            time.sleep(600)
            os._exit(0)
    elif command == "loop":
        start, size = address(areas[name]) + numbers[0] * PAGE, (numbers[1] - numbers[0]) * PAGE
        libc.memset(start, 7, size)
        passes, made = os.open(f"/run/udamon-passes-{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_TRUNC), 0
        print(answer, flush=True)
        while not select.select([0], [], [], 0)[0]:
            begin = time.monotonic_ns()
            libc.memset(start, 7, size)
            os.pwrite(passes, struct.pack("=qq", begin, time.monotonic_ns()), 8 + 16 * made)
            made += 1
            os.pwrite(passes, made.to_bytes(8, "little"), 0)
            if len(numbers) > 2:
                time.sleep(numbers[2] / 1000)
        os.close(passes)
        continue
    print(answer, flush=True)
"""


class Pages(Program):
    """The running program."""

    def write(self, name: str, first: int, last: int, step: int = 1) -> None:
        self.tell("write", name, first, last, step)

    def passes(self) -> int:
        """How often `loop` has written all of its pages."""
        with Path(f"/run/udamon-passes-{self.pid}").open("rb") as file:
            return int.from_bytes(file.read(8), "little")

    def pass_times(self) -> list[tuple[int, int]]:
        """When each of these began and ended, CLOCK_MONOTONIC in ns."""
        data = Path(f"/run/udamon-passes-{self.pid}").read_bytes()
        return list(struct.iter_unpack("=qq", data[8 : 8 + 16 * int.from_bytes(data[:8], "little")]))

    def whole_windows(self, recording: Recording) -> set[int]:
        """The snapshots in whose windows `loop` has written all of its pages; on a busy machine it may not in some."""
        passes = self.pass_times()
        return {
            shot.seq
            for shot in recording.snapshots()
            if any(shot.begin_ns <= begin and end <= shot.end_ns for begin, end in passes)
        }

    def wait_for_passes(self, number: int) -> None:
        """Until `loop` has written all of its pages so many times more, the pass that is under way not counted."""
        wanted = self.passes() + 1 + number
        while self.passes() < wanted:
            time.sleep(0.01)

    def read(self, name: str, first: int, last: int, step: int = 1) -> None:
        self.tell("read", name, first, last, step)


@contextlib.contextmanager
def pages(*, main_ends: bool = False) -> Iterator[Pages]:
    """`main_ends`: the main thread ends, and another does what is told."""
    with run_program(PROGRAM, main_ends=main_ends) as process:
        yield Pages(process)


def entries(pid: int, area: Range) -> list[int]:
    """The page-map entry of each page, read in the plainest way."""
    with (Path("/proc") / str(pid) / "pagemap").open("rb", buffering=0) as file:
        file.seek(area.start // PAGE * 8)
        return list(memoryview(file.read(area.size // PAGE * 8)).cast("Q"))
