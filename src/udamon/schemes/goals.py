"""What a quota aims at: how far from it the world is, and how much to do about it (docs/damon.md#goals)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udamon.core.scheme import U64_MAX, Goal, GoalMetric, GoalTuner
from udamon.core.tuning import GOAL_SCORE, feedback
from udamon.schemes.metrics import GROWING

Read = Callable[[Goal], int | None]
"""Tells a goal's number; None where that cannot be known."""
BP = 10_000


class AimedGoal:
    """One goal, and the total that its growth is counted from."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.baseline: int | None = None

    def commit(self, goal: Goal) -> None:
        """Take new values, and keep the baseline of growth if it is of the same thing."""
        old = self.goal
        if (old.target_metric, old.nid, old.path) != (goal.target_metric, goal.nid, goal.path):
            self.baseline = None
        self.goal = goal

    def current(self, read: Read) -> int | None:
        """The goal's number now. Growth is None at first: there is nothing to count it from (the kernel counts from
        booting, so that one old stall makes its first window a lazy one)."""
        if self.goal.target_metric is GoalMetric.USER_INPUT:
            return self.goal.current_value
        value = read(self.goal)
        if self.goal.target_metric not in GROWING:
            return value
        before, self.baseline = self.baseline, value
        return None if value is None or before is None else max(value - before, 0)

    def score(self, read: Read) -> int | None:
        """10 000 when the goal is just met."""
        current = self.current(read)
        return None if current is None else current * GOAL_SCORE // self.goal.target_value


class Goals:
    """All goals of a quota, and the effective size they have come to: `esz_bp` is in 1/10 000 bytes."""

    def __init__(self, goals: Sequence[Goal] = ()) -> None:
        self.aimed: list[AimedGoal] = []
        self.esz_bp = 0
        self.last_score: int | None = None
        self.commit(goals)

    def __bool__(self) -> bool:
        return bool(self.aimed)

    def commit(self, goals: Sequence[Goal]) -> None:
        """By index: overwrite, drop the surplus, append. A goal whose target is 0 is none, as in the kernel."""
        wanted = [goal for goal in goals if goal.target_value]
        del self.aimed[len(wanted) :]
        for aimed, goal in zip(self.aimed, wanted, strict=False):
            aimed.commit(goal)
        self.aimed.extend(AimedGoal(goal) for goal in wanted[len(self.aimed) :])

    def tune(self, tuner: GoalTuner, sz: int, read: Read) -> int:
        """Look at all goals, and return the effective size in bytes. Where none can be known it stays as it was."""
        scores = [score for aimed in self.aimed if (score := aimed.score(read)) is not None]
        self.last_score = max(scores, default=None)
        if self.last_score is not None:
            if tuner is GoalTuner.CONSIST:
                self.esz_bp = feedback(max(self.esz_bp, BP), self.last_score)
            elif self.last_score >= GOAL_SCORE:
                self.esz_bp = 0
            else:
                self.esz_bp = sz * BP if sz else U64_MAX
        return self.esz_bp // BP
