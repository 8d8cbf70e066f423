"""Stand-ins for the seams of the engine: no process, no waiting."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence

from udamon.core.clock import ManualClock
from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.errors import CannotError, PauseTooLong, TargetGone
from udamon.model import Emit, Event, Range, Snapshot
from udamon.ops.base import Shared, Touched


def answers_of(slots: Slots, ticks: int, hits: Sequence[int]) -> Answers:
    """Answers with the given hits per slot and no single points."""
    none = array("I")
    return Answers(
        ticks, array("I", hits), array("I", [0] * len(slots)), none, array("Q"), none, b"", b"",
        array("q", [0] * ticks),
    )  # fmt: skip


class FakeSpace:
    """An operations set over ranges that a test sets; `alive` ends it."""

    name = "fake"

    def __init__(self, *targets: Sequence[Range]) -> None:
        self.ranges: list[list[Range]] = [list(ranges) for ranges in targets]
        self.alive = True
        self.empty_is_fine = False
        self.updates = 0
        self.forks: list[Sequence[Range]] = []
        """Targets that come between two updates, each at the end of the next window."""
        self.finished = 0
        self.closed = False

    def update(self, targets: list[Target], emit: Emit) -> None:
        self.updates += 1
        for index, ranges in enumerate(self.ranges):
            if index == len(targets):
                targets.append(Target(index, pid=100 + index))
                emit("target_start", {"target": index})
            targets[index].ranges = list(ranges)

    def follow_forks(self, targets: list[Target], emit: Emit) -> bool:
        if not self.forks:
            return False
        self.ranges.append(list(self.forks.pop(0)))
        index = len(targets)
        targets.append(Target(index, pid=100 + index, ranges=list(self.ranges[index])))
        emit("target_start", {"target": index})
        return True

    def valid(self, target: Target) -> bool:
        return self.alive

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        self.finished += 1

    def expecting(self) -> bool:
        return self.empty_is_fine

    def close(self) -> None:
        self.closed = True


class FakeSampler:
    """Every check in a hot range hits. Counts its calls; `on_call` may reach into the monitor."""

    name = "fake"
    longest_pause_ns = 0

    def __init__(self, clock: ManualClock, hot: Sequence[Range] = ()) -> None:
        self.clock = clock
        self.hot = hot
        self.calls: list[tuple[int, int]] = []  # begin_ns, ticks
        self.on_call: Callable[[int], None] = lambda number: None
        self.refused: dict[int, CannotError] = {}

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        self.calls.append((begin_ns, ticks))
        self.on_call(len(self.calls))
        done = ticks if self.clock.wait_until(begin_ns + ticks * tick_ns) else 0
        hits = [done * self._inside(s, e) for s, e in zip(slots.start, slots.end, strict=True)]
        return answers_of(slots, done, hits)

    def _inside(self, start: int, end: int) -> bool:
        middle = (start + end) // 2
        return any(r.start <= middle < r.end for r in self.hot)

    def interrupt(self) -> None:
        self.clock.interrupt()

    def close(self) -> None:
        self.closed = True


class FakePauses:
    """Costs that a test sets; a target in `forbidden` may not be looked at."""

    def __init__(self) -> None:
        self.longest_ns = 0
        self.cost_ns = 0
        self.forbidden: set[int] = set()
        self.backed_off: set[int] = set()
        """Of those in `forbidden`, who may be looked at again later as they are."""
        self.long: set[int] = set()
        self.windows = 0

    def too_long(self, target: Target) -> str | None:
        return f"{target.index} would be stopped for too long." if target.index in self.forbidden else None

    def warning(self, target: Target) -> str | None:
        return f"{target.index} will be stopped for long." if target.index in self.long else None

    def news(self) -> list[str]:
        return []

    def window_over(self, here: Collection[int]) -> None:
        self.windows += 1


class FakeCensus:
    """Answers what a test put into `seen`; a target in `gone` has ended."""

    name = "fake"

    def __init__(self) -> None:
        self.seen: dict[int, list[Touched]] = {}
        self.gone: set[int] = set()
        self.refused: dict[int, CannotError] = {}
        self.prepared: list[int] = []
        self.leaders: dict[int, int] = {}
        self.known: dict[int, list[Shared | None]] = {}
        self.advice: dict[int, list[tuple[int, int, str]]] = {}
        self.pauses = FakePauses()
        self.exposed: list[list[int]] = []
        self.left_out: list[str] = []
        """Sentences on memory that looks left out."""

    def begin(self, targets: Sequence[Target]) -> None:
        """A test has said already what is shared."""

    def leader(self, target: Target) -> int:
        return self.leaders.get(target.index, target.index)

    def shared(self, target: Target) -> Sequence[Shared | None] | None:
        return self.known.get(target.index)

    def advised(self, target: Target) -> Sequence[tuple[int, int, str]] | None:
        return self.advice.get(target.index)

    def news(self) -> list[str]:
        told, self.left_out = self.left_out, []
        return told

    def close(self) -> None:
        """Nothing was opened."""

    def expose(self, targets: Sequence[Target]) -> None:
        self.exposed.append([target.index for target in targets])

    def prepare(self, target: Target) -> None:
        self._check(target)
        if (why := self.pauses.too_long(target)) is not None:
            raise PauseTooLong(why, temporary=target.index in self.pauses.backed_off)
        self.prepared.append(target.index)

    def look(self, target: Target) -> list[Touched]:
        self._check(target)
        return self.seen.get(target.index, [])

    def _check(self, target: Target) -> None:
        if target.index in self.gone:
            raise TargetGone("the process has ended.")
        if target.index in self.refused:
            raise self.refused[target.index]


class Collector:
    """A subscriber that keeps everything."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.events: list[Event] = []

    def snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def event(self, event: Event) -> None:
        self.events.append(event)
