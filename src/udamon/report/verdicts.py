"""Whether a limit holds, of a figure that lies between bounds, and of a recording that may have gaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from udamon.model import WRITES_ONLY
from udamon.report.common import UNFINISHED, coverage
from udamon.report.source import RecordingSource
from udamon.targets.coverage import missed_size
from udamon.units import counted


@dataclass(frozen=True, slots=True)
class Figure:
    """What a report says of a limit's subject: it lies between `low` and `high`, which are None where nothing can be
    said. `why` tells what keeps it from being exact, or from being told; None where it is exact. `estimate` is one of
    which no bounds are known, or such as hold but may be far from it; it decides only where that is `allowed`, and
    bounds do not."""

    low: float | None
    high: float | None
    why: str | None = None
    estimate: float | None = None
    allowed: bool = False

    @classmethod
    def exact(cls, value: float) -> Figure:
        return cls(value, value)

    @classmethod
    def estimated(cls, value: float, why: str) -> Figure:
        return cls(None, None, why, value)

    @classmethod
    def within(cls, low: float, high: float, why: str, estimate: float) -> Figure:
        """An estimate that is far better than what can be said for certain."""
        return cls(low, high, why, min(max(estimate, low), high))

    @classmethod
    def between(cls, low: float, high: float, why: str) -> Figure:
        return cls(low, high, None if low == high else why)

    @property
    def value(self) -> float | None:
        """It, where it is exact."""
        return self.low if self.low == self.high else None


@dataclass(frozen=True, slots=True)
class Check:
    """One assertion: a figure against `limit`, in bytes, shares or ns; `text` is a line for people.

    `holds` is None where it cannot be decided, and `why` says what keeps it from that.
    """

    name: str
    holds: bool | None
    figure: Figure
    limit: float
    text: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class UnseenProcesses:
    """Processes that were wanted and not seen: `why` is a part of a sentence, `size` their bytes, None where those are
    not known."""

    why: str
    size: int | None


@dataclass(frozen=True, slots=True)
class RecordingGaps:
    """What the whole recording lacks: `missing` says which part of it was not read, None for none; `writes_only`, that
    reads were no accesses to it."""

    missing: str | None = None
    unseen: UnseenProcesses | None = None
    writes_only: bool = False


def doubts(source: RecordingSource, *, allow_damaged: bool = False) -> RecordingGaps:
    """What keeps limits from being decided, whatever their figures are."""
    unseen = None if source.filters.targets else _unseen(coverage(source.recording))
    writes_only = source.recording.metadata.get("sees") == WRITES_ONLY
    damaged = [damage for recording in source.recordings for damage in recording.damaged]
    cut = [recording.path.name for recording in source.recordings if recording.truncated]
    missing = None
    if damaged and not allow_damaged:
        more = f", and at {len(damaged) - 1} more places" if len(damaged) > 1 else ""
        missing = f"{damaged[0].path.name} is damaged at byte {damaged[0].offset:,}{more}"
    elif cut and not allow_damaged:
        missing = f"{cut[0]} has no end: {UNFINISHED}"
    return RecordingGaps(missing, unseen, writes_only)


def _unseen(found: Mapping[str, Any]) -> UnseenProcesses | None:
    """None where nothing was missed, and where nothing tells (a recording of an earlier version)."""
    count, size = found["processes_missed"], found["bytes_missed_high"]
    if not count:
        return None
    least = "" if found["exact"] else "at least "
    of, were = missed_size(found, "unknown size"), "was" if count == 1 else "were"
    return UnseenProcesses(f"{least}{counted(count, 'process', 'processes')} of {of} {were} not seen", size)


class LimitKind(NamedTuple):
    """A limit: `name` with a bound above (`most`) or below; words before its figure, format and `unit` of it, and the
    format in full for a figure that otherwise looks like the limit.

    `final` is the verdict that more snapshots could not change, None where they could change either. `whole`: the bytes
    that the figure is a share of, 0 where it is bytes itself, None where processes that were not seen change nothing.
    `by_reads`: what reads would do to it if they had been seen: raise it (1), lower it (-1), or nothing (0).
    """

    name: str
    words: str
    form: Callable[[float], str]
    full: Callable[[float], str]
    most: bool
    final: bool | None = None
    unit: str = ""
    whole: float | None = None
    by_reads: int = 0

    def with_unseen(self, low: float, high: float, unseen: UnseenProcesses | None) -> tuple[float, float]:
        """What the figure may be with the memory of processes that were not seen: all of it counts, or none."""
        if unseen is None or self.whole is None:
            return low, high
        if not self.whole:
            return low, high + (math.inf if unseen.size is None else unseen.size)
        if unseen.size is None:
            return 0.0, 1.0
        total = self.whole + unseen.size
        return low * self.whole / total, (high * self.whole + unseen.size) / total


def judged(kind: LimitKind, figure: Figure, limit: float, doubt: RecordingGaps) -> Check:
    """Broken only where all of the figure's interval is beyond the limit, and not decided where it straddles it."""
    bound = f"at {'most' if kind.most else 'least'}"
    low, high, why, sort = figure.low, figure.high, figure.why, ""
    if figure.estimate is not None and (
        low is None or high is None or (figure.allowed and _holds(kind, low, high, limit) is None)
    ):
        sort = " by estimate"
        if figure.allowed:
            low = high = figure.estimate
    if low is None or high is None:
        told = (
            ""
            if figure.estimate is None or low is not None
            else f" {kind.form(figure.estimate)}{kind.unit}{sort}"
        )
        words = kind.words if told else kind.words.rstrip(":")
        return Check(kind.name, None, figure, limit, f"{words}{told}, {bound} {kind.form(limit)}", why)
    alike = any(end != limit and kind.form(end) == kind.form(limit) for end in (low, high))
    form = kind.full if alike else kind.form
    bound, least, amount = f"{bound} {form(limit)}", form(low), form(high)
    if least != amount:
        amount = f"between {least} and {amount}"
    holds = _holds(kind, low, high, limit)
    if holds is not None:
        why = None
        if doubt.missing is not None and holds is not kind.final:
            holds, why = None, doubt.missing
        elif (
            doubt.unseen is not None
            and _holds(kind, *kind.with_unseen(low, high, doubt.unseen), limit) is None
        ):
            holds, why = None, doubt.unseen.why
        elif doubt.writes_only and kind.by_reads and holds is (kind.most == (kind.by_reads > 0)):
            holds, why = None, "only writes were seen, and reads are accesses, too"
    return Check(
        kind.name, holds, figure, limit, f"{kind.words} {amount}{kind.unit}{sort}, {bound}".strip(), why
    )


def _holds(kind: LimitKind, low: float, high: float, limit: float) -> bool | None:
    near, far = (high <= limit, low > limit) if kind.most else (low >= limit, high < limit)
    return True if near else False if far else None
