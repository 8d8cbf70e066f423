"""What a recording says of the monitor that made it: its metadata, and the event of what it has cost so far."""

from __future__ import annotations

import resource
import time
from typing import Protocol

from udamon.availability.tlb import Tlb
from udamon.engine.base import Engine
from udamon.model import Event, grain


class Monitored(Protocol):
    """An engine and the words for what it does (udamon.assembly.build.Built)."""

    @property
    def engine(self) -> Engine: ...

    @property
    def ops(self) -> str: ...

    @property
    def via(self) -> str: ...

    @property
    def sees(self) -> str: ...

    @property
    def policy(self) -> str | None: ...

    @property
    def marked_by_others(self) -> str: ...


def metadata_of(monitored: Monitored, tlb: Tlb | None = None) -> dict[str, object]:
    """What is known of a monitor before it starts. `tlb`: what is hidden by one, where that was measured."""
    return {
        "ops": monitored.ops,
        "via": monitored.via,
        "sees": monitored.sees,
        "policy": monitored.policy,
        "grain": grain(monitored.via),
        "marked_by_others": monitored.marked_by_others,
        "attrs": monitored.engine.attrs.as_dict(),
        "tlb": tlb and tlb.state,
        "tlb_missed_below_bytes": tlb and tlb.missed_below,
    }


def cost_of(engine: Engine, snapshots: int) -> Event:
    """The totals so far (model.Event, `cost`), of this process and of the kernel's monitor."""
    cost: dict[str, object] = {
        "cpu_ns": time.process_time_ns(),
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "checks": engine.checks,
        "snapshots": snapshots,
        "skipped": engine.skipped,
    }
    where_known = {
        "kdamond_cpu_ns": engine.kdamond_cpu_ns,
        "target_cost_ns": engine.target_cost_ns,
        "longest_pause_ns": engine.longest_pause_ns,
    }
    cost |= {name: value for name, value in where_known.items() if value is not None}
    return Event(time.monotonic_ns(), "cost", cost)
