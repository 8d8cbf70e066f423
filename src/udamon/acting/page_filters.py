"""Page filters (docs/damon.md#filters): which single pages an action may touch, as far as told from outside.

| filter        | told by                                                           | costs a page |
|---------------|-------------------------------------------------------------------|--------------|
| anon          | the page map                                                      | nothing      |
| unmapped      | a page that is found in a page map is mapped                      | nothing      |
| active        | /proc/kpageflags                                                  | 2 to 5 µs    |
| hugepage_size | /proc/kpageflags: head and tails of its folio                     | 2 to 5 µs    |
| memcg         | /proc/kpagecgroup: the inode of the very cgroup it is charged to  | 2 to 5 µs    |
| young         | the idle bit: accessed since it was last asked about by this means | 2 to 5 µs    |

All but the first two need root, memcg CONFIG_MEMCG and young CONFIG_IDLE_PAGE_TRACKING.
A page that was never asked about before is young. Pages that are not present are not asked about: nothing passes there.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Callable, Mapping, Sequence

from udamon.acting.folios import SplitIntoFolios, by_frames, unknown
from udamon.acting.pages import REJECTED, PageTest, TopByteTest
from udamon.core.scheme import ActionRequest, Filter, FilterType
from udamon.errors import CannotError
from udamon.linux import features
from udamon.linux.cgroup.memory import memory_cgroup
from udamon.linux.frame_files import ACTIVE, FrameWords, IdleBits, folio_sizes
from udamon.linux.pagemap import ENTRY_FRAME
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE

_PRESENT_SHIFT, _FILE_SHIFT = 63, 61
_BY_TOP_BYTE = {FilterType.ANON, FilterType.UNMAPPED}
_FILES = {
    FilterType.ACTIVE: ("kpageflags", "CONFIG_PROC_PAGE_MONITOR=y"),
    FilterType.HUGEPAGE_SIZE: ("kpageflags", "CONFIG_PROC_PAGE_MONITOR=y"),
    FilterType.MEMCG: ("kpagecgroup", "CONFIG_MEMCG=y"),
}

Pages = Mapping[int, int]
"""Page-map entries by position."""


class PageFilters:
    """Makes the page tests of action requests, and keeps open what they read."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self._roots = roots
        self._tests: dict[tuple[ActionRequest, bool], PageTest] = {}
        self._words: dict[str, FrameWords] = {}
        self._idle: IdleBits | None = None

    def missing(self, filters: Sequence[Filter]) -> str | None:
        """Why one of `filters` cannot be tested from here, and what to do; None where all can."""
        return next((why for filter in filters if (why := _missing(filter, self._roots)) is not None), None)

    def test(self, request: ActionRequest, *, spare_shared: bool) -> PageTest:
        """The test of a request's pages. Raises OSError."""
        if (request, spare_shared) not in self._tests:
            self._tests[request, spare_shared] = self._made(request, spare_shared)
        return self._tests[request, spare_shared]

    def folios(self, page_map: int) -> SplitIntoFolios:
        """Tells folios as far as frames and their flags may be read."""
        try:
            flags = self._file("kpageflags")
        except OSError:
            return unknown
        return by_frames(page_map, flags, self._roots.sys)

    def close(self) -> None:
        """Idempotent."""
        for file in self._words.values():
            file.close()
        if self._idle is not None:
            self._idle.close()
        self._tests.clear()
        self._words.clear()
        self._idle = None

    def _made(self, request: ActionRequest, spare_shared: bool) -> PageTest:
        filters, default = request.page_filters, request.pages_allowed_by_default
        if _BY_TOP_BYTE.issuperset(filter.type for filter in filters):
            anon, file = (_allowed(filters, default, is_anon=is_anon) for is_anon in (True, False))
            return TopByteTest(spare_shared=spare_shared, allows_anon=anon, allows_file=file)
        steps = [(filter, self._matcher(filter)) for filter in filters]
        return FrameTest(steps, default, spare_shared=spare_shared)

    def _matcher(self, filter: Filter) -> Matcher:
        match filter.type:
            case FilterType.ANON:
                return lambda pages: {at for at, entry in pages.items() if not entry >> _FILE_SHIFT & 1}
            case FilterType.UNMAPPED:
                return lambda pages: set()
            case FilterType.ACTIVE:
                flags = self._file("kpageflags")
                return lambda pages: _by_frame(
                    pages, lambda f: {n for n, w in flags.read(f).items() if w & ACTIVE}
                )
            case FilterType.HUGEPAGE_SIZE:
                flags = self._file("kpageflags")
                return lambda pages: _by_frame(
                    pages,
                    lambda f: {
                        n for n, size in folio_sizes(flags, f).items() if size * PAGE_SIZE in filter.size
                    },
                )
            case FilterType.MEMCG:
                cgroups, inode = self._file("kpagecgroup"), self._inode(filter.memcg_path)
                return lambda pages: _by_frame(
                    pages, lambda f: {n for n, i in cgroups.read(f).items() if i == inode}
                )
            case FilterType.YOUNG:
                idle = self._idle = self._idle or IdleBits(self._roots.sys)
                return lambda pages: _by_frame(pages, idle.accessed)
        raise ValueError(f"{filter.type} is no filter of pages")

    def _file(self, name: str) -> FrameWords:
        if name not in self._words:
            self._words[name] = FrameWords(name, self._roots.proc)
        return self._words[name]

    def _inode(self, path: str) -> int:
        try:
            return os.stat(memory_cgroup(path, "memory.stat", self._roots.proc)).st_ino
        except CannotError:
            return -1  # it was removed: no page is charged to it


