"""Totals of one moment over memory that several targets have, each page once: bounds.

The same as udamon.report.groups has in SQL for all moments of a recording, and says why: for who shows a moment while
it is watched. A property test compares both.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple

from udamon.model import NOWHERE, Sharing, Snapshot


@dataclass(frozen=True, slots=True)
class GroupTotal:
    """Bytes: touched at least once and resident, at least and at most."""

    low: int
    high: int
    resident_low: int
    resident_high: int


class _Row(NamedTuple):
    """A region. `common`: resident bytes that others may have, too; `cached`: of these, what may be pages of another
    object, and count there; `sure`: accessed by the target itself; `fresh`: of these, in pages that none before it has.
    """

    target: int
    start: int
    length: int
    touched: int
    private: int
    common: int
    cached: int
    sure: int
    fresh: int
    offset: int | None
    distinct: int | None


def group_total(snapshots: Iterable[Snapshot], *, marked_by_others: bool) -> GroupTotal:
    """Of the snapshots of one moment, one for each target. `marked_by_others`: where nothing is known of sharing, what
    was touched may have been touched by anybody (`refs`)."""
    objects: dict[int, list[_Row]] = {}
    for snapshot in snapshots:
        if snapshot.sharing is not None and snapshot.sharing.same_as is not None:
            continue
        for number, row in _rows(snapshot, marked_by_others=marked_by_others):
            objects.setdefault(number, []).append(row)
    totals = [_island(island) for rows in objects.values() for island in _islands(rows)]
    return (
        GroupTotal(*(sum(column) for column in zip(*totals, strict=True)))
        if totals
        else GroupTotal(0, 0, 0, 0)
    )


def _rows(snapshot: Snapshot, *, marked_by_others: bool) -> Iterator[tuple[int, _Row]]:
    """Each region with the number of its object; what has none is taken for one object."""
    there = snapshot.resident
    if there is None:
        there = array("Q", map(sub, snapshot.ends, snapshot.starts))
    for at, (start, end, resident, least, touched) in enumerate(
        zip(snapshot.starts, snapshot.ends, there, *_bounds(snapshot, there), strict=True)
    ):
        known = _known(snapshot.sharing, at)
        if known is None:
            sure = 0 if marked_by_others else least
            yield 0, _Row(snapshot.target, start, end - start, touched, 0, resident, 0, sure, 0, None, None)
            continue
        private, anonymous, touched_min, number, offset, distinct = known
        sure = min(touched_min, touched)
        yield number, _Row(
            snapshot.target, start, end - start, touched, private,
            common=max(resident - private, 0),
            cached=max(resident - max(anonymous, private), 0) if offset is None else 0,
            sure=sure,
            fresh=0 if distinct is None else max(sure - (resident - distinct), 0),
            offset=offset, distinct=distinct,
        )  # fmt: skip


def _bounds(snapshot: Snapshot, there: array[int]) -> tuple[array[int], array[int]]:
    """Touched bytes of each region, at least and at most, that add up to the bounds of the snapshot's, as those of
    udamon.report.groups: all of them shrink alike, or grow by the same part of what was not touched."""
    low, high, total = snapshot.touched_low, snapshot.touched_high, sum(snapshot.touched)
    if low is None or high is None:
        return snapshot.touched, snapshot.touched
    smaller, room = min(low / total, 1.0) if total else 1.0, sum(there) - total
    larger = min(max(high - total, 0) / room, 1.0) if room > 0 else 0.0
    return (
        array("Q", [round(touched * smaller) for touched in snapshot.touched]),
        array(
            "Q",
            [
                touched + round((size - touched) * larger)
                for touched, size in zip(snapshot.touched, there, strict=True)
            ],
        ),
    )


def _known(sharing: Sharing | None, at: int) -> tuple[int, int, int, int, int | None, int | None] | None:
    """private, anonymous, touched_min, object, offset and distinct of a region; None where nothing is known of it."""
    if sharing is None or sharing.private[at] == NOWHERE:
        return None
    offset, distinct = sharing.file_offsets[at], sharing.distinct[at]
    return (
        sharing.private[at], sharing.anonymous[at], sharing.touched_min[at], sharing.objects[at],
        None if offset == NOWHERE else offset, None if distinct == NOWHERE else distinct,
    )  # fmt: skip


def _islands(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """The rows of an object by islands: mappings of a file that have no offset in common have no page in common."""
    if nowhere := [row for row in rows if row.offset is None]:
        yield nowhere
    island: list[_Row] = []
    reach = 0
    placed = [(row.offset, row.target, row.start, row) for row in rows if row.offset is not None]
    for offset, _, _, row in sorted(placed):
        if island and offset >= reach:
            yield island
            island = []
        island.append(row)
        reach = max(reach, offset + row.length)
    if island:
        yield island


def _island(rows: Sequence[_Row]) -> tuple[int, int, int, int]:
    """Of rows that may have pages in common: the figures of a GroupTotal."""
    members: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:  # one mapping of a file has no page twice; of anonymous memory a whole process has none
        members.setdefault((row.target, 0 if row.offset is None else row.start), []).append(row)
    sure = max(
        sum(max(min(row.common, row.sure) - row.cached, 0) for row in each) for each in members.values()
    )
    own = sum(max(row.sure - row.common, 0) for row in rows)
    surely = max(sum(row.common - row.cached for row in each) for each in members.values())
    most = max(sum(row.common for row in each) for each in members.values())
    touched, private, common = (
        sum(column) for column in zip(*((r.touched, r.private, r.common) for r in rows), strict=True)
    )
    elsewhere = sum(max(row.touched - row.private, 0) for row in rows)
    there, there_min = common, surely
    offsets = [(row.offset, row.offset + row.length) for row in rows if row.offset is not None]
    if offsets:
        there = min(there, max(end for _, end in offsets) - min(begin for begin, _ in offsets))
    if all(row.distinct is not None for row in rows):
        distinct = sum(row.distinct or 0 for row in rows)
        there = min(there, distinct - private)
        there_min = max(there_min, distinct - private - sum(row.cached for row in rows))
    there = max(most, there)
    high = touched - max(elsewhere - there, 0)
    fresh = sum(max(row.fresh - row.cached, 0) for row in rows)
    low = min(max(sure + own, fresh), high)
    return low, high, there_min + private, there + private
