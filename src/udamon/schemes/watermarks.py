"""When a scheme is inactive because there is too much or too little free memory (docs/damon.md#watermarks)."""

from __future__ import annotations

from collections.abc import Callable

from udamon.core.scheme import WatermarkMetric, Watermarks


class WatermarkState:
    """The watermarks of one scheme. `active` at first; `why` says what keeps it closed, "" while it is open."""

    def __init__(self, watermarks: Watermarks) -> None:
        self.watermarks = watermarks
        self.active = True
        self.why = ""

    def commit(self, watermarks: Watermarks) -> None:
        """Any commit opens the gate (docs/damon.md#commits): kept, for the next look closes it again
        before anything is done, as both come before the apply pass."""
        self.watermarks = watermarks
        self.active = True
        self.why = ""

    def check(self, read: Callable[[], int | None]) -> int:
        """Open or close; returns for how many µs there is nothing to do, 0 while it is open.

        It opens from `low` to below `mid`, and once open it stays so up to `high`. Where the metric cannot be read
        it closes: what is not known to be needed is not done.
        """
        marks = self.watermarks
        if marks.metric is WatermarkMetric.NONE:
            self.active, self.why = True, ""
            return 0
        free = read()
        if free is None:
            self.active, self.why = False, "free memory cannot be read"
        elif free > marks.high:
            self.active, self.why = False, _sentence(free, "above the high", marks.high)
        elif free < marks.low:
            self.active, self.why = False, _sentence(free, "below the low", marks.low)
        elif not self.active and free >= marks.mid:
            self.why = _sentence(free, "not yet below the mid", marks.mid)
        else:
            self.active, self.why = True, ""
        return 0 if self.active else marks.interval_us


def _sentence(free: int, relation: str, mark: int) -> str:
    return f"{free / 10:.1f} % of memory is free, {relation} watermark of {mark / 10:.1f} %"
