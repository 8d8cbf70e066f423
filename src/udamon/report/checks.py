"""Assertions on a recording: limits on what its reports say, for tests and continuous integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from udamon.errors import RecordingError, UsageError
from udamon.report import groups, hot_cold, right_size, wss
from udamon.report.diff import footprint_of
from udamon.report.groups_text import between
from udamon.report.levels import LEVELS, PERCENTS
from udamon.report.source import Source
from udamon.report.terminal import clock
from udamon.text import Shown, lines
from udamon.units import format_size, parse_share, parse_size, parse_time_ns

DEFAULT_COLD_AGE = "10s"

_T = TypeVar("_T")

COLD = """
    SELECT sum(CASE WHEN cold THEN bytes END), sum(CASE WHEN cold THEN private END), sum(bytes - touched), sum(bytes)
    FROM (
        SELECT nr_accesses = 0 AND (CAST(age AS DOUBLE) + 1) * ticks * sample_ns >= {age} AS cold,
            CAST(coalesce(resident, "end" - start) AS DOUBLE) AS bytes, CAST(private AS DOUBLE) AS private,
            CAST(touched AS DOUBLE) AS touched
        FROM shared_regions WHERE start IS NOT NULL
    ) AS there
"""
GRAIN = "refs tells how much of a mapping was accessed, and not for how long the rest of it was not"
LENGTH = 'SELECT max(time) - min("begin"), count(DISTINCT seq) FROM regions'


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold; None where nothing is asked. Bytes, shares 0..1, ns.

    `level` of the working set and of the footprint over all snapshots is compared. Cold is memory that was not
    accessed for `cold_age_ns`; its share is of bytes in memory (of all that is monitored, where that is not
    known) over the whole recording. `max_rate_of` and `min_rate_of` have (mapping's name, label or kind, rate).
    """

    level: str = "max"
    max_wss: int | None = None
    min_wss: int | None = None
    max_footprint: int | None = None
    max_cold_share: float | None = None
    cold_age_ns: int = 10_000_000_000
    max_rate_of: tuple[tuple[str, float], ...] = ()
    min_rate_of: tuple[tuple[str, float], ...] = ()
    min_length_ns: int | None = None
    min_snapshots: int | None = None

    @classmethod
    def parse(
        cls,
        *,
        level: str = "max",
        max_wss: str | None = None,
        min_wss: str | None = None,
        max_footprint: str | None = None,
        max_cold_share: str | None = None,
        cold_age: str = DEFAULT_COLD_AGE,
        max_rate: tuple[str, ...] = (),
        min_rate: tuple[str, ...] = (),
        min_length: str | None = None,
        min_snapshots: int | None = None,
    ) -> Limits:
        """From what people write. Raises UsageError, also when nothing is asked."""
        if level not in LEVELS:
            raise UsageError(f"{level!r} is no level; give one of {', '.join(LEVELS)}.")
        found = cls(
            level=level,
            max_wss=_maybe(parse_size, max_wss),
            min_wss=_maybe(parse_size, min_wss),
            max_footprint=_maybe(parse_size, max_footprint),
            max_cold_share=_maybe(parse_share, max_cold_share),
            cold_age_ns=parse_time_ns(cold_age),
            max_rate_of=tuple(map(_rate_of, max_rate)),
            min_rate_of=tuple(map(_rate_of, min_rate)),
            min_length_ns=_maybe(parse_time_ns, min_length),
            min_snapshots=min_snapshots,
        )
        if found == cls(level=found.level, cold_age_ns=found.cold_age_ns):
            raise UsageError("nothing is asked; give a limit, such as --max-wss 2GiB.")
        return found


def _maybe(parse: Callable[[str], _T], text: str | None) -> _T | None:
    return None if text is None else parse(text)


def _rate_of(text: str) -> tuple[str, float]:
    name, equals, rate = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is not MAPPING=RATE; write it like heap=20%.")
    return name, parse_share(rate)


@dataclass(frozen=True, slots=True)
class Check:
    """One assertion: a figure between `low` and `high` against `limit`, in bytes, shares or ns.

    `holds` is None where the limit lies between the bounds, so that nothing can be said; `why` says then why only
    bounds are known. `text` is a line for people.
    """

    name: str
    holds: bool | None
    low: float
    high: float
    limit: float
    text: str
    why: str | None = None

    @property
    def value(self) -> float | None:
        """The figure; None where only bounds are known."""
        return self.high if self.low == self.high else None


def _at_most(low: float, high: float, limit: float) -> bool | None:
    return True if high <= limit else False if low > limit else None


def _at_least(low: float, high: float, limit: float) -> bool | None:
    return True if low >= limit else False if high < limit else None


