"""How much memory a monitor takes for a large target by `pte`: `python -m bench.pte_memory [--gib N…]`.

The target is a process that has reserved N GiB of address space and touched none of it; its page tables are made up, in
a file that looks like /proc/kcore, with all pages present and a twentieth accessed, at random. So no kernel memory is
read, and a target may be larger than the machine. Everything else is the command `record --via pte` or `stat --via pte`
as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from bench.figures import Figure, as_text
from bench.machine import describe, load
from tests.unit.fake_kcore import ACCESSED, RAM_AT, USER, VALID, FakeKcore, opened
from udamon.linux.page_tables import PageTables
from udamon.model import HUGE_PAGE_SIZE
from udamon.ops import kernel_tables
from udamon.units import GIB

OVERHEAD = "25%"
"""So that windows of large targets do not take minutes; windows take as long as this share allows."""
ACCESSED_SHARE = 0.05
COMMANDS = {
    "record": ["record", "--via", "pte", "--max-regions", "1000"],
    "stat": ["stat", "--via", "pte"],
}
TARGET = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
print(libc.mmap(None, int(sys.argv[1]), 3, 0x4022, -1, 0), flush=True)  # MAP_PRIVATE|ANONYMOUS|NORESERVE
sys.stdin.read()
"""


@contextlib.contextmanager
def reserving(size: int) -> Iterator[tuple[int, int]]:
    """A process with `size` bytes of untouched memory: its pid and their address."""
    command = [sys.executable, "-S", "-c", TARGET, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def make_tables(path: Path, address: int, size: int) -> int:
    """Tables in which each page of that memory is present; the virtual address of the topmost one."""
    numbers = random.Random(1)
    blocks = range(address // HUGE_PAGE_SIZE * HUGE_PAGE_SIZE, address + size, HUGE_PAGE_SIZE)
    fake = FakeKcore(path, frames=len(blocks) + len(blocks) // 256 + 64)
    root = fake.frame()
    page = RAM_AT | VALID | USER | 2
    kinds = [
        struct.pack("<512Q", *(page | ACCESSED * (numbers.random() < ACCESSED_SHARE) for _ in range(512)))
        for _ in range(64)
    ]
    for block in blocks:
        fake.map_table(root, block, numbers.choice(kinds))
    return fake.virtual(root)


def run(place: Path, command: str, size: int) -> float:
    """Peak resident MiB of the command that watches a target of `size` bytes."""
    with reserving(size) as (target, address):
        root = make_tables(place / "kcore", address, size)
        duration = f"{20 + 2 * size // GIB}s"
        words = [*COMMANDS[command], "-p", str(target), "--duration", duration, "--overhead", OVERHEAD]
        words += ["-o", str(place / "out.udamon")] if command == "record" else []
        module = [sys.executable, "-m", "bench.pte_memory"]
        watching = [*module, "--watch", str(place / "kcore"), str(root), *words]
        pid = os.posix_spawn(sys.executable, watching, os.environ)
        _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"udamon {' '.join(words)} ended with status {os.waitstatus_to_exitcode(status)}")
    (place / "out.udamon").unlink(missing_ok=True)
    return used.ru_maxrss / 1024


def _watch(kcore: Path, root: int, words: list[str]) -> int:
    from udamon.cli.main import main as udamon

    with (
        patch.object(kernel_tables, "open_tables", lambda **_: opened(kcore, root)),
        patch.object(PageTables, "agrees", lambda *_: True),
    ):
        return udamon(words)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--watch"]:
        return _watch(Path(arguments[1]), int(arguments[2]), arguments[3:])
    parser = argparse.ArgumentParser(prog="python -m bench.pte_memory", description=__doc__)
    parser.formatter_class = argparse.RawTextHelpFormatter
    parser.add_argument("--gib", type=int, nargs="+", default=[1, 16, 64], metavar="N")
    sizes = parser.parse_args(arguments).gib
    rows = []
    for gib in sizes:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
            found = [run(Path(place), command, gib * GIB) for command in COMMANDS]
        rows.append([f"{gib} GiB", *(f"{peak:.0f}" for peak in found)])
    head = ["target", *(f"{command}, peak MiB" for command in COMMANDS)]
    print(as_text(Figure("Memory of a monitor by `pte`", head, rows, f"{describe()}; load {load():.1f}")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
