"""What a workload does: its regions and its phases of access patterns, as values; and back to text.

See `config` for the text form. Everything here is frozen, so a Workload can be shared and hashed.
"""

from __future__ import annotations

from dataclasses import dataclass

from udamon.model import PAGE_SIZE

DEFAULT_RATE = 100e6
"""Accesses per second of all patterns of a phase together, where a file says nothing."""

MODES = ("ro", "wo", "rw")


@dataclass(frozen=True, slots=True)
class WorkRegion:
    """A named piece of memory. `size` is in bytes, a multiple of the page.

    `init` is None (every resident page is written once at the start), "none" (left alone until a phase
    touches it) or the path of a file whose bytes fill it. `resident` is the share of it that ever has
    pages; those are at its start, and patterns reach only them.
    """

    name: str
    size: int
    init: str | None = None
    resident: float = 1.0

    @property
    def resident_bytes(self) -> int:
        """Bytes at the start of the region that have pages, rounded up to a page."""
        return min(self.size, -(-round(self.size * self.resident) // PAGE_SIZE) * PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one region is accessed in a phase. `stride` in bytes; `weight` is relative within the phase.

    `chance` states the chance of a page to be accessed per sampling interval, instead of the one that
    follows from rate and weight; `window` (a share of the region) and `period_ns` state a window that
    slides through the region once a period. Both are for the simulation.
    """

    region: str
    random: bool
    stride: int
    weight: float
    mode: str = "wo"
    chance: float | None = None
    window: float | None = None
    period_ns: int | None = None


@dataclass(frozen=True, slots=True)
class WorkloadPhase:
    """A time in which the same patterns hold. `rate` is accesses per second, None for the workload's."""

    name: str
    duration_ns: int
    patterns: tuple[Pattern, ...] = ()
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A whole configuration: at least one region and one phase. `rate` is in accesses per second."""

    regions: tuple[WorkRegion, ...]
    phases: tuple[WorkloadPhase, ...]
    rate: float = DEFAULT_RATE

    @property
    def duration_ns(self) -> int:
        """All phases once, in nanoseconds."""
        return sum(phase.duration_ns for phase in self.phases)

    @property
    def resident_bytes(self) -> int:
        """Bytes of memory that a real run needs."""
        return sum(region.resident_bytes for region in self.regions)

    def rate_of(self, phase: WorkloadPhase) -> float:
        """Accesses per second of all patterns of `phase` together."""
        return self.rate if phase.rate is None else phase.rate


def format_workload(workload: Workload) -> str:
    """The text of `workload`: `config.parse` reads it back to an equal value."""
    paragraphs = [[_region(region) for region in workload.regions]]
    if workload.rate != DEFAULT_RATE:
        paragraphs[0].insert(0, f"# udamon: rate={_number(workload.rate)}")
    for phase in workload.phases:
        rate = "" if phase.rate is None else f" # udamon: rate={_number(phase.rate)}"
        lines = [phase.name + rate, _milliseconds(phase.duration_ns)]
        paragraphs.append(lines + [_pattern(pattern) for pattern in phase.patterns])
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _region(region: WorkRegion) -> str:
    fields = [region.name, str(region.size)] + ([] if region.init is None else [region.init])
    tail = "" if region.resident == 1 else f" # udamon: resident={_number(region.resident)}"
    return ", ".join(fields) + tail


def _pattern(pattern: Pattern) -> str:
    fields = [pattern.region, str(int(pattern.random)), str(pattern.stride), _number(pattern.weight)]
    stated = {"chance": pattern.chance, "window": pattern.window}
    words = [f"{key}={_number(value)}" for key, value in stated.items() if value is not None]
    if pattern.period_ns is not None:
        words.append(f"period={_period(pattern.period_ns)}")
    mode = [] if pattern.mode == "wo" else [pattern.mode]
    return ", ".join(fields + mode) + (f" # udamon: {' '.join(words)}" if words else "")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and value < 1e15 else repr(value)


def _milliseconds(ns: int) -> str:
    whole, rest = divmod(ns, 1_000_000)
    return f"{whole}.{rest:06d}" if rest else str(whole)


def _period(ns: int) -> str:
    return f"{ns // 1_000_000_000}s" if ns % 1_000_000_000 == 0 else f"{ns}ns"
