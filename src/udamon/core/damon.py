"""The region policy `damon`: the kernel's region-based sampling with adaptive regions
(docs/damon.md#sampling, #merging, #splitting)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from random import Random

from udamon.core.attrs import Attrs
from udamon.core.merge import merge_targets
from udamon.core.policy import Answers, Slots
from udamon.core.split import Splitter, enforce_limit, size_limit
from udamon.core.target import Target
from udamon.model import PAGE_SIZE


class DamonPolicy:
    """One random page of each region is checked every tick; regions merge by their counts and split at random.

    `min_region` is the smallest region in bytes; every boundary is aligned to it.
    """

    name = "damon"

    def __init__(self, random: Random, min_region: int = PAGE_SIZE) -> None:
        self._splitter = Splitter(random)
        self._min_region = min_region
        self._attrs = Attrs()
        self._limit = 0
        self._touched_share: Callable[[int, int], float] = partial(touched_share, 1)

    def start(self, targets: Sequence[Target], attrs: Attrs) -> None:
        """Cut regions larger than min_nr_regions allows."""
        self._attrs = attrs
        self._touched_share = lru_cache(maxsize=4096)(partial(touched_share, attrs.max_nr_accesses))
        self._apply_min_nr_regions(targets)

    def plan(self, targets: Sequence[Target], ticks: int) -> Slots:
        """One slot a region, with one check a tick."""
        slots = Slots()
        for position, target in enumerate(targets):
            regions = target.regions
            slots.extend(
                position, [r.start for r in regions], [r.end for r in regions], [ticks] * len(regions)
            )
        return slots

    def fold(self, targets: Sequence[Target], slots: Slots, answers: Answers) -> None:
        """Add the hits of a stretch to the counts, and to the moving sum as many decays as ticks passed."""
        length = self._attrs.max_nr_accesses
        ticks = answers.ticks
        hits, absent = iter(answers.hits), iter(answers.no_page)
        for target in targets:
            for r in target.regions:
                hit = next(hits)
                decay = r.last_nr_accesses * 10_000 // length
                r.nr_accesses_bp += hit * 10_000 - ticks * decay
                r.nr_accesses += hit
                r.absent += next(absent)

    def merge(self, targets: Sequence[Target]) -> None:
        """Age and merge, bring back min_nr_regions, and estimate touched bytes."""
        attrs = self._attrs
        largest = max((r.nr_accesses for t in targets for r in t.regions), default=0)
        merge_targets(targets, largest // 10, self._limit, attrs.max_nr_regions, attrs.max_nr_accesses)
        self._apply_min_nr_regions(targets)
        for target in targets:
            for r in target.regions:
                share = self._touched_share(r.nr_accesses, r.absent) if r.nr_accesses else 0.0
                r.touched = int((r.end - r.start) * share)

    def reset(self, targets: Sequence[Target]) -> None:
        """Begin a new aggregation: the counts become the last ones (docs/damon.md#iteration)."""
        for target in targets:
            for r in target.regions:
                r.last_nr_accesses = r.nr_accesses
                # The decays were rounded down, so the moving sum may have drifted (docs/damon.md#sampling).
                r.nr_accesses_bp = r.nr_accesses * 10_000
                r.nr_accesses = 0
                r.absent = 0

    def split(self, targets: Sequence[Target]) -> None:
        """Cut regions at random while their number allows."""
        self._splitter.split(targets, self._attrs.max_nr_regions, self._min_region)

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """As the kernel's kdamond at the end of an aggregation."""
        self.merge(targets)

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        """As the kernel's kdamond after one."""
        self.reset(targets)
        self.split(targets)

    def touched_bounds(self, target: Target) -> None: ...

    def reset_age(self, target: Target, start: int, end: int) -> None:
        """Regions and their ages are all there is to know."""

    def _apply_min_nr_regions(self, targets: Sequence[Target]) -> None:
        self._limit = size_limit(targets, self._attrs.min_nr_regions, self._min_region)
        for target in targets:
            enforce_limit(target.regions, self._limit)


def touched_share(ticks: int, nr_accesses: int, absent: int) -> float:
    """The share of a region's bytes accessed at least once in `ticks` ticks (estimator `mixture`).

    `absent` of the checks met no page, so that share of the region is taken as not resident. Of the rest a
    share q is accessed in each tick. From q = 1/2 on the region is taken for what DAMON assumes it to be,
    accessed alike throughout: a page is touched with the chance 1-(1-q)^ticks. Below, it is more likely a
    large region with something hot in it: then each hit vouches for its own share of the pages only.
    DESIGN has the errors of this and of either assumption alone.
    """
    seen = ticks - absent
    if nr_accesses <= 0 or seen <= 0:
        return 0.0
    q = min(nr_accesses / seen, 1.0)
    touched = 1.0 - (1.0 - q) ** ticks if 2 * nr_accesses >= seen else q
    return seen / ticks * touched
