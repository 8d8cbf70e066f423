"""The reports over a fleet as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import NamedTuple

from udamon.core.idle_time import LABELS
from udamon.fleet.listing import DamagedObject
from udamon.fleet.tables import AGES
from udamon.model import MAPPING, MIXED
from udamon.report.fleet.engines import Row
from udamon.report.fleet.queries import FEWEST_WINDOWS, OUTLIER, OUTLIER_SHARE, PROMOTION_LIMIT, WITHIN
from udamon.report.fleet.reports import ASSUMED, SHORT, TOO_FEW, Report
from udamon.report.terminal import Terminal, fitted, shorten
from udamon.text import Shown, escape, lines, ours
from udamon.units import counted, format_size


class TextColumn(NamedTuple):
    """What a table shows of each row; `spare`: the largest is left out first where a terminal is narrow, 0 never."""

    title: str
    cell: Callable[[Row], str]
    spare: int = 0


def render(report: Report, terminal: Terminal, top: int) -> Shown:
    """A table of the first `top` rows, with what it means above and what was not seen below."""
    said = [*title_of(report), ""] if report.rows else title_of(report)
    said += _table(report.rows[:top], columns_of(report), terminal.width)
    if len(report.rows) > top:
        said.append(f"  and {len(report.rows) - top} more (--top, --json)")
    return lines([*said, "", *seen_of(report)])


def _table(rows: Sequence[Row], columns: Sequence[TextColumn], columns_wide: int) -> list[Shown]:
    if not rows:
        return []
    cells = [["service", *(column.title for column in columns)]]
    cells += [[name_of(row), *(column.cell(row) for column in columns)] for row in rows]
    spare = sorted(
        (at for at, column in enumerate(columns) if column.spare), key=lambda at: -columns[at].spare
    )
    shown, narrow = fitted(cells, "<" + ">" * len(columns), columns_wide, spare=[at + 1 for at in spare])
    return [*shown, *map(escape, narrow)]


def name_of(row: Row) -> str:
    """The service, with the namespace where it has one."""
    return f"{row['namespace']}/{row['service']}" if row["namespace"] else str(row["service"])


def host_of(row: Row) -> str:
    """The host, with its machine where several have its name."""
    return f"{row['host']}/{row['machine']}" if row["machine"] else str(row["host"])


def age_of(report: Report) -> str:
    """The label of the age that was asked for."""
    return LABELS[report.asked.place]


def columns_of(report: Report) -> tuple[TextColumn, ...]:
    """Those beside the name of the service."""
    columns = _COLUMNS[report.asked.report]
    if report.asked.price is None:
        return columns
    return (*columns, TextColumn("a month", lambda row: _number(row["cold_price_month"], "{:,.2f}")))


def title_of(report: Report) -> list[str]:
    """What was asked for, and the answer as a whole."""
    asked, rows = report.asked, report.rows
    if report.why:
        return report.why
    services, name = counted(len(rows), "service"), shorten(asked.deploy, 30)
    match asked.report:
        case "cold":
            cold, resident = (
                sum(row[name] or 0 for row in rows) for name in ("cold_bytes", "resident_bytes")
            )
            part = f" ({cold / resident:.1%})" if resident else ""
            return [
                f"Not touched for {age_of(report)}: {format_size(cold)} of {format_size(resident)}{part}, {services}."
            ]
        case "can-shrink":
            able = [row for row in rows if row["can_shrink"]]
            limit, within = f"{100 * PROMOTION_LIMIT:g} %", f"{100 * WITHIN:g} %"
            lost = sum(row["can_lose_bytes"] * row["hosts"] for row in able)
            return [
                f"{len(able)} of {services} can lose {asked.least:.0%} of their limit or more,",
                f"promoting at most {limit} of the working set a minute in {within} of the windows:",
                f"{format_size(lost)} over all hosts. Limits and losses below are those of one host.",
            ]
        case "percentiles":
            return [
                f"Over the hosts of each service: resident bytes, and cold ones (idle for {age_of(report)})."
            ]
        case "outliers":
            return [
                f"{len(rows)} times a host differs far from the median over the hosts of a service",
                f"(by a modified z-score over {OUTLIER:g}, and by {100 * OUTLIER_SHARE:g} % or more).",
            ]
        case "after" if not rows:
            return [
                f"No host has 2 whole days before and 2 after {name}:",
                "nothing can be compared.",
            ]
        case "after":
            found = sum(row["changed"] is True for row in rows)
            tested = sum(row["changed"] is not None for row in rows)
            how = f"false discoveries {asked.false_discoveries:.0%}"
            return [
                f"{found} of {tested} figures changed after {name}, {len(rows) - tested} not decided;",
                f"{counted(asked.days, 'day')} before and after, within hosts; {how}.",
            ]
    return [
        f"What was seen of {counted(len(rows), 'service')}, and of their memory idle for {age_of(report)}."
    ]


_GRAINS = {
    MAPPING: "Grain: mappings, of which it is known how much was touched and not which pages.",
    MIXED: "Grain: pages on some hosts, mappings on others.",
}


def seen_of(report: Report) -> list[str]:
    """What was not seen, and how exact the rest is."""
    said = [
        *damaged_lines(report.damaged),
        *_not_seen(report),
        *([_GRAINS[report.grain]] if report.grain in _GRAINS else []),
    ]
    if report.asked.report == "after" and report.rows:
        said += wrap(ASSUMED, 79)
    if report.asked.report == "can-shrink":
        said += _doubts(report)
    if report.bounded_share:
        said.append(
            f"Cold bytes are at least these: in {share(report.bounded_share)} of the rows it may be more."
        )
    return said


def _doubts(report: Report) -> list[str]:
    few = sum(row["why"] is not None and TOO_FEW in row["why"] for row in report.rows)
    short = sum(row["why"] == SHORT for row in report.rows)
    said = []
    if few:
        said.append(
            f"Not decided, as fewer than {FEWEST_WINDOWS} windows tell of promotions: {counted(few, 'service')}."
        )
    if short:
        said.append(f"Of {counted(short, 'service')} {SHORT}.")
    return said


MOST_DAMAGED = 5
"""Damaged objects that are named one by one; JSON has all."""


def damaged_lines(damaged: Sequence[DamagedObject]) -> list[str]:
    """Which objects could not be read, or not all of them, and why."""
    if not damaged:
        return []
    said, objects = [], [each for each in damaged if each.has_rows]
    if manifests := len(damaged) - len(objects):
        said.append(
            f"Damaged: {counted(manifests, 'manifest')}. Whether objects of these days are missing is not known."
        )
    if objects:
        out = sum(each.left_out for each in objects)
        left_out = "" if out == len(objects) else f", {out} left out"
        said.append(f"Damaged: {counted(len(objects), 'object')}{left_out}. What is in them is missing here.")
    said += [f"  {each.object} {each.why}." for each in damaged[:MOST_DAMAGED]]
    if len(damaged) > MOST_DAMAGED:
        said.append(f"  and {len(damaged) - MOST_DAMAGED} more (--json)")
    return said


def _not_seen(report: Report) -> list[str]:
    seen = report.seen
    if seen is None:
        return ["No node told of itself (table nodes): what was missed is not known."]
    parts = [counted(seen["hosts"], "host"), f"{seen['silent_hosts']} silent at the end"]
    parts += [
        f"{share(seen['windows_share'])} of their windows",
        f"{share(seen['services_share'])} of services",
    ]
    said = [f"Seen: {', '.join(parts)}."]
    if report.shared_hosts:
        said.append(
            f"Names that several machines have at once, which count each: {_some(report.shared_hosts)}."
        )
    if report.shared_machines:
        names = sorted({name for hosts in report.shared_machines.values() for name in hosts})
        said.append(
            f"Machines that have one machine-id (clones), which their names alone tell apart: {_some(names)}; give "
            "each one of its own."
        )
    if report.doubled_hosts:
        said.append(
            "Hosts of which two agents wrote rows of the same windows (clones of one name and machine-id, or a clock "
            f"that was set back), of which one counts: {_some(report.doubled_hosts)}; give clones a name of their own."
        )
    missed = []
    if seen["processes_missed"]:
        missed.append(f"up to {counted(seen['processes_missed'], 'process', 'processes')} at a time")
    if seen["rows_dropped"]:
        missed.append(f"{counted(seen['rows_dropped'], 'row')} dropped")
    if missed:
        said.append(f"Missed: {', '.join(missed)}.")
    return said


def _unknown() -> str:
    return ours("–")


def size(value: float | None) -> str:
    return _unknown() if value is None else format_size(value)


def share(value: float | None) -> str:
    return _unknown() if value is None else f"{value:.1%}"


def _number(value: float | None, form: str) -> str:
    return _unknown() if value is None else form.format(value)


def _cold(row: Row) -> str:
    at_least = "" if row["cold_bytes_high"] is None else ours("≥ ")
    return at_least + size(row["cold_bytes"])


def _signed(row: Row) -> str:
    return f"{row['change']:+.1%}"


def signed_interval(row: Row) -> str:
    return _unknown() if row["low"] is None else f"{row['low']:+.1%} to {row['high']:+.1%}"


def _verdict(row: Row) -> str:
    return {True: "changed", False: "no change seen", None: "not decided"}[row["changed"]]


def _of(name: str, form: Callable[[float | None], str] = size) -> Callable[[Row], str]:
    return lambda row: form(row[name])


def _count(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:,}"


def _level(title: str, figure: str, name: str) -> TextColumn:
    return TextColumn(title, lambda row: size(row[f"{figure}_bytes"][name]))


def _age(row: Row) -> str:
    found = row["safe_age_seconds"]
    return "none" if found is None else LABELS[AGES.index(found)]


def _value(name: str) -> Callable[[Row], str]:
    return lambda row: size(row[name]) if row["figure"].endswith("bytes") else share(row[name])


_COLUMNS: dict[str, tuple[TextColumn, ...]] = {
    "cold": (
        TextColumn("hosts", _count("hosts"), 2),
        TextColumn("resident", _of("resident_bytes")),
        TextColumn("cold", _cold),
        TextColumn("share", _of("cold_share", share)),
        TextColumn("age known", _of("telling_share", share), 1),
    ),
    "can-shrink": (
        TextColumn("hosts", _count("hosts"), 1),
        TextColumn("limit", _of("limit_bytes")),
        TextColumn("can lose", _of("can_lose_bytes")),
        TextColumn("share", lambda row: share(row["can_lose_share"] and max(0.0, row["can_lose_share"]))),
        TextColumn("safe age", _age),
        TextColumn("promoted/min", lambda row: _number(row["promotion_share_minute"], "{:.3%}"), 2),
    ),
    "percentiles": (
        TextColumn("hosts", _count("hosts"), 2),
        _level("resident p50", "resident", "p50"), _level("p99", "resident", "p99"),
        _level("cold p50", "cold", "p50"), _level("p99", "cold", "p99")._replace(spare=1),
    ),
    "outliers": (
        TextColumn("host", lambda row: shorten(host_of(row), 24)),
        TextColumn("figure", lambda row: row["figure"].removesuffix("_bytes").replace("_", " ")),
        TextColumn("value", _value("value")),
        TextColumn("median", _value("median"), 1),
        TextColumn("score", lambda row: f"{row['score']:+.1f}", 2),
    ),
    "coverage": (
        TextColumn("hosts", _count("hosts")),
        TextColumn("silent", _count("silent_hosts"), 1),
        TextColumn("rows missing", _count("missing_rows")),
        TextColumn("memory seen", _of("coverage", share)),
        TextColumn("age known", _of("telling_share", share)),
    ),
    "after": (
        TextColumn("figure", lambda row: row["figure"].removesuffix("_bytes").replace("_", " ")),
        TextColumn("hosts", _count("hosts"), 2),
        TextColumn("change", _signed),
        TextColumn("95 % interval", signed_interval, 1),
        TextColumn("verdict", _verdict),
    ),
}  # fmt: skip


def _some(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = len(names) - MOST_DAMAGED
    return ", ".join(shorten(name, 30) for name in names[:MOST_DAMAGED]) + (
        f" and {more} more" if more > 0 else ""
    )
