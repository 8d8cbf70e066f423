"""What the agent says of itself and of its services: `udamon agent status`."""

from __future__ import annotations

from typing import Any

from udamon import text
from udamon.agent.figures import Figures
from udamon.agent.rotation import Rotation
from udamon.agent.spending import Spending
from udamon.agent.watched import Watched
from udamon.core.idle_time import LABELS, SECONDS
from udamon.text import Shown
from udamon.units import format_size, format_time

_SHOWN = (3, 5, 7)
"""Ages of the table: 2 m, 10 m, 1 h."""


def document(
    rotation: Rotation, spent: Spending, listen: str, began_ns: int, own_resident: int
) -> dict[str, Any]:
    """For JSON. Null is what is not known; ages that were not watched are null."""
    with rotation.guard:
        now_ns = rotation.now_ns()
        watched_s = (now_ns - began_ns) / 1e9
        cost_s = (spent.cpu_ns() + spent.lost_ns + spent.paused_ns) / 1e9
        return {
            "schema": 1,
            "listen": listen,
            "seconds": watched_s,
            "budget": rotation.settings.budget,
            "cpu_seconds": spent.cpu_ns() / 1e9,
            "target_cost_seconds": (spent.lost_ns + spent.paused_ns) / 1e9,
            "share": cost_s / watched_s if watched_s > 0 else None,
            "longest_pause_seconds": spent.longest_ns / 1e9,
            "resident_bytes": own_resident,
            "coverage": rotation.coverage(),
            "states": dict(rotation.states()),
            "dropped": dict(rotation.dropped),
            "services": [
                _service(one, now_ns) for one in sorted(rotation.present(), key=lambda one: one.service.key)
            ],
        }


def _service(one: Watched, now_ns: int) -> dict[str, Any]:
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
        "coverage": one.fresh_bytes(now_ns) / one.resident if one.resident else None,
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


def render(found: dict[str, Any]) -> Shown:
    """For people; `found` is the document."""
    share = found["share"]
    share = 0.0 if share is None else share
    own, pause = format_size(found["resident_bytes"]), format_time(found["longest_pause_seconds"])
    lines: list[Shown | str] = [
        f"{len(found['services'])} services, {found['coverage']:.0%} of their memory looked at in the last two minutes",
        f"cost {share:.2%} of a CPU with targets' loss (budget {found['budget']:.2%}), {own}; longest pause {pause}",
        "",
    ]
    rows = [["service", "resident", *(f"cold {LABELS[at]}" for at in _SHOWN), "safe age"]]
    for one in found["services"]:
        labels = "/".join(str(value) for value in one["labels"].values())
        cold = [one["cold_bytes"][str(SECONDS[at])] for at in _SHOWN]
        safe = one["safe_cold_age_seconds"]
        rows.append(
            [
                labels,
                f"≥ {format_size(one['resident_bytes']['low'])}",
                *("-" if value is None else f"≥ {format_size(value['low'])}" for value in cold),
                "-" if safe is None else format_time(safe),
            ]
        )
    return text.lines([*lines, *_table(rows)])


def _table(rows: list[list[str]]) -> list[Shown]:
    widths = [max(text.width(text.escape(row[at])) for row in rows) for at in range(len(rows[0]))]
    return [
        text.line(
            *(
                part
                for at, cell in enumerate(row)
                for part in (text.pad(cell, "<" if at == 0 else ">", widths[at]), "  ")
            )
        )
        for row in rows
    ]
