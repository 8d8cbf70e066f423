"""Points of the policy `adaptive` by name, and back, as points.h packs them."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.unit.native_calls import named
from udamon.core.adaptive.steps import StalePoints
from udamon.core.policy import Answers, Slots
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.native._native import points_take

PAGE, HUGE = PAGE_SIZE, HUGE_PAGE_SIZE
MISS, HIT, WHOLE, HOLE = 0, 1, 2, 4
LAYOUT = struct.Struct("=QIBBBB")

Ranges = Sequence[tuple[int, int]]


class Point(NamedTuple):
    """A check's answer for `pages` pages from `start` on."""

    start: int
    kind: int = MISS
    age: int = 0
    pages: int = 1
    outdated: int = 0

    @property
    def end(self) -> int:
        return self.start + self.pages * PAGE


class Answer(NamedTuple):
    """What a sampler said of one check."""

    address: int
    answer: int
    slot: int = 0
    span: int = 1
    shift: int = PAGE.bit_length() - 1


def pack(points: Iterable[Point]) -> bytes:
    return b"".join(LAYOUT.pack(p.start, p.pages, p.kind, p.age, p.outdated, 0) for p in points)


def unpack(packed: bytes | bytearray) -> list[Point]:
    rows = LAYOUT.iter_unpack(packed)
    return [Point(start, kind, age, pages, outdated) for start, pages, kind, age, outdated, _ in rows]


def answer_columns(answers: Sequence[Answer]) -> list[array[int]]:
    """slot, address, span, answer and shift, as points_take wants them."""
    return [
        array("I", [a.slot for a in answers]),
        array("Q", [a.address for a in answers]),
        array("I", [a.span for a in answers]),
        array("B", [a.answer for a in answers]),
        array("B", [a.shift for a in answers]),
    ]


def range_columns(ranges: Ranges) -> list[array[int]]:
    return [array("Q", [start for start, _ in ranges]), array("Q", [end for _, end in ranges])]


def take(
    old: Sequence[Point],
    answers: Sequence[Answer] = (),
    *,
    slots: Sequence[int] = (0,),
    holes: Ranges = (),
    drop: Sequence[StalePoints] = (),
    target: int = 0,
    whole: int = 15,
    older: int = 0,
    limit: int = 16,
    begin: int = 0,
    end: int = 1 << 62,
    segments: Sequence[tuple[int, float]] = (),
    least: float = 0.0,
) -> list[Point]:
    """points_take by names; `slots` says of each slot to which target it belongs, `segments` end and weight of each."""
    ranges = [*range_columns(holes), *range_columns([(one.start, one.end) for one in drop])]
    dropped = [one.age for one in drop], [one.outdate for one in drop]
    buffers = take_buffers(pack(old), answers, slots, ranges, dropped, segments)
    return unpack(
        points_take(
            **named("points_take", buffers),
            target=target,
            whole=whole,
            older=older,
            limit=limit,
            least=least,
            begin=begin,
            end=end,
        )
    )


def take_buffers(
    old: bytes,
    answers: Sequence[Answer],
    slots: Sequence[int],
    ranges: Sequence[array[int]],
    dropped: tuple[Sequence[int], Sequence[int]] = ((), ()),
    segments: Sequence[tuple[int, float]] = (),
) -> list[bytes | array[int] | array[float]]:
    """What points_take wants, in its order; `ranges` are starts and ends of the holes, then of what is dropped, of
    which `dropped` has the ages, and the bits by which points become outdated instead."""
    bounds, seen = (
        array("Q", [0, *(end for end, _ in segments)]),
        array("d", [weight for _, weight in segments]),
    )
    return [
        old,
        *answer_columns(answers),
        array("I", slots),
        *ranges,
        *(array("B", one) for one in dropped),
        bounds,
        seen,
    ]


def answers_to(slots: Slots, answers: Sequence[Answer], ticks: int) -> Answers:
    """As a sampler would hand them to a policy."""
    hits, no_page = [0] * len(slots), [0] * len(slots)
    for a in answers:
        hits[a.slot] += a.answer == 1
        no_page[a.slot] += a.answer == 2
    slot, address, span, answer, shift = answer_columns(answers)
    return Answers(
        ticks,
        array("I", hits),
        array("I", no_page),
        slot,
        address,
        span,
        bytes(answer),
        bytes(shift),
        array("q", [0] * ticks),
    )
