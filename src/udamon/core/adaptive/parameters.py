"""What the policy `adaptive` can be tuned by, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameters:
    """`docs/benchmarks.md` shows how results move when each is halved and doubled."""

    keep: float = 0.97
    """Weight of a point, per aggregation of its age: what drifted unseen makes old evidence worth less. What is
    seen to change needs no forgetting: there the old points go at once."""
    memory: int = 16
    """Aggregations after which a point is forgotten: a fit walks through all of them."""
    outlier: float = 0.01
    """Share of answers that say nothing, whatever the rate: pages unlike their neighbours, lost accesses."""
    change_nats: float = 11.0
    """Log-odds against a change of a segment's rate since the last aggregation, while all is quiet: a false one
    in a minute of 100 segments. What the checks of all segments together say of changes lowers it."""
    changing_share_keep: float = 0.8
    """What is left, with each aggregation, of the share of segments that was seen to change together."""
    steps: int = 64
    """Steps expected where fewer are known: the prior of a step is their number by the bytes."""
    first_checks: int = 32
    """Checks of the first aggregation as long as all of them agree."""
    surprise_nats: float = 2.5
    """An answer this improbable under its steps is looked after."""
    resolution: int = 64
    """A step is known well enough when its gap is this part of the smaller of the segments beside it."""
    drift: float = 0.06
    """Of that part: what the gap grows by with each aggregation, so that every step is looked at again."""
    idle_share: float = 0.1
    """Part of the budget that keeps exploring when nothing was found for long."""
    explore_keep: float = 0.85
    """What is left of exploration after each aggregation that brought nothing new."""
    whole_share: float = 0.2
    """Part of the budget for checks that span the whole aggregation: they measure the working set."""
