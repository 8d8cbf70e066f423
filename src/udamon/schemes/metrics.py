"""The interface of metrics: numbers of the machine that schemes depend on."""

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
    """Supplies numbers. Only the kdamond calls it, at most once per charge window and goal.

    A number that cannot be read is None; an exception counts as None and is reported once. The goal is then ignored,
    and a watermark makes its scheme inactive.
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
