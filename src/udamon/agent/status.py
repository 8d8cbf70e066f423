"""What the agent says of itself and of its services: `udamon agent status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

from udamon import text
from udamon.agent.figures import Figures
from udamon.agent.rotation import Rotation
from udamon.agent.spending import Spending
from udamon.agent.watched import WatchedService, coverage
from udamon.core.idle_time import LABELS, SECONDS
from udamon.text import Shown
from udamon.units import counted, format_size, format_time

_SHOWN = (3, 5, 7)
"""Ages of the table: 2 m, 10 m, 1 h."""
_LEAST_NAME = 12
"""Columns that a name has at least."""
_GAP = 2
"""Columns between two of the table."""


def document(
    rotation: Rotation,
    spent: Spending,
    listen: str,
    began_ns: int,
    own_resident: int,
    damaged: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """For JSON. Null is what is not known; ages that were not watched are null. `damaged` are files of the spool, by
    path, each with a clause that continues it."""
    with rotation.guard:
        now_ns = rotation.now_ns()
        watched_s = (now_ns - began_ns) / 1e9
        cost_s = spent.total_ns / 1e9
        return {
            "schema": 1,
            "listen": listen,
            "seconds": watched_s,
            "budget": rotation.settings.budget,
            "cpu_seconds": spent.cpu_ns() / 1e9,
            "target_cost_seconds": spent.targets_ns / 1e9,
            "share": cost_s / watched_s if watched_s > 0 else None,
            "longest_pause_seconds": spent.longest_ns / 1e9,
            "resident_bytes": own_resident,
            "coverage": rotation.coverage(),
            "states": dict(rotation.states()),
            "dropped": dict(rotation.dropped),
            "damaged": [{"object": path, "why": why} for path, why in sorted(dict(damaged or {}).items())],
            "services": [
                _service(one, now_ns) for one in sorted(rotation.present(), key=lambda one: one.service.key)
            ],
        }


def _service(one: WatchedService, now_ns: int) -> dict[str, Any]:
    figures, working_set = one.figures, one.figures.working_set
    safe = figures.safe
    return {
        "key": one.service.key,
        "labels": dict(one.service.labels),
        "kind": one.service.kind,
        "cgroup": str(one.service.cgroup),
        "class": one.settings.name,
        "via": one.way.via,
        "grain": one.way.grain,
        "processes": len(one.processes),
        "given": one.given,
        "coverage": coverage([one], now_ns),
        "resident_bytes": _bounds(figures.resident),
        "working_set_bytes": None if working_set is None else _bounds(working_set),
        "cold_bytes": {
            str(seconds): _bounds(figures.measured[at].cold) if at in figures.measured else None
            for at, seconds in enumerate(SECONDS)
        },
        "measured_seconds_ago": {
            str(seconds): (now_ns - figures.measured[at].at_ns) / 1e9 if at in figures.measured else None
            for at, seconds in enumerate(SECONDS)
        },
        "promoted_bytes": {str(seconds): figures.promoted.get(at) for at, seconds in enumerate(SECONDS)},
        "safe_cold_age_seconds": None if safe is None else SECONDS[safe],
        "offloadable_bytes": None if safe is None else _bounds(figures.measured[safe].cold),
        "needed_bytes": _needed(figures),
    }


def _needed(figures: Figures) -> dict[str, int | None]:
    return {"limit": figures.needs.limit, "request": figures.needs.request}


def _bounds(found: tuple[int, int]) -> dict[str, int]:
    return {"low": found[0], "high": found[1]}


def render(found: dict[str, Any], columns: int = 80) -> Shown:
    """For people, in a terminal of so many columns; `found` is the document."""
    services = len(found["services"])
    seen = (
        f", {_covered(found['coverage'])} of their memory looked at in the last two minutes"
        if services
        else ""
    )
    own, pause = format_size(found["resident_bytes"]), format_time(found["longest_pause_seconds"])
    lines: list[Shown | str] = [
        f"{counted(services, 'service')}{seen}",
        _cost(found),
        f"budget {found['budget']:.2%}; {own} resident; longest pause {pause}",
    ]
    lines += [f"damaged in the spool: {each['object']} {each['why']}" for each in found.get("damaged", ())]
    if not services:
        return text.lines(lines)
    # In a narrow terminal the longest ages give way, which is said.
    for ages in range(len(_SHOWN), 0, -1):
        shown = _table(_rows(found, _SHOWN[:ages]), columns)
        if text.width(shown[0]) <= columns:
            break
    if left_out := [f"cold {LABELS[at]}" for at in _SHOWN[ages:]]:
        shown.append(text.line(f"left out, as the terminal is narrow: {', '.join(left_out)}"))
    return text.lines([*lines, "", *shown])


def _covered(share: float | None) -> str:
    """Never more than is covered: 99.6 % is not all."""
    return "none" if not share else f"{floor(100 * share)}%" if share >= 0.01 else "<1%"


def _rows(found: dict[str, Any], shown: Sequence[int]) -> list[list[str]]:
    rows = [["service", "resident", *(f"cold {LABELS[at]}" for at in shown), "safe age"]]
    for one in found["services"]:
        labels = "/".join(str(value) for value in one["labels"].values())
        cold = [one["cold_bytes"][str(SECONDS[at])] for at in shown]
        safe = one["safe_cold_age_seconds"]
        rows.append(
            [
                labels,
                f"≥ {format_size(low)}" if (low := one["resident_bytes"]["low"]) else "-",
                *("-" if value is None else f"≥ {format_size(value['low'])}" for value in cold),
                "-" if safe is None else LABELS[SECONDS.index(safe)],
            ]
        )
    return rows


def _cost(found: dict[str, Any]) -> str:
    """The mean so far, with the time that it is a mean of: an agent that has just begun is above its budget."""
    if found["share"] is None:
        return "cost not known yet"
    since = format_time(found["seconds"])
    return f"cost {found['share']:.2%} of a CPU, targets' loss included: mean of {since} since the start"


def _table(rows: list[list[str]], columns: int) -> list[Shown]:
    """Aligned; names are cut where the other cells leave too little room for them."""
    cells = [[text.escape(cell) for cell in row] for row in rows]
    widths = [max(map(text.width, column)) for column in zip(*cells, strict=True)]
    widths[0] = min(widths[0], max(_LEAST_NAME, columns - sum(widths[1:]) - _GAP * len(widths[1:])))
    return [
        text.line(
            text.pad(text.cut(row[0], widths[0]), "<", widths[0]),
            *(
                part
                for cell, width in zip(row[1:], widths[1:], strict=True)
                for part in (" " * _GAP, text.pad(cell, ">", width))
            ),
        )
        for row in cells
    ]
