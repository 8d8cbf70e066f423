"""Islands that appear in memory that was quiet: whether they are new, or were only not met before."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING

from udamon.core.adaptive.parameters import Parameters

if TYPE_CHECKING:
    from udamon.core.adaptive.steps import Steps


class Newcomers:
    """How much was explored when, which outlives the points that came of it."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._explored = 0
        self._by_then: deque[tuple[int, int]] = deque(
            maxlen=parameters.looks_kept
        )  # end (us), explored up to it
        self._young: list[tuple[int, int, int]] = []  # aggregations to wait, an address, explored before

    @property
    def explored(self) -> int:
        """All checks so far that looked for what is not known."""
        return self._explored

    def explore(self, checks: int) -> None:
        """So many checks look for what is not known."""
        self._explored += checks

    def found(self, steps: Steps) -> None:
        """After each fit. What explored in the same aggregation is what found them."""
        explored = self._by_then[-1][1] if self._by_then else 0
        self._young += ((self._parameters.newcomer_waits, page, explored) for page in steps.islands)

    def end(self, steps: Steps, now_us: int, aggregation_us: int) -> None:
        """The aggregation ended at `now_us`. Ages begin anew where an island would hardly have been missed before."""
        self._by_then.append((now_us, self._explored))
        young, self._young = self._young, []
        for waits, page, explored in young:
            if waits > 0:
                self._young.append((waits - 1, page, explored))
                continue
            k = bisect_right(steps.bounds, page) - 1
            if not 0 <= k < len(steps) or steps.rate[k] < self._parameters.hot_rate:
                continue
            # It may have become one with what was hot beside it, which has an age of its own.
            first, last, since = steps.ages.at(page)
            start, end = max(steps.bounds[k], first), min(steps.bounds[k + 1], last)
            looks = (explored - self._before(since)) * (end - start) / max(steps.space.total, 1)
            if looks > self._parameters.newcomer_looks:
                waited = (self._parameters.newcomer_waits + 1) * aggregation_us
                steps.ages.change(start, end, now_us - waited)

    def _before(self, when_us: int) -> int:
        """Checks that had explored by then; by the earliest time that is known, where it is later."""
        at = bisect_right(self._by_then, when_us, key=lambda known: known[0])
        if at == 0 and len(self._by_then) < self._parameters.looks_kept:
            return 0
        return self._by_then[max(at - 1, 0)][1]
