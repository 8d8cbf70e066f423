"""Which other processes map the pages that a census saw: by smaps, and by page frames if those are readable.

An *object* is what two mappings must have in common to have a page in common: a file or a piece of shared memory
(its device and inode), or, for anonymous memory, the family of processes that were forked from one another. A
mapping of a file with pages of its own in it (written, and private) counts as anonymous: what it has of the file's
own pages is then taken for another object's, so that distinct bytes come out too large, never too small.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

from udamon.errors import OutOfFiles
from udamon.linux.failure import process_errors
from udamon.linux.pagemap import PRESENT, open_page_map
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.linux.smaps import MappingPages, Referenced
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import add_frames, new_frames
from udamon.ops.base import Shared
from udamon.ops.page_flags import PageFlags
from udamon.targets.spaces import Family

if TYPE_CHECKING:
    from udamon.native._native import Frames

DENSE = 4
"""A mapping up to this many times as large as what is resident of it is read whole; of others the resident runs."""


class SharingProbe:
    """Of the processes that are looked at together: `begin`, then `of` each of them."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self._root = roots.proc
        self._many = False
        self._flags: PageFlags | None = PageFlags(roots)
        self._frames: Frames | None = None
        self._hidden = False
        self._numbers: dict[int, int] = {}

    def begin(self, *, many: bool) -> None:
        """`many`: others are looked at, too. Of one alone only the frames of files that it maps again are read."""
        self._numbers.clear()
        self._many = many
        self._frames = None if self._hidden else new_frames()
        if self._frames is not None and many and self._flags is not None:
            try:
                self._flags.begin()
            except OutOfFiles:
                pass  # of each mapping nothing is sure until the next begin
            except OSError:
                self._flags = None  # no privilege: it will not come back

    def prepare(self, process: ProcessId) -> None:
        """Its pages are about to be cleared. Raises OSError."""
        if self._many and self._flags is not None:
            self._flags.prepare(process)

    def close(self) -> None:
        """Release what was opened."""
        if self._flags is not None:
            self._flags.close()

    def of(
        self,
        process: ProcessId,
        family: Family | None,
        found: Sequence[tuple[Referenced, MappingPages | None]],
        *,
        alone: bool,
    ) -> list[Shared | None]:
        """What is known of each mapping; None where that is not known. `alone` is False where another of these
        processes may have the same address space: then no page is private. Raises as a look does."""
        if family is None:
            return [None] * len(found)
        mine = _number(f"anonymous {family}")
        shared = [None if mapped is None else _of(seen, mapped, mine, alone=alone) for seen, mapped in found]
        if self._frames is None:
            return shared
        repeated = None if self._many else _repeated(shared, found)
        if repeated is not None and not repeated:
            return shared  # each page is in one place alone
        with process_errors(process.pid, self._root, process.start_time):
            if self._many and self._flags is not None:
                self._flags.look(process)
            fd = open_page_map(process, self._root)
            try:
                return [
                    one and self._by_frames(process, fd, seen, mapped, one, repeated)
                    for one, (seen, mapped) in zip(shared, found, strict=True)
                ]
            finally:
                os.close(fd)

    def _by_frames(
        self, process: ProcessId, fd: int, seen: Referenced, mapped: MappingPages | None, shared: Shared,
        repeated: AbstractSet[int] | None,
    ) -> Shared:  # fmt: skip
        cached = seen.rss - shared.anonymous
        if cached and mapped is not None and self._many and self._flags is not None:
            doubtful = self._flags.doubtful(process, fd, seen, _resident(fd, seen), cached)
            shared = shared._replace(touched_min=_sure(seen, doubtful + mapped.merged))
        return shared._replace(distinct=self._distinct(fd, seen, shared, repeated))

    def _distinct(
        self, fd: int, seen: Referenced, shared: Shared, repeated: AbstractSet[int] | None
    ) -> int | None:
        if shared.private >= seen.rss or (repeated is not None and shared.object not in repeated):
            return seen.rss
        number = self._numbers.setdefault(shared.object, len(self._numbers))
        fresh = 0
        for start, end in _resident(fd, seen):
            if self._frames is None:
                return None
            count, hidden = add_frames(self._frames, fd, number, start // PAGE_SIZE, end // PAGE_SIZE)
            if hidden:
                self._hidden, self._frames = True, None  # no privilege: it will not come back
                return None
            fresh += count
        # Between the two looks pages may have come and gone.
        return min(seen.rss, max(shared.private, fresh * PAGE_SIZE))


def _repeated(
    shared: Sequence[Shared | None], found: Sequence[tuple[Referenced, MappingPages | None]]
) -> set[int]:
    """Objects of which one process maps the same part of the file more than once. Segments of programs and libraries
    often have the page in common in which one ends and the next begins: a page or less is none."""
    parts: dict[int, list[Range]] = {}
    for one, (seen, _) in zip(shared, found, strict=True):
        if one is not None and one.file_offset is not None:
            size = seen.end - seen.start
            parts.setdefault(one.object, []).append(Range(one.file_offset, one.file_offset + size))
    repeated = set()
    for number, ranges in parts.items():
        end = 0
        for part in sorted(ranges):
            if min(end, part.end) - part.start > PAGE_SIZE:
                repeated.add(number)
            end = max(end, part.end)
    return repeated


def _of(seen: Referenced, mapped: MappingPages, family: int, *, alone: bool) -> Shared:
    file = mapped.inode != 0 and not mapped.anonymous
    # Any process that reads page cache marks it as referenced, and so does any that has a page that KSM merged.
    doubtful = max(0, seen.rss - mapped.anonymous) + mapped.merged
    return Shared(
        private=min(mapped.private, seen.rss) if alone else 0,
        anonymous=min(mapped.anonymous, seen.rss),
        touched_min=_sure(seen, doubtful),
        object=_number(f"file {mapped.device} {mapped.inode}") if file else family,
        file_offset=mapped.offset if file else None,
        distinct=None,
    )


def _sure(seen: Referenced, doubtful: int) -> int:
    """Bytes that the process itself accessed, at least; `doubtful` may be referenced because of others."""
    return max(0, min(seen.referenced, seen.rss) - doubtful)


def _number(name: str) -> int:
    """A number for an object that is the same in every process, and tells nothing of it."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def _resident(fd: int, seen: Referenced) -> Sequence[Range]:
    """Where in a mapping pages are: an entry of a hole costs as much as one of a page."""
    if seen.end - seen.start > DENSE * seen.rss:
        with suppress(NoScan):
            return [
                Range(run.start, run.end)
                for run in scan_runs(fd, [Range(seen.start, seen.end)], PRESENT, PRESENT)
            ]
    return [Range(seen.start, seen.end)]
