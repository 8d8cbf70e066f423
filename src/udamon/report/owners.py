"""Whose memory it is: what the mappings of a recording are, as lines of a report.

The kernel names heap, main stack, files and libraries, and anonymous memory that was given a name. The rest of
anonymous memory is guessed from its shape, and a guess is marked as one: a stack of a thread is private memory
right above a guard page, an arena of glibc's malloc begins at a multiple of 64 MiB and ends where what follows
it up to the next multiple cannot be accessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from udamon.errors import RecordingError
from udamon.native._native import SMALLEST_PAGE
from udamon.record.naming import ANONYMOUS, FILE, LIBRARY, kind_of
from udamon.record.reader import Recording
from udamon.report.mappings import Mapping, history_of, label_of
from udamon.report.place import AddressPlace

THREAD_STACK, MALLOC_ARENA = "thread stack", "malloc arena"

ARENA = 64 << 20
"""glibc's HEAP_MAX_SIZE on 64-bit machines (malloc(3), arena.c's documentation): arenas are aligned to it."""

LARGEST_STACK = 16 << 20
LARGEST_GUARD = 64 << 10
STACK_GRAIN = 64 << 10
"""Threads are given stacks of round sizes, with the guard page inside (older C libraries) or beside it."""


@dataclass(slots=True)
class Owner:
    """All memory of one name in one target; anonymous memory without a name is one a stretch.

    `guess` says what it probably is, where that is a guess; `pieces` are mappings that may be accessed.
    """

    target: int
    name: str
    guess: str | None = None
    pieces: list[Mapping] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return kind_of(self.name)

    @property
    def label(self) -> str:
        """For people: "heap", "libc.so.6", "anonymous", "thread stack?" where it is a guess."""
        return f"{self.guess}?" if self.guess else label_of(self.name)

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def size(self) -> int:
        return sum(piece.end - piece.start for piece in self.pieces)

    @property
    def place(self) -> str:
        """The label, with the address where several have the same."""
        return f"{self.label} {self.start:x}" if self.kind == ANONYMOUS and not self.name else self.label


def owners_of(recording: Recording) -> list[Owner]:
    """The owners of all memory that may be accessed, in the order of their addresses."""
    found: list[Owner] = []
    for target, mappings in sorted(history_of(recording).items()):
        named: dict[str, Owner] = {}
        for run in _runs(mappings):
            name = run[0].name
            usable = [mapping for mapping in run if not _closed(mapping)]
            if not usable:
                continue
            if name:
                if name not in named:
                    named[name] = Owner(target, name)
                    found.append(named[name])
                named[name].pieces += usable
            else:
                found += _anonymous(target, run)
    return found


def _closed(mapping: Mapping) -> bool:
    return mapping.perms.startswith("---")


def _runs(mappings: Sequence[Mapping]) -> Iterator[list[Mapping]]:
    """Neighbours of one name that touch."""
    run: list[Mapping] = []
    for mapping in mappings:
        if run and (run[-1].end, run[-1].name) != (mapping.start, mapping.name):
            yield run
            run = []
        run.append(mapping)
    if run:
        yield run


def _anonymous(target: int, run: Sequence[Mapping]) -> Iterator[Owner]:
    """A stretch of anonymous memory, divided at its guard pages and arenas; what is left together is one."""
    rest: list[Mapping] = []
    for number, mapping in enumerate(run):
        if _closed(mapping):
            continue
        guess = _guess(mapping, run[number - 1] if number else None, run[number + 1 : number + 2])
        if guess:
            yield Owner(target, "", guess, [mapping])
        elif rest and rest[-1].end == mapping.start:
            rest.append(mapping)
        else:
            if rest:
                yield Owner(target, "", None, rest)
            rest = [mapping]
    if rest:
        yield Owner(target, "", None, rest)


def _guess(mapping: Mapping, below: Mapping | None, above: Sequence[Mapping]) -> str | None:
    size = mapping.end - mapping.start
    if not mapping.perms.startswith("rw"):
        return None
    filled = above and _closed(above[0]) and above[0].end % ARENA == 0
    if mapping.start % ARENA == 0 and size <= ARENA and (size == ARENA or filled):
        return MALLOC_ARENA
    guard = below.end - below.start if below is not None and _closed(below) else 0
    round_size = size % STACK_GRAIN == 0 or (size + guard) % STACK_GRAIN == 0
    if 0 < guard <= LARGEST_GUARD and round_size and size <= LARGEST_STACK:
        return THREAD_STACK
    return None


def no_mappings(recording: Recording) -> RecordingError:
    """The error of a report by mapping of a recording without any."""
    return RecordingError(
        f"{recording.path} knows no mappings, so nothing can be told by mapping; leave --by mapping out."
    )


PARTS = 16
"""A file's memory is divided into this number of parts of equal size, to show which offsets are used."""

SMALLEST_PART = 16 * SMALLEST_PAGE


class OwnerPart(NamedTuple):
    """A part of an owner's memory: [low, high) in the file, in bytes; None for memory of no file."""

    owner: int
    low: int | None
    high: int | None


def places_of(owners: Sequence[Owner], *, parts: bool = False) -> tuple[list[AddressPlace], list[OwnerPart]]:
    """The places of an axis, and what the number of each stands for; with `parts`, files in parts."""
    places: list[AddressPlace] = []
    names: list[OwnerPart] = []
    for number, owner in enumerate(owners):
        if not parts or owner.kind not in (FILE, LIBRARY):
            places += [
                AddressPlace(owner.target, piece.start, piece.end, len(names)) for piece in owner.pieces
            ]
            names.append(OwnerPart(number, None, None))
            continue
        low = min(piece.offset for piece in owner.pieces)
        high = max(piece.offset + piece.end - piece.start for piece in owner.pieces)
        step = max(SMALLEST_PART, -(-(high - low) // PARTS // SMALLEST_PAGE) * SMALLEST_PAGE)
        first = len(names)
        names += [OwnerPart(number, at, min(at + step, high)) for at in range(low, high, step)]
        for piece in owner.pieces:
            for index in range(
                (piece.offset - low) // step, (piece.offset - low + piece.end - piece.start - 1) // step + 1
            ):
                begin = max(piece.start, piece.start + low + index * step - piece.offset)
                end = min(piece.end, piece.start + low + (index + 1) * step - piece.offset)
                places.append(AddressPlace(owner.target, begin, end, first + index))
    return places, names
