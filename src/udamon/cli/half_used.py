"""Untouched memory that a scheme cannot have, because what looks sees nothing finer than the mappings it lies in."""

from __future__ import annotations

from udamon.core.scheme import Scheme
from udamon.model import Event, Snapshot


class HalfUsed:
    """Subscribes to a census by mappings (refs), and knows the last window of each target."""

    def __init__(self) -> None:
        self._latest: dict[int, Snapshot] = {}

    def snapshot(self, snapshot: Snapshot) -> None:
        self._latest[snapshot.target] = snapshot

    def event(self, event: Event) -> None:
        if event.name == "target_end":
            self._latest.pop(int(str(event.data["target"])), None)

    def untouched(self, scheme: Scheme) -> int:
        """Resident bytes that no access was seen to, in regions that are too much accessed for `scheme` as a whole
        and of a size that it takes. Its pattern counts samples of the attributes that hold."""
        pattern = scheme.access_pattern
        return sum(
            max(0, resident - touched)
            for snapshot in tuple(self._latest.values())
            if snapshot.resident is not None
            for start, end, count, touched, resident in zip(
                snapshot.starts,
                snapshot.ends,
                snapshot.nr_accesses,
                snapshot.touched,
                snapshot.resident,
                strict=True,
            )
            if count > pattern.nr_accesses.max and pattern.sz.min <= end - start <= pattern.sz.max
        )
