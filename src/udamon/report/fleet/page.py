"""The page of a report over a fleet as data: what the text says, the chart of the question, and all rows."""

from __future__ import annotations

from typing import Any

from udamon.report.fleet import bars, render
from udamon.report.fleet.reports import Report
from udamon.units import counted

MAX_BARS = 40
"""Rows that the chart shows; the page says how many are left out."""

MAX_ROWS = 2000
"""Rows of the table; the page says how many are left out."""


def document(report: Report) -> dict[str, Any]:
    """The JSON document: parts of bars are shares of the axis, all else is text."""
    columns, rows = render.columns_of(report), report.rows
    answer, *more = render.title_of(report)
    return {
        "schema": 1,
        "title": f"Fleet: {report.asked.report}",
        "answer": " ".join([answer, *more]),
        "seen": " ".join(render.seen_of(report)),
        "facts": [[name, text] for name, text in _facts(report)],
        "chart": _chart(bars.chart(report, MAX_BARS)),
        "bars_left_out": max(0, len(rows) - MAX_BARS),
        "columns": ["service", *(column.title for column in columns)],
        "rows": [
            [render.name_of(row), *(column.cell(row) for column in columns)]
            for row in rows[:MAX_ROWS]
        ],
        "rows_left_out": max(0, len(rows) - MAX_ROWS),
    }  # fmt: skip


def _facts(report: Report) -> list[tuple[str, str]]:
    first, last = report.asked.dates
    days = "all" if first is None and last is None else f"{first or 'the first'} to {last or 'the last'}"
    again = f", {report.repeated} of them with rows that came twice or late" if report.repeated else ""
    if report.passed_over:
        again += f"; left out: {counted(report.passed_over, 'directory or file', 'directories and files')}"
    facts = [
        ("days", days),
        ("read", f"{counted(report.objects, 'object')}, {render.size(report.size)}{again}"),
        ("engine", report.engine),
    ]
    return [("deploy", report.asked.deploy), *facts] if report.asked.report == "after" else facts


def _chart(chart: bars.Chart) -> dict[str, Any]:
    low, high = chart.span
    length = high - low or 1.0
    return {
        "title": chart.title,
        "keys": chart.keys,
        "why": chart.why,
        "zero": -low / length,
        "bars": [
            {
                "label": bar.label,
                "value": bar.value,
                "parts": [
                    [part.kind, (part.low - low) / length, (part.high - part.low) / length]
                    for part in bar.parts
                ],
            }
            for bar in chart.bars
        ],
    }
