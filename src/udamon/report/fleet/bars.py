"""The charts of the reports over a fleet: for each question bars on one axis, a bar or two for each row.

A bar has parts from one figure to another. Where a figure is not known the part is left out, never drawn as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from udamon.report.fleet.engines import Row
from udamon.report.fleet.render import age_of, host_of, name_of, share, signed_interval, size
from udamon.report.fleet.reports import Report

HOT, COLD, SECOND, BAND, PERHAPS, MARK = "hot", "idle", "second", "band", "perhaps", "mark"
"""Kinds of parts; the page's style has a colour or pattern for each."""


class BarPart(NamedTuple):
    kind: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` is what it shows, in words."""

    label: str
    parts: tuple[BarPart, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`keys` are the kinds of parts and what they mean, `why` what the reader must know beside these."""

    title: str
    keys: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    why: str

    @property
    def span(self) -> tuple[float, float]:
        """The figures at both ends of the axis; 0 is between them."""
        ends = [end for bar in self.bars for part in bar.parts for end in (part.low, part.high)]
        return min([0.0, *ends]), max([0.0, *ends])


def chart(report: Report, most: int) -> Chart:
    """Of the first `most` rows."""
    title, keys, bars, why = _CHARTS[report.asked.report]
    shown = tuple(bar for row in report.rows[:most] for bar in bars(row))
    age = age_of(report)
    return Chart(
        title.format(age=age), tuple((kind, text.format(age=age)) for kind, text in keys), shown, why
    )


def _parts(*parts: tuple[str, float | None, float | None]) -> tuple[BarPart, ...]:
    return tuple(
        BarPart(kind, low, high) for kind, low, high in parts if low is not None and high is not None
    )


def _cold(row: Row) -> Iterable[Bar]:
    low, resident = row["cold_bytes"], row["resident_bytes"]
    high = low if row["cold_bytes_high"] is None else row["cold_bytes_high"]
    known = size(low) if high == low else f"{size(low)} to {size(high)}"
    parts = _parts((COLD, 0, low), (PERHAPS, low, high), (HOT, high, resident))
    yield Bar(name_of(row), parts, f"{known} of {size(resident)}")


def _can_shrink(row: Row) -> Iterable[Bar]:
    limit, lost = row["limit_bytes"], row["can_lose_bytes"]
    needed = None if limit is None or lost is None else limit - lost
    kind = COLD if row["can_shrink"] else PERHAPS
    value = "not known" if lost is None else f"{size(lost)} of {size(limit)}"
    yield Bar(name_of(row), _parts((HOT, 0, needed), (kind, needed, limit)), value)


def _percentiles(row: Row) -> Iterable[Bar]:
    for figure, kind in (("resident", HOT), ("cold", COLD)):
        at = row[f"{figure}_bytes"]
        parts = _parts((BAND, at["p10"], at["p90"]), (f"{kind} {MARK}", at["p50"], at["p50"]),
                       (f"{SECOND} {MARK}", at["max"], at["max"]))  # fmt: skip
        yield Bar(f"{name_of(row)}, {figure}", parts, f"{size(at['p50'])}, most {size(at['max'])}")


def _outliers(row: Row) -> Iterable[Bar]:
    form = size if row["figure"].endswith("bytes") else share
    label = f"{name_of(row)} on {host_of(row)}, {row['figure'].removesuffix('_bytes').replace('_', ' ')}"
    ends = sorted((0.0, row["score"]))
    value = f"{row['score']:+.1f}: {form(row['value'])}, median {form(row['median'])}"
    yield Bar(label, _parts((SECOND, *ends)), value)


def _coverage(row: Row) -> Iterable[Bar]:
    there = row["rows"] / (row["rows"] + row["missing_rows"])
    telling = there * row["telling_share"]
    parts = _parts((HOT, 0, telling), (COLD, telling, there), (PERHAPS, there, 1))
    yield Bar(name_of(row), parts, f"{share(telling)} known, {share(1 - there)} missing")


def _after(row: Row) -> Iterable[Bar]:
    kind = {True: SECOND, False: HOT, None: COLD}[row["changed"]]
    parts = _parts((BAND, row["low"], row["high"]), (f"{kind} {MARK}", row["change"], row["change"]))
    label = f"{name_of(row)}, {row['figure'].removesuffix('_bytes').replace('_', ' ')}"
    yield Bar(label, parts, row["why"] or f"{row['change']:+.1%} ({signed_interval(row)})")


_CHARTS: dict[str, tuple[str, tuple[tuple[str, str], ...], Callable[[Row], Iterable[Bar]], str]] = {
    "cold": (
        "Cold memory of each service",
        ((COLD, "not touched for {age}"), (PERHAPS, "between at least and at most"),
         (HOT, "the rest of what is resident")),
        _cold,
        "Means over windows of the sum over hosts. Rows that do not tell of this age count in neither.",
    ),
    "can-shrink": (
        "Memory limit of each service, on a host",
        ((HOT, "needed"), (COLD, "can be lost"), (PERHAPS, "less than was asked for")),
        _can_shrink,
        "The limit must be lowered together with a scheme that takes the cold memory out.",
    ),
    "percentiles": (
        "Hosts of each service: resident bytes, and bytes idle for {age}",
        ((BAND, "from the 10th to the 90th percentile"), (f"{HOT} {MARK}", "median, resident"),
         (f"{COLD} {MARK}", "median, cold"), (f"{SECOND} {MARK}", "most")),
        _percentiles,
        "Of each host's mean over its windows.",
    ),
    "outliers": (
        "Modified z-score of each host that differs",
        ((SECOND, "distance from the median over hosts"),),
        _outliers,
        "A score says how surprising a host is beside the others, not how many bytes it differs by.",
    ),
    "coverage": (
        "Rows of each service: what is there, and what is missing",
        ((HOT, "tells of {age}"), (COLD, "does not tell of {age}"),
         (PERHAPS, "missing between a host's first and last")),
        _coverage,
        "A host that fell silent is missing nothing after its last row: the table counts silent hosts.",
    ),
    "after": (
        "Change of each service, with its 95 % interval",
        ((f"{SECOND} {MARK}", "changed"), (f"{HOT} {MARK}", "no change seen"), (f"{COLD} {MARK}", "not decided"),
         (BAND, "95 % interval")),
        _after,
        "Intervals are of each figure by itself; verdicts keep the false discovery rate over all services.",
    ),
}  # fmt: skip
