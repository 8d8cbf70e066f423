"""The seam of numbers: what schemes want to know of the machine, whoever reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from udamon.core.scheme import Goal, GoalMetric
from udamon.core.target import Target

GROWING = (GoalMetric.SOME_MEM_PSI_US, GoalMetric.MEMCG_SOME_MEM_PSI_US)
"""Their readers tell totals; what a goal is about is the growth since it was last looked at."""


class MatchingBytes(NamedTuple):
    """Bytes that match a scheme's access pattern."""

    target: Target
    start: int
    end: int


class Metrics(Protocol):
    """Tells numbers. Only the kdamond asks, at most once a charge window and goal.

    Whatever cannot be read is None (and may be an exception, which is taken for None and told once): the goal then
    does not count, and a watermark holds its scheme back.
    """

    def value(self, goal: Goal) -> int | None:
        """The number that `goal` is about, in the unit of its metric (docs/damon.md#goals).

        The two PSI metrics: the *total* stall time so far, µs. Never asked for user_input and
        node_eligible_mem_bp.
        """

    def eligible_bp(self, goal: Goal, matching: Sequence[MatchingBytes]) -> int | None:
        """Of the bytes `matching`, how many in 10 000 lie on the node `goal.nid`; 0 where none match."""

    def free_mem_permil(self) -> int | None:
        """Free memory of the system × 1000 / total memory."""
