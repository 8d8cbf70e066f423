"""Figures of the whole node, and of the agent itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from udamon.agent.figures import WORKING_SET
from udamon.agent.watched import WatchedService
from udamon.linux.procfs import read_bytes, resident_bytes
from udamon.linux.roots import Roots

_STAT = "module/damon_stat/parameters"
QUANTILES = (0.5, 0.75, 0.9, 0.99)


class NodeFigures(NamedTuple):
    """`far_memory_coverage`: None where nothing is known to be cold; `idle_seconds` by share of bytes, empty where
    DAMON_STAT does not run."""

    far_memory_coverage: float | None
    idle_seconds: dict[float, float]
    own_resident: int


def node_figures(services: Iterable[WatchedService], roots: Roots) -> NodeFigures:
    """Of these services now."""
    cold = swapped = 0
    for one in services:
        measured = one.figures.measured.get(WORKING_SET)
        if measured is not None:
            cold += measured.cold.low
            swapped += one.figures.swapped
    coverage = swapped / (cold + swapped) if cold + swapped else None
    return NodeFigures(coverage, damon_stat_idle(roots.sys), resident_bytes("self", roots.proc))


def damon_stat_idle(sys: Path) -> dict[float, float]:
    """What DAMON_STAT knows, where somebody has switched it on (docs/damon.md#damon_stat); it is only read."""
    try:
        if read_bytes(sys / _STAT / "enabled").strip() not in (b"Y", b"1"):
            return {}
        idle = [int(word) for word in read_bytes(sys / _STAT / "memory_idle_ms_percentiles").split(b",")]
    except (OSError, ValueError):
        return {}
    if len(idle) < 101:
        return {}
    return {share: max(0, idle[round(share * 100)]) / 1000 for share in QUANTILES}
