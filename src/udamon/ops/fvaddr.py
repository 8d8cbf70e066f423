"""Operations set fvaddr: address ranges of processes that the user gives and that never change."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.target import Target
from udamon.errors import RangesError
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, USER_END, Range
from udamon.ops.vaddr import ProcessOperations
from udamon.targets.processes import ProcessSource


class Fvaddr(ProcessOperations):
    """The same ranges, in bytes, for each process. Raises RangesError for what DAMON refuses."""

    name = "fvaddr"

    def __init__(
        self,
        source: ProcessSource,
        ranges: Sequence[Range],
        roots: Roots = Roots(),  # noqa: B008 (immutable)
    ) -> None:
        super().__init__(source, roots)
        self._ranges = whole_pages(ranges, USER_END)

    def _set_ranges(self, target: Target) -> None:
        target.ranges = list(self._ranges)


def whole_pages(ranges: Sequence[Range], most: int = 1 << 63) -> list[Range]:
    """`ranges` aligned outward to pages. Raises RangesError when empty, unsorted, overlapping or beyond `most`."""
    if not ranges:
        raise RangesError("no address range is given; give at least one as START-END.")
    aligned: list[Range] = []
    for start, end in ranges:
        text = f"the address range {start:#x}-{end:#x}"
        if start < 0 or start >= end or end > most:
            raise RangesError(f"{text} is empty or no user memory; give START-END with START below END.")
        page = Range(start // PAGE_SIZE * PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE)
        if aligned and page.start < aligned[-1].end:
            raise RangesError(
                f"{text} overlaps the one before it, shares a page with it, or is out of order; sort and join them."
            )
        aligned.append(page)
    return aligned
