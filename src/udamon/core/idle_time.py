"""For how long each byte was not accessed, from what windows saw of regions whose borders move.

Of a region of which only a part was accessed it is not known which part. So two ways to have been are followed: that
the bytes that had been idle longest were accessed, and that those that were accessed last were, again. The first leaves
the least memory idle for any time, the second the most (of the sorted idle times one is never above the other, and what
comes later keeps it so); where every region was accessed as a whole or not at all they are the same, and exact.

Times have the grain of windows: memory that was accessed in a window counts as accessed at its end, so what is said to
be idle for some time was idle for that time, and up to one window longer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import NamedTuple

SECONDS = (1, 10, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)
"""Idle times that are told of."""

LABELS = ("1 s", "10 s", "1 m", "2 m", "5 m", "10 m", "30 m", "1 h", "2 h", "4 h", "8 h")

GAP = 0.1
"""Between two windows nobody looked; a gap of a larger share of a window may have hidden accesses."""

_AGES = tuple(seconds * 1_000_000_000 for seconds in SECONDS)
_MOST_PARTS = 64

MOST_PIECES = 100_000
"""Stretches of addresses that have times of their own: more are taken together, and figures become bounds."""

Part = tuple[int, float]
"""When it was accessed last (ns), and how many bytes that is of."""


class Seen(NamedTuple):
    """Of the region [start, end), `size` bytes are there; at least `least` and at most `most` of them were accessed."""

    start: int
    end: int
    size: float
    least: float
    most: float


class Cold(NamedTuple):
    """Bytes by idle time, for each of SECONDS: idle at least so long at the end of the last window, and accessed again
    after they had been. Lower and upper bounds; None where nobody watched for so long."""

    size: float
    cold_low: list[float | None]
    cold_high: list[float | None]
    promoted_low: list[float | None]
    promoted_high: list[float | None]


class Together(NamedTuple):
    """What is known of several address spaces beside their sum: of the memory that only one of them has; and of all
    pages, each once: at most how many bytes are there at the end, and how many of them were not accessed, at least and
    at most, for each of SECONDS."""

    alone: Cold
    size: float = inf
    least: Sequence[float] = (0.0,) * len(SECONDS)
    most: Sequence[float] = (inf,) * len(SECONDS)


class _Piece:
    """The bytes of [start, end). `last`: all of them are there and were accessed last at that time. Where it is None,
    `least` and `most` have them by when they were accessed last, longest ago first: the way of the least idle memory,
    and that of the most, the same list where that is known."""

    __slots__ = ("end", "last", "least", "most", "start")

    def __init__(
        self,
        start: int,
        end: int,
        last: int | None,
        least: list[Part] | None = None,
        most: list[Part] | None = None,
    ) -> None:
        self.start = start
        self.end = end
        self.last = last
        if last is not None:
            least = most = []
        self.least = least or []
        self.most = self.least if most is least else most or []

    def both(self) -> tuple[list[Part], list[Part]]:
        """The two ways; the same list where that is known."""
        if self.last is None:
            return self.least, self.most
        known: list[Part] = [(self.last, float(self.end - self.start))]
        return known, known


class IdleTimes:
    """Of one address space, window by window."""

    def __init__(self) -> None:
        self.begin_ns: int | None = None
        self.end_ns = 0
        self.parts = False
        """Whether a region was accessed in part: both ways are not the same any more."""
        self.gaps = False
        """Whether there was a time that nobody looked."""
        self._pieces: list[_Piece] = []
        self._promoted_low = [0.0] * (len(_AGES) + 1)
        self._promoted_high = [0.0] * (len(_AGES) + 1)

    def window(self, begin_ns: int, end_ns: int, regions: Iterable[Seen]) -> None:
        """The next window [begin, end), and the regions in it, ascending and disjoint. Others are gone."""
        if self.begin_ns is None:
            self.begin_ns = begin_ns
        elif begin_ns - self.end_ns > GAP * (end_ns - begin_ns):
            self.gaps = True
            self._pieces = [_accessed_meanwhile(piece, begin_ns) for piece in self._pieces]
        pieces: list[_Piece] = []
        for seen, old in _overlapping(regions, self._pieces):
            if seen.most <= 0 and seen.size == seen.end - seen.start:
                _keep(pieces, seen, old, begin_ns)
            else:
                pieces.append(self._next(seen, old, begin_ns, end_ns))
        while len(pieces) > MOST_PIECES:
            self.parts = True
            pieces = _coarser(pieces)
        self._pieces = pieces
        self.end_ns = end_ns

    def _next(self, seen: Seen, old: Sequence[_Piece], begin_ns: int, end_ns: int) -> _Piece:
        least, most = _inherited(seen, old, begin_ns)
        if seen.most <= 0:
            return _Piece(seen.start, seen.end, None, least, most)
        if seen.least >= seen.size:
            self._promote(least, most, seen, begin_ns)
            if seen.size == seen.end - seen.start:
                return _Piece(seen.start, seen.end, end_ns)
            accessed = [(end_ns, seen.size)]
            return _Piece(seen.start, seen.end, None, accessed, accessed)
        self._promote(least, most, seen, begin_ns)
        self.parts = True
        left = without(least, seen.most, newest=False)
        left.append((end_ns, seen.size - sum(size for _, size in left)))
        kept = without(most, seen.least, newest=True)
        kept.append((end_ns, seen.size - sum(size for _, size in kept)))
        return _Piece(seen.start, seen.end, None, fewer(left, newer=True), fewer(kept, newer=False))

    def _promote(self, least: list[Part], most: list[Part], seen: Seen, begin_ns: int) -> None:
        """What was accessed, by how long it had been idle when the window began."""
        low, high = self._promoted_low, self._promoted_high
        if least is most and len(least) == 1 and seen.least == seen.most:
            place = bisect_right(_AGES, begin_ns - least[0][0])
            low[place] += seen.most
            high[place] += seen.most
            return
        low_before, high_before = seen.least, seen.most
        for at, age in enumerate(_AGES):
            surely, maybe = _idle(least, begin_ns - age), _idle(most, begin_ns - age)
            low_now = min(low_before, max(0.0, seen.least - (seen.size - surely)))
            high_now = min(high_before, maybe)
            low[at] += low_before - low_now
            high[at] += high_before - high_now
            low_before, high_before = low_now, high_now
        low[-1] += low_before
        high[-1] += high_before

    def told(self) -> Cold:
        """As of the end of the last window."""
        watched = 0 if self.begin_ns is None else self.end_ns - self.begin_ns
        known = bisect_right(_AGES, watched)
        unknown: list[float | None] = [None] * (len(_AGES) - known)

        def cold(parts: Iterable[list[Part]]) -> list[float | None]:
            found = [0.0] * known
            for one in parts:
                for last, size in one:
                    for at in range(bisect_right(_AGES, self.end_ns - last, hi=known)):
                        found[at] += size
            return [*found, *unknown]

        def promoted(counts: Sequence[float]) -> list[float | None]:
            return [*(sum(counts[at + 1 :]) for at in range(known)), *unknown]

        ways = [piece.both() for piece in self._pieces]
        return Cold(
            sum(size for least, _ in ways for _, size in least),
            cold(least for least, _ in ways),
            cold(most for _, most in ways),
            promoted(self._promoted_low),
            promoted(self._promoted_high),
        )


def total(found: Iterable[Cold]) -> Cold:
    """Of several address spaces together; None where nobody was watched for so long."""
    every = list(found)

    def added(columns: Iterable[list[float | None]]) -> list[float | None]:
        known = [[value for value in values if value is not None] for values in zip(*columns, strict=True)]
        return [sum(values) if values else None for values in known]

    return Cold(
        sum(one.size for one in every),
        added(one.cold_low for one in every),
        added(one.cold_high for one in every),
        added(one.promoted_low for one in every),
        added(one.promoted_high for one in every),
    )


def alone(seen: Seen, private: float) -> Seen:
    """Of a region, the `private` bytes that nothing else maps: as few of the accesses as can be were in them, or as
    many. They are taken to be the same bytes from window to window."""
    size = min(private, seen.size)
    return Seen(seen.start, seen.end, size, max(0.0, seen.least - (seen.size - size)), min(seen.most, size))


def once(summed: Cold, together: Together) -> Cold:
    """Bytes of several address spaces, what they have in common counted once, from their sum. Idle is what none of them
    accessed; accessed again is what one of them had left idle and accessed, once or for each of them."""
    size = min(summed.size, together.size)
    low: list[float | None] = []
    high: list[float | None] = []
    for lone, most, least, cap in zip(
        together.alone.cold_low, summed.cold_high, together.least, together.most, strict=True
    ):
        known = None if most is None else max(0.0, min(most, cap, size))
        high.append(known)
        low.append(None if known is None else min(known, max(lone or 0.0, least)))
    again = [
        None if most is None else min(lone or 0.0, most)
        for lone, most in zip(together.alone.promoted_low, summed.promoted_high, strict=True)
    ]
    return Cold(size, low, high, again, summed.promoted_high)


def _overlapping(regions: Iterable[Seen], old: Sequence[_Piece]) -> Iterator[tuple[Seen, Sequence[_Piece]]]:
    """Each region with the pieces that share bytes with it."""
    at, number = 0, len(old)
    for seen in regions:
        start, end = seen.start, seen.end
        while at < number and old[at].end <= start:
            at += 1
        last = at
        while last < number and old[last].start < end:
            last += 1
        yield seen, old[at:last]
        if last > at:
            at = last - 1


def _accessed_meanwhile(piece: _Piece, now_ns: int) -> _Piece:
    """The state of a piece after a gap in monitoring: all of it may have been accessed."""
    least, most = piece.both()
    return _Piece(piece.start, piece.end, None, [(now_ns, sum(size for _, size in least))], most)


def _keep(pieces: list[_Piece], seen: Seen, old: Sequence[_Piece], begin_ns: int) -> None:
    """A region that was not accessed, all of its bytes there: what was known of each of its addresses still is."""
    at, limit = seen.start, seen.end
    for piece in old:
        start, end, last = piece.start, piece.end, piece.last
        start = at if start < at else start
        end = limit if end > limit else end
        if at < start:
            _append(pieces, at, start, begin_ns)
        if last is not None:
            before = pieces[-1] if pieces else None
            if before is not None and before.last == last and before.end == start:
                pieces[-1] = _Piece(before.start, end, last)
            elif start == piece.start and end == piece.end:
                pieces.append(piece)
            else:
                pieces.append(_Piece(start, end, last))
        else:
            least, most = _inherited(Seen(start, end, end - start, 0, 0), [piece], begin_ns)
            pieces.append(_Piece(start, end, None, least, most))
        at = end
    if at < limit:
        _append(pieces, at, limit, begin_ns)


def _append(pieces: list[_Piece], start: int, end: int, last_ns: int) -> None:
    """Bytes accessed last at one time, as a piece or as more of the last one."""
    if pieces and pieces[-1].last == last_ns and pieces[-1].end == start:
        start = pieces.pop().start
    pieces.append(_Piece(start, end, last_ns))


def _coarser(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Neighbours two by two as one: which of its bytes are which is not known any more."""
    found = []
    for at in range(0, len(pieces), 2):
        pair = pieces[at : at + 2]
        ways = [piece.both() for piece in pair]
        least = fewer(_joined(sorted(part for one, _ in ways for part in one)), newer=True)
        most = fewer(_joined(sorted(part for _, one in ways for part in one)), newer=False)
        found.append(_Piece(pair[0].start, pair[-1].end, None, least, most))
    return found


