"""What is known of one target: its points, the steps fitted to them, and since when rates are what they are."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import sub

from udamon.core.adaptive import likelihood
from udamon.core.adaptive.ages import Ages
from udamon.core.adaptive.likelihood import LEVELS, NOTHING
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.space import Space, gaps_of
from udamon.core.policy import Answers, Slots
from udamon.model import Range
from udamon.native._native import points_take, steps_fit

PRIOR = 2.0
"""Checks' worth of belief in what a segment's level says of its rate, and its rate of its touched share."""
SUSPECT_AGE = 1
"""Aggregations during which an answer that its segment does not explain is looked after."""
POINT_BYTES = 16
MOST_POINTS = 1 << 16
"""A fit walks through all of them, which takes about 1 ms."""


class Steps:
    """The step function of one target, fitted anew with each stretch of answers.

    Segment k lies in [bounds[k], bounds[k + 1]) and is accessed alike: `rate` per tick and page, `touched`
    share in an aggregation; `seen` is the weight of the one-tick checks behind it. Step k, at bounds[k + 1],
    is known to lie in [low[k], high[k]], and may have moved by `reach[k]` bytes meanwhile; there the rate
    changes by `height[k]`. `suspects` has three addresses for each recent answer that its segment does not
    explain: where the point before ends, its own page, where the next point begins.
    """

    def __init__(self, space: Space, parameters: Parameters, now_us: int) -> None:
        self.space = space
        self.points = b""
        self.ages = Ages(space.ranges[0].start, space.ranges[-1].end, now_us)
        self.bounds = array("Q", (space.ranges[0].start, space.ranges[-1].end))
        self.state = bytes([0])
        self.rate = array("d", [0.0])
        self.touched = array("d", [0.0])
        self.seen = array("d", [0.0])
        self.low = array("Q")
        self.high = array("Q")
        self.reach = array("Q")
        self.height = array("d")
        self.suspects = array("Q")
        self.changed = 0  # segments that changed with the last answers
        self.appeared = 0  # steps that were not there before
        self._parameters = parameters
        self._memory = parameters.memory  # aggregations that a point is kept
        self._stale: list[tuple[int, int]] = []  # where points from before this aggregation no longer count

    def __len__(self) -> int:
        return len(self.rate)

    @property
    def number(self) -> int:
        """Of points."""
        return len(self.points) // POINT_BYTES

    def hole(self, k: int) -> bool:
        """Nothing is resident in segment k."""
        return self.state[k] == NOTHING

    def move(self, space: Space, now_us: int) -> None:
        """The target's memory lies elsewhere now; what is new in it has been as it is since now."""
        old, self.space = self.space.ranges, space
        if space.ranges == old:
            return
        self.ages.stretch(space.ranges[0].start, space.ranges[-1].end, now_us)
        for start, end in gaps_of(old, space.ranges):
            self.ages.change(start, end, now_us)
        left = gaps_of(space.ranges, [Range(0, 1 << 63)])
        self._take((array("I"), array("Q"), array("I"), array("B"), array("B"), array("I")), 0, 1, left, 0)
        self._stale = []

    def take(self, target: int, slots: Slots, answers: Answers, ticks: int, *, older: bool) -> None:
        """Add a stretch's answers; `older`: the first of an aggregation of `ticks` ticks."""
        if older and self.number > MOST_POINTS:
            self._memory = max(self._memory - 1, 2)
        elif older and self.number < MOST_POINTS // 2:
            self._memory = min(self._memory + 1, self._parameters.memory)
        new = (answers.slot, answers.address, answers.span, answers.answer, answers.shift, slots.target)
        self._take(new, target, max(3 * ticks // 4, 2), self._stale, 1, older=older)
        self._stale = []

    def _take(
        self,
        answers: tuple[array[int], array[int], array[int], array[int], array[int], array[int]],
        target: int,
        whole: int,
        drop: Sequence[tuple[int, int]],
        drop_age: int,
        *,
        older: bool = False,
    ) -> None:
        holes = self.space.holes
        ranges = (
            array("Q", [hole.start for hole in holes]),
            array("Q", [hole.end for hole in holes]),
            array("Q", [start for start, _ in drop]),
            array("Q", [end for _, end in drop]),
        )
        buffers = (self.points, *answers, *ranges)
        self.points = points_take(buffers, target, whole, older, self._memory, drop_age)

    def fit(self, ticks: int, now_us: int) -> None:
        """Find the most probable steps, and what they say of changes."""
        parameters = self._parameters
        before = self.bounds[1:-1]
        begin, end = self.space.ranges[0].start, self.space.ranges[-1].end
        self.state, place, rate, touched, seen, low, high, reach, suspects = steps_fit(
            (
                self.points,
                likelihood.answer_table(max(ticks, 2), parameters.outlier),
                likelihood.enter_table(parameters.change_nats),
                likelihood.jump_table(max(len(before), parameters.steps), max(self.space.total, 1)),
                likelihood.weight_table(parameters.keep),
                likelihood.STATE_RATES,
                before,
                self.low,
                self.high,
                self.reach,
                self.height,
            ),
            len(LEVELS), begin, end, max(ticks, 2), PRIOR, parameters.drift / parameters.resolution,
            parameters.surprise_nats, SUSPECT_AGE,
        )  # fmt: skip
        self.bounds = array("Q", (begin,))
        self.bounds.frombytes(place)
        self.bounds.append(end)
        self.rate, self.touched, self.seen = array("d", rate), array("d", touched), array("d", seen)
        self.low, self.high, self.reach = array("Q", low), array("Q", high), array("Q", reach)
        self.height = array("d", map(sub, self.rate[1:], self.rate))
        self.suspects = array("Q", suspects)
        self.appeared = len(set(self.bounds).difference(before)) - 2
        self.changed = 0
        if any(held in self.state for held in range(len(LEVELS), len(likelihood.STATE_RATES))):
            self._change(now_us)

    def _change(self, now_us: int) -> None:
        """Ages begin anew where the rate changed, and what was seen there before counts no longer."""
        for k, held in enumerate(self.state):
            if len(LEVELS) <= held < NOTHING:
                self.changed += 1
                where = self.bounds[k], self.bounds[k + 1]
                self.ages.change(*where, now_us)
                self._stale.append(where)
