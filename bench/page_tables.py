"""What a look by page tables takes: `python -m bench.page_tables`.

On a made-up kcore file in memory with 1 GiB of small pages, so that no kernel memory is read: one pread for each table,
less what the kernel's own copying of a table takes. Pages are accessed at random (6 %), every third, or in one half.
"""

from __future__ import annotations

import argparse
import random
import struct
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.unit.fake_kcore import ACCESSED, RAM_AT, USER, VALID, FakeKcore, opened
from udamon.linux.page_tables import PageTables
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.native._native import page_runs
from udamon.ops.touched_ranges import TouchedRanges

GIB = 1 << 30
KINDS = bytes(3 if state & 2 else state & 1 for state in range(256))
LOOKS = 15
RANDOM = random.Random(1)
PATTERNS: dict[str, Callable[[int], bool]] = {
    "6 % at random": lambda _: RANDOM.random() < 0.06,
    "every third": lambda page: page % 3 == 0,
    "one half": lambda page: page < GIB // PAGE_SIZE // 2,
}


def made(path: Path, accessed: Callable[[int], bool]) -> tuple[PageTables, int]:
    """The tables, and the root of those of 1 GiB."""
    fake = FakeKcore(path, frames=2048)
    root = fake.frame()
    for block in range(GIB // HUGE_PAGE_SIZE):
        frames = [RAM_AT + RANDOM.randrange(2048) * PAGE_SIZE for _ in range(512)]
        bits = [ACCESSED if accessed(512 * block + i) else 0 for i in range(512)]
        entries = [frame | VALID | USER | 2 | bit for frame, bit in zip(frames, bits, strict=True)]
        fake.map_table(root, block * HUGE_PAGE_SIZE, struct.pack("<512Q", *entries))
    return opened(path, fake.virtual(root)).tables, root


def took(what: Callable[[], object]) -> str:
    found = []
    for _ in range(LOOKS):
        begin = time.thread_time_ns()
        what()
        found.append((time.thread_time_ns() - begin) / 1e6)
    return f"{median(found):6.1f} ms of CPU (least {min(found):.1f})"


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m bench.page_tables", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    pieces = array("Q", [0, GIB])
    for name, accessed in PATTERNS.items():
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
            tables, root = made(Path(place) / "kcore", accessed)
            grain = PAGE_SIZE

            def look(tables: PageTables = tables, root: int = root) -> None:
                for _ in tables.look(root, 0, GIB):
                    pass

            def ranges(tables: PageTables = tables, root: int = root) -> None:
                nonlocal grain
                found = TouchedRanges(1000, grain)
                for looked in tables.look(root, 0, GIB):
                    runs = page_runs(
                        states=looked.states, first=looked.first, kinds=KINDS, pieces=pieces, grain=grain
                    )
                    for part in zip(*runs, strict=True):
                        found.add(*part)
                found.ranges()
                grain = max(PAGE_SIZE, found.grain // 2)

            print(f"{name:14} look {took(look)}")
            print(f"{'':14} with ranges {took(ranges)}", flush=True)
            tables.memory.close()


if __name__ == "__main__":
    main()