Matcher = Callable[[Pages], set[int]]
"""Positions of those pages that are of the filter's type. Raises OSError."""


class FrameTest:
    """Asks one filter after the other, each only about pages that none before has decided on."""

    def __init__(self, steps: Sequence[tuple[Filter, Matcher]], default: bool, *, spare_shared: bool) -> None:
        self._steps = steps
        self._default = default
        self._present = TopByteTest(spare_shared=spare_shared)

    def judge(self, start: int, entries: bytes) -> bytes:
        """See PageTest. Raises PermissionError where the page map does not tell frames."""
        states = bytearray(self._present.judge(start, entries))
        undecided = {at: entry for at, entry in enumerate(array("Q", entries)) if entry >> _PRESENT_SHIFT}
        if any(not entry & ENTRY_FRAME for entry in undecided.values()):
            raise PermissionError(errno.EPERM, "the page map withholds frame numbers")
        for filter, matcher in self._steps:
            matching = matcher(undecided)
            for at in matching if filter.matching else undecided.keys() - matching:
                del undecided[at]
                if not filter.allow:
                    states[at] = REJECTED
        if not self._default:
            for at in undecided:
                states[at] = REJECTED
        return bytes(states)


def _by_frame(pages: Pages, choose: Callable[[set[int]], set[int]]) -> set[int]:
    chosen = choose({entry & ENTRY_FRAME for entry in pages.values()})
    return {at for at, entry in pages.items() if entry & ENTRY_FRAME in chosen}


def _allowed(filters: Sequence[Filter], default: bool, *, is_anon: bool) -> bool:
    """For filters that the page map alone can tell: a mapped page is never unmapped."""
    for filter in filters:
        if (filter.type is FilterType.ANON and is_anon) == filter.matching:
            return filter.allow
    return default


def _missing(filter: Filter, roots: Roots) -> str | None:
    if filter.type in _BY_TOP_BYTE:
        return None
    cannot = f"the page filter {filter.type} cannot be tested here: "
    if filter.type is FilterType.YOUNG:
        state = features.idle_bitmap(roots.sys)
        if state == "missing":
            return f"{cannot}this kernel does not track idle pages; boot one built with CONFIG_IDLE_PAGE_TRACKING=y."
    else:
        name, option = _FILES[filter.type]
        state = "open" if os.access(roots.proc / name, os.R_OK) else "denied"
        if not (roots.proc / name).exists():
            return f"{cannot}there is no {roots.proc}/{name}; boot a kernel built with {option}."
    if state == "denied" or not features.frame_numbers():
        return f"{cannot}page frames and what is known of them are kept from you; run udamon as root."
    if filter.type is FilterType.MEMCG:
        try:
            memory_cgroup(filter.memcg_path, "memory.stat", roots.proc)
        except CannotError as error:
            return f"{cannot}{error}"
    return None
