"""What differs between two recordings, before and after a change: working sets, and what moved.

Addresses differ between two runs, so memory is compared by name: mappings of one name and kind are one line,
however many there are and whoever's they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from udamon import text
from udamon.report import hot_cold, wss
from udamon.report.hot_cold import Use, amounts
from udamon.report.levels import LEVELS, PERCENTS
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, shorten, table
from udamon.text import Shown
from udamon.units import format_size


@dataclass(slots=True)
class LabelChange:
    """Memory of one label, in both recordings."""

    label: str
    kind: str
    before: Use = field(default_factory=Use)
    after: Use = field(default_factory=Use)

    @property
    def change(self) -> float:
        """By how much its touched bytes changed."""
        return self.after.touched - self.before.touched


@dataclass(frozen=True, slots=True)
class Diff:
    """The report: what moved most comes first; `seconds_ns` are the lengths of both recordings."""

    before: wss.WorkingSet
    after: wss.WorkingSet
    footprints: tuple[wss.WorkingSet, wss.WorkingSet]
    moved: list[LabelChange]
    seconds_ns: tuple[int, int]


def measure(before: RecordingSource, after: RecordingSource, definition: str = "touched") -> Diff:
    """Raises RecordingError when one of the two has no snapshot."""
    sets = [wss.measure(source, definition) for source in (before, after)]
    footprints = [wss.measure(source, footprint_of(source)) for source in (before, after)]
    moved: dict[tuple[str, str], LabelChange] = {}
    for side, source in (("before", before), ("after", after)):
        for line in hot_cold.measure(source, offsets=False).lines:
            key = (line.owner.kind, line.owner.label)
            one = moved.setdefault(key, LabelChange(line.owner.label, line.owner.kind))
            (one.before if side == "before" else one.after).add(line.use)
    order = sorted(moved.values(), key=lambda one: (-abs(one.change), one.label))
    lengths = [one.over_time[-1][0] - one.start_ns for one in sets]
    return Diff(sets[0], sets[1], (footprints[0], footprints[1]), order, (lengths[0], lengths[1]))


def footprint_of(source: RecordingSource) -> str:
    """What tells how much memory there is: resident bytes where the recording knows them."""
    known = source.query("SELECT count(resident) FROM some_regions")[0][0]
    return "resident" if known else "monitored"


def document(report: Diff) -> dict[str, Any]:
    """The JSON document: bytes, means over time for mappings."""
    return {
        "schema": 1,
        "definition": report.before.definition,
        "wss": _sides(report.before, report.after),
        "footprint": {"what": report.footprints[0].definition, **_sides(*report.footprints)},
        "mappings": [
            {"label": one.label, "kind": one.kind, "before": amounts(one.before), "after": amounts(one.after)}
            for one in report.moved
        ],
    }


def _sides(before: wss.WorkingSet, after: wss.WorkingSet) -> dict[str, Any]:
    return {
        "before": before.exact,
        "after": after.exact,
        "change": None
        if before.exact is None or after.exact is None
        else {level: _less(after.exact[level], before.exact[level]) for level in LEVELS},
        "group": {"before": before.group_document, "after": after.group_document},
    }


def render(report: Diff, terminal: Terminal, top: int = 15) -> Shown:
    """For people: A against B, then what moved."""
    first, second = map(clock, report.seconds_ns)
    rows = [["", "before", "after", "change", ""]]
    for name, before, after in (
        ("working set", report.before, report.after),
        ("footprint", *report.footprints),
    ):
        for level in ("p50", "p90", "max"):
            if level in PERCENTS and (before.why or after.why):
                continue  # too few windows
            (low, then), (least, now) = before.bounds(level), after.bounds(level)
            if (low, least) == (then, now):
                rows.append(
                    [
                        f"{name} {level}",
                        format_size(then),
                        format_size(now),
                        signed(now - then),
                        share(then, now),
                    ]
                )
            else:  # a difference of bounds says little
                rows.append([f"{name} {level}", _range(low, then), _range(least, now), "", ""])
    moved = [one for one in report.moved if abs(one.change) >= 1][:top]
    lines: list[str] = [f"before: {first} recorded, after: {second}", "", *table(rows, "<>>>>")]
    if moved:
        most = max(abs(one.change) for one in moved)
        rows = [["what moved", "before", "after", "change", "rate", ""]]
        for one in moved:
            bar = terminal.bar(abs(one.change) / most, 8)
            rate = f"{one.before.rate:.0%} to {one.after.rate:.0%}"
            rows.append([
                shorten(one.label, 22), format_size(one.before.touched), format_size(one.after.touched),
                signed(one.change), rate, bar,
            ])  # fmt: skip
        lines += ["", "bytes touched in a window, by mapping", *table(rows, "<>>>><")]
    if any(one.label.endswith("?") for one in moved):
        lines.append("? a guess from the shape of the memory")
    return text.lines(lines)


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other


def _range(low: float, high: float) -> str:
    least, most = format_size(low), format_size(high)
    return most if least == most else f"{least} to {most}"


def signed(size: float) -> str:
    """A size with its sign: "+1.5 MiB"."""
    return f"{'+' if size > 0 else '-' if size < 0 else ''}{format_size(abs(size))}"


def share(then: float, now: float) -> str:
    """The change as a share of what was."""
    return f"{(now - then) / then:+.0%}" if then else "new" if now else ""
