"""The truth about ages: how long each region's own rate has been what it is."""

from __future__ import annotations

from typing import NamedTuple

from udamon.workload.truth import Truth

CHANGE = 0.2
"""A rate has changed when the chance moves by more than this, a fifth of its range."""


class Aged(NamedTuple):
    """[start, end) whose chance last changed by more than a fifth at `since_ns`, in workload time."""

    start: int
    end: int
    since_ns: int


class Ages:
    """When the memory of `truth` last changed. Regions are uniform unless a window moves through them; of
    those it knows only the mean, and `exact` is False."""

    def __init__(self, truth: Truth, sample_ns: int) -> None:
        count = len(truth.workload.phases)
        self._truth = truth
        self._chances = [truth.region_chances(phase, sample_ns) for phase in range(count)]
        self.exact = not any(truth.windows_in(phase, sample_ns) for phase in range(count))

    def at(self, t_ns: int) -> list[Aged]:
        """All resident memory at workload time `t_ns`, one entry a region."""
        borders = self._borders(t_ns)
        return [
            Aged(region.start, region.resident_end, self._since(i, borders))
            for i, region in enumerate(self._truth.layout.regions)
            if region.start < region.resident_end
        ]

    def _borders(self, t_ns: int) -> list[tuple[int, int, int]]:
        """(time, phase before, phase after) of every border up to one round of phases back, latest first."""
        borders: list[tuple[int, int, int]] = []
        moment = self._truth.moment(t_ns)
        while moment.begin_ns > 0 and len(borders) < len(self._chances):
            before = self._truth.moment(moment.begin_ns - 1)
            borders.append((moment.begin_ns, before.phase, moment.phase))
            moment = before
        return borders

    def _since(self, region: int, borders: list[tuple[int, int, int]]) -> int:
        for time, before, after in borders:
            if abs(self._chances[after][region] - self._chances[before][region]) > CHANGE:
                return time
        return 0  # as it was from the start
