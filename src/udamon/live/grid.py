"""The cells of a scrolling heatmap: rows are memory as it is now, columns the windows that are kept.

A window is summed up once; only when the memory itself changes, all of them are again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from udamon.live.state import Detail
from udamon.model import Range, Snapshot
from udamon.report.catalog import upper_bound
from udamon.report.grain import has_shares
from udamon.report.layout import Area, PictureRow, bands_of, memory, rows_of
from udamon.report.mappings import NamedMapping

Column = tuple[float | None, ...]
"""The access rate 0..1 of each row; None where nothing of it was watched."""


@dataclass(frozen=True, slots=True)
class Hottest:
    """Memory of one mapping name in the last window; bytes, and its mean access rate 0..1."""

    label: str
    size: int
    touched: int
    rate: float
    at_most: bool = False
    """Others may have touched it, so that these are upper bounds."""


class Grid:
    """Keeps the columns of a target's windows for a picture of a given height."""

    def __init__(self) -> None:
        self._key: object = None
        self._rows: list[PictureRow] = []
        self._columns: dict[int, Column] = {}

    def rows(self, detail: Detail, height: int) -> list[PictureRow]:
        """At most `height` rows for the memory of the last window; none before the first one."""
        if not detail.snapshots:
            return []
        islands = tuple(_islands(detail.snapshots[-1]))
        key = (detail.index, detail.pid, islands, detail.mapped, height)
        if key != self._key and islands:
            self._key = key
            self._rows = _rows(islands, detail, height)
            self._columns.clear()
        return self._rows

    def columns(self, detail: Detail, height: int, count: int) -> list[Column]:
        """The last `count` windows, oldest first."""
        rows = self.rows(detail, height)
        wanted, shares = detail.snapshots[-count:], has_shares({"via": detail.via})
        kept = {
            one.end_ns: self._columns.get(one.end_ns) or _column(one, rows, shares=shares) for one in wanted
        }
        self._columns = kept
        return list(kept.values())


