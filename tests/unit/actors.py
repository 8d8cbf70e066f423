"""Stand-ins for the seams of schemes: an actor that records, numbers that a test sets, regions without a monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from udamon.acting.base import Applied
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.regions import Region
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    ActionRequest,
    Bounds,
    Goal,
    Scheme,
    SchemeStats,
)
from udamon.core.target import Target
from udamon.engine.acting import ResetAges
from udamon.model import Range
from udamon.schemes import MatchingBytes, Schemes
from udamon.schemes.sizes import Sizes

PAGE = 4096
COLD = AccessPattern(ANY_SIZE, Bounds(0, 0), ANY_COUNT)
ALL = AccessPattern.all()


@dataclass
class Recorder:
    """An actor that does all it is told. `calls`: target index, start, end, request. `answer` may decide otherwise."""

    calls: list[tuple[int, int, int, ActionRequest]] = field(default_factory=list)
    answer: Callable[[Target, int, int], Applied] = lambda target, start, end: Applied(
        end - start, end - start
    )
    lacks: Mapping[Action, str] = field(default_factory=dict)
    closed: bool = False

    def missing(self, request: ActionRequest) -> str | None:
        return self.lacks.get(request.action)

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        self.calls.append((target.index, start, end, request))
        return self.answer(target, start, end)

    def close(self) -> None:
        self.closed = True

    def ranges(self) -> list[tuple[int, int]]:
        """Start and end of every call so far, which are forgotten then."""
        found = [(start, end) for _, start, end, _ in self.calls]
        self.calls.clear()
        return found


@dataclass
class Numbers:
    """Metrics that a test sets; those it did not set are None. An exception among them is raised."""

    free: int | Exception | None = None
    values: dict[str, int | Exception | None] = field(default_factory=dict)
    eligible: Callable[[Sequence[MatchingBytes]], int] = lambda matching: 0

    def value(self, goal: Goal) -> int | None:
        return _given(self.values.get(goal.target_metric))

    def eligible_bp(self, goal: Goal, matching: Sequence[MatchingBytes]) -> int | None:
        return self.eligible(matching)

    def free_mem_permil(self) -> int | None:
        return _given(self.free)


def _given(number: int | Exception | None) -> int | None:
    if isinstance(number, Exception):
        raise number
    return number


class ReportedService:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.before: list[tuple[int, int, int, int, int]] = []
        self.esz: list[tuple[int, int]] = []
        self.passes: list[tuple[int, int]] = []  # scheme, nr_tried

    def before_apply(self, scheme: int, target: Target, region: Region) -> None:
        self.before.append((scheme, target.index, len(target.regions), region.start, region.age))

    def effective_size(self, scheme: int, esz: int) -> None:
        self.esz.append((scheme, esz))

    def after_apply_interval(self, scheme: int, stats: SchemeStats) -> None:
        self.passes.append((scheme, stats.nr_tried))


def region(start: int, end: int, nr_accesses: int = 0, age: int = 0) -> Region:
    """As after an aggregation. Addresses in pages."""
    made = Region(start * PAGE, end * PAGE)
    made.nr_accesses = made.last_nr_accesses = nr_accesses
    made.nr_accesses_bp = nr_accesses * 10_000
    made.age = age
    return made


class Bench:
    """Schemes over regions that a test lays out, an apply pass at a time, without a kdamond."""

    def __init__(
        self,
        *schemes: Scheme,
        regions: Sequence[Region] | Sequence[Sequence[Region]] = (),
        attrs: Attrs | None = None,
        numbers: Numbers | None = None,
        sizes: Sizes | None = None,
        keep_up: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.attrs = attrs or Attrs(min_nr_regions=3)
        self.actor, self.numbers, self.told = Recorder(), numbers or Numbers(), ReportedService()
        self.schemes = Schemes(
            schemes,
            self.actor,
            self.numbers,
            self.clock.now_ns,
            observers=[self.told],
            sizes=sizes,
            keep_up=keep_up,
        )
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.targets: list[Target] = []
        lists = [regions] if regions and isinstance(regions[0], Region) else regions
        for index, each in enumerate(lists):
            made: list[Region] = [r for r in each if isinstance(r, Region)]  # type: ignore[union-attr]
            self.targets.append(Target(index, ranges=[Range(made[0].start, made[-1].end)], regions=made))
        self.sis = 0
        self.schemes.start(self.attrs, lambda name, data: self.events.append((name, data)))

    def apply(self, after_ms: int | None = None) -> list[tuple[int, int]]:
        """A pass after an aggregation (or so long); returns what was acted on, in pages."""
        ticks = self.attrs.max_nr_accesses if after_ms is None else after_ms * 1_000 // self.attrs.sample_us
        self.sis += ticks
        self.clock.wait_until(self.clock.now_ns() + ticks * self.attrs.sample_us * 1_000)
        self.schemes.wait_us()
        self.acted: Sequence[ResetAges] = self.schemes.apply(self.targets, self.sis, lambda target: True)
        return [(start // PAGE, end // PAGE) for start, end in self.actor.ranges()]

    def layout(self, target: int = 0) -> list[tuple[int, int]]:
        """Its regions, in pages."""
        return [(r.start // PAGE, r.end // PAGE) for r in self.targets[target].regions]

    def stats(self, scheme: int = 0) -> SchemeStats:
        return self.schemes.status()[scheme].stats

    @property
    def notes(self) -> list[str]:
        return [str(data["text"]) for name, data in self.events if name == "note"]
