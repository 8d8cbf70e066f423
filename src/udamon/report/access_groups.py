"""The regions of one moment, summed up by mapping or by process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udamon.report.access import Access, RegionLine, sign
from udamon.report.catalog import Catalog, bounds_of
from udamon.report.hot_cold import at_most_note
from udamon.report.target_column import TargetColumn
from udamon.report.terminal import Terminal, clock, fitted
from udamon.text import Shown, lines
from udamon.units import counted, format_share, format_size


@dataclass(frozen=True, slots=True)
class RegionGroup:
    """Regions of one mapping name, or of one process (`mapping` None): bytes; `rate` 0..1 is their mean by bytes,
    `age_ns` that of the youngest. `upper_bound`: of some of them what others touched may be in `touched` and `rate`;
    `sure` bytes were touched by the target itself."""

    target: int
    mapping: str | None
    kind: str | None
    label: str
    regions: int
    size: int
    touched: int
    rate: float
    age_ns: int
    upper_bound: bool
    sure: int


def groups(report: Access, catalog: Catalog, by: str) -> list[RegionGroup]:
    """`by` is "mapping" or "process". Most touched bytes first.

    A region counts for the mapping it shares most bytes with; regions outside of known mappings are together.
    """
    found: dict[tuple[int, str | None], list[RegionLine]] = {}
    for line in report.lines:
        name = None if by == "process" or line.mapped is None else line.mapped.name
        found.setdefault((line.target, name), []).append(line)
    made = [_group(target, lines, catalog, by) for (target, _), lines in found.items()]
    return sorted(made, key=lambda group: (-group.touched, -group.size, group.target))


def _group(target: int, lines: Sequence[RegionLine], catalog: Catalog, by: str) -> RegionGroup:
    mapped = lines[0].mapped if by == "mapping" else None
    owner = catalog.target(target).label
    size = sum(line.there for line in lines)
    return RegionGroup(
        target=target,
        mapping=None if mapped is None else mapped.name or "[anon]",
        kind=None if mapped is None else mapped.kind,
        label=owner if by == "process" else "(unknown)" if mapped is None else mapped.label,
        regions=len(lines),
        size=size,
        touched=sum(line.touched for line in lines),
        rate=sum(line.rate * line.there for line in lines) / size if size else 0.0,
        age_ns=min(line.age * line.window_ns for line in lines),
        upper_bound=any(map(sign, lines)),
        sure=sum(line.sure for line in lines),
    )


def document(report: Access, found: Sequence[RegionGroup]) -> dict[str, Any]:
    """The JSON document: bytes, rates 0..1, seconds."""
    return {
        "schema": 1,
        "time": report.time_ns / 1e9,
        "elapsed": (report.time_ns - report.start_ns) / 1e9,
        "groups": [
            {
                "target": group.target,
                "mapping": group.mapping,
                "kind": group.kind,
                "label": group.label,
                "regions": group.regions,
                "bytes": group.size,
                "touched_bytes": group.touched,
                "rate": group.rate,
                "upper_bound": group.upper_bound,
                "bounds": bounds_of(group.touched, group.sure),
                "age_seconds": group.age_ns / 1e9,
            }
            for group in found
        ],
    }


def render(report: Access, found: Sequence[RegionGroup], catalog: Catalog, terminal: Terminal) -> Shown:
    """For people: a line a group, with a bar of its rate."""
    head = f"at {clock(report.time_ns - report.start_ns)}: {counted(len(report.lines), 'region')}, summed up"
    by_mapping = any(group.mapping is not None for group in found)
    whose = TargetColumn(catalog, (group.target for group in found if by_mapping))
    rows = [["", *whose.title, "regions", "size", "touched", catalog.rate_word, "age", ""]]
    for group in found:
        at_most = sign(group)
        rows.append([
            group.label, *whose.cell(group.target), str(group.regions), format_size(group.size),
            at_most + format_size(group.touched), format_share(group.rate, at_most), clock(group.age_ns),
            terminal.bar(group.rate, 8),
        ])  # fmt: skip
    note = ["", at_most_note()] if any(map(sign, found)) else []
    at = 1 + whose.shown
    shown, narrow = fitted(rows, f"<{whose.align}>>>>><", terminal.width, spare=(at + 5, at, at + 4))
    return lines([head, "", *shown, *narrow, *note])
