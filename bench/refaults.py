"""How much of a warm set is reclaimed under memory pressure because its accessed bits are cleared.

python -m bench.refaults [--kernel 7.2] [--write]

In a guest with compressed swap, a program in a group with a limit has a hot set, warm sets whose pages are each touched
once in 1, 3, 10 and 30 s, and writes new memory all the time that it never touches again: that is what should go out.
Accessed bits are cleared every LOOK_S by clear_refs or by MADV_COLD, or the group is aged by lru_gen, or nothing is
done. Each is measured with both kinds of LRU lists. Refaults are counted by set, as major faults of the thread that
touches it.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.acting.inside import swap_on
from bench.acting.single import Single, main
from bench.figures import Figure, Sample
from bench.memory_group import MemoryGroup
from scripts.guest.machine import Machine
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.maps import parse_line, read_lines
from udamon.linux.process_madvise import COLD, advise, open_process
from udamon.linux.procfs import ProcessId, read_stat
from udamon.model import PAGE_SIZE, Range
from udamon.units import MIB

GUEST = Machine(smp=1, mem=1024)
ENABLED, AGING = Path("/sys/kernel/mm/lru_gen/enabled"), Path("/sys/kernel/debug/lru_gen")
LIMIT = 128 * MIB
SETS = {"hot": (32 * MIB, 0.1), "1 s": (12 * MIB, 1.0), "3 s": (12 * MIB, 3.0), "10 s": (12 * MIB, 10.0),
        "30 s": (12 * MIB, 30.0)}  # fmt: skip
"""Bytes, and in how many seconds each page is touched once."""
WARM = [name for name in SETS if name != "hot"]
NEW, NEW_A_SECOND = 512 * MIB, 3 * MIB
TICK_S, SETTLE_S, WORK_S, LOOK_S = 0.1, 20.0, 45.0, 5.0
PIECE = 32 * MIB
ROUNDS = 2
LISTS = {"generations": "7", "two lists": "0"}


def worker() -> None:
    """Touch for SETTLE_S and WORK_S; prints what came back in the latter, a JSON line."""
    areas = {name: _mapped(size) for name, (size, _) in SETS.items()}
    for area in areas.values():
        for at in range(0, len(area), PAGE_SIZE):
            area[at] = 1
    fresh, written = _mapped(NEW), 0
    begin, back, touched = time.monotonic(), dict.fromkeys(SETS, 0), dict.fromkeys(SETS, 0)
    ticks = int((SETTLE_S + WORK_S) / TICK_S)
    for tick in range(ticks):
        for name, (size, period) in SETS.items():
            part = int(size // PAGE_SIZE * min(1.0, TICK_S / period)) * PAGE_SIZE
            at = tick * part % size
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
            read = areas[name][at : at + part : PAGE_SIZE]
            if tick * TICK_S >= SETTLE_S:
                back[name] += resource.getrusage(resource.RUSAGE_THREAD).ru_majflt - before
                touched[name] += len(read)
        until = int(min(NEW, tick * TICK_S * NEW_A_SECOND)) // PAGE_SIZE * PAGE_SIZE
        for at in range(written, until, PAGE_SIZE):
            fresh[at : at + 8] = at.to_bytes(8, "little")
        written = until
        time.sleep(max(0.0, begin + (tick + 1) * TICK_S - time.monotonic()))
    print(json.dumps({"back": back, "touched": touched, "seconds": time.monotonic() - begin}), flush=True)


def _mapped(size: int) -> mmap.mmap:
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    return area


def by_refs(process: ProcessId, group: MemoryGroup) -> None:
    clear_referenced(process)


def by_cold(process: ProcessId, group: MemoryGroup) -> None:
    """In pieces, as `--clear cold` does."""
    mappings = [parse_line(line) for line in read_lines(process)]
    fd = open_process(process)
    try:
        for m in mappings:
            if m.inode == 0 and not m.name.startswith("[v"):
                for start in range(m.start, m.end, PIECE):
                    advise(fd, [Range(start, min(start + PIECE, m.end))], COLD)
    finally:
        os.close(fd)


def by_aging(process: ProcessId, group: MemoryGroup) -> None:
    """One generation more of the group, all of its pages looked at."""
    lines = iter(AGING.read_text().splitlines())
    head = next(line.split() for line in lines if line.endswith(f" /{group.memory.name}"))
    next(lines)  # the node
    newest = 0
    for line in lines:
        if not line.split()[0].isdecimal():
            break
        newest = int(line.split()[0])
    AGING.write_text(f"+ {head[1]} 0 {newest} 1 1")


LOOKS: dict[str, Callable[[ProcessId, MemoryGroup], None] | None] = {
    "no monitor": None, "clear_refs": by_refs, "MADV_COLD": by_cold, "aging": by_aging,
}  # fmt: skip


def inside(place: Path) -> None:
    """Leaves found.json: what came back, of each round by lists and who looked."""
    swap_on()
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory +cpu")
    found: dict[str, list[dict[str, dict[str, int]]]] = {}
    for number in range(ROUNDS):
        for lists, value in LISTS.items():
            ENABLED.write_text(value)
            for who, look in LOOKS.items():
                if who == "aging" and value == "0":
                    continue
                done = _run(f"refaults-{number}", look)
                found.setdefault(f"{lists}, {who}", []).append(done)
                print(number, lists, who, done, flush=True)
    (place / "found.json").write_text(json.dumps(found))


def _run(name: str, look: Callable[[ProcessId, MemoryGroup], None] | None) -> dict[str, dict[str, int]]:
    with MemoryGroup(name, LIMIT) as group:
        words = group.words([sys.executable, "-m", "bench.refaults", "worker"])
        with subprocess.Popen(words, stdout=subprocess.PIPE) as program:
            process = read_stat(program.pid).id
            next_look = time.monotonic() + LOOK_S
            while program.poll() is None:
                time.sleep(0.1)
                if look is not None and time.monotonic() >= next_look and program.poll() is None:
                    next_look += LOOK_S
                    look(process, group)
            assert program.stdout is not None
            done: dict[str, dict[str, int]] = json.loads(program.stdout.read())
            return done


def figure(left: Path, where: str) -> Figure:
    found: dict[str, list[dict[str, dict[str, int]]]] = json.loads((left / "found.json").read_text())
    rows = []
    for name, rounds in found.items():
        cells = [Sample([done["back"][one] * PAGE_SIZE / MIB for done in rounds]).text() for one in SETS]
        shares = [
            sum(done["back"][one] for one in WARM) / sum(done["touched"][one] for one in WARM)
            for done in rounds
        ]
        rows.append([name, *cells, f"{median(shares):.1%}"])
    warm = sum(size for size, _ in SETS.values()) // MIB
    note = (
        f"MiB of each set that came back from swap in {WORK_S:.0f} s after {SETTLE_S:.0f} s, medians of {ROUNDS} "
        "(least and most), and their share of all touches of warm pages. A group with a limit of "
        f"{LIMIT // MIB} MiB: {warm} MiB of hot and warm sets, and {NEW_A_SECOND // MIB} MiB a second of new memory "
        f"that is never touched again; bits are cleared every {LOOK_S:.0f} s. {where}"
    )
    head = ("lists of the kernel, monitor", "hot", *(f"once in {one}" for one in WARM), "share")
    return Figure("Refaults while accessed bits are cleared", head, rows, note)


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        worker()
    else:
        single = Single("bench.refaults", "refaults", __doc__, GUEST, inside, figure)
        sys.exit(main(single, sys.argv[1:]))
