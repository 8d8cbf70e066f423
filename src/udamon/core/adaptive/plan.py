"""Where to ask next: in the gaps of steps, around surprises, in every segment, and evenly everywhere."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.relay import Relay
from udamon.core.adaptive.steps import Steps
from udamon.core.policy import Slots
from udamon.model import PAGE_SIZE
from udamon.native._native import segments_doubtful, segments_refresh, steps_gaps


class SlotPlan:
    """The slots of one target for a stretch of `ticks` ticks, with at most `budget` checks in all."""

    def __init__(
        self, slots: Slots, position: int, steps: Steps, budget: int, parameters: Parameters
    ) -> None:
        self._slots = slots
        self._position = position
        self._steps = steps
        self._budget = budget
        self._left = budget
        self._parameters = parameters

    def learn(self) -> None:
        """Ask where the steps leave doubt of what is where."""
        self._gaps()
        self._suspects()

    def follow(self, turn: int) -> None:
        """Ask how what is known is accessed now; once an aggregation."""
        self._doubtful()
        self._refresh(turn)

    def explore(self, explorer: Explorer, checks: float) -> None:
        """Look for what is not known: one tick each, at the next places of a sequence that hardly repeats itself."""
        count = min(int(checks), self._left)
        self._ask_each(*self._steps.space.spread(explorer.places(count), count, self._steps.grain), 1)

    def measure(self, explorer: Explorer, checks: float, ticks: int) -> None:
        """Measure the share of accessed bytes, over all of `ticks`: one place in each of `checks` equal cells of the
        resident bytes, in another eighth of the cell each time. Known islands are checked as often as other memory,
        which `explore` does not do."""
        starts, ends = self._steps.space.strata(
            min(int(checks), self._left), explorer.turn, self._steps.grain
        )
        self._ask_each(starts, ends, ticks)

    def pass_on(self, relay: Relay, ticks: int) -> None:
        """The pages whose checks go on from the stretch before, in all of this one."""
        first, pages = len(self._slots), relay.pages(self._left)
        self._ask_each(pages, array("Q", [page + PAGE_SIZE for page in pages]), ticks)
        relay.ask(range(first, len(self._slots)))

    def choose(self, relay: Relay, explorer: Explorer, checks: float, ticks: int) -> None:
        """Pages for checks that will go on in the stretches that follow, spread as those that measure."""
        first = len(self._slots)
        self.measure(explorer, checks, ticks)
        relay.ask(range(first, len(self._slots)))

    @property
    def left(self) -> int:
        return self._left

    def _ask(self, starts: Sequence[int], ends: Sequence[int], checks: Sequence[int], span: int = 1) -> None:
        self._slots.extend(self._position, starts, ends, checks, span)
        self._left -= sum(checks)

    def _ask_each(self, starts: array[int], ends: array[int], span: int) -> None:
        """One check in every slot."""
        self._slots.extend(self._position, starts, ends, array("I", [1]) * len(starts), span)
        self._left -= len(starts)

    def _room(self, share: float) -> int:
        return min(int(self._budget * share), self._left)

    def _gaps(self) -> None:
        """Every step that is not known well enough; those with most bytes at stake first."""
        steps, parameters = self._steps, self._parameters
        gaps = steps_gaps(
            bounds=steps.bounds, low=steps.low, high=steps.high, reach=steps.reach, height=steps.height,
            exact=PAGE_SIZE, finest=parameters.resolution, once=parameters.gap_checks,
            room=self._room(parameters.gap_share),
        )  # fmt: skip
        self._ask(gaps.start, gaps.end, gaps.checks)

    def _suspects(self) -> None:
        """The page of each surprise again, and both sides of it, unless its surroundings are known well."""
        steps = self._steps
        four = steps.outliers[: 4 * (self._room(self._parameters.outlier_share) // 3)]
        asked = [(start, end) for i in range(0, len(four), 4) for start, end in pairwise(four[i : i + 4])]
        asked = [(start, end) for start, end in asked if start < end]
        self._ask([start for start, _ in asked], [end for _, end in asked], [1] * len(asked))

    def _doubtful(self) -> None:
        """Segments whose rate may lie on either side of what is hot: the larger, the more."""
        steps, parameters = self._steps, self._parameters
        asked = segments_doubtful(
            bounds=steps.bounds, rate=steps.rate, seen=steps.seen, hot=parameters.hot_rate,
            least=parameters.hot_least_rate, errors=parameters.chance_errors,
            room=self._room(parameters.hot_share), most=parameters.hot_checks,
        )  # fmt: skip
        self._ask(asked.start, asked.end, asked.checks)

    def _refresh(self, turn: int) -> None:
        """Some checks in every segment that is accessed, so that a change is noticed at once."""
        steps, parameters = self._steps, self._parameters
        asked = segments_refresh(
            bounds=steps.bounds, rate=steps.rate, seen=steps.seen, least=parameters.refresh_rate,
            enough=parameters.known_checks, checks=parameters.refresh_checks,
            room=self._room(parameters.refresh_share), turn=turn,
        )  # fmt: skip
        if len(asked.start):
            first = len(self._slots)
            self._ask(asked.start, asked.end, array("I", [asked.each]) * len(asked.start))
            steps.expect(range(first, first + asked.known), asked.hits, asked.variance)
