"""The points of one target, the steps fitted to them, and the times of the last changes of rates."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from udamon.core.adaptive import likelihood
from udamon.core.adaptive.ages import Ages
from udamon.core.adaptive.judged import Judge, judge_new
from udamon.core.adaptive.parameters import LEVELS, Parameters
from udamon.core.adaptive.retimed import RetimedRates, factors_of
from udamon.core.adaptive.space import Space, gaps_of
from udamon.core.policy import Answers, Slots, TouchedBounds
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import AGES, MOVED, POINT_BYTES, RESTED, points_take, steps_fit

if TYPE_CHECKING:
    from udamon.native._native import Fit


class StalePoints(NamedTuple):
    """Points in [start, end) that are `age` aggregations old or older no longer count. With `outdate`, a bit for each
    reason of native/points.h, those that spanned an aggregation become outdated instead."""

    start: int
    end: int
    age: int
    outdate: int = 0


class Steps:
    """The step function of one target, fitted anew with each stretch of answers.

    Segment k lies in [bounds[k], bounds[k + 1]) and is accessed alike: `rate` per tick and page, `touched`
    share in an aggregation, with the standard error `doubt`; `seen` is the weight of the one-tick checks behind
    it. Step k, at bounds[k + 1], is known to lie in [low[k], high[k]], and may have moved by `reach[k]` bytes
    meanwhile; there the rate changes by `height[k]`. `outliers` has four addresses for each recent answer that its
    segment does not explain: where the point before ends, where its own page begins and ends, where the next point
    begins. `grain` is the size of the pages that most answers speak for.
    """

    def __init__(self, space: Space, parameters: Parameters, now_us: int) -> None:
        self.space = space
        self.points = bytearray()
        self.ages = Ages(space.ranges[0].start, space.ranges[-1].end, now_us, parameters)
        self.bounds = array("Q", (space.ranges[0].start, space.ranges[-1].end))
        self.state = bytes([0])
        self.rate = array("d", [0.0])
        self.touched = array("d", [0.0])
        self.seen = array("d", [0.0])
        self.doubt = array("d", [0.0])
        self.low = array("Q")
        self.high = array("Q")
        self.reach = array("Q")
        self.height = array("d")
        self.outliers = array("Q")
        self.grain = PAGE_SIZE
        self.changing_share = 0.0  # share of the accessed segments that seem to have changed of late
        self.error = 0.0  # standard error of the working set, as a share of it
        self.changed = 0  # segments that changed with the last answers
        self.islands = array("Q")  # a page of each island that appeared with the last answers
        self.appeared = 0  # steps that were not there before
        self._unsettled = 0  # aggregations until all points are of the present intervals
        self._factors = 1.0, 1.0  # what these have done to rates, at least and at most
        self._retimed: RetimedRates | None = None
        self._retimed_us = 0
        self._expected = (range(0), 0.0, 0.0)
        self._usual = 1.0  # share of the expected accesses that usually fail to come
        # Touched shares of segments and of all bytes, as checks are judged by them; of all bytes after that; and of all
        # bytes outside of quiet memory.
        self._fitted = array("d", [0.0])
        self._share = self._told_share = self._known = 0.0
        self._judged = Judge(parameters)
        self._judge = False  # since the last fit, checks that spanned an aggregation were answered
        # In this aggregation: new checks that spanned it in quiet memory, accesses that they met, and how much of the
        # memory was quiet by each fit.
        self._quiet_checks = self._quiet_hits = 0
        self._quiet_bytes = space.total
        self._parameters = parameters
        self._memory: float = parameters.memory  # looks that a point is kept
        self._limit = parameters.memory  # the same in aggregations
        self._turns = 1  # aggregations from one look to the next
        self._stale: list[StalePoints] = []

    def __len__(self) -> int:
        return len(self.rate)

    @property
    def number(self) -> int:
        """Of points."""
        return len(self.points) // POINT_BYTES

    def move(self, space: Space, now_us: int) -> bool:
        """The target's memory lies elsewhere now; what is new in it has been as it is since now.

        Returns whether its ranges changed, so that the steps have to be fitted to what is left of the points.
        """
        old, self.space = self.space.ranges, space
        if space.ranges == old:
            return False
        self.ages.stretch(space.ranges[0].start, space.ranges[-1].end, now_us)
        for start, end in gaps_of(old, space.ranges):
            self.ages.change(start, end, now_us)
        left = [StalePoints(start, end, 0) for start, end in gaps_of(space.ranges, [Range(0, 1 << 63)])]
        self._take(Answers(), Slots(), 0, 1, left)
        self._stale = []
        return True

    def retime(self, old_us: int, new_us: int, now_us: int) -> None:
        """The sampling interval changed, so rates will: as far as that explains it, it is no change of the memory, and
        no new age."""
        if not self.points:
            return
        known = self._factors if self._unsettled else (1.0, 1.0)
        least, most = factors_of(old_us, new_us)
        self._factors = known[0] * least, known[1] * most
        self._retimed, self._retimed_us = RetimedRates(self.bounds, self.rate, self._factors), now_us
        self._unsettled = self._parameters.memory

    def forget_judged(self) -> None:
        """Aggregations have another length, in which another share of the memory is touched: the checks that spanned
        those before can no longer tell how wrong the fit is, nor what is touched."""
        self._judged = Judge(self._parameters)
        if self.points:
            start, end = self.space.ranges[0].start, self.space.ranges[-1].end
            self._take(Answers(), Slots(), 0, 1, [StalePoints(start, end, 0, 1 << MOVED | 1 << RESTED)])

    def take(
        self, target: int, slots: Slots, answers: Answers, ticks: int, *, older: int, most_regions: int
    ) -> None:
        """Add a stretch's answers; `older`: aggregations of `ticks` ticks that began since the last ones.

        With more segments than `most_regions` not all can be told, and those of which little is known are forgotten.
        """
        if older and self.number > self._parameters.max_points:
            self._memory = max(self._memory - 1, 2)
        elif older and self.number < self._parameters.max_points // 2:
            longest = self._parameters.memory if self.changed else self._parameters.longest_memory
            self._memory = max(min(self._memory + 1, longest), self._memory)
        self._unsettled = max(self._unsettled - older, 0)
        if older:
            self._judged.grow_older(older, 1 - 1 / self._memory)
        # A target that is looked at now and then is remembered for as many looks as one that always is.
        self._turns = older or self._turns
        self._limit = min(int(self._memory) * self._turns, AGES - 1)
        whole = max(3 * ticks // 4, 2)
        self._judge = self._judge or max(answers.span, default=0) >= whole
        self._take(
            answers, slots, target, whole, self._stale, older=min(older, AGES - 1),
            least=self._parameters.known_checks if len(self) <= most_regions else 0,
        )  # fmt: skip
        self._stale = []
        if answers.shift:
            self.grain = 1 << _median(answers.shift)
        self._compare(answers)

    def _compare(self, answers: Answers) -> None:
        """Did more of the expected accesses fail to come than usual, and than chance explains?"""
        parameters = self._parameters
        slots, hits, variance = self._expected
        self._expected = (range(0), 0.0, 0.0)
        if hits < parameters.least_expected or self._unsettled:
            return
        missing = 1 - sum(answers.hits[slots.start : slots.stop]) / hits
        surely = missing - self._usual - parameters.chance_errors * sqrt(variance) / hits
        self.changing_share = max(surely, self.changing_share * parameters.changing_share_keep)
        follows = parameters.missing_falls if missing < self._usual else parameters.missing_rises
        self._usual += (missing - self._usual) * follows

    def expect(self, slots: range, hits: float, variance: float) -> None:
        """The next answers of these slots will be about so many accesses, if nothing changes."""
        self._expected = (slots, hits, variance)

    def _take(
        self,
        answers: Answers,
        slots: Slots,
        target: int,
        whole: int,
        drop: Sequence[StalePoints],
        *,
        older: int = 0,
        least: int = 0,
    ) -> None:
        hole_start, hole_end = self.space.hole_columns
        self.points = points_take(
            points=self.points, slot=answers.slot, address=answers.address, span=answers.span, answer=answers.answer,
            shift=answers.shift, slot_target=slots.target, hole_start=hole_start, hole_end=hole_end,
            drop_start=array("Q", [one.start for one in drop]), drop_end=array("Q", [one.end for one in drop]),
            drop_age=array("B", [one.age for one in drop]), outdate=array("B", [one.outdate for one in drop]),
            bounds=self.bounds, seen=self.seen, least=least,
            target=target, whole=whole, older=older,
            limit=self._limit, begin=self.space.ranges[0].start, end=self.space.ranges[-1].end,
        )  # fmt: skip

    def fit(self, ticks: int, now_us: int, aggregation_us: int) -> None:
        """Find the most probable steps, and what they say of changes."""
        parameters = self._parameters
        against = (
            min(parameters.change_nats, -log(self.changing_share))
            if self.changing_share > parameters.quiet_share
            else parameters.change_nats
        )
        before = self.bounds[1:-1]
        room = self.space.total // ((self.number + 1) * parameters.outlier_room)
        begin, end = self.space.ranges[0].start, self.space.ranges[-1].end
        if self._judge:
            self._judged.take(judge_new(self.points, before, self._fitted, self._share, self._known))
        judged = self._judged.sums
        rest = parameters.change_nats
        if self._judged.moved <= parameters.memory:
            rest = min(rest, -log(max(self._judged.moved_share, parameters.quiet_share)))
        expected, size = max(len(before), parameters.steps), max(self.space.total, 1)
        fit = steps_fit(
            points=self.points,
            table=likelihood.answer_table(max(ticks, 2), parameters.outlier),
            enter=likelihood.enter_table(
                parameters.change_between * parameters.change_nats, round(against, 1)
            ),
            jump=likelihood.jump_table(expected, size),
            weight=likelihood.weight_table(parameters.forgotten, self._limit), level=likelihood.STATE_RATES,
            old_state=self.state.translate(likelihood.LEVEL_OF), old_rate=self.rate, old_fitted=self._fitted,
            old_place=before,
            old_low=self.low, old_high=self.high, old_reach=self.reach, old_height=self.height,
            unchanged=len(LEVELS), begin=begin, end=end, ticks=max(ticks, 2), prior=parameters.prior,
            drift=parameters.drift / parameters.resolution, change=against + log(parameters.memory),
            rest=rest + log(parameters.memory), used=parameters.used_share,
            least_change=parameters.least_change, surprise=parameters.surprise_nats,
            outlier_age=parameters.outlier_age, outlier_room=room, settled=parameters.memory,
            reach_keep=parameters.reach_keep, quiet=parameters.refresh_rate, near=parameters.near_steps,
            density=expected / size,
            judged_checks=judged.checks, judged_hits=judged.hits, judged_expected=judged.expected,
            judged_shares=judged.shares, judged_known=judged.known, judged_met=judged.met, judge=self._judge,
            judged_errors=parameters.judged_errors, moved=self._judged.moved, moved_share=self._judged.moved_share,
        )  # fmt: skip
        self.state, self.rate, self.touched, self.seen = fit.state, fit.rate, fit.touched, fit.seen
        self.doubt, self.bounds, self.height = fit.doubt, fit.bounds, fit.height
        self.low, self.high, self.reach, self.outliers = fit.low, fit.high, fit.reach, fit.outliers
        if self._judge:
            self._judged.add_met(fit.met)
            self._quiet_checks += fit.quiet_checks
            self._quiet_hits += fit.met
        self._judge = False
        self._quiet_bytes = min(self._quiet_bytes, fit.quiet_bytes)
        self._fitted, self._share, self._told_share = fit.fitted, fit.share, fit.told_share
        self._known = fit.known
        self.error, self.appeared, self.islands = fit.error, fit.appeared, fit.islands
        if len(self.ages.starts) > 1:
            for was, now in zip(fit.was, fit.now, strict=True):
                self.ages.shift(was, now)
        self.changed = 0
        self._change(fit, now_us, aggregation_us)
        if self._memory > parameters.memory:
            share = min(max(self.changed / max(fit.accessed, 1), self.changing_share), 1)
            self._memory = max(self._memory * (1 - share), parameters.memory)

    def begin_aggregation(self) -> None:
        """What the one before has seen was told."""
        self._quiet_checks = self._quiet_hits = 0
        self._quiet_bytes = self.space.total

    def touched_bounds(self, idle_mixed: int) -> TouchedBounds:
        """The working set by the last fit, and what checks have seen of quiet memory in this aggregation. `idle_mixed`
        is known to who made the regions."""
        shares = self._judged.sums.bounds(self._share, self._told_share, self._parameters.bounds_errors)
        low, high = (share * self.space.total for share in shares)
        return TouchedBounds(
            int(low), -int(-high // 1), self._quiet_checks, self._quiet_hits, self._quiet_bytes, idle_mixed
        )

    def _change(self, fit: Fit, now_us: int, aggregation_us: int) -> None:
        """Ages begin anew where the rate changed, and what was seen there before counts no longer."""
        for k, aggregations in enumerate(fit.since):
            if aggregations:
                self.changed += 1
                start, end = self.bounds[k], self.bounds[k + 1]
                if not self._explained(start, end, self.rate[k]):
                    when_us = now_us - (aggregations - 1) * aggregation_us
                    self.ages.change(
                        start, end, max(when_us, self._retimed_us) if self._unsettled else when_us
                    )
                self._stale.append(StalePoints(start, end, aggregations))
        if any(fit.rested) or min(fit.unmoved) < self._parameters.least_unmoved:
            self._rest(fit, now_us, aggregation_us)
            self._stale.sort()

    def _rest(self, fit: Fit, now_us: int, aggregation_us: int) -> None:
        """Ages begin anew where memory came to rest, or began to be touched again. Older checks that spanned an
        aggregation are outdated there, and where a segment is probably touched in another way since memory changed."""
        least = self._parameters.least_unmoved
        for k, (since, rested, unmoved) in enumerate(zip(fit.since, fit.rested, fit.unmoved, strict=True)):
            if since or not (rested or unmoved < least):
                continue
            start, end, age, outdate = self.bounds[k], self.bounds[k + 1], AGES, 0
            if rested:
                where = max(start, fit.rested_start[k]), min(end, fit.rested_end[k])
                self.ages.change(*where, now_us - (rested - 1) * aggregation_us)
                age, outdate = rested, 1 << RESTED
            if unmoved < least:
                age, outdate = min(age, self._judged.moved), outdate | 1 << MOVED
            self._stale.append(StalePoints(start, end, age, outdate))

    def _explained(self, start: int, end: int, rate: float) -> bool:
        """Whether the interval alone may have made this rate."""
        if self._retimed is None or not self._unsettled:
            return False
        if self._retimed.explains(start, end, rate, self._parameters.least_change):
            return True
        self._retimed.change(start, end, rate)
        return False


def _median(shifts: bytes) -> int:
    """Of many numbers, at least one, that are hardly ever different."""
    kinds = sorted(set(shifts))
    left = len(shifts) // 2
    while (left := left - shifts.count(kinds[0])) >= 0:
        del kinds[0]
    return kinds[0]