def _inherited(seen: Seen, old: Sequence[_Piece], begin_ns: int) -> tuple[list[Part], list[Part]]:
    """What the bytes of a region were before: both ways; the same list where it is known."""
    if len(old) == 1 and old[0].start == seen.start and old[0].end == seen.end:
        least, most = old[0].both()
    else:
        least, most = [], []
        alike = True
        for piece in old:
            shared = min(piece.end, seen.end) - max(piece.start, seen.start)
            if piece.last is not None:
                part = (piece.last, float(shared))
                least.append(part)
                most.append(part)
                continue
            share = shared / (piece.end - piece.start)
            alike &= piece.least is piece.most
            if share >= 1 or len(piece.least) == len(piece.most) == 1:
                least += [(last, size * share) for last, size in piece.least]
                most += [(last, size * share) for last, size in piece.most]
                continue
            alike = False  # which of its bytes went where is not known
            there = sum(size for _, size in piece.least)
            least += without(piece.least, (1 - share) * there, newest=False)
            most += without(piece.most, (1 - share) * there, newest=True)
        least.sort()
        least = _joined(least)
        most = least if alike else _joined(sorted(most))
    there = sum(size for _, size in least)
    if there < seen.size:  # what came was accessed, or is seen for the first time
        new = [(begin_ns, seen.size - there)]
        both = least is most
        least = [*least, *new]
        most = least if both else [*most, (begin_ns, seen.size - sum(size for _, size in most))]
    elif there > seen.size:
        if least is most and len(least) == 1:
            least = most = [(least[0][0], seen.size)]
        else:
            least = without(least, there - seen.size, newest=False)
            most = without(most, sum(size for _, size in most) - seen.size, newest=True)
    return least, most


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Sorted parts, those of one moment as one."""
    found: list[Part] = []
    for last, size in parts:
        if found and found[-1][0] == last:
            found[-1] = (last, found[-1][1] + size)
        else:
            found.append((last, size))
    return found


def without(parts: Sequence[Part], size: float, *, newest: bool) -> list[Part]:
    """The parts less so many bytes, taken from the newest or from the oldest ones."""
    kept = list(reversed(parts)) if newest else list(parts)
    at = 0
    while at < len(kept) and kept[at][1] <= size:
        size -= kept[at][1]
        at += 1
    kept = kept[at:]
    if kept and size > 0:
        kept[0] = (kept[0][0], kept[0][1] - size)
    return kept[::-1] if newest else kept


def _idle(parts: Sequence[Part], since_ns: int) -> float:
    """Bytes that were accessed last at that time, or before."""
    return sum(size for last, size in parts if last <= since_ns)


def fewer(parts: list[Part], *, newer: bool) -> list[Part]:
    """Neighbours together where there are many, as if all of them were the newer or the older one; those whose times
    are closest to each other, by how long ago they are."""
    if len(parts) <= _MOST_PARTS:
        return parts
    found: list[Part] = []
    for at in range(0, len(parts) - _MOST_PARTS // 2, 2):
        pair = parts[at : at + 2]
        found.append((pair[-1 if newer else 0][0], sum(size for _, size in pair)))
    return found + parts[len(found) * 2 :]
