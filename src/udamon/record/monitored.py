"""What a recording says of the monitor that made it: its metadata, and the event of what it has cost so far."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Protocol

from udamon.availability.others import BY_RECLAIM, OtherMonitors
from udamon.availability.tlb import Tlb
from udamon.engine.base import Engine
from udamon.errors import CannotError
from udamon.linux import cpu_time
from udamon.linux.cgroup.page_cache import page_cache, place_of
from udamon.linux.roots import PROC
from udamon.linux.vmstat import scanned_pages
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
    def why(self) -> str: ...

    @property
    def sees(self) -> str: ...

    @property
    def policy(self) -> str | None: ...

    @property
    def others(self) -> OtherMonitors: ...


def metadata_of(monitored: Monitored, tlb: Tlb | None = None) -> dict[str, object]:
    """The metadata of a monitor before it starts. `tlb`: which accesses a TLB hides, if that was measured."""
    return {
        "ops": monitored.ops,
        "via": monitored.via,
        "why": monitored.why,
        "sees": monitored.sees,
        "policy": monitored.policy,
        "grain": grain(monitored.via),
        "marked_by_others": monitored.others.marking,
        "taken_by_others": list(monitored.others.taking),
        "attrs": monitored.engine.attrs.as_dict(),
        "tlb": tlb and tlb.state,
        "tlb_missed_below_bytes": tlb and tlb.missed_below,
    }


class PageCacheOf:
    """The page cache of a control group as events, from time to time; none where nothing tells of it."""

    EVERY_S = 5.0

    def __init__(self, cgroup: str) -> None:
        self._next = 0.0
        try:
            self._place = place_of(cgroup)
        except CannotError:
            self._next = float("inf")  # the group has no memory controller, which the report says

    def event(self) -> Event | None:
        """What there is now (model.Event, `page_cache`); None where it is too early, or the group is gone."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + self.EVERY_S
        directory, inside = self._place
        try:
            found = page_cache(directory, inside=inside)
        except (OSError, ValueError):
            return None
        data = {"file_bytes": found.file, "mapped_bytes": found.mapped, "hot_bytes": found.hot,
                "only_read_bytes": found.only_read, "kernel_bytes": found.kernel, "source": found.source}  # fmt: skip
        return Event(time.monotonic_ns(), "page_cache", data)


class ReclaimProbe:
    """How many pages reclaim has looked at since this was made: it clears accessed bits of those."""

    def __init__(self, via: str, root: Path = PROC) -> None:
        self._root = root
        self._begin = scanned_pages(root) if via in BY_RECLAIM else None

    @property
    def pages(self) -> int | None:
        """None where nobody counts, and where it makes no difference."""
        now = None if self._begin is None else scanned_pages(self._root)
        return None if now is None or self._begin is None else max(0, now - self._begin)


def cost_of(engine: Engine, snapshots: int, reclaim: ReclaimProbe) -> Event:
    """The totals so far (model.Event, `cost`), of this process and of the kernel's monitor."""
    cost: dict[str, object] = {
        "cpu_ns": cpu_time.process_ns(),
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "checks": engine.checks,
        "snapshots": snapshots,
        "skipped": engine.skipped,
    }
    where_known = {
        "kdamond_cpu_ns": engine.kdamond_cpu_ns,
        "target_cost_ns": engine.target_cost_ns,
        "longest_pause_ns": engine.longest_pause_ns,
        "reclaim_pages": reclaim.pages,
    }
    cost |= {name: value for name, value in where_known.items() if value is not None}
    return Event(time.monotonic_ns(), "cost", cost)
