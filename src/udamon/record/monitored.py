"""What a recording says of the monitor that made it: its metadata, and the event of what it has cost so far."""

from __future__ import annotations

import resource
import time

from udamon.assembly.build import Built
from udamon.engine.base import Engine
from udamon.model import Event, grain


def metadata_of(built: Built) -> dict[str, object]:
    """What is known of a monitor before it starts."""
    return {
        "ops": built.ops,
        "via": built.via,
        "sees": built.sees,
        "policy": built.policy,
        "grain": grain(built.via),
        "marked_by_others": built.marked_by_others,
        "attrs": built.engine.attrs.as_dict(),
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
