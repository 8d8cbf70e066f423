"""The last 24 hours as a ring: each hour has a place, which that of a day later takes."""

from __future__ import annotations

HOURS = 24
HOUR_NS = 3600 * 1_000_000_000


class HourRing:
    """Whose place is that of the current hour, by a clock that never goes back."""

    __slots__ = ("_hour",)

    def __init__(self) -> None:
        self._hour: int | None = None

    @property
    def place(self) -> int:
        """That of the hour of the last call of `advance`."""
        return (self._hour or 0) % HOURS

    def advance(self, now_ns: int) -> list[int]:
        """Places of hours that have begun since the last call: what they have is of a day before."""
        hour = now_ns // HOUR_NS
        begun = 0 if self._hour is None else max(0, min(HOURS, hour - self._hour))
        self._hour = hour
        return self.backwards()[:begun]

    def backwards(self) -> list[int]:
        """All places, from that of the current hour backwards in time."""
        return [(self.place - past) % HOURS for past in range(HOURS)]
