"""Where on an axis of addresses a region lies: as SQL joins that cost the same for ten places or ten thousand.

An axis divides the addresses of every target into *places*, numbered from 0. A region covers the places from
`first` to `last`. Looking those up by comparing with every place would cost regions times places; instead the
addresses are divided into bins of equal size, and an equality join on the bin leaves a few places to compare.

A report sums its regions up by (…, first, last) and spreads only the sums over places (`SPREAD`): regions
that begin in one place and end in the same one have all that matters in four numbers: how many, their sizes,
and how far their begins and ends are from the edges of those places.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from udamon.report.source import RecordingSource

MAX_BINS = 1 << 14
MAX_CLUSTERS = 24
_END = (1 << 64) - 1


class AddressPlace(NamedTuple):
    """[low, high) in bytes of a target's addresses, and what the report calls it; None is a gap."""

    target: int
    low: int
    high: int
    name: int | None


class Axis:
    """Tables `{name}_bins` and `{name}_places` beside a source's view, and the SQL that uses them."""

    def __init__(self, source: RecordingSource, name: str, known: Iterable[AddressPlace]) -> None:
        """`known` places are disjoint within a target; what is between them becomes gaps."""
        self._name = name
        places = list(_with_gaps(known))
        self._clusters = _Clusters([place for place in places if place.name is not None])
        bins = [
            (place.target, bin, number, place.low, place.high)
            for number, place in enumerate(places)
            for bin in self._clusters.bins(place.low, place.high)
        ]
        source.table(
            f"{name}_bins", "target INTEGER, bin UBIGINT, place INTEGER, low UBIGINT, high UBIGINT", bins
        )
        rows = [
            (number, place.target, place.low, place.high, place.name) for number, place in enumerate(places)
        ]
        source.table(
            f"{name}_places", "place INTEGER, target INTEGER, low UBIGINT, high UBIGINT, name INTEGER", rows
        )

    def placed(self, columns: Sequence[str], where: str = "TRUE", rows: str = "regions") -> str:
        """A query: `columns` of `rows` (which have target, start and end) with `first` and `last`, the numbers
        of places, and `into` and `over`: bytes from the low edge of the first place to the region's start,
        and from the low edge of the last one to its end.
        """
        start, end = self._clusters.sql("r.start"), self._clusters.sql('r."end"', end=True)
        return f"""
            SELECT {", ".join(f"r.{column}" for column in columns)},
                a.place AS first, coalesce(b.place, a.place) AS last,
                CAST(r.start - a.low AS DOUBLE) AS "into",
                CAST(r."end" - coalesce(b.low, a.low) AS DOUBLE) AS over
            FROM {rows} AS r
            JOIN {self._name}_bins AS a
                ON r.target = a.target AND {start} = a.bin AND r.start >= a.low AND r.start < a.high
            LEFT JOIN {self._name}_bins AS b
                ON r.target = b.target AND CASE WHEN r."end" > a.high THEN {end} END = b.bin
                    AND r."end" > b.low AND r."end" <= b.high
            WHERE r.start IS NOT NULL AND {where}
        """

    def spread(self, keys: Sequence[str], amounts: Sequence[str], summed: str) -> str:
        """A query: `summed` spread over places, as (keys…, name, bytes of each amount…).

        `summed` has the keys, first and last, and of each amount A: the sum `A`, and those of A times into
        and over, `A_into` and `A_over`. The bytes are what amounts times bytes come to.
        """
        of = [
            f"""sum(CASE WHEN first = last THEN {amount}_over - {amount}_into
                WHEN s.place = first THEN spread.{amount} * s.length - {amount}_into
                WHEN s.place = last THEN {amount}_over ELSE spread.{amount} * s.length END) AS {amount}"""
            for amount in amounts
        ]
        columns = ", ".join([*keys, "first", "last", *amounts, *(f"{a}_into, {a}_over" for a in amounts)])
        keyed = "".join(f"{key}, " for key in keys)
        return f"""
            SELECT {keyed}s.name, {", ".join(of)} FROM (
                SELECT {columns}, unnest(range(CAST(first AS BIGINT), CAST(last AS BIGINT) + 1)) AS place
                FROM {summed}
            ) AS spread JOIN (
                SELECT place, name, CAST(high - low AS DOUBLE) AS length FROM {self._name}_places
            ) AS s ON spread.place = s.place
            WHERE s.name IS NOT NULL GROUP BY {keyed}s.name
        """


