"""Where to ask next: in the gaps of steps, around surprises, in every segment, and evenly everywhere."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.steps import Steps
from udamon.core.policy import Slots
from udamon.model import PAGE_SIZE
from udamon.native._native import steps_gaps


class SlotPlan:
    """The slots of one target for a stretch of `ticks` ticks, with at most `budget` checks in all."""

    def __init__(
        self, slots: Slots, position: int, steps: Steps, budget: int, parameters: Parameters
    ) -> None:
        self._slots = slots
        self._position = position
        self._steps = steps
        self._budget = budget
        self._left = budget
        self._parameters = parameters

    def learn(self) -> None:
        """Ask where the steps leave doubt of what is where."""
        self._gaps()
        self._suspects()

    def follow(self, turn: int) -> None:
        """Ask how what is known is accessed now; once an aggregation."""
        self._doubtful()
        self._refresh(turn)

    def explore(self, explorer: Explorer, checks: float, span: int) -> None:
        """One place in each of `checks` equal cells of the resident bytes, from another eighth each time."""
        starts, ends = self._steps.space.strata(
            min(int(checks), self._left), explorer.turn, self._steps.grain
        )
        self._ask_each(starts, ends, span)

    @property
    def left(self) -> int:
        return self._left

    def _ask(self, starts: Sequence[int], ends: Sequence[int], checks: Sequence[int], span: int = 1) -> None:
        self._slots.extend(self._position, starts, ends, checks, span)
        self._left -= sum(checks)

    def _ask_each(self, starts: array[int], ends: array[int], span: int) -> None:
        """One check in every slot."""
        self._slots.extend(self._position, starts, ends, array("I", [1]) * len(starts), span)
        self._left -= len(starts)

    def _room(self, share: float) -> int:
        return min(int(self._budget * share), self._left)

    def _gaps(self) -> None:
        """Every step that is not known well enough; those with most bytes at stake first."""
        steps = self._steps
        lows, highs, stake, moved = steps_gaps(
            bounds=steps.bounds, low=steps.low, high=steps.high, reach=steps.reach, height=steps.height,
            exact=PAGE_SIZE, finest=self._parameters.resolution,
        )  # fmt: skip
        parameters = self._parameters
        once = parameters.gap_checks
        checks = array("I", [2 * once if may_have else once for may_have in moved])
        room = self._room(parameters.gap_share)
        if sum(checks) <= room:
            self._ask(lows, highs, checks)
            return
        order = sorted(range(len(stake)), key=stake.__getitem__, reverse=True)
        taken = accumulate(map(checks.__getitem__, order))
        order = sorted(order[: next(i for i, made in enumerate(taken) if made > room)])
        for column in (lows, highs, checks):
            column[:] = array(column.typecode, map(column.__getitem__, order))
        self._ask(lows, highs, checks)

    def _suspects(self) -> None:
        """The page of each surprise again, and both sides of it, unless its surroundings are known well."""
        steps = self._steps
        unexplained = list(zip(*(steps.outliers[i::4] for i in range(4)), strict=True))
        asked: list[tuple[int, int]] = []
        for before, page, end, after in unexplained[: self._room(self._parameters.outlier_share) // 3]:
            asked += (before, page), (page, end), (end, after)
        asked = [(start, end) for start, end in asked if start < end]
        self._ask([start for start, _ in asked], [end for _, end in asked], [1] * len(asked))

    def _doubtful(self) -> None:
        """Segments whose rate may lie on either side of what is hot: the larger, the more."""
        steps, parameters = self._steps, self._parameters
        bounds = steps.bounds
        found = [
            (bounds[k], bounds[k + 1])
            for k, (rate, seen) in enumerate(zip(steps.rate, steps.seen, strict=True))
            if rate > parameters.hot_least_rate
            # within so many standard errors of a share, which are largest for one half: 0.5 / √seen
            and 4 * (rate - parameters.hot_rate) ** 2 * seen < parameters.chance_errors**2
        ]
        room = self._room(parameters.hot_share)
        total = sum(end - start for start, end in found)
        for start, end in found:
            if checks := min(room * (end - start) // total, parameters.hot_checks):
                self._ask([start], [end], [checks])

    def _refresh(self, turn: int) -> None:
        """Some checks in every segment that is accessed, so that a change is noticed at once."""
        steps, parameters = self._steps, self._parameters
        enough = parameters.known_checks
        alive = [k for k, rate in enumerate(steps.rate) if rate > parameters.refresh_rate]
        # Those that are known well come first: only what they say can be held against what was expected.
        seen = steps.seen
        alive = [k for k in alive if seen[k] >= enough] + [k for k in alive if seen[k] < enough]
        checks, room = parameters.refresh_checks, self._room(parameters.refresh_share)
        if not alive or not room:
            return
        if checks * len(alive) > room:
            checks, stride = 1, -(-len(alive) // room)
            alive = alive[turn % stride :: stride]
        first = len(self._slots)
        bounds = steps.bounds
        self._ask([bounds[k] for k in alive], [bounds[k + 1] for k in alive], [checks] * len(alive))
        known = [steps.rate[k] for k in alive if seen[k] >= enough]
        variance = checks * sum(rate * (1 - rate) for rate in known)
        steps.expect(range(first, first + len(known)), checks * sum(known), variance)
