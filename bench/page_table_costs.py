"""What looking at all of a process and clearing its accessed bits take, by page tables and otherwise, in one guest.

python -m bench.page_table_costs [--kernel 7.2] [--write]
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median

from bench.acting.single import Single, main
from bench.figures import Figure
from bench.kdamond_checks import REGIONS, check_ns
from scripts.guest.machine import Machine
from udamon.linux import lru_gen
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.procfs import ProcessId
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import PAGE_MAPPED
from udamon.ops.address_spaces import AddressSpace
from udamon.ops.clearing_way import Clear
from udamon.ops.kernel_tables import BACKENDS, SWITCH, Opened, open_tables
from udamon.ops.pte import Pte
from udamon.ops.tlb import HotSet, hot_set, way
from udamon.units import GIB, MIB

GUEST = Machine(smp=1, mem=3072)
SIZE, HOT = GIB, 512 * MIB
ROUNDS = 5
BITMAP = "/sys/kernel/mm/page_idle/bitmap"
Costs = dict[str, list[float]]


def inside(place: Path) -> None:
    """Leaves costs.json: milliseconds of CPU of each round by what was done."""
    opened: dict[str, Opened] = {}
    for backend in BACKENDS:
        os.environ[SWITCH] = backend
        opened[backend] = open_tables(allowed=True)
    del os.environ[SWITCH]
    with hot_set(SIZE) as child:
        child.access(SIZE)
        child.rest()
        time.sleep(1)
        costs: Costs = {}
        for number in range(ROUNDS):
            _round(child, opened, costs)
            print(number, {name: round(values[-1], 2) for name, values in costs.items()}, flush=True)
        _kernel(child, costs)
    (place / "costs.json").write_text(json.dumps(costs))


def _round(child: HotSet, opened: dict[str, Opened], costs: Costs) -> None:
    process = ProcessId(child.target.pid or 0, child.target.start_time or 0)
    here = Range(child.address, child.address + SIZE)

    def measure(name: str, what: Callable[[], object]) -> None:
        begin = time.thread_time_ns()
        what()
        costs.setdefault(name, []).append((time.thread_time_ns() - begin) / 1e6)

    def touched() -> None:
        """Half of it since the last clear."""
        child.access(HOT)
        child.rest()
        time.sleep(0.5)

    def tables(backend: str) -> Callable[[], object]:
        space = AddressSpace(opened[backend], process)
        return lambda: [None for _ in opened[backend].tables.look(space.root, here.start, here.end)]

    ways: tuple[Clear, ...] = ("refs", "cold")
    for clear in ways:
        touched()
        census = Pte(opened["bpf"], tlb=way(), clear=clear)
        census.begin([child.target])
        measure(f"clear {clear}", partial(census.prepare, child.target))
    touched()
    measure("clear refs alone", lambda: clear_referenced(process))
    touched()
    for backend in BACKENDS:
        measure(f"tables {backend}", tables(backend))
    census = Pte(opened["bpf"], tlb=way())
    census.begin([child.target])
    census.look(child.target)
    measure("look", lambda: census.look(child.target))
    touched()
    group = next(one for one in lru_gen.read() if one.path == "/")  # of the process
    measure("aging", lambda: lru_gen.age(group))
    touched()
    measure("smaps", Path(f"/proc/{process.pid}/smaps").read_bytes)
    _round_by_files(opened["bpf"], process, here, measure, touched)


def _round_by_files(
    opened: Opened,
    process: ProcessId,
    here: Range,
    measure: Callable[[str, Callable[[], object]], None],
    touched: Callable[[], None],
) -> None:
    """The page map, and the bitmap of idle pages."""
    with open(f"/proc/{process.pid}/pagemap", "rb", buffering=0) as page_map:

        def in_bulk() -> None:
            for at in range(here.start, here.end, 64 * MIB):
                page_map.seek(at // PAGE_SIZE * 8)
                page_map.read(64 * MIB // PAGE_SIZE * 8)

        measure("page map", in_bulk)
    words = _words(opened, AddressSpace(opened, process), here)
    with open(BITMAP, "r+b", buffering=0) as bitmap:

        def mark() -> None:
            for first, number in words:
                bitmap.seek(8 * first)
                bitmap.write(b"\xff" * 8 * number)

        def read() -> None:
            for first, number in words:
                bitmap.seek(8 * first)
                bitmap.read(8 * number)

        measure("clear idle", mark)
        touched()
        measure("idle", read)


def _words(opened: Opened, space: AddressSpace, here: Range) -> list[tuple[int, int]]:
    """(first, number) of the runs of words of the idle bitmap that have a bit of these pages."""
    entries, found = array("Q", bytes(8 * (GIB // PAGE_SIZE))), set[int]()
    for looked in opened.tables.look(space.root, here.start, here.end, entries):
        for i, state in enumerate(looked.states):
            if state & PAGE_MAPPED:
                found.add(opened.tables.head(state, entries[i]) // 64)
    runs = []
    for _, run in groupby(enumerate(sorted(found)), lambda pair: pair[1] - pair[0]):
        listed = [word for _, word in run]
        runs += [(word, min(512, listed[-1] + 1 - word)) for word in range(listed[0], listed[-1] + 1, 512)]
    return runs


def _kernel(child: HotSet, costs: Costs) -> None:
    """In-kernel DAMON: what one check of each page would take, by what its checks took."""

    def hot() -> Callable[[], object]:
        child.access(HOT)
        return child.rest

    costs["kdamond"] = [check_ns(child, SIZE, hot) * (SIZE // PAGE_SIZE) / 1e6]


LOOKS = {
    "tables bpf": "page tables, through BPF",
    "tables kcore": "page tables, through /proc/kcore",
    "look": "`--via pte` in all: mappings, tables through BPF, ranges",
    "aging": "forced aging by lru_gen, of the control group of the process: look and clear in one",
    "page map": "/proc/PID/pagemap in bulk: no accessed bits, for comparison",
    "smaps": "/proc/PID/smaps: a sum for each mapping",
    "idle": "idle bitmap, words of all its frames",
    "kdamond": "in-kernel DAMON, one check (clear and look) of each page",
}
CLEARS = {
    "clear refs alone": "clear_refs 1",
    "clear refs": "`--clear refs`: with the forecast of its pause, without displacing the TLB",
    "clear cold": "`--clear cold`: MADV_COLD by pieces, flushing the TLB",
    "clear idle": "idle bitmap, words of all its frames",
}


def figure(left: Path, where: str) -> Figure:
    costs: Costs = json.loads((left / "costs.json").read_text())
    base = median(costs["tables bpf"])
    rows = []
    for kind, names in (("look", LOOKS), ("clear", CLEARS)):
        for name, words in names.items():
            found = median(costs[name])
            rows.append([kind, words, f"{found:.1f}", f"{found / base:.1f}"])
    note = (
        "A process of 1 GiB of small pages at rest, half of them touched since the last clear; medians of "
        f"{ROUNDS} rounds. {where} An emulated millisecond is 125 000 instructions, whatever they are: caches and TLBs "
        "of a real processor are not in it, so ratios here compare lengths of code paths, not times. In-kernel DAMON "
        f"had {REGIONS} regions; what a check took is counted for each page."
    )
    return Figure("Looking at 1 GiB and clearing it", ("", "how", "CPU, ms", "times BPF"), rows, note)


if __name__ == "__main__":
    single = Single("bench.page_table_costs", "page_table_costs", __doc__, GUEST, inside, figure)
    sys.exit(main(single, sys.argv[1:]))
