"""The apply pass: every region is shown to every scheme that is due
(docs/damon.md#apply-pass). Read `ApplyPass.run` first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from udamon.acting.base import Actor, Applied, Tried
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.scheme import Action, SchemeStats
from udamon.core.target import Target
from udamon.engine.acting import ResetAges
from udamon.schemes.installed import Installed
from udamon.schemes.pattern import matches
from udamon.schemes.pieces import Cuts
from udamon.schemes.score import MOST, score
from udamon.schemes.sizes import Sizes
from udamon.schemes.tried import TriedRegionsPass

NOTHING = Applied(0, 0)


class Observer(Protocol):
    """Receives every single event of the kernel's tracepoints (docs/damon.md#tracepoints). Must be quick."""

    def before_apply(self, scheme: int, target: Target, region: Region) -> None:
        """damos_before_apply: just before an action. `target.regions` has the number of regions."""

    def effective_size(self, scheme: int, esz: int) -> None:
        """damos_esz: a scheme's effective size was computed, and is another one than before."""

    def after_apply_interval(self, scheme: int, stats: SchemeStats) -> None:
        """damos_stat_after_apply_interval: a due scheme's pass is over. `stats` go on changing: copy them."""


class ApplyPass:
    """One pass over all regions. `due` schemes only are shown them, in their order."""

    def __init__(
        self,
        due: Sequence[Installed],
        actor: Actor,
        attrs: Attrs,
        cuts: Cuts,
        *,
        min_region: int,
        limit: int,
        now_ns: Callable[[], int],
        observers: Sequence[Observer],
        walk: TriedRegionsPass | None,
        note: Callable[[str], None],
        sizes: Sizes,
    ) -> None:
        """`limit`: the largest size of a region, for cuts that are undone. `note` tells people something. `sizes`
        tells which bytes count, for the quota and for what was tried."""
        self.acted: list[ResetAges] = []
        self._due = due
        self._actor = actor
        self._attrs = attrs
        self._cuts = cuts
        self._min_region = min_region
        self._limit = limit
        self._now_ns = now_ns
        self._observers = observers
        self._walk = walk
        self._note = note
        self._sizes = sizes

    def run(self, targets: Sequence[Target], valid: Callable[[Target], bool]) -> None:
        """Offer all regions of all valid targets to all due schemes."""
        for position, target in enumerate(targets):
            if not valid(target):
                continue
            at = 0
            # Regions may be cut at any visit, and what is cut off comes next: but not for those that had it already.
            shown = [0] * len(self._due)
            regions = target.regions
            while at < len(regions):
                for number, scheme in enumerate(self._due):
                    if regions[at].start >= shown[number]:
                        self._visit(scheme, position, target, at)
                        shown[number] = regions[at].end
                if not self._cuts.fold_back(target, at, self._limit):
                    at += 1

    def _visit(self, scheme: Installed, position: int, target: Target, at: int) -> None:
        """The steps of docs/damon.md#apply-pass for one region and scheme."""
        region = target.regions[at]
        if scheme.quota.is_set:
            if scheme.quota.full:
                return
            if self._already_charged(scheme, target, at):
                return
        if scheme.scheme.max_nr_snapshots and scheme.exhausted:
            return
        if matches(scheme.limits, region) and self._preferred(scheme, region):
            self._try(scheme, position, target, at)
        if at == len(target.regions) - 1:
            scheme.stats.nr_snapshots += 1

    def _already_charged(self, scheme: Installed, target: Target, at: int) -> bool:
        """Does the region lie in what earlier windows came through
        (docs/damon.md#charging)? One that does in part is cut there.

        At the last region of the target the memory ends. The kernel then skips that region, too, so that with
        windows of one region's size the last one never gets its turn; here it is skipped only as far as it was
        charged.
        """
        quota = scheme.quota
        if quota.resume is None:
            return False
        resumed, address = quota.resume
        if resumed is not target:
            return True
        region = target.regions[at]
        if region.end <= address:
            if at == len(target.regions) - 1:
                quota.resume = None
            return True
        if region.start < address:
            size = address - region.start
            size -= size % self._min_region
            if size == 0 and region.end - region.start <= self._min_region:
                return True
            self._cuts.cut(target, at, size or self._min_region)
            return True
        quota.resume = None
        return False

    def _preferred(self, scheme: Installed, region: Region) -> bool:
        quota = scheme.quota
        if not quota.is_set:
            return True
        return score(scheme.scheme.action, region, quota.quota.weights, self._attrs) >= quota.min_score

    def _try(self, scheme: Installed, position: int, target: Target, at: int) -> None:
        """Step 4: cut to the quota, ask the filters, act, and count."""
        region, quota = target.regions[at], scheme.quota
        if target.index in scheme.refused:
            return
        size = self._fit(scheme, target, at)
        if not size:
            return  # nothing of it is there
        verdict = scheme.filters.decide(position, region.start, region.end)
        if verdict.end < region.end:
            self._cuts.cut(target, at, verdict.end - region.start)
            size = self._size(scheme, target, region)
        if not verdict.allowed or not size:
            return
        for observer in self._observers:
            observer.before_apply(scheme.index, target, region)
        begin_ns = self._now_ns()
        applied = self._apply(scheme, target, region, past_pages=verdict.past_pages)
        if self._walk is not None:
            self._walk.record(scheme.index, target, region, applied.passed)
        # Kernel 7.2 charges and counts the size from before a filter's cut
        # (docs/damon.md#apply-pass). Here, as in 6.12, what was not handed to the operations set is neither
        # charged nor called tried.
        done = size if isinstance(applied, Tried) else applied.applied
        quota.charge(target, region, size, done, self._now_ns() - begin_ns)
        if scheme.scheme.action is not Action.STAT:
            region.age = 0
            self.acted.append(ResetAges(target, region.start, region.end))
        _count(scheme.stats, size, applied)

    def _fit(self, scheme: Installed, target: Target, at: int) -> int:
        """Cut the region to what the quota has left; the bytes of it that count."""
        region, quota, action = target.regions[at], scheme.quota, scheme.scheme.action
        if not quota.is_set:
            return self._size(scheme, target, region)
        end, size = self._sizes.first(target, region.start, region.end, action, quota.room)
        if end < region.end:
            # In whole regions, and not nothing of one: room is at least a region's least size.
            self._cuts.cut(target, at, max(end - region.start, self._min_region))
        return size

    def _size(self, scheme: Installed, target: Target, region: Region) -> int:
        """Of a whole region what the monitor knows, else how much there really is."""
        action, size = scheme.scheme.action, region.end - region.start
        if action is Action.STAT:
            return self._sizes.known(target, region.start, region.end, action)
        return self._sizes.first(target, region.start, region.end, action, size)[1]

    def _apply(self, scheme: Installed, target: Target, region: Region, *, past_pages: bool) -> Applied:
        """Whatever fails applies nothing, and is not tried again on this target until a commit.

        The kernel's operations remember the last large page that they acted on, as it may reach into the next region;
        from outside what is acted on are bytes of an address space, and no two regions share one.
        """
        request = scheme.request_past_pages if past_pages else scheme.request
        try:
            return self._actor.apply(target, region.start, region.end, request)
        except Exception as error:  # a monitor outlives what it cannot do
            scheme.refused[target.index] = str(error)
            self._note(
                f"scheme {scheme.index} ({request.action}) leaves target {target.index} alone from now on: {error}"
            )
            return NOTHING