def _rows(islands: Sequence[Range], detail: Detail, height: int) -> list[PictureRow]:
    areas = list(memory(islands, detail.mappings))
    bands = bands_of(detail.index, areas, _there(detail.snapshots[-1], areas))
    count = height
    rows = rows_of(bands, count) if bands else []
    while len(rows) > height and count > 1:
        count = min(count - 1, count * height // len(rows))
        rows = rows_of(bands, max(1, count))
    return rows[:height]


def _there(snapshot: Snapshot, areas: Sequence[Area]) -> list[float]:
    """Bytes of each area that are resident; all of it where that is not known. Areas and regions are sorted."""
    if snapshot.resident is None:
        return [float(area.size) for area, _ in areas]
    at, count = 0, len(snapshot)
    found = []
    for area, _ in areas:
        while at < count and snapshot.ends[at] <= area.start:
            at += 1
        look, there = at, 0.0
        while look < count and snapshot.starts[look] < area.end:
            low, high = snapshot.starts[look], snapshot.ends[look]
            there += snapshot.resident[look] * (min(high, area.end) - max(low, area.start)) / (high - low)
            look += 1
        found.append(max(1.0, there))
    return found


def _sizes(snapshot: Snapshot) -> list[float]:
    """Of each region the share of its bytes that is there."""
    if snapshot.resident is None:
        return [1.0] * len(snapshot)
    return [
        there / (end - start)
        for start, end, there in zip(snapshot.starts, snapshot.ends, snapshot.resident, strict=True)
    ]


def _islands(snapshot: Snapshot) -> Iterator[Range]:
    """The memory that a snapshot covers, regions that touch joined."""
    start = end = None
    for low, high in zip(snapshot.starts, snapshot.ends, strict=True):
        if low != end:
            if start is not None and end is not None:
                yield Range(start, end)
            start = low
        end = high
    if start is not None and end is not None:
        yield Range(start, end)


def _rates(snapshot: Snapshot, *, shares: bool) -> list[float]:
    """Of each region its access rate 0..1; with `shares` the share that was touched of what is there."""
    ticks = max(snapshot.ticks, 1)
    rates = [count / ticks for count in snapshot.nr_accesses]
    if not shares or snapshot.resident is None:
        return rates
    return [
        min(1.0, touched / there) if there else rate
        for rate, touched, there in zip(rates, snapshot.touched, snapshot.resident, strict=True)
    ]


def _column(snapshot: Snapshot, rows: Sequence[PictureRow], *, shares: bool) -> Column:
    """Rates weighted by bytes that are there. Pieces and regions are sorted both, so that one walk does."""
    rates, dense = _rates(snapshot, shares=shares), _sizes(snapshot)
    at, count = 0, len(snapshot)
    found: list[float | None] = []
    for row in rows:
        heat = size = 0.0
        for piece in row.pieces:
            while at < count and snapshot.ends[at] <= piece.start:
                at += 1
            look = at
            while look < count and snapshot.starts[look] < piece.end:
                bytes = min(snapshot.ends[look], piece.end) - max(snapshot.starts[look], piece.start)
                share = bytes * dense[look]
                heat += share * rates[look]
                size += share
                look += 1
        found.append(heat / size if size else None)
    return tuple(found)


SMALL = 1 << 20
"""Bytes: stretches of unnamed memory below it share a line."""


def _labels(mappings: Sequence[NamedMapping]) -> Iterator[tuple[int, str]]:
    """(start, label) of each mapping: names, and of unnamed memory where each stretch of it begins."""
    stretches: list[list[NamedMapping]] = []
    for mapped in mappings:
        if stretches and (stretches[-1][-1].end, stretches[-1][-1].name) == (mapped.start, mapped.name):
            stretches[-1].append(mapped)
        else:
            stretches.append([mapped])
    for stretch in stretches:
        first, label = stretch[0], stretch[0].label
        if not first.name:
            small = stretch[-1].end - first.start < SMALL
            label = f"{label}, small" if small else f"{label} {first.start:x}"
        yield from ((mapped.start, label) for mapped in stretch)


def hottest(detail: Detail) -> list[Hottest]:
    """The mappings of the last window, those of which most was touched first; unnamed memory by stretches. Of a region
    that lies in several mappings each has its part, by size."""
    if not detail.snapshots:
        return []
    last = detail.snapshots[-1]
    labels = dict(_labels(detail.mappings))
    sums: dict[str, list[float]] = {}
    rates = _rates(last, shares=has_shares({"via": detail.via}))
    bounded: set[str] = set()
    for index, parts in enumerate(_in_mappings(last, detail.mappings)):
        start, end, touched = last.starts[index], last.ends[index], last.touched[index]
        covered = sum(size for _, size in parts) or end - start
        for known, size in parts or [(None, end - start)]:
            label, share = "memory" if known is None else labels[known.start], size / covered
            if touched and upper_bound(detail.via, None if known is None else known.kind):
                bounded.add(label)
            there = size if last.resident is None else last.resident[index] * share
            total = sums.setdefault(label, [0.0, 0.0, 0.0])
            total[0] += there
            total[1] += touched * share
            total[2] += there * rates[index]
    found = [
        Hottest(name, round(size), round(hit), heat / size if size else 0.0, name in bounded)
        for name, (size, hit, heat) in sums.items()
    ]
    return sorted(found, key=lambda each: (-each.touched, -each.rate, each.label))


def _in_mappings(
    snapshot: Snapshot, mappings: Sequence[NamedMapping]
) -> Iterator[list[tuple[NamedMapping | None, int]]]:
    """Of each region the mappings that it lies in, and how many bytes of it are in each; [] where there are none.
    Both are sorted, so that one walk does."""
    at = 0
    for start, end in zip(snapshot.starts, snapshot.ends, strict=True):
        while at < len(mappings) and mappings[at].end <= start:
            at += 1
        look, parts = at, list[tuple[NamedMapping | None, int]]()
        while look < len(mappings) and mappings[look].start < end:
            one = mappings[look]
            parts.append((one, min(end, one.end) - max(start, one.start)))
            look += 1
        yield parts
