"""steps_fit by names, with tables that are simple enough to work a fit out by hand."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from tests.unit.native_calls import named
from tests.unit.points import PAGE, Point, pack
from udamon.core.adaptive.judged import Judged, judge_new
from udamon.native._native import steps_fit

COLD, HOT, COOLED, WARMED, NOTHING = 0, 1, 2, 3, 255
GAPS, AGES = 512, 256
NOT_JUDGED = Judged()


class Tables(NamedTuple):
    """What a fit believes. `answers` is by kind, old before new, and state."""

    answers: Sequence[float]
    enter: Sequence[float]
    jump: Sequence[float]
    weight: Sequence[float]
    rate: Sequence[float]
    unchanged: int


def by_hand(weights: float = 1.0) -> Tables:
    """An expected answer costs 0.1, any other one 3. A step costs 2, and entering its state 1, or 2 where the
    rate changed. So three surprises in a row are worth two steps, and two are not."""
    hit = {
        False: [-3.0, -0.1, -0.1, -3.0],
        True: [-3.0, -0.1, -3.0, -0.1],
    }  # by state; old points, then new ones
    miss = {new: [-3.1 - chance for chance in row] for new, row in hit.items()}
    hole = [0.0, -1e9, -1e9, -1e9]
    answers = [
        *miss[False], *miss[True], *hit[False], *hit[True], *miss[False], *miss[True], *hit[False], *hit[True],
        *hole, *hole,
    ]  # fmt: skip
    return Tables(
        answers, [-1.0, -1.0, -2.0, -2.0], [-2.0] * GAPS, [weights**age for age in range(AGES)],
        [0.1, 0.9, 0.1, 0.9], 2,
    )  # fmt: skip


class Step(NamedTuple):
    """A step of the fit before; places in pages."""

    place: int
    low: int
    high: int
    height: float = 1.0
    reach: int = 0


class Fit(NamedTuple):
    """What steps_fit returns; places of steps in bytes."""

    state: list[int]
    since: list[int]
    rested: list[int]
    rested_at: list[tuple[int, int]]
    place: list[int]
    rate: list[float]
    touched: list[float]
    seen: list[float]
    low: list[int]
    high: list[int]
    reach: list[int]
    moved: list[tuple[int, int]]
    islands: list[int]
    outliers: list[tuple[int, int, int, int]]
    appeared: int
    accessed: int
    judged: Judged
    unmoved: list[float]
    share: float
    known: float
    told_share: float
    quiet: tuple[int, int]
    """New spanning checks in quiet memory, and accesses that they met."""

    def gaps(self) -> list[tuple[float, float, float]]:
        """low, place and high of each step, in pages."""
        rows = zip(self.low, self.place, self.high, strict=True)
        return [(low / PAGE, place / PAGE, high / PAGE) for low, place, high in rows]


def fit(
    points: Sequence[Point],
    tables: Tables | None = None,
    before: Sequence[Step] = (),
    *,
    end: int,
    ticks: int = 20,
    prior: float = 2.0,
    drift: float = 0.0,
    change: float = 1e9,
    rest: float = 1e9,
    least_change: float = 0.21,
    surprise: float = 100.0,
    outlier_age: int = 1,
    outlier_room: int = 0,
    settled: int = 255,
    levels: Sequence[int] | None = None,
    rates: Sequence[float] | None = None,
    quiet: float = 0.02,
    near: int = 0,
    density: float = 1.0,
    shares: Sequence[float] | None = None,
    judged: Judged = NOT_JUDGED,
    judge: bool = True,
    old_share: float = 0.0,
    old_known: float = 0.0,
    moved: int = AGES,
    moved_share: float = 0.0,
) -> Fit:
    """Fit the space [0, end); `end` in pages, `density` in steps per byte. `levels`, `rates` and touched `shares` of
    the segments before: the lowest of all, and 0, unless given; `old_share` of all bytes, `old_known` of those outside
    of the lowest level. `judged`: the sums so far."""
    tables = tables or by_hand()
    packed = pack(points)
    buffers = fit_buffers(packed, tables, before, levels, rates, shares)
    sums = judged.times(0.5)
    if judge:
        places = array("Q", [step.place * PAGE for step in before])
        fitted = array("d", shares or [0.0] * (len(before) + 1))
        sums = sums.plus(judge_new(packed, places, fitted, old_share, old_known))
    found = steps_fit(
        **named("steps_fit", buffers), unchanged=tables.unchanged, begin=0, end=end * PAGE, ticks=ticks, prior=prior,
        drift=drift, change=change, rest=rest, used=0.05, least_change=least_change, surprise=surprise,
        outlier_age=outlier_age, outlier_room=outlier_room, settled=settled, reach_keep=0.5, quiet=quiet,
        near=near, density=density,
        judged_checks=sums.checks, judged_hits=sums.hits, judged_expected=sums.expected,
        judged_shares=sums.shares, judged_known=sums.known, judged_met=sums.met, judge=judge,
        judged_errors=2.0, moved=moved, moved_share=moved_share,
    )  # fmt: skip
    outliers = iter(found.outliers)
    return Fit(
        list(found.state), list(found.since), list(found.rested),
        list(zip(found.rested_start, found.rested_end, strict=True)), list(found.bounds[1:-1]), list(found.rate),
        list(found.touched), list(found.seen), list(found.low), list(found.high), list(found.reach),
        list(zip(found.was, found.now, strict=True)), list(found.islands),
        list(zip(outliers, outliers, outliers, outliers, strict=True)), found.appeared, found.accessed,
        sums._replace(met=sums.met + found.met), list(found.unmoved), found.share, found.known, found.told_share,
        (found.quiet_checks, found.met),
    )  # fmt: skip


def fit_buffers(
    points: bytes,
    tables: Tables,
    before: Sequence[Step] = (),
    levels: Sequence[int] | None = None,
    rates: Sequence[float] | None = None,
    shares: Sequence[float] | None = None,
) -> list[bytes | array[int] | array[float]]:
    """What steps_fit wants, in its order; `levels`, `rates` and touched `shares` of the segments before."""
    columns = (tables.answers, tables.enter, tables.jump, tables.weight, tables.rate)
    return [
        points,
        *(array("d", column) for column in columns),
        array("B", levels or [0] * (len(before) + 1)),
        array("d", rates or [0.0] * (len(before) + 1)),
        array("d", shares or [0.0] * (len(before) + 1)),
        array("Q", [step.place * PAGE for step in before]),
        array("Q", [step.low * PAGE for step in before]),
        array("Q", [step.high * PAGE for step in before]),
        array("Q", [step.reach * PAGE for step in before]),
        array("d", [step.height for step in before]),
    ]