def sums(amount: str, value: str, where: str | None = None) -> str:
    """The sums that `spread` wants of an amount, as SQL; of rows for which `where` holds."""
    only = f" FILTER (WHERE {where})" if where else ""
    return ", ".join(
        f"coalesce(sum({term}){only}, 0) AS {name}"
        for name, term in (
            (amount, value), (f"{amount}_into", f"{value} * \"into\""), (f"{amount}_over", f"{value} * over")
        )
    )  # fmt: skip


def _with_gaps(known: Iterable[AddressPlace]) -> Iterable[AddressPlace]:
    target, at = None, 0
    for place in sorted(known):
        if place.target != target:
            if target is not None:
                yield AddressPlace(target, at, _END, None)
            target, at = place.target, 0
        if place.low > at:
            yield AddressPlace(place.target, at, place.low, None)
        yield place
        at = place.high
    if target is not None:
        yield AddressPlace(target, at, _END, None)


class _Clusters:
    """Bins: addresses in a few clusters with wide gaps between, each cut into pieces of 2**shift bytes."""

    def __init__(self, places: Sequence[AddressPlace]) -> None:
        spans = _joined(sorted((place.low, place.high) for place in places))
        gaps = sorted((right[0] - left[1] for left, right in pairwise(spans)), reverse=True)
        least = gaps[MAX_CLUSTERS - 1] if len(gaps) >= MAX_CLUSTERS else 1
        clusters: list[tuple[int, int]] = []
        for low, high in spans:
            if clusters and low - clusters[-1][1] <= least:
                clusters[-1] = (clusters[-1][0], high)
            else:
                clusters.append((low, high))
        self._shift = 12
        while sum((high - low >> self._shift) + 1 for low, high in clusters) > MAX_BINS:
            self._shift += 1
        # Below each edge: the bin of everything there (a gap), or None where bins are cut.
        self._edges: list[tuple[int, int | None]] = []
        last = clusters[0][0] >> self._shift if clusters else 0
        for low, high in clusters:
            self._edges += [(low, last), (high, None)]
            last = high - 1 >> self._shift
        self._edges.append((_END, last))

    def bins(self, low: int, high: int) -> Iterator[int]:
        """Every bin that [low, high) shares an address with, ascending. A gap between clusters is in the last
        bin of the one below."""
        at, last = low, None
        while at < high:
            number = min(bisect_right(self._edges, at, key=lambda edge: edge[0]), len(self._edges) - 1)
            edge, gap = self._edges[number]
            found = at >> self._shift if gap is None else gap
            if found != last:
                yield found
            last = found
            at = edge if gap is not None else min(edge, (at >> self._shift) + 1 << self._shift)

    def sql(self, address: str, *, end: bool = False) -> str:
        """The same as SQL, of an address, or of the last byte before it where it is an `end`. Only shifts and
        comparisons: subtractions of unsigned numbers are slow, and of `x - 1 < constant` DuckDB makes `x < constant +
        1` with signed numbers, which fails for addresses from 2**63 on."""
        below, last = ("<=", f"({address} - {_address(1)})") if end else ("<", address)

        def within(first: int, behind: int) -> str:
            if behind - first == 1:
                gap = self._edges[first][1]
                return f"{last} >> {_address(self._shift)}" if gap is None else _address(gap)
            middle = (first + behind) // 2
            return (
                f"CASE WHEN {address} {below} {_address(self._edges[middle - 1][0])} "
                f"THEN {within(first, middle)} ELSE {within(middle, behind)} END"
            )

        return within(0, len(self._edges))


def _address(value: int) -> str:
    """A literal of the type that addresses have: of mixed types an engine computes with 128 bits, slowly."""
    return f"CAST({value} AS UBIGINT)"


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans, of all targets, where they overlap or touch as one."""
    found: list[tuple[int, int]] = []
    for low, high in spans:
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found
