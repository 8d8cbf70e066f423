"""Tuning: the feedback function, the kernel's interval goal, and results carried over to new attributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.target import Target

GOAL_SCORE = 10_000
_U64_MAX = 2**64 - 1


def feedback(last: int, score: int) -> int:
    """The next input after `last` gave `score`, where 10 000 is the goal (docs/damon.md#feedback).

    Never below 10 000, saturating at 2**64-1.
    """
    if score == GOAL_SCORE:
        return last
    if score >= 2 * GOAL_SCORE:
        return GOAL_SCORE
    distance = abs(score - GOAL_SCORE)
    # The kernel divides first where the product would overflow its 64 bits.
    product = last * distance
    step = product // GOAL_SCORE if product <= _U64_MAX else last // GOAL_SCORE * distance
    if score > GOAL_SCORE:
        return max(last - step, GOAL_SCORE)
    return min(last + step, _U64_MAX)


def accesses_seen(targets: Iterable[Target], samples: int) -> tuple[int, int]:
    """Accesses that were seen, and that `samples` samples could have seen, over all bytes
    (docs/damon.md#interval-tuning)."""
    observed = possible = 0
    for target in targets:
        for r in target.regions:
            observed += r.size * r.nr_accesses
            possible += r.size * samples
    return observed, possible


def tuned_intervals(targets: Sequence[Target], attrs: Attrs) -> Attrs:
    """Attributes with intervals moved towards the goal of observed accesses (docs/damon.md#interval-tuning)."""
    goal = attrs.goal
    samples = attrs.max_nr_accesses
    observed, possible = accesses_seen(targets, samples)
    wanted = max(1, possible * goal.access_bp // 10_000)
    adapt = feedback(100_000_000, observed * 10_000 // wanted) // 10_000
    if adapt <= 10_000:
        adapt = 5_000 + adapt // 2
    if adapt == 10_000:
        return attrs
    sample = min(max(attrs.sample_us * adapt // 10_000, goal.min_sample_us), goal.max_sample_us)
    return replace(attrs, sample_us=sample, aggr_us=sample * samples)


def rescale(regions: Iterable[Region], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
    """Carry counts and ages over to new intervals; nothing changes if any interval is 0 (docs/damon.md#commits).

    `aggregated`: the aggregation is complete. Else the running count is dropped, as in kernel 7.2.
    """
    if 0 in (old.sample_us, old.aggr_us, new.sample_us, new.aggr_us):
        return
    for r in regions:
        r.age = r.age * old.aggr_us // new.aggr_us
        if aggregated:
            r.nr_accesses = _rescale_count(r.nr_accesses, old, new)
            r.nr_accesses_bp = r.nr_accesses * 10_000
        else:
            r.last_nr_accesses = _rescale_count(r.last_nr_accesses, old, new)
            r.nr_accesses = 0
            r.absent = 0
            r.nr_accesses_bp = r.last_nr_accesses * 10_000


def accesses_bp(nr_accesses: int, attrs: Attrs) -> int:
    """The access rate in 1/10 000, rounded down."""
    return nr_accesses * 10_000 // attrs.max_nr_accesses


def _rescale_count(nr_accesses: int, old: Attrs, new: Attrs) -> int:
    return accesses_bp(nr_accesses, old) * new.max_nr_accesses // 10_000
