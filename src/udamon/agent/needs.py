"""How much memory a service needs: what right-size recommends, from looks instead of a recording.

As in report/recommend.py, without swap: anonymous and shared memory cannot go, accessed or not; of files what was
accessed counts. The limit is for the largest of the last 24 h, the request for nine of ten looks. Page cache that is
only read, and what the kernel has for the group, are not in it.
"""

from __future__ import annotations

from array import array
from typing import Any

from udamon.agent.hours import HOUR_NS, HOURS, HourRing
from udamon.core.sizing import with_buffer

SAMPLES = 64
_EVERY_NS = HOURS * HOUR_NS // SAMPLES
FEWEST = 20
"""Samples from which on a percentile is told (report/levels.py)."""
_MOST = (1 << 63) - 1


class Needs:
    """Of one service: the largest of each hour, and samples over a day."""

    def __init__(self) -> None:
        self._kept = array("Q", bytes(8 * HOURS))
        self._files = array("Q", bytes(8 * HOURS))
        self._samples = array("Q")
        self._next = 0
        self._sampled_ns: int | None = None
        self._ring = HourRing()

    def add(self, now_ns: int, kept: int, files: int) -> None:
        """A look: bytes that can go nowhere, and bytes of files that were accessed in a window."""
        begun = self._ring.advance(now_ns)
        for hour in begun:
            self._kept[hour] = self._files[hour] = 0
        if len(begun) == HOURS:  # the service was not looked at for a day
            del self._samples[:]
            self._next, self._sampled_ns = 0, None
        at = self._ring.place
        self._kept[at], self._files[at] = max(self._kept[at], kept), max(self._files[at], files)
        # Often at first, so that a percentile is soon known; later spread over a day.
        every = (
            _EVERY_NS if len(self._samples) == SAMPLES else _EVERY_NS // SAMPLES * max(1, len(self._samples))
        )
        if self._sampled_ns is None or now_ns - self._sampled_ns >= every:
            self._sampled_ns = now_ns
            if len(self._samples) < SAMPLES:
                self._samples.append(kept)
            else:
                self._samples[self._next % SAMPLES] = kept
                self._next += 1

    @property
    def limit(self) -> int | None:
        """Bytes, at most; None before the first look."""
        peak = max(self._kept)
        return with_buffer(peak + max(self._files)) if peak or max(self._files) else None

    @property
    def request(self) -> int | None:
        """Bytes, at most, and no more than the limit; as that while there are too few looks."""
        limit = self.limit
        if limit is None or len(self._samples) < FEWEST:
            return limit
        usual = sorted(self._samples)[int(0.9 * (len(self._samples) - 1) + 0.5)]
        return min(limit, with_buffer(usual + max(self._files)))

    def saved(self) -> dict[str, Any]:
        """For the state file; hours from the newest one backwards."""
        order = self._ring.backwards()
        return {
            "kept": [self._kept[at] for at in order],
            "files": [self._files[at] for at in order],
            "samples": self._samples.tolist(),
        }

    def load(self, saved: Any, now_ns: int, hours_ago: int) -> None:
        """Take over what was saved so many hours ago. Raises ValueError, TypeError, KeyError for what is none."""
        kept, files, samples = (_row(saved[name]) for name in ("kept", "files", "samples"))
        if len(kept) != HOURS or len(files) != HOURS or len(samples) > SAMPLES:
            raise ValueError("not as many hours as there are")
        self._ring.advance(now_ns)
        for past, at in enumerate(self._ring.backwards()[hours_ago:]):
            self._kept[at], self._files[at] = kept[past], files[past]
        if hours_ago < HOURS:
            self._samples = array("Q", samples)


def _row(saved: Any) -> list[int]:
    row = [int(value) for value in saved]
    if any(not 0 <= value <= _MOST for value in row):
        raise ValueError("a size is out of bounds")
    return row
