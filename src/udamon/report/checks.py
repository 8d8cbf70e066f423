"""Assertions on a recording: limits on what its reports say, for tests and continuous integration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from udamon.errors import UsageError
from udamon.model import WRITES_ONLY
from udamon.report import groups, hot_cold, right_size, wss
from udamon.report.catalog import Catalog
from udamon.report.check_limits import CheckLimits
from udamon.report.common import UNFINISHED, coverage
from udamon.report.diff import footprint_of
from udamon.report.levels import PERCENTS
from udamon.report.mappings import matches
from udamon.report.source import NoSnapshots, RecordingSource
from udamon.report.terminal import clock
from udamon.report.untouched import IDLE, SIZE
from udamon.targets.coverage import missed_size
from udamon.text import Shown, lines
from udamon.units import counted, format_size

COLD = f"""
    SELECT sum(CASE WHEN cold THEN bytes END), sum(CASE WHEN cold THEN private END), sum(bytes - sure), sum(bytes)
    FROM (
        SELECT {IDLE} AS cold, {SIZE} AS bytes, CAST(private AS DOUBLE) AS private, {{sure}} AS sure
        FROM shared_regions WHERE start IS NOT NULL AND time >= {{edge}} AND {{once}}
    ) AS there
"""
GRAIN = "refs tells how much of a mapping was accessed, and not for how long the rest of it was not"
LENGTH = 'SELECT max(time) - min("begin"), count(DISTINCT seq) FROM regions'
TELLING = "SELECT max(time), count(DISTINCT seq) FILTER (WHERE time >= {edge}) FROM regions"
"""The end, and the windows that could tell: before so much time had passed, nothing can be known to be so cold."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a report says of a limit's subject: it lies between `low` and `high`, which are None where nothing can be
    said. `why` tells what keeps it from being exact, or from being told; None where it is exact."""

    low: float | None
    high: float | None
    why: str | None = None

    @classmethod
    def exact(cls, value: float) -> Figure:
        return cls(value, value)

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


class _LimitKind(NamedTuple):
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


def _judged(kind: _LimitKind, figure: Figure, limit: float, doubt: RecordingGaps) -> Check:
    """Broken only where all of the figure's interval is beyond the limit, and not decided where it straddles it."""
    bound = f"at {'most' if kind.most else 'least'}"
    low, high, why = figure.low, figure.high, figure.why
    if low is None or high is None:
        text = f"{kind.words.rstrip(':')}, {bound} {kind.form(limit)}"
        return Check(kind.name, None, figure, limit, text, why)
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
    return Check(kind.name, holds, figure, limit, f"{kind.words} {amount}{kind.unit}, {bound}".strip(), why)


def _holds(kind: _LimitKind, low: float, high: float, limit: float) -> bool | None:
    near, far = (high <= limit, low > limit) if kind.most else (low >= limit, high < limit)
    return True if near else False if far else None


def measure(source: RecordingSource, limits: CheckLimits, *, allow_damaged: bool = False) -> list[Check]:
    """Each assertion that is asked for, in a fixed order; without a snapshot figures are not known. Raises UsageError
    for a mapping that is not there."""
    try:
        found = _figures(source, limits)
    except NoSnapshots as nothing:
        found = _unknown(limits, str(nothing).removesuffix("."))
    doubt = doubts(source, allow_damaged=allow_damaged)  # reading may have found more of it
    return [_judged(kind, figure, limit, doubt) for kind, figure, limit in found]


def _figures(source: RecordingSource, limits: CheckLimits) -> list[tuple[_LimitKind, Figure, float]]:
    """Raises NoSnapshots, and UsageError for a mapping that is not there."""
    found: list[tuple[_LimitKind, Figure, float]] = []
    if limits.min_length_ns is not None or limits.min_snapshots is not None:
        found += _length(source, limits)
    if limits.max_wss is not None or limits.min_wss is not None:
        report = wss.measure(source, bins=1)
        found += _sizes("wss", "working set", report, limits.level, limits.max_wss, limits.min_wss)
    if limits.max_footprint is not None:
        report = wss.measure(source, footprint_of(source), bins=1)
        found += _sizes("footprint", "footprint", report, limits.level, limits.max_footprint, None)
    if limits.max_cold_share is not None:
        found.append(_cold(source, limits.max_cold_share, limits.cold_age_ns))
    if limits.max_rate_of or limits.min_rate_of:
        found += _rates(source, limits)
    return found


