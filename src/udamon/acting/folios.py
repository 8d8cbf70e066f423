"""Which pages move together: those of a folio, as far as told from outside.

| told by                                   | what                        | needs         |
|-------------------------------------------|-----------------------------|---------------|
| the flags of frames (/proc/kpageflags)    | every folio                 | CAP_SYS_ADMIN |
| the page map (PAGEMAP_SCAN)               | huge pages mapped as such   | Linux 6.7     |

Where nothing tells, a folio lies within 2 MiB that are aligned as the kernel counts the pages of a mapping.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from udamon.acting.pages import entries_of
from udamon.acting.view import MappingPiece
from udamon.linux.frame_files import BLOCK, FrameWords, folio_sizes
from udamon.linux.large_pages import smallest_large_page
from udamon.linux.pagemap import ENTRY_FRAME
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range
from udamon.ranges import huge_blocks, overlap


class FolioPart(NamedTuple):
    """[start, end) is of one folio and moves as one; `place` is the folio's number in its mapping, counted in folios
    of its size."""

    start: int
    end: int
    place: int


SplitIntoFolios = Callable[[MappingPiece, Range], Iterator[FolioPart]]
"""The parts of a range, in address order, that lies in the piece of a mapping. Raises OSError."""


def by_huge_pages(huge: Sequence[Range]) -> SplitIntoFolios:
    """By where huge pages are mapped (sorted): all else is taken for single pages, which only costs calls where all
    of them go to one node."""

    def split(piece: MappingPiece, part: Range) -> Iterator[FolioPart]:
        wholes = {address for found in overlap(huge, [part]) for address in huge_blocks(found)}
        address = part.start
        while address < part.end:
            size = HUGE_PAGE_SIZE if address in wholes else PAGE_SIZE
            yield FolioPart(address, address + size, piece.page_at(address) // (size // PAGE_SIZE))
            address += size

    return split


def unknown(piece: MappingPiece, part: Range) -> Iterator[FolioPart]:
    """Single pages, which have the place of the aligned 2 MiB that they lie in."""
    for address in range(part.start, part.end, PAGE_SIZE):
        yield FolioPart(address, address + PAGE_SIZE, piece.page_at(address) // BLOCK)


def by_frames(page_map: int, flags: FrameWords, sys: Path) -> SplitIntoFolios:
    """By the flags of frames, or `unknown` where the page map does not tell frames.

    Reading the flags of a frame costs 1 to 3 µs. Where no folio of anonymous memory is smaller than 2 MiB, they are
    read only of pages that have the same offset within 2 MiB in physical memory and in their mapping; all others are
    taken for single pages. Folios of files may have any size.
    """
    smallest = smallest_large_page(sys)

    def split(piece: MappingPiece, part: Range) -> Iterator[FolioPart]:
        step = BLOCK if piece.anonymous and smallest >= HUGE_PAGE_SIZE else 1
        for start, entries in entries_of(page_map, part):
            words = array("q", entries)  # negative: bit 63 is set, the page is present
            frames = [word & ENTRY_FRAME if word < 0 else -1 for word in words]
            if 0 in frames:
                yield from unknown(piece, Range(start, start + len(frames) * PAGE_SIZE))
                continue
            first = piece.page_at(start)
            sizes = folio_sizes(
                flags, [f for at, f in enumerate(frames, first) if f > 0 and (f - at) % step == 0]
            )
            yield from _parts(start, first, frames, sizes)

    return split


def _parts(start: int, first: int, frames: Sequence[int], sizes: Mapping[int, int]) -> Iterator[FolioPart]:
    """The pages from `start` on, the first of them with the number `first` in its mapping, by folios."""
    at = 0
    while at < len(frames):
        frame = frames[at]
        size = sizes.get(frame, 1)
        # A folio is aligned among frames. Of its pages those are of one part that lie behind each other.
        before, end = frame % size, at + 1
        while end < len(frames) and end - at < size - before and frames[end] == frame + end - at:
            end += 1
        yield FolioPart(start + at * PAGE_SIZE, start + end * PAGE_SIZE, (first + at - before) // size)
        at = end
