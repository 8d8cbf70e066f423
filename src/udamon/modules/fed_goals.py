"""Goals that in-kernel DAMON cannot read, fed to it as user_input."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from udamon.core.scheme import Goal, GoalMetric, Scheme
from udamon.engine.kernel.scheme_plan import OWN_METRICS
from udamon.errors import NotSupported
from udamon.scheme_metrics.machine import MachineMetrics
from udamon.schemes.goals import AimedGoal

EVERY_NS = 1_000_000_000


def as_user_input(scheme: Scheme, numbers: Mapping[Goal, int] = {}) -> Scheme:
    """The scheme with udamon's own goals as user_input. One whose number is not known counts as just met, so that the
    quota stays as it is."""
    goals = tuple(
        Goal(GoalMetric.USER_INPUT, goal.target_value, numbers.get(goal, goal.target_value))
        if goal.target_metric in OWN_METRICS
        else goal
        for goal in scheme.quotas.goals
    )
    return replace(scheme, quotas=replace(scheme.quotas, goals=goals))


class FedGoals:
    """Reads the numbers of all goals of udamon's own, at most once a second. Raises NotSupported for what cannot be
    read here."""

    def __init__(self, schemes: Sequence[Scheme], now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._metrics = MachineMetrics()
        self._now_ns = now_ns
        self._next_ns = 0
        self._aimed: dict[Goal, AimedGoal] = {}
        self.numbers: dict[Goal, int] = {}
        """Of each goal that is known: what it was when it was last looked at, or its growth since the time before."""
        try:
            self.commit(schemes)
        except NotSupported:
            self.close()
            raise

    def commit(self, schemes: Sequence[Scheme]) -> None:
        """Go on with the goals of these; raises NotSupported, and then goes on as before."""
        goals = {goal for s in schemes for goal in s.quotas.goals if goal.target_metric in OWN_METRICS}
        for goal in goals - self._aimed.keys():
            self._metrics.require(goal)
        self._aimed = {goal: self._aimed.get(goal) or AimedGoal(goal) for goal in goals}
        self.numbers = {goal: number for goal, number in self.numbers.items() if goal in goals}

    def look(self) -> bool:
        """Read all again; False where it was not yet time, or there is nothing to read. Raises CannotError."""
        if not self._aimed or self._now_ns() < self._next_ns:
            return False
        self._next_ns = self._now_ns() + EVERY_NS
        for goal, aimed in self._aimed.items():
            number = aimed.current(self._metrics.value)
            if number is not None:
                self.numbers[goal] = number
        return True

    def close(self) -> None:
        """Idempotent."""
        self._metrics.close()
