"""A program whose memory is acted on: its areas have a content that can be checked afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.guest.program import Program, run_program
from tests.waiting import until
from udamon.linux.procfs import memory_directory, read_stat
from udamon.model import PAGE_SIZE, Range
from udamon.targets.processes import process_of

MIB = 1 << 20

# Commands, one a line: `map NAME BYTES KIND [PATH]` (answers the address), `check NAME` (answers the sum of the
# first bytes of all pages), `lock NAME`, `advise NAME N`, `unmap NAME FIRST LAST` (pages; what is left of the area is
# not to be checked any more), `drop NAME FIRST LAST` (the same, but they stay mapped), `fork`, `exec`, `end-main`.
# Kinds: anon (2 MiB aligned), small (without huge pages),
# fill (small, and of no known content), private, shared and text (executable) of the
# file PATH, which is made.
PROGRAM = r"""
import ctypes, mmap, os, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.mlock.argtypes = libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PAGE, HUGE, areas = 4096, 2 << 20, {}

def map_area(size, kind, path=""):
    if kind in ("anon", "small", "fill"):
        base = libc.mmap(None, size + HUGE, 3, 0x22, -1, 0)
        area = (ctypes.c_char * size).from_address(-(-base // HUGE) * HUGE)
        if kind != "anon":
            libc.madvise(ctypes.addressof(area), size, 15)  # MADV_NOHUGEPAGE
        if kind == "fill":
            libc.memset(ctypes.addressof(area), 1, size)
        else:
            for page in range(0, size, PAGE):
                area[page] = page // PAGE % 251
        return area
    with open(path, "w+b") as file:
        for page in range(size // PAGE):
            file.write(bytes([page % 251]) * PAGE)
        file.flush()
        os.fsync(file.fileno())
        flags = {"private": 2, "shared": 1, "text": 2}[kind]
        prot = 5 if kind == "text" else 1 if kind == "private" else 3
        return (ctypes.c_char * size).from_address(libc.mmap(None, size, prot, flags, file.fileno(), 0))

def serve():
    while line := sys.stdin.readline():
        command, *words = line.split()
        answer = "done"
        if command == "map":
            area = areas[words[0]] = map_area(int(words[1]), *words[2:])
            answer = ctypes.addressof(area)
        elif command == "check":
            area = areas[words[0]]
            answer = sum(area[page][0] for page in range(0, len(area), PAGE))
        elif command == "lock":
            area = areas[words[0]]
            answer = libc.mlock(ctypes.addressof(area), len(area))
        elif command == "advise":
            area = areas[words[0]]
            answer = libc.madvise(ctypes.addressof(area), len(area), int(words[1]))
        elif command == "unmap":
            first, last = map(int, words[1:])
            answer = libc.munmap(ctypes.addressof(areas[words[0]]) + first * PAGE, (last - first) * PAGE)
        elif command == "drop":
            first, last = map(int, words[1:])
            answer = libc.madvise(ctypes.addressof(areas[words[0]]) + first * PAGE, (last - first) * PAGE, 4)
        elif command == "end-main":
            threading.Thread(target=serve).start()
            print("done", flush=True)
            ctypes.CDLL(None).pthread_exit(None)
        elif command == "exec":
            print("done", flush=True)
            os.execv(sys.executable, [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"])
        elif command == "fork":
            answer = os.fork()
            if not answer:
                time.sleep(600)
                os._exit(0)
        print(answer, flush=True)

serve()
"""


class Worker(Program):
    """The running program."""

    def area(self, name: str, size: int, kind: str, path: Path | None = None) -> Range:
        """A new area, all of it resident."""
        start = int(self.tell("map", name, size, kind, path or ""))
        assert kind == "fill" or int(self.tell("check", name)) == content(size)
        return Range(start, start + size)

    def intact(self, name: str, area: Range) -> bool:
        """All bytes are what they were. Reads every page."""
        return int(self.tell("check", name)) == content(area.size)

    def end_main_thread(self) -> None:
        """Another goes on to do what is told."""
        self.tell("end-main")
        until(lambda: read_stat(self.pid).main_ended)

    def entries(self, area: Range) -> list[int]:
        """The page-map entry of each page, also without a main thread."""
        with open(f"{memory_directory(process_of(self.target()))}/pagemap", "rb", buffering=0) as file:
            file.seek(area.start // PAGE_SIZE * 8)
            return list(memoryview(file.read(area.size // PAGE_SIZE * 8)).cast("Q"))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def content(size: int) -> int:
    return sum(page % 251 for page in range(size // PAGE_SIZE))


@contextlib.contextmanager
def working(*, main_ends: bool = False) -> Iterator[Worker]:
    """`main_ends`: the main thread ends, and another does what is told."""
    with run_program(PROGRAM, main_ends=main_ends) as process:
        yield Worker(process)