def measure(source: Source, limits: Limits) -> list[Check]:
    """Each assertion that is asked for, in a fixed order. Raises RecordingError when there is no snapshot, and
    UsageError for a mapping that is not there; RecordingError also when it is shorter than what cold means."""
    found: list[Check] = []
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


def _length(source: Source, limits: Limits) -> list[Check]:
    length, count = source.query(LENGTH)[0]
    if not count:
        raise source.nothing()
    found = []
    if (least := limits.min_length_ns) is not None:
        text = f"length {clock(length)}, at least {clock(least)}"
        found.append(Check("min-length", length >= least, length, length, least, text))
    if (fewest := limits.min_snapshots) is not None:
        text = f"{count} snapshots, at least {fewest}"
        found.append(Check("min-snapshots", count >= fewest, count, count, fewest, text))
    return found


def _sizes(
    name: str, words: str, report: wss.WorkingSet, level: str, most: int | None, least: int | None
) -> list[Check]:
    found = []
    low, high = report.bounds(level)
    words = f"{words} {level}"
    why = None
    if low != high:
        few = report.why if level in PERCENTS else None
        why = few or right_size.SHARED
    if most is not None:
        text = f"{words} {between(low, high)}, at most {format_size(most)}"
        found.append(Check(f"max-{name}", _at_most(low, high, most), low, high, most, text, why))
    if least is not None:
        text = f"{words} {between(low, high)}, at least {format_size(least)}"
        found.append(Check(f"min-{name}", _at_least(low, high, least), low, high, least, text, why))
    return found


def _cold(source: Source, most: float, age_ns: int) -> Check:
    length, count = source.query(LENGTH)[0]
    if not count:
        raise source.nothing()
    if length < age_ns:
        raise RecordingError(
            f"{source.recording.path} is {clock(length)} long, so nothing can have been cold for {clock(age_ns)}; "
            "record longer or give a shorter --cold-age."
        )
    cold, private, untouched, total = source.query(COLD.format(age=age_ns))[0]
    if not total:
        raise source.nothing()
    low = high = (cold or 0.0) / total
    why = None
    if groups.needed(source):
        touched, there = source.query(
            f"SELECT sum(low), sum(resident_high) FROM ({groups.query_of(source)}) AS bounds"
        )[0]
        low, high, why = (private or 0.0) / there, 1 - touched / there, right_size.SHARED
    elif source.recording.metadata.get("via") == "refs":
        # What a window touched of a mapping is not cold. Of the rest of it nothing is known.
        high, why = untouched / total, GRAIN
    share = f"{high:.1%}" if f"{low:.1%}" == f"{high:.1%}" else f"between {low:.1%} and {high:.1%}"
    text = f"cold for {clock(age_ns)} or longer: {share} of memory, at most {most:.1%}"
    return Check(
        "max-cold-share", _at_most(low, high, most), low, high, most, text, None if low == high else why
    )


def _rates(source: Source, limits: Limits) -> list[Check]:
    from fnmatch import fnmatchcase

    lines = hot_cold.measure(source, offsets=False).lines
    found = []
    for kind, asked in (("max", limits.max_rate_of), ("min", limits.min_rate_of)):
        for name, limit in asked:
            use = hot_cold.Use()
            for line in lines:
                if any(
                    fnmatchcase(word, name) for word in (line.owner.name, line.owner.label, line.owner.kind)
                ):
                    use.add(line.use)
            if not use.size:
                raise UsageError(
                    f"no mapping of {source.recording.path} is called {name!r}; udamon report mappings lists them."
                )
            holds = use.rate <= limit if kind == "max" else use.rate >= limit
            bound = "at most" if kind == "max" else "at least"
            text = f"access rate of {name} {use.rate:.1%}, {bound} {limit:.1%}"
            found.append(Check(f"{kind}-rate {name}", holds, use.rate, use.rate, limit, text))
    return found


def document(checks: list[Check]) -> dict[str, Any]:
    """The JSON document: values and limits in bytes, shares, ns or snapshots, as the name says."""
    return {
        "schema": 1,
        "holds": holds(checks),
        "checks": [
            {
                "name": check.name,
                "holds": check.holds,
                "value": check.value,
                "low": check.low,
                "high": check.high,
                "why": check.why if check.holds is None else None,
                "limit": check.limit,
                "text": check.text,
            }
            for check in checks
        ],
    }


def holds(checks: list[Check]) -> bool | None:
    """Whether all hold; None where none is broken, and some are not decided."""
    if any(check.holds is False for check in checks):
        return False
    return None if any(check.holds is None for check in checks) else True


def render(checks: list[Check]) -> Shown:
    """One line each; "?" is what is not decided."""
    words = {True: "ok  ", False: "FAIL", None: "?   "}
    return lines(
        f"{words[check.holds]}  {check.text}{f': {check.why}' if check.holds is None else ''}"
        for check in checks
    )
