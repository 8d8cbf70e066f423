"""Assertions on a recording: limits on what its reports say, for tests and continuous integration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from udamon.errors import UsageError
from udamon.report import groups, hot_cold, right_size, sampled, wss
from udamon.report.catalog import Catalog
from udamon.report.check_limits import CheckLimits
from udamon.report.diff import footprint_of
from udamon.report.levels import PERCENTS
from udamon.report.mappings import matches
from udamon.report.source import NoSnapshots, RecordingSource
from udamon.report.terminal import clock
from udamon.report.untouched import IDLE, SIZE
from udamon.report.verdicts import Check, Figure, LimitKind, doubts, judged
from udamon.text import Shown, lines
from udamon.units import counted, format_size

COLD = f"""
    SELECT sum(CASE WHEN cold THEN bytes END), sum(CASE WHEN cold THEN private END), sum(bytes - sure), sum(bytes)
    FROM (
        SELECT {IDLE} AS cold, {SIZE} AS bytes, CAST(private AS DOUBLE) AS private, {{sure}} AS sure
        FROM shared_regions WHERE start IS NOT NULL AND time >= {{edge}} AND {{once}}
    ) AS there
"""
SPANS = "SELECT sum(low), sum(high), sum(there) FROM ({spans}) AS spans WHERE time >= {edge}"
GRAIN = "refs tells how much of a mapping was accessed, and not for how long the rest of it was not"
SAMPLED = "it is estimated from checks of single pages"
RATES = "rates are estimated from looks at growing spans"
FEW = ", of which the first windows have few; leave them out with --time 2s-max, or give --level p90"
LENGTH = 'SELECT max(time) - min("begin"), count(DISTINCT seq) FROM regions'
TELLING = "SELECT max(time), count(DISTINCT seq) FILTER (WHERE time >= {edge}) FROM regions"
"""The end, and the windows that could tell: before so much time had passed, nothing can be known to be so cold."""


def measure(
    source: RecordingSource,
    limits: CheckLimits,
    *,
    allow_damaged: bool = False,
    allow_estimates: bool = False,
) -> list[Check]:
    """Each assertion that is asked for, in a fixed order; without a snapshot figures are not known. With
    `allow_estimates`, estimates decide where bounds are not known, or too far apart. Raises UsageError for a mapping
    that is not there."""
    try:
        found = [
            (kind, replace(figure, allowed=allow_estimates), limit)
            for kind, figure, limit in _figures(source, limits)
        ]
    except NoSnapshots as nothing:
        found = _unknown(limits, str(nothing).removesuffix("."))
    doubt = doubts(source, allow_damaged=allow_damaged)  # reading may have found more of it
    return [judged(kind, figure, limit, doubt) for kind, figure, limit in found]


def _figures(source: RecordingSource, limits: CheckLimits) -> list[tuple[LimitKind, Figure, float]]:
    """Raises NoSnapshots, and UsageError for a mapping that is not there."""
    found: list[tuple[LimitKind, Figure, float]] = []
    if limits.min_length_ns is not None or limits.min_snapshots is not None:
        found += _length(source, limits)
    if limits.max_wss is not None or limits.min_wss is not None:
        report = wss.measure(source, bins=1)
        error = sampled.unbounded(source)
        found += _sizes("wss", "working set", report, limits.level, limits.max_wss, limits.min_wss, error)
    if limits.max_footprint is not None:
        report = wss.measure(source, footprint_of(source), bins=1)
        found += _sizes("footprint", "footprint", report, limits.level, limits.max_footprint, None)
    if limits.max_cold_share is not None:
        found.append(_cold(source, limits.max_cold_share, limits.cold_age_ns))
    if limits.max_rate_of or limits.min_rate_of:
        found += _rates(source, limits)
    return found


def _unknown(limits: CheckLimits, why: str) -> list[tuple[LimitKind, Figure, float]]:
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
            (LimitKind(name, words, form, full, name.startswith("max")), unknown, limit)
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


def _length(source: RecordingSource, limits: CheckLimits) -> Iterator[tuple[LimitKind, Figure, float]]:
    length, count = source.query(LENGTH)[0]
    if not count:
        raise source.nothing()
    return _lengths(limits, length, count)


def _lengths(limits: CheckLimits, length: int, count: int) -> Iterator[tuple[LimitKind, Figure, float]]:
    if (least := limits.min_length_ns) is not None:
        kind = LimitKind("min-length", "length", clock, _full_length, most=False, final=True)
        yield kind, Figure.exact(length), least
    if (fewest := limits.min_snapshots) is not None:
        kind = LimitKind("min-snapshots", "", _snapshots, _snapshots, most=False, final=True)
        yield kind, Figure.exact(count), fewest


def _snapshots(number: float) -> str:
    return counted(int(number), "snapshot")


def _sizes(
    name: str,
    words: str,
    report: wss.WorkingSet,
    level: str,
    most: int | None,
    least: int | None,
    unbounded: str | None = None,
) -> Iterator[tuple[LimitKind, Figure, float]]:
    by_reads = int(report.definition == "touched")
    sampled_why = f"{SAMPLED}{FEW if level == 'max' else ''}"
    why = (
        right_size.SHARED
        if report.group is not None
        else sampled_why
        if report.sampled
        else right_size.OTHERS
    )
    figure = Figure.between(*report.bounds(level), why)
    if level in PERCENTS and report.why is not None:
        figure = Figure(None, None, report.why)
    elif unbounded is not None:
        figure = Figure.estimated(report.bounds(level)[1], unbounded)
    for limit, prefix, extreme in ((most, "max", "max"), (least, "min", "min")):
        if limit is not None:
            # A larger maximum cannot be undone by snapshots that are missing.
            final = False if level == extreme else None
            words_of = f"{words} {level}"
            kind = LimitKind(
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


def _cold(source: RecordingSource, most: float, age_ns: int) -> tuple[LimitKind, Figure, float]:
    words = _cold_words(age_ns)
    kind = LimitKind(
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
    estimate = (cold or 0.0) / total
    if (error := sampled.unbounded(source)) is not None:
        return kind._replace(whole=total / count), Figure.estimated(estimate, error), most
    if groups.estimated(source):
        low, high, total = source.query(SPANS.format(spans=sampled.spans(source, age_ns), edge=edge))[0]
        return (
            kind._replace(whole=total / count),
            Figure.within(low / total, high / total, sampled.BOUNDED, estimate),
            most,
        )
    low = high = estimate
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


def _rates(source: RecordingSource, limits: CheckLimits) -> Iterator[tuple[LimitKind, Figure, float]]:
    report = hot_cold.measure(source, offsets=False)
    catalog = Catalog(source.recording)
    for prefix, asked in (("max", limits.max_rate_of), ("min", limits.min_rate_of)):
        for name, limit in asked:
            sure = 0.0
            of_targets: defaultdict[int, hot_cold.Use] = defaultdict(hot_cold.Use)
            for line in report.lines:
                if matches(name, (line.owner.name, line.owner.label, line.owner.kind)):
                    sure += 0.0 if catalog.upper_bound(line.owner.kind) else line.use.heat
                    of_targets[line.owner.target].add(line.use)
            use = hot_cold.Use.sum(of_targets.values())
            if not use.size:
                raise UsageError(
                    f"no mapping of {source.recording.path} is called {name!r}; udamon report mappings lists them."
                )
            kind = LimitKind(
                f"{prefix}-rate {name}", f"access rate of {name}", _percent, _full_percent, prefix == "max",
                whole=use.resident or None, by_reads=1,
            )  # fmt: skip
            there = use.resident or 1.0
            bounds = [hot_cold.heat_bounds(report, target, one) for target, one in of_targets.items()]
            known = [pair for pair in bounds if pair is not None]
            if report.why is not None:
                figure = Figure.estimated(use.rate, report.why)
            elif known:
                least, most = (sum(side) / there for side in zip(*known, strict=True))
                figure = Figure.within(least, most, RATES if report.rates else SAMPLED, use.rate)
            else:
                figure = Figure.between(sure / there, use.heat / there, right_size.OTHERS)
            yield kind, figure, limit


def verdict(checks: list[Check]) -> bool | None:
    """False when one is broken, else None when one is not decided, else True."""
    if any(check.holds is False for check in checks):
        return False
    return None if any(check.holds is None for check in checks) else True


def document(checks: list[Check]) -> dict[str, Any]:
    """The JSON document: figures and limits in bytes, shares, seconds or snapshots, as the name says. `value` is None
    where the figure is not exact; `estimate` is one without bounds, or with bounds that may be far from it."""
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
                "estimate": check.figure.estimate,
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
