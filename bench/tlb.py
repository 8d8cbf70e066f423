"""From which size on a hot working set is seen: accesses through the TLB set no accessed bit.

Run as root where idle page tracking is there: `python -m bench.tlb` (in a guest: `make guest-shell`). A child
touches all pages of its memory again and again; the table says which share of one-tick checks found a page
accessed. `other CPU`: monitor and target each on its own; `visits`: the same, with the target's processor visited
between preparing and looking (--same-cpu); `same CPU`: both on one, as on a machine that has no more.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from array import array

from udamon.core.policy import Slots
from udamon.core.target import Target
from udamon.linux.procfs import read_stat
from udamon.native._native import address_of, populate, touch
from udamon.ops.idle import IdleSampler
from udamon.units import format_size

SIZES = [1 << shift for shift in range(18, 27)]  # 256 KiB to 64 MiB
TICK_NS, TICKS, CHECKS = 50_000_000, 10, 200


def child(size: int, huge: bool) -> tuple[int, int]:
    """(pid, address) of a process that touches `size` bytes for ever."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
        populate(area, 0, size)
        os.write(writer, address_of(area).to_bytes(8, "little"))
        while True:
            touch(
                area,
                ((0, size, 0, 4096, 1.0, False, 1),),
                array("Q", [0]),
                time.monotonic_ns() + 10**9,
                0.0,
                1,
            )
    return pid, int.from_bytes(os.read(reader, 8), "little")


def seen(size: int, where: str, huge: bool) -> float:
    """The share of checks of hot pages that found them accessed."""
    pid, address = child(size, huge)
    cpus = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(pid, {min(cpus)})
        if where != "visits":
            os.sched_setaffinity(0, {max(cpus) if where == "other CPU" else min(cpus)})
        sampler = IdleSampler(same_cpu=where == "visits")
        slots = Slots()
        slots.add(0, address, address + size, CHECKS)
        target = Target(0, pid, read_stat(pid).start_time)
        sampler.sample([target], slots, time.monotonic_ns(), 1, TICK_NS, seed=1)
        answers = sampler.sample([target], slots, time.monotonic_ns(), TICKS, TICK_NS, seed=2)
        sampler.close()
    finally:
        os.sched_setaffinity(0, cpus)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    checks = answers.checks - answers.no_page[0]
    return answers.hits[0] / checks if checks else float("nan")


def main() -> int:
    columns = ["same CPU"] + (["visits", "other CPU"] if len(os.sched_getaffinity(0)) > 1 else [])
    with_huge = "visits" if "visits" in columns else "same CPU"
    print(
        f"share of checks of hot pages that saw an access, {TICK_NS // 1_000_000} ms between prepare and look"
    )
    names = [*columns, f"{with_huge}, huge"]
    print(f"{'working set':<14}" + "".join(f"{name:>16}" for name in names))
    for size in SIZES:
        cells = [seen(size, where, huge=False) for where in columns]
        cells.append(seen(size, with_huge, huge=True) if size >= 1 << 21 else float("nan"))
        print(f"{format_size(size):<14}" + "".join(f"{cell:>16.0%}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