def _unknown(limits: CheckLimits, why: str) -> list[tuple[_LimitKind, Figure, float]]:
    """The same where there is no snapshot: there is no length, and all else is not known."""
    unknown = Figure(None, None, why)
    sizes = (
        ("max-wss", f"working set {limits.level}", limits.max_wss),
        ("min-wss", f"working set {limits.level}", limits.min_wss),
        ("max-footprint", f"footprint {limits.level}", limits.max_footprint),
    )
    rates = (("max", limits.max_rate_of), ("min", limits.min_rate_of))
    shares = [
        ("max-cold-share", _cold_words(limits.cold_age_ns), limits.max_cold_share),
        *(
            (f"{side}-rate {name}", f"access rate of {name}", rate)
            for side, asked in rates
            for name, rate in asked
        ),
    ]
    return [
        *_lengths(limits, 0, 0),
        *(
            (_LimitKind(name, words, form, full, name.startswith("max")), unknown, limit)
            for form, full, asked in ((format_size, _full_size, sizes), (_percent, _full_percent, shares))
            for name, words, limit in asked
            if limit is not None
        ),
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _full_percent(share: float) -> str:
    return f"{100 * share:.12g}%"


def _full_size(size: float) -> str:
    return f"{size:,.0f} bytes"


def _full_length(ns: float) -> str:
    return f"{ns / 1e9:.12g} s"


def _length(source: RecordingSource, limits: CheckLimits) -> Iterator[tuple[_LimitKind, Figure, float]]:
    length, count = source.query(LENGTH)[0]
    if not count:
        raise source.nothing()
    return _lengths(limits, length, count)


def _lengths(limits: CheckLimits, length: int, count: int) -> Iterator[tuple[_LimitKind, Figure, float]]:
    if (least := limits.min_length_ns) is not None:
        kind = _LimitKind("min-length", "length", clock, _full_length, most=False, final=True)
        yield kind, Figure.exact(length), least
    if (fewest := limits.min_snapshots) is not None:
        kind = _LimitKind("min-snapshots", "", _snapshots, _snapshots, most=False, final=True)
        yield kind, Figure.exact(count), fewest


def _snapshots(number: float) -> str:
    return counted(int(number), "snapshot")


def _sizes(
    name: str, words: str, report: wss.WorkingSet, level: str, most: int | None, least: int | None
) -> Iterator[tuple[_LimitKind, Figure, float]]:
    by_reads = int(report.definition == "touched")
    why = right_size.SHARED if report.group is not None else wss.SAMPLED if report.sampled else wss.OTHERS
    figure = Figure.between(*report.bounds(level), why)
    if level in PERCENTS and report.why is not None:
        figure = Figure(None, None, report.why)
    for limit, prefix, extreme in ((most, "max", "max"), (least, "min", "min")):
        if limit is not None:
            # A larger maximum cannot be undone by snapshots that are missing.
            final = False if level == extreme else None
            words_of = f"{words} {level}"
            kind = _LimitKind(
                f"{prefix}-{name}",
                words_of,
                format_size,
                _full_size,
                prefix == "max",
                final,
                whole=0.0,
                by_reads=by_reads,
            )
            yield kind, figure, limit


def _cold(source: RecordingSource, most: float, age_ns: int) -> tuple[_LimitKind, Figure, float]:
    words = _cold_words(age_ns)
    kind = _LimitKind(
        "max-cold-share", words, _percent, _full_percent, most=True, unit=" of memory", by_reads=-1
    )
    edge = source.start_ns + age_ns
    end, count = source.query(TELLING.format(edge=edge))[0]
    if end is None:
        raise source.nothing()
    if not count:
        length, so_far = (
            clock(end - source.start_ns),
            ", as far as it is looked at," if source.filters.timed else "",
        )
        why = f"the recording{so_far} is {length} long, so nothing can have been cold for {clock(age_ns)}"
        return kind, Figure(None, None, why), most
    once = source.filters.once
    found = source.query(COLD.format(age=age_ns, sure=groups.sure(source), edge=edge, once=once))
    cold, private, untouched, total = found[0]
    if not total:
        raise source.nothing()
    low = high = (cold or 0.0) / total
    why = ""
    if groups.needed(source):
        touched, there = source.query(
            f"SELECT sum(low), sum(resident_high) FROM ({groups.query_of(source)}) AS bounds WHERE time >= {edge}"
        )[0]
        low, high, why = (private or 0.0) / there, 1 - touched / there, right_size.SHARED
        total = there
    elif source.recording.metadata.get("via") == "refs":
        # What the process itself touched for sure in a window is not cold. Of the rest of the mapping nothing is known.
        high, why = untouched / total, GRAIN
    return kind._replace(whole=total / count), Figure.between(low, high, why), most


def _cold_words(age_ns: int) -> str:
    return f"cold for {clock(age_ns)} or longer:"


def _rates(source: RecordingSource, limits: CheckLimits) -> Iterator[tuple[_LimitKind, Figure, float]]:
    lines = hot_cold.measure(source, offsets=False).lines
    catalog = Catalog(source.recording)
    for prefix, asked in (("max", limits.max_rate_of), ("min", limits.min_rate_of)):
        for name, limit in asked:
            use, sure = hot_cold.Use(), 0.0
            for line in lines:
                if matches(name, (line.owner.name, line.owner.label, line.owner.kind)):
                    use.add(line.use)
                    sure += 0.0 if catalog.upper_bound(line.owner.kind) else line.use.heat
            if not use.size:
                raise UsageError(
                    f"no mapping of {source.recording.path} is called {name!r}; udamon report mappings lists them."
                )
            kind = _LimitKind(
                f"{prefix}-rate {name}", f"access rate of {name}", _percent, _full_percent, prefix == "max",
                whole=use.resident or None, by_reads=1,
            )  # fmt: skip
            least = sure / use.resident if use.resident else 0.0
            yield kind, Figure.between(least, use.rate, wss.OTHERS), limit


def verdict(checks: list[Check]) -> bool | None:
    """False when one is broken, else None when one is not decided, else True."""
    if any(check.holds is False for check in checks):
        return False
    return None if any(check.holds is None for check in checks) else True


def document(checks: list[Check]) -> dict[str, Any]:
    """The JSON document: figures and limits in bytes, shares, seconds or snapshots, as the name says. `value` is None
    where the figure is not exact."""
    return {
        "schema": 1,
        "outcome": OUTCOMES[verdict(checks)],
        "holds": verdict(checks),
        "checks": [
            {
                "name": check.name,
                "holds": check.holds,
                "value": _shown(check, check.figure.value),
                "low": _shown(check, check.figure.low),
                "high": _shown(check, check.figure.high),
                "limit": _shown(check, check.limit),
                "why": check.why,
                "text": check.text,
            }
            for check in checks
        ],
    }


def _shown(check: Check, figure: float | None) -> float | None:
    return figure / 1e9 if figure is not None and check.name == "min-length" else figure


OUTCOMES = {True: "holds", False: "broken", None: "not decided"}
_WORDS = {True: "ok  ", False: "FAIL", None: "?   "}


def render(checks: list[Check]) -> Shown:
    """One line each; "?" is what is not decided."""
    return lines(
        f"{_WORDS[check.holds]}  {check.text}{f': {check.why}' if check.holds is None else ''}"
        for check in checks
    )
