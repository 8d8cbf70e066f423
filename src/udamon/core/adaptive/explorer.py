"""How much of the budget goes into looking for what is not known yet."""

from __future__ import annotations

from collections.abc import Callable

from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.steps import Steps
from udamon.native._native import NOTHING


class Explorer:
    """From little to all there is as soon as something is found; then less and less while nothing is."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._cautious = float(parameters.first_checks)
        self._quiet = 0
        self._found = False
        self._unsure = False
        self._aggregations = 0
        self._places = 0
        self.awake = False
        """Something differs from the rest."""
        self.turn = 0
        """Counts stretches, so that each looks elsewhere."""

    @property
    def learning(self) -> bool:
        return self._aggregations < self._parameters.learning

    @property
    def backed_off(self) -> bool:
        """Little is explored, because nothing was found for some time."""
        return self._explore_share < 0.5

    @property
    def _explore_share(self) -> float:
        """The share of full exploration: 1 until `patience` aggregations brought nothing new, then less in each."""
        return self._parameters.explore_keep ** max(self._quiet - self._parameters.patience, 0)

    def looked(self, tally: Callable[[], tuple[int, int]]) -> None:
        """After each stretch. `tally` tells its checks, and accesses among them."""
        self.turn += 1
        if not self.awake:
            # One access where there was none is all there is to find; one miss among many changes little.
            checks, hits = tally()
            self.awake = 0 < hits < self._parameters.max_mixed_share * checks

    def learn(self, steps: Steps, *, met: bool) -> None:
        """After each fit: was there anything new? `met`: what is worth finding would have been met by now."""
        if not self.awake:
            self.awake = len({*steps.state} - {NOTHING}) > 1
        self._unsure = not met or steps.error > self._parameters.wss_error
        part = self._parameters.new_steps
        if steps.changed or part * steps.appeared > part + len(steps):
            self._found = True

    def end(self) -> None:
        """The aggregation is over."""
        self._aggregations += 1
        self._quiet = 0 if self._found or self._unsure else self._quiet + 1
        self._found = False
        if not self.awake:
            self._cautious *= 2

    def places(self, count: int) -> int:
        """The first of the next `count` places to explore, by their number in the sequence of Space.spread."""
        first = self._places
        self._places += count
        return first

    def wanted(self, budget: int) -> float:
        """Checks for exploration in an aggregation with `budget` checks."""
        share = max(self._explore_share, self._parameters.idle_share)
        wanted = max(budget * share, min(budget, self._parameters.least_explored))
        return wanted if self.awake else min(self._cautious, wanted)
