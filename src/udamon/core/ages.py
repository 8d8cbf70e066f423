"""How much memory lies idle for how long: the figures of `udamon report ages` and of `udamon stat`, and why they are no
exact ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from udamon.core.idle_time import LABELS, SECONDS, Cold, IdleTimes, Seen, Together, once, total
from udamon.model import MAPPING, NOWHERE, Snapshot, is_census
from udamon.units import format_size

SAMPLED = "a region that was accessed at all counts with all of its bytes"
BOUNDED = "bounds have 95 % confidence; the upper ones take what each window accessed for the same memory"
UNBOUNDED = "how far these estimates may be from the truth is not known"
PARTS = "of regions that were accessed in part it is not known which part that was"
GAPS = "there were times that nobody looked"
ONCE = "pages that several mappings have count once, and which of them were accessed is not always known"
NO_PAGES = "by mapping it is not known whether the bytes accessed in one window are those of another"


class SampleBounds(NamedTuple):
    """Of samples: bytes that are idle at least and at most, for each of SECONDS; None for longer than was watched."""

    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True, slots=True)
class AgesReport:
    """The report. `found` has bytes by idle time; `watched_ns` is the time from the first window's begin to the end.

    `measured`: how much of a region was accessed; `parts`: of some it was a part; `gaps`: at times nobody looked;
    `shared`: mappings may have pages in common, each of which counts once, and there are at most `found.size` bytes.
    With none of them, lower and upper bounds are the same. Where not `measured`, figures are estimates, and `sampled`
    has bounds of those of idle memory, where they are known.
    """

    found: Cold
    watched_ns: int
    grain: str
    measured: bool
    parts: bool
    gaps: bool
    shared: bool
    sampled: SampleBounds | None = None

    @property
    def exact(self) -> bool:
        """Whether it was measured, and lower and upper bounds are the same."""
        return self.measured and self._alike

    @property
    def _alike(self) -> bool:
        found = self.found
        return not (self.parts or self.gaps) and (found.cold_low, found.promoted_low) == (
            found.cold_high, found.promoted_high
        )  # fmt: skip

    @classmethod
    def of(
        cls, alive: Iterable[IdleTimes], begin_ns: int, grain: str, *, measured: bool,
        together: Together | None = None, sampled: SampleBounds | None = None,
    ) -> AgesReport:  # fmt: skip
        """Of the targets that have memory at the end; somebody was watched from `begin_ns` on. `together`: where they
        may have pages in common. `sampled`: bounds where not `measured`."""
        targets = list(alive)
        summed = total(one.told() for one in targets)
        return cls(
            summed if together is None else once(summed, together),
            max((one.end_ns for one in targets), default=begin_ns) - begin_ns,
            grain,
            measured,
            any(one.parts for one in targets),
            any(one.gaps for one in targets),
            together is not None,
            sampled,
        )

    @property
    def cold(self) -> list[float | None]:
        """What is surely that cold, where that was measured; else an estimate, within its bounds."""
        if self.sampled is None:
            return self.found.cold_low
        return [
            one if one is None or low is None or high is None else min(max(one, low), high)
            for one, low, high in zip(self.found.cold_low, *self.sampled, strict=True)
        ]

    @property
    def bounds(self) -> tuple[list[float | None], list[float | None]] | None:
        """Of idle memory, at least and at most; None where it is exact, and where an estimate has none."""
        if self.measured:
            return None if self.exact else (self.found.cold_low, self.found.cold_high)
        return self.sampled

    @property
    def promoted(self) -> list[float | None]:
        """None where nothing can be told."""
        known = self.grain != MAPPING or not self.parts
        return self.found.promoted_low if known else [None] * len(SECONDS)

    @property
    def why(self) -> str | None:
        """Why figures are no exact ones; None where they are."""
        found = []
        if not self.measured:
            found += [SAMPLED, UNBOUNDED if self.sampled is None else BOUNDED]
        elif self.parts or not (self._alike or self.gaps or self.shared):
            found.append(NO_PAGES if self.grain == MAPPING else PARTS)
        if self.gaps:
            found.append(GAPS)
        if self.shared and not self._alike:
            found.append(ONCE)
        return "; ".join(found) or None


def _by_seconds(values: list[float | None]) -> dict[str, int | None]:
    return {
        str(seconds): None if value is None else round(value)
        for seconds, value in zip(SECONDS, values, strict=True)
    }


def _both(low: list[float | None], high: list[float | None]) -> dict[str, Any]:
    return {"low": _by_seconds(low), "high": _by_seconds(high)}


def document(report: AgesReport) -> dict[str, Any]:
    """For JSON: bytes by seconds. Null where nobody watched for so long, and where nothing can be told."""
    found = report.found
    return {
        "seconds": report.watched_ns / 1e9,
        "resident_bytes": round(found.size),
        "shared": report.shared,
        "cold_bytes": _by_seconds(report.cold),
        "promoted_bytes": _by_seconds(report.promoted),
        "bounds": None
        if report.bounds is None
        else {
            "cold_bytes": _both(*report.bounds),
            "promoted_bytes": _both(found.promoted_low, found.promoted_high) if report.measured else None,
        },
        "why": report.why,
    }


def sentence(report: AgesReport) -> str | None:
    """One figure: for the longest idle time that is at most half of the time watched, or for the shortest if none is.
    None if the time watched is shorter than all of them."""
    known = [at for at, value in enumerate(report.cold) if value is not None]
    short = [at for at in known if SECONDS[at] * 2e9 <= report.watched_ns]
    at = max(short, default=min(known, default=None))
    if at is None:
        return None
    cold, more = format_size(report.cold[at] or 0.0), "" if report.exact else " or more"
    size = f"{'at most ' if report.shared else ''}{format_size(report.found.size)}"
    if not report.measured:
        low, high = (0.0, 0.0) if report.sampled is None else (side[at] or 0.0 for side in report.sampled)
        error = "error unknown" if report.sampled is None else f"{format_size(low)} to {format_size(high)}"
        return f"not touched for at least {LABELS[at]}: {cold} of {size}, an estimate ({error})"
    return f"not touched for at least {LABELS[at]}: {cold}{more} of {size}"


def seen_of(snapshot: Snapshot, via: object, policy: object = None) -> list[Seen]:
    """The regions of a window, as IdleTimes takes them; `via` is the way of looking, `policy` says where."""
    sizes = snapshot.resident or [
        end - start for start, end in zip(snapshot.starts, snapshot.ends, strict=True)
    ]
    if not is_census(via, policy):  # as DAMON assumes: accessed at all is accessed throughout
        accessed = [
            float(size) if count else 0.0 for size, count in zip(sizes, snapshot.nr_accesses, strict=True)
        ]
        return list(map(Seen, snapshot.starts, snapshot.ends, map(float, sizes), accessed, accessed))
    surely: Iterable[int] = snapshot.touched
    if snapshot.sharing is not None:
        surely = [0 if least == NOWHERE else least for least in snapshot.sharing.touched_min]
    elif via == "refs":
        surely = [0] * len(snapshot)
    return [
        Seen(start, end, size, min(least, touched, size), min(touched, size))
        for start, end, size, least, touched in zip(
            snapshot.starts, snapshot.ends, map(float, sizes), surely, snapshot.touched, strict=True
        )
    ]
