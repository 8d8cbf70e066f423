"""Where to ask next: in the gaps of steps, around surprises, in every segment, and evenly everywhere."""

from __future__ import annotations

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.steps import Steps
from udamon.core.policy import Slots
from udamon.model import PAGE_SIZE

HOT = 0.5
"""The rate that people call hot: segments near it are worth more checks than others."""


class Plan:
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
        starts, ends = self._steps.space.strata(min(int(checks), self._left), explorer.turn)
        number = len(starts)
        slots = self._slots
        slots.target.extend([self._position] * number)
        slots.start.extend(starts)
        slots.end.extend(ends)
        slots.checks.extend([1] * number)
        slots.span.extend([span] * number)
        self._left -= number

    @property
    def left(self) -> int:
        return self._left

    def _ask(self, start: int, end: int, checks: int) -> None:
        self._slots.add(self._position, start, end, checks)
        self._left -= checks

    def _room(self, share: float) -> int:
        return min(int(self._budget * share), self._left)

    def _gaps(self) -> None:
        """Every step that is not known well enough; those with most bytes at stake first."""
        steps, finest = self._steps, self._parameters.resolution
        bounds = steps.bounds
        wanted: list[tuple[float, int, int, int]] = []
        columns = zip(
            bounds, bounds[1:], bounds[2:], steps.low, steps.high, steps.reach, steps.height, strict=False
        )
        for left, place, right, low, high, reach, height in columns:
            doubt = high - low + 2 * reach
            if doubt <= PAGE_SIZE or (doubt * finest <= place - left and doubt * finest <= right - place):
                continue
            low, high = max(low - reach, left), min(high + reach, right)
            wanted.append((-abs(height) * (high - low), low, high, 4 if reach else 2))
        room = self._room(0.35)
        if sum(n for _, _, _, n in wanted) > room:
            wanted.sort()
        for _, low, high, checks in wanted:
            if checks > room:
                break
            room -= checks
            self._ask(low, high, checks)

    def _suspects(self) -> None:
        """The page of each surprise again, and both sides of it, unless its surroundings are known well."""
        steps = self._steps
        spacing = steps.space.total // (steps.number + 1)
        wide = [suspect for suspect in steps.suspects if suspect.after - suspect.before >= spacing]
        for before, page, after in wide[: self._room(0.25) // 3]:
            if page > before:
                self._ask(before, page, 1)
            self._ask(page, page + PAGE_SIZE, 1)
            if after > page + PAGE_SIZE:
                self._ask(page + PAGE_SIZE, after, 1)

    def _doubtful(self) -> None:
        """Segments whose rate may lie on either side of HOT: the larger, the more."""
        steps = self._steps
        bounds = steps.bounds
        found = [
            (bounds[k], bounds[k + 1])
            for k, (rate, seen) in enumerate(zip(steps.rate, steps.seen, strict=True))
            if (rate - HOT) ** 2 * max(seen, 1.0) < 1.0 and not steps.hole(k)  # within two standard errors
        ]
        room = self._room(0.15)
        total = sum(end - start for start, end in found)
        for start, end in found:
            if checks := min(room * (end - start) // total, 64):
                self._ask(start, end, checks)

    def _refresh(self, turn: int) -> None:
        """Two checks in every segment that is accessed, so that a change is noticed at once."""
        bounds = self._steps.bounds
        alive = [(bounds[k], bounds[k + 1]) for k, rate in enumerate(self._steps.rate) if rate > 0.02]
        each = 2
        room = self._room(0.25)
        if each * len(alive) > room:
            each = 1
            stride = -(-len(alive) // max(room, 1))
            alive = alive[turn % stride :: stride]
        for start, end in alive:
            self._ask(start, end, each)
