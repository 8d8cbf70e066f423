"""A process with memory of every kind, which touches what it is told: the truth of the tests of `idle`."""

from __future__ import annotations

import contextlib
import mmap
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import udamon
from tests.guest.pages import entries
from tests.guest.program import Program
from udamon.model import Range

MIB = 1 << 20
PAGE = mmap.PAGESIZE

# Commands, one a line: `map NAME BYTES KIND`, `touch NAME…` (again and again until the next line), `every MS NAME…`
# (the same with pauses), `once NAME`, `advise NAME N`, `unmap NAME`, `exec`, `fork`, `rest`. Each is answered when done
# (touch and every: when all was touched once) with one line. Memory.sweeps tells how many rounds of `touch` reached
# every page: what a test expects to be seen depends on it, for a guest may stand still. Kinds: small and huge
# (anonymous, without and with transparent huge pages), file (shared, of a file on the disk), hugetlb, and fresh
# (mapped, not yet touched).
PROGRAM = r"""
import mmap, os, select, sys, time
from array import array
sys.path.append(sys.argv[1])
from udamon.native._native import touch, address_of

areas = {}
descriptor = os.open("/run/udamon-test-sweeps-%d" % os.getpid(), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(descriptor, 8)
sweeps = memoryview(mmap.mmap(descriptor, 8)).cast("Q")

def say(*words):
    print(*words, flush=True)

def map_area(name, size, kind):
    if kind == "file":
        path = "/run/udamon-test-file"
        with open(path, "a+b") as file:
            file.truncate(size)
            area = mmap.mmap(file.fileno(), size)
    else:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | (0x40000 if kind == "hugetlb" else 0)
        area = mmap.mmap(-1, size, flags=flags)
        if kind in ("small", "huge", "fresh"):
            area.madvise(mmap.MADV_HUGEPAGE if kind == "huge" else mmap.MADV_NOHUGEPAGE)
    areas[name] = area
    if kind != "fresh":
        write_once([name])
    say(address_of(area))

def write_once(names):
    for name in names:
        areas[name][::mmap.PAGESIZE] = b"\1" * (len(areas[name]) // mmap.PAGESIZE)

def access(names):
    for name in names:
        area = areas[name]
        pattern = ((0, len(area), 0, mmap.PAGESIZE, 1.0, False, 2),)
        done, cursor = 0, array("Q", [0])
        while done < len(area) // mmap.PAGESIZE:
            done += touch(area, pattern, cursor, time.monotonic_ns() + 3_000_000, 0.0, 1)[0]

while True:
    words = sys.stdin.readline().split()
    if not words:
        break
    command, names = words[0], words[1:]
    if command == "map":
        map_area(names[0], int(names[1]), names[2])
    elif command == "once":
        write_once(names)
        say("done")
    elif command == "touch":
        first = True
        while first or not select.select([0], [], [], 0)[0]:
            access(names)
            sweeps[0] += 1
            if first:
                say("touching")
                first = False
    elif command == "every":
        os.setpriority(os.PRIO_PROCESS, 0, -15)
        pause = int(names.pop(0)) / 1000
        write_once(names)
        say("touching")
        while not select.select([0], [], [], pause)[0]:
            write_once(names)
    elif command == "advise":
        areas[names[0]].madvise(int(names[1]))
        say("done")
    elif command == "unmap":
        areas.pop(names[0]).close()
        say("done")
    elif command == "exec":
        say("done")
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"])
    elif command == "fork":
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        say(pid)
    elif command == "rest":
        say("resting")
"""


class Memory(Program):
    """The running program."""

    def touch_every(self, milliseconds: int, *names: str) -> None:
        """Touch all of these areas, pause, and again, until the next command: for who looks more seldom than that.

        Touching without pauses takes all that the processor gives, and each second of that is emulated. With them, too,
        a round lies between any two looks where there is one processor, however late that wakes: the rounds and looks
        that are due then are made one after the other, rounds first, for this process goes before others.
        """
        self.tell("every", milliseconds, *names)

    def sweeps(self) -> int:
        """How many rounds of `touch` reached all pages so far."""
        return int(struct.unpack("Q", Path(f"/run/udamon-test-sweeps-{self.pid}").read_bytes())[0])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def memory() -> Iterator[Memory]:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM, str(Path(udamon.__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Memory(process)
        finally:
            process.kill()


def frames(pid: int, area: Range) -> list[int]:
    """The frame of each page of `area`, 0 where there is none."""
    return [entry & ((1 << 55) - 1) if entry >> 63 else 0 for entry in entries(pid, area)]
