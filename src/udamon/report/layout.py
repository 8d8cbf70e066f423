"""The address axis of a heatmap: rows only where memory is, in bands that have a name.

All memory is laid end to end, gaps left out. Neighbouring mappings of one name make a band; bands too small
for a row of their own are joined with their neighbours; heap and stack keep theirs. A band has rows in
proportion to its size, at least one.

The size of memory is how much of it is there, where that is known: a mapping can be a thousand times larger than what
is resident of it. Within a piece of memory what is there is taken to be spread evenly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from udamon.model import Range
from udamon.native._native import SMALLEST_PAGE
from udamon.record.naming import HEAP, STACK, kind_of
from udamon.report.mappings import NO_MAPPING, Mapping, NamedMapping, label_of

MAX_PIECES = 8
"""A row spans at most this many pieces of memory: of more, the smallest gaps between them are kept in."""

Area = tuple[Range, str]
"""Memory with the kernel's name of its mapping ("" for anonymous)."""


@dataclass(slots=True)
class Band:
    """Neighbouring memory of one target; `names` has the bytes of each mapping name, `size` those of all."""

    target: int
    pieces: list[Range] = field(default_factory=list)
    there: list[float] = field(default_factory=list)
    """Bytes of each piece that are there."""
    names: dict[str, float] = field(default_factory=dict)
    size: float = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(self.names.values())

    @property
    def name(self) -> str:
        """The mapping name that has most bytes."""
        return max(self.names, key=lambda name: self.names[name])

    @property
    def label(self) -> str:
        """For people: the name, and how many others share the band."""
        return label_of(self.name) + self.others

    @property
    def others(self) -> str:
        """What `label` adds for other names in the band: " +3" for three, nothing for none."""
        labels = {label_of(name) for name in self.names}
        return f" +{len(labels) - 1}" if len(labels) > 1 else ""

    @property
    def alone(self) -> bool:
        """Heap and stack are what people look for: they are not joined with others, so that theirs is the only name."""
        return len(self.names) == 1 and kind_of(next(iter(self.names))) in (HEAP, STACK)

    def join(self, other: Band) -> None:
        """Take in the next band of the same target."""
        self.pieces += other.pieces
        self.there += other.there
        self.size += other.size
        for name, size in other.names.items():
            self.names[name] = self.names.get(name, 0.0) + size


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One row of the picture: the pieces of memory in it, and the band it belongs to.

    `size` is how many bytes are there; the pieces may cover more, for small gaps between them are kept in.
    """

    band: Band
    first: bool
    pieces: list[Range]
    size: int

    @property
    def range(self) -> Range:
        return Range(self.pieces[0].start, self.pieces[-1].end)


def memory(islands: Sequence[Range], mappings: Sequence[NamedMapping | Mapping]) -> Iterator[Area]:
    """Where the monitored ranges and accessible mappings meet; all of the ranges when no mapping is known that does:
    of a program that has just executed another, those of the former may be all that there is.

    Both are sorted. Mappings without any permission (a reservation, a guard) are no memory.
    """
    met = list(_met(islands, mappings))
    yield from met or ((island, NO_MAPPING) for island in islands)


def _met(islands: Sequence[Range], mappings: Sequence[NamedMapping | Mapping]) -> Iterator[Area]:
    at = 0
    for mapped in mappings:
        if mapped.perms.startswith("---"):
            continue
        while at < len(islands) and islands[at].end <= mapped.start:
            at += 1
        for island in islands[at:]:
            if island.start >= mapped.end:
                break
            yield Range(max(island.start, mapped.start), min(island.end, mapped.end)), mapped.name


def bands_of(target: int, areas: Iterable[Area], there: Iterable[float] | None = None) -> list[Band]:
    """Sorted areas as bands: one for each run of the same name. `there` has the bytes that are there of each area, by
    default all."""
    bands: list[Band] = []
    areas = list(areas)
    sizes = [area.size for area, _ in areas] if there is None else there
    for (area, name), size in zip(areas, sizes, strict=True):
        new = Band(target, [area], [size], {name: size})
        if bands and list(bands[-1].names) == [name]:
            bands[-1].join(new)
        else:
            bands.append(new)
    return bands


def rows_of(bands: Sequence[Band], count: int) -> list[PictureRow]:
    """About `count` rows for the bands, each band at least one."""
    total = sum(band.size for band in bands)
    threshold = total / count / 2
    joined = _join_small(bands, threshold)
    while len(joined) > count and threshold < total:
        threshold *= 2
        joined = _join_small(joined, threshold)
    rows = []
    for band in joined:
        share = max(1, round(band.size * count / total))
        size = band.size
        cuts = sorted({size * index / share for index in range(share)})
        first = True
        parts = _cut(band, pairwise([*cuts, inf]))
        for (begin, end), pieces in zip(pairwise([*cuts, size]), parts, strict=True):
            if pieces:
                rows.append(PictureRow(band, first, _at_most(pieces, MAX_PIECES), round(end - begin)))
                first = False
    return rows


def _join_small(bands: Sequence[Band], threshold: float) -> list[Band]:
    joined: list[Band] = []
    for band in bands:
        last = joined[-1] if joined else None
        small = last is not None and max(last.size, band.size) < threshold
        if last and small and last.target == band.target and not (last.alone or band.alone):
            last.join(band)
        else:
            joined.append(Band(band.target, list(band.pieces), list(band.there), dict(band.names)))
    return joined


def _cut(band: Band, edges: Iterable[tuple[float, float]]) -> Iterator[list[Range]]:
    """The parts from byte to byte of what is there, in whole pages. They follow each other, so that one walk does; the
    last one has all that is left, whatever rounding made of its end."""
    number, at = 0, 0.0
    for begin, end in edges:
        found: list[Range] = []
        while number < len(band.pieces):
            piece, behind = band.pieces[number], at + band.there[number]
            low, high = max(begin, at), min(end, behind)
            if low < high:
                cut = Range(*(_address(piece, edge, at, behind) for edge in (low, high)))
                if cut.size:
                    found.append(cut)
            if behind > end:
                break  # the rest of it is in the next part
            number, at = number + 1, behind
        yield found


def _address(piece: Range, edge: float, begin: float, end: float) -> int:
    """Where byte `edge` of what is there lies in a piece that has those from `begin` to `end`."""
    if edge >= end:
        return piece.end
    share = (edge - begin) / (end - begin)
    return piece.start + int(piece.size * share) // SMALLEST_PAGE * SMALLEST_PAGE


def _at_most(pieces: Sequence[Range], count: int) -> list[Range]:
    """The pieces with only the largest gaps between them left."""
    gaps = sorted((right.start - left.end for left, right in pairwise(pieces)), reverse=True)
    keep = max(1, gaps[count - 1]) if len(gaps) >= count else 1
    joined = [pieces[0]]
    for piece in pieces[1:]:
        if piece.start - joined[-1].end < keep or len(joined) == count:
            joined[-1] = Range(joined[-1].start, piece.end)
        else:
            joined.append(piece)
    return joined
