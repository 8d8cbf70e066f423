"""Stretches of memory with one chance each, and how they add up over patterns and over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class PatternPiece(NamedTuple):
    """[start, end) whose pages are each accessed with `chance` in one sampling interval."""

    start: int
    end: int
    chance: float


class Expected(NamedTuple):
    """[start, end) over an aggregation: `mean` chance over its ticks (hot: at least one half), and the
    chance `touched` of a page to be accessed at least once."""

    start: int
    end: int
    mean: float
    touched: float


class Layer(NamedTuple):
    """`ticks` sampling intervals in which the same holds: groups of sorted, disjoint pieces, whose chances
    combine as 1 − Π(1 − p) where they overlap."""

    groups: Sequence[Sequence[PatternPiece]]
    ticks: int


def combine(layers: Sequence[Layer]) -> list[Expected]:
    """All layers, one after the other, as sorted disjoint stretches; what is never accessed is left out."""
    bounds = sorted({bound for layer in layers for group in layer.groups for p in group for bound in p[:2]})
    index = {bound: i for i, bound in enumerate(bounds)}
    means, missed = [0.0] * len(bounds), [1.0] * len(bounds)
    for groups, ticks in layers:
        for i, miss in _misses(groups, index):
            means[i] += (1 - miss) * ticks
            missed[i] *= miss**ticks
    total = sum(layer.ticks for layer in layers)
    stretches = zip(bounds, bounds[1:], means, missed, strict=False)
    return _joined(
        Expected(start, end, mean / total, 1 - miss) for start, end, mean, miss in stretches if mean
    )


def join(pieces: Iterable[PatternPiece]) -> tuple[PatternPiece, ...]:
    """Sorted pieces, neighbours with the same chance as one."""
    return tuple(PatternPiece(*e[:3]) for e in _joined(Expected(*piece, 0.0) for piece in pieces))


def _misses(groups: Sequence[Sequence[PatternPiece]], index: dict[int, int]) -> Iterable[tuple[int, float]]:
    """(stretch, chance that nothing accesses a page there) for every stretch that some piece covers."""
    misses: dict[int, float] = {}
    for group in groups:
        for start, end, chance in group:
            for i in range(index[start], index[end]):
                misses[i] = misses.get(i, 1.0) * (1 - chance)
    return misses.items()


def _joined(stretches: Iterable[Expected]) -> list[Expected]:
    joined: list[Expected] = []
    for stretch in stretches:
        if joined and joined[-1].end == stretch.start and joined[-1][2:] == stretch[2:]:
            joined[-1] = joined[-1]._replace(end=stretch.end)
        else:
            joined.append(stretch)
    return joined
