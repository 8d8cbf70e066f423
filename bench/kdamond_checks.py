"""What in-kernel DAMON's thread takes for a check of a page of a process. Only in a guest: it sets DAMON up."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.guest.damon import KDAMONDS, engine
from tests.unit.fakes import Collector
from udamon.core.attrs import Attrs
from udamon.linux.procfs import ProcessId, cpu_ns, read_stat
from udamon.model import Range
from udamon.ops.tlb import HotSet

KERNEL_S, REGIONS = 10.0, 1000


def check_ns(child: HotSet, size: int, use: Callable[[], Callable[[], object]]) -> float:
    """CPU time of a check of the first `size` bytes, ns, with REGIONS regions over KERNEL_S seconds. `use` brings the
    memory into the state to be measured in, and returns what ends it."""
    here = Range(child.address, child.address + size)
    attrs = Attrs(20_000, 400_000, 1_000_000, REGIONS, REGIONS)
    made = engine([child.target.pid or 0], attrs, "tracepoint", ops="fvaddr", ranges=[here])
    seen = Collector()
    made.bus.subscribe(seen)
    made.open()
    made.start()
    leave = use()
    try:
        time.sleep(2)
        pid = int((KDAMONDS / "0/pid").read_text())
        kdamond = ProcessId(pid, read_stat(pid).start_time)
        before, spent = len(seen.snapshots), cpu_ns(kdamond)
        time.sleep(KERNEL_S)
        spent, after = cpu_ns(kdamond) - spent, len(seen.snapshots)
    finally:
        leave()
        made.stop()
        made.join(60)
    return spent / sum(len(s.starts) * s.ticks for s in seen.snapshots[before:after])
