"""Where sampled targets are in memory: for their snapshots, and for policies that look only there."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.held import Held
from udamon.model import Range
from udamon.native._native import overlaps as shared_bytes

SHARE = 0.001
"""Of one CPU: looking at residency is put off until the last look has paid for itself at this share."""


class Residents:
    """Keeps `Target.resident` up to date; `look` finds out, `cpu_ns` and `now_ns` tell what it costs."""

    def __init__(
        self,
        look: Callable[[Target, Held], list[Range]],
        now_ns: Callable[[], int],
        cpu_ns: Callable[[], int],
    ) -> None:
        self.held = Held()
        """How long looking held the mapping locks of targets."""
        self._look = look
        self._now_ns = now_ns
        self._cpu_ns = cpu_ns
        self._next_ns: dict[int, int] = {}

    def refresh(self, targets: Sequence[Target]) -> None:
        """Look at those targets whose last look is paid for; forget targets that are not named."""
        for gone in self._next_ns.keys() - {target.index for target in targets}:
            del self._next_ns[gone]
        for target in targets:
            if self._now_ns() >= self._next_ns.get(target.index, 0):
                before = self._cpu_ns()
                with suppress(CannotError):  # it ended: the next update says so
                    target.resident = self._look(target, self.held)
                cost = self._cpu_ns() - before
                self._next_ns[target.index] = self._now_ns() + int(cost / SHARE)


def overlaps(starts: array[int], ends: array[int], ranges: Sequence[Range]) -> array[int]:
    """Bytes ('Q') that each of the regions from `starts` to `ends` ('Q') shares with `ranges`; all of them are sorted
    and disjoint."""
    return shared_bytes(
        start=starts,
        end=ends,
        other_start=array("Q", [start for start, _ in ranges]),
        other_end=array("Q", [end for _, end in ranges]),
    )
