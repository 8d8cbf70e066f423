"""From which size on a hot working set is seen: accesses through the TLB set no accessed bit.

`python -m bench.tlb`. A child touches all pages of its memory again and again.

By refs, as root and as an ordinary user, alone and with two busy processes on the child's processor: the median error
of the working set, by the way that this kernel takes and by the one that a kernel with soft-dirty bits takes (visits),
beside a control that leaves the TLB alone. Where the control is right, too, something else displaced the TLB, and the
line says nothing.

By idle, as root where idle page tracking is there (in a guest: `make guest-shell`): the share of one-tick checks that
found a page accessed. `other CPU`: monitor and target each on its own; `visits`: the same, with the target's processor
visited between preparing and looking (--same-cpu); `same CPU`: both on one, as on a machine that has no more.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from tests.integration.programs import become_nobody
from udamon.availability.primitives import probe
from udamon.availability.tlb import touched
from udamon.core.policy import Slots
from udamon.core.target import Target
from udamon.linux.procfs import read_stat
from udamon.native._native import address_of, populate, touch
from udamon.ops.idle import IdleSampler
from udamon.ops.refs import Refs
from udamon.ops.tlb import Way, hot_set, way
from udamon.units import format_size

SIZES = [1 << shift for shift in range(18, 27)]  # 256 KiB to 64 MiB
REFS_SIZES = [256 << 10, 1 << 20, 4 << 20, 16 << 20]
WINDOWS = 25
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


def refs_errors(size: int, used: Way, cpu: int) -> list[float]:
    """Relative errors of the touched bytes, a window each; only of windows in which the child touched all of it."""
    census = Refs(tlb=used)
    with hot_set(size, cpu) as child:
        seen = [touched(census, child, size) for _ in range(WINDOWS)]
    return [abs(found - size) / size for found in seen if found is not None]


@contextmanager
def busy(cpu: int, count: int) -> Iterator[None]:
    """Processes that take all of a processor that they can get."""
    pids = []
    for _ in range(count):
        if (pid := os.fork()) == 0:
            os.sched_setaffinity(0, {cpu})
            while True:
                pass
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def refs_table(who: str, cpu: int) -> None:
    ways: list[Way] = [way(), "visit", "none"]
    print(
        f"refs as {who}: median error of a working set, {WINDOWS} windows each in which all of it is touched"
    )
    print(f"{'working set':<14}{'beside':<10}" + "".join(f"{name:>16}" for name in ways))
    for size in REFS_SIZES:
        for count in (0, 2):
            with busy(cpu, count):
                found = [refs_errors(size, used, cpu) for used in ways]
            cells = [median(errors) if errors else float("nan") for errors in found]
            print(
                f"{format_size(size):<14}{f'{count} busy':<10}" + "".join(f"{cell:>16.1%}" for cell in cells),
                flush=True,
            )


def refs() -> None:
    """As whoever runs this, and as an ordinary user where that can be tried; away from the child's processor."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus - {max(cpus)} or cpus)
    try:
        refs_as_users(max(cpus))
    finally:
        os.sched_setaffinity(0, cpus)


def refs_as_users(cpu: int) -> None:
    refs_table("root" if os.geteuid() == 0 else "an ordinary user", cpu)
    if os.geteuid() == 0:
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            become_nobody()
            refs_table("an ordinary user", cpu)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)


def main() -> int:
    refs()
    if probe("idle").usable:
        idle()
    return 0


def idle() -> None:
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


if __name__ == "__main__":
    sys.exit(main())
