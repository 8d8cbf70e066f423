"""A figure: a table with a title and a note; and the statistics that its cells are."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev

DOCUMENTS = Path(__file__).resolve().parents[1] / "docs"

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond 30 that of 30 is close and too wide.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """`rows` are cells as text, as wide as `head`; `note` says how it was measured."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(slots=True)
class Sample:
    """Repeated measurements of one thing."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self, digits: int = 1, unit: str = "") -> str:
        """The median, and the smallest and largest of what it is the median of."""
        if len(self.values) == 1:
            return f"{self.median:.{digits}f}{unit}"
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f}{unit} ({low:.{digits}f}–{high:.{digits}f})"


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the mean by the t distribution; at least two values."""
    centre = mean(values)
    half = _T95[min(len(values) - 1, len(_T95)) - 1] * stdev(values) / sqrt(len(values))
    return centre - half, centre + half


def as_text(figure: Figure) -> str:
    """For a terminal."""
    widths = [max(map(len, column)) for column in zip(figure.head, *figure.rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in (figure.head, *figure.rows)]  # fmt: skip
    note = ["", figure.note] if figure.note else []
    return "\n".join([figure.title, "", *lines, *note])


def as_markdown(figure: Figure) -> str:
    """For a page."""
    rule = ["---", *("--:" for _ in figure.head[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in (figure.head, rule, *figure.rows)]
    note = ["", figure.note] if figure.note else []
    return "\n".join([f"**{figure.title}**", "", *lines, *note])


def page_of(name: str, pages: Path = DOCUMENTS) -> Path | None:
    """The document that has the marks for `name`; None where none has them."""
    return next((page for page in sorted(pages.glob("*.md")) if _mark(name) in page.read_text()), None)


def put(name: str, text: str, pages: Path = DOCUMENTS) -> None:
    """Replace what stands between the marks for `name`, on the page that has them."""
    page = page_of(name, pages)
    if page is None:
        print(f"no page of docs/ has a place for {name}", file=sys.stderr)
        return
    begin, end = _mark(name), f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    page.write_text(pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page.read_text()))


def _mark(name: str) -> str:
    return f"<!-- bench {name} -->"
