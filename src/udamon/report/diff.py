"""What differs between two recordings, before and after a change: working sets, and what moved.

Addresses differ between two runs, so memory is compared by name: all mappings of one name and kind, of all processes,
are one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from udamon import text
from udamon.report import hot_cold, wss
from udamon.report.catalog import Catalog, upper_bound
from udamon.report.grain import has_shares
from udamon.report.hot_cold import Use, amounts, at_most_note
from udamon.report.levels import LEVELS, PERCENTS
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal, clock, fitted
from udamon.report.wss_queries import LENGTHS
from udamon.text import Shown, ours
from udamon.units import format_range, format_share, format_size, from_to

WINDOW = f"SELECT avg(length) FROM ({LENGTHS}) AS moments"
_ALIKE = 1.2
"""Windows that differ by less are of one length: those of a budget vary."""

_LEVEL = len("working set p50")
"""Columns of the name of a figure."""


@dataclass(slots=True)
class LabelChange:
    """Memory of one label, in both recordings."""

    label: str
    kind: str
    before: Use = field(default_factory=Use)
    after: Use = field(default_factory=Use)
    upper_bounds: tuple[bool, bool] = (False, False)
    """Before and after: what others touched may be in the figures."""
    targets: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    """Before and after: whose memory it is."""
    shared: tuple[bool, bool] = (False, False)
    """Before and after: a sum over targets that may share memory, in which a page counts once for each that has it."""

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
    rate_word: str = "rate"
    """"share" where rates of both are shares of what was resident."""
    window_ns: tuple[float, float] = (0.0, 0.0)
    """The mean length of a window before and after."""
    rates_of: tuple[str, str] = ("", "")
    """What rates are shares of, before and after."""


def measure(before: RecordingSource, after: RecordingSource, definition: str = "touched") -> Diff:
    """Raises RecordingError when one of the two has no snapshot."""
    sets = [wss.measure(source, definition) for source in (before, after)]
    # Resident bytes and addresses that were monitored cannot be compared.
    what = "monitored" if "monitored" in map(footprint_of, (before, after)) else "resident"
    footprints = [wss.measure(source, what) for source in (before, after)]
    moved: dict[tuple[str, str], LabelChange] = {}
    bounds = [partial(upper_bound, source.recording.metadata.get("via")) for source in (before, after)]
    for side, source in (("before", before), ("after", after)):
        for line in hot_cold.measure(source, offsets=False).lines:
            key = (line.owner.kind, line.owner.label)
            one = moved.setdefault(key, LabelChange(line.owner.label, line.owner.kind))
            one.upper_bounds = (bounds[0](one.kind), bounds[1](one.kind))
            one.targets[side == "after"].add(line.owner.target)
            (one.before if side == "before" else one.after).add(line.use)
    groups = [one.group is not None for one in sets]
    for one in moved.values():
        then, now = (group and len(whose) > 1 for group, whose in zip(groups, one.targets, strict=True))
        one.shared = then, now
    order = sorted(moved.values(), key=lambda one: (-abs(one.change), one.label))
    lengths = [one.end_ns - one.start_ns for one in sets]
    shares = all(has_shares(source.recording.metadata) for source in (before, after))
    word = "share" if shares else "rate"
    windows = [source.query(WINDOW)[0][0] for source in (before, after)]
    rates = [Catalog(source.recording).rate_of for source in (before, after)]
    return Diff(
        sets[0], sets[1], (footprints[0], footprints[1]), order, (lengths[0], lengths[1]), word,
        (windows[0], windows[1]), (rates[0], rates[1]),
    )  # fmt: skip


def footprint_of(source: RecordingSource) -> str:
    """What tells how much memory there is: resident bytes where the recording knows them."""
    known = source.query("SELECT count(resident) FROM some_regions")[0][0]
    return "resident" if known else "monitored"


def document(report: Diff) -> dict[str, Any]:
    """The JSON document: bytes, means over time for mappings."""
    return {
        "schema": 1,
        "definition": report.before.definition,
        "window_seconds": dict(zip(("before", "after"), (ns / 1e9 for ns in report.window_ns), strict=True)),
        "wss": _sides(report.before, report.after),
        "footprint": {"what": report.footprints[0].definition, **_sides(*report.footprints)},
        "mappings": [
            {
                "label": one.label,
                "kind": one.kind,
                "before": amounts(one.before) | {"upper_bound": one.upper_bounds[0], "shared": one.shared[0]},
                "after": amounts(one.after) | {"upper_bound": one.upper_bounds[1], "shared": one.shared[1]},
            }
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
        "bounds": {"before": before.bounds_document, "after": after.bounds_document},
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
            else:  # a difference of what is known by the mapping, or by group, says little
                both = before.estimated and after.estimated
                change = from_to(signed(least - then), signed(now - low)) if both else ""
                rows.append(
                    [f"{name} {level}", format_range(low, then), format_range(least, now), change, ""]
                )
    shown, narrow = fitted(rows, "<>>>>", terminal.width, spare=(4, 3), least=_LEVEL)
    differing = differences(report)
    moved = [one for one in report.moved if abs(one.change) >= 1][:top]
    lines: list[str] = [f"before: {first} recorded, after: {second}", "", *shown, *narrow]
    lines += ["", *differing] if differing else []
    if moved:
        lines += ["", "bytes touched in a window, by mapping", *_moved(moved, report.rate_word, terminal)]
    if any(one.label.endswith("?") for one in moved):
        lines.append("? a guess from the shape of the memory")
    if any(any(_signs(one, one.upper_bounds)) for one in moved):
        lines += [at_most_note(), "Changes of these may be of others, too."]
    if any(any(_signs(one, one.shared)) for one in moved):
        lines.append(ours("≤ also: a page that several of the processes have may count once for each."))
    return text.lines(lines)


def differences(report: Diff) -> list[str]:
    """Where both were not measured alike, so that figures differ for that alone: a sentence each."""
    found = []
    shorter, longer = sorted(report.window_ns)
    if longer > _ALIKE * shorter:
        before, after = map(clock, report.window_ns)
        found.append(f"A window has {before} before and {after} after: in a longer one more is touched.")
    if report.rates_of[0] != report.rates_of[1]:
        found.append(f"Rates are shares of {report.rates_of[0]} before, of {report.rates_of[1]} after.")
    return found


def _moved(moved: Sequence[LabelChange], rate_word: str, terminal: Terminal) -> Sequence[str]:
    """A table; names are cut to what the other cells leave of the terminal."""
    most = max(abs(one.change) for one in moved)
    rows = [["what moved", "before", "after", "change", rate_word, ""]]
    for one in moved:
        then, now = _signs(one, one.upper_bounds)
        sums = [sign or other for sign, other in zip((then, now), _signs(one, one.shared), strict=True)]
        rows.append([
            one.label, sums[0] + format_size(one.before.touched), sums[1] + format_size(one.after.touched),
            signed(one.change), f"{format_share(one.before.rate, then)} to {format_share(one.after.rate, now)}",
            terminal.bar(abs(one.change) / most, 8),
        ])  # fmt: skip
    shown, narrow = fitted(rows, "<>>>><", terminal.width, spare=(5, 3))
    return [*shown, *narrow]


def _signs(one: LabelChange, bounds: tuple[bool, bool]) -> tuple[str, str]:
    """What stands before the figures of before and after, where they are upper bounds."""
    then, now = bounds
    at_most = ours("≤")
    return (
        at_most if then and one.before.touched >= 1 else "",
        at_most if now and one.after.touched >= 1 else "",
    )


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other


def signed(size: float) -> str:
    """A size with its sign: "+1.5 MiB"."""
    return f"{'+' if size > 0 else '-' if size < 0 else ''}{format_size(abs(size))}"


def share(then: float, now: float) -> str:
    """The change as a share of what was."""
    return f"{(now - then) / then:+.0%}" if then else "new" if now else ""