def _count(stats: SchemeStats, size: int, applied: Applied) -> None:
    # `stat` applies 0 bytes by its nature, so it never counts as applied
    # (docs/damon.md#actions): kept, for its answer is in sz_tried and sz_ops_filter_passed.
    stats.nr_tried += 1
    stats.sz_tried += size
    stats.nr_applied += applied.applied > 0
    stats.sz_applied += applied.applied
    stats.sz_ops_filter_passed += applied.passed
    if applied.moved is not None:
        stats.sz_moved = (stats.sz_moved or 0) + applied.moved


def matching_by_score(
    scheme: Installed, targets: Sequence[Target], attrs: Attrs, counted: Sizes
) -> list[int]:
    """Bytes of each priority that match the pattern and pass the filters of regions
    (docs/damon.md#effective-size); `counted` tells which."""
    sizes = [0] * (MOST + 1)
    action, weights = scheme.scheme.action, scheme.scheme.quotas.weights
    for position, target in enumerate(targets):
        for region in target.regions:
            if matches(scheme.limits, region):
                size = scheme.filters.allowed_bytes(position, region.start, region.end)
                if size:
                    there = counted.known(target, region.start, region.end, action)
                    size = there * size // (region.end - region.start)
                    sizes[score(action, region, weights, attrs)] += size
    return sizes
