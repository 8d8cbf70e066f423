"""The actor of vaddr and fvaddr: process_madvise and move_pages on the memory of processes, from outside.

*Applied* is what the calls said of pages that were there (willneed: of all addresses), *moved* what the page map shows:
pages present before and not after (pageout), bytes that huge pages back (collapse), pages on another node (migrate). It
is None for cold and willneed, whose effect no file shows. Beside the calls themselves it costs 0.1 ms a region, the
page-map entries of what is present, read once before (13 to 28 ms a GiB), and one scan after (4 ms a GiB).

A page that the target wants back between call and second look counts as not moved.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence

from udamon.acting.advising import advise_all
from udamon.acting.base import Applied
from udamon.acting.exclusions import LEAVE_ALL, Exclusions
from udamon.acting.folios import by_huge_pages
from udamon.acting.left_alone import LeftAlone, UniqueRanges
from udamon.acting.migrating import migrate, nodes, units
from udamon.acting.page_filters import PageFilters
from udamon.acting.pages import (  # fmt: skip
    ENTRY,
    REJECTED,
    SHARED,
    TAKE,
    PageTest,
    PageVerdicts,
    huge,
    huge_bytes,
    judge,
    present,
)
from udamon.acting.reasons import MAIN_ENDED, missing_for_processes
from udamon.acting.refaults import Refaults
from udamon.acting.view import MappingPiece, View, Views
from udamon.core.scheme import Action, ActionRequest
from udamon.core.scheme_fields import MIGRATIONS
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.linux import features, process_madvise
from udamon.linux.procfs import is_alive, is_running, memory_thread
from udamon.linux.roots import Roots
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range
from udamon.ranges import huge_blocks, joined, minus, overlap, total  # fmt: skip
from udamon.targets.processes import process_of

_RECLAIMING_ACTIONS = (Action.PAGEOUT, Action.COLD, Action.LRU_DEPRIO, *MIGRATIONS)
_ADVICE = {
    Action.PAGEOUT: process_madvise.PAGEOUT,
    Action.COLD: process_madvise.COLD,
    Action.LRU_DEPRIO: process_madvise.COLD,
    Action.WILLNEED: process_madvise.WILLNEED,
    Action.COLLAPSE: process_madvise.COLLAPSE,
}
NO_SWAP = "anonymous, for there is no swap"
_REFUSED = {errno.EPERM, errno.EACCES}
_NOTHING = Applied(0, 0)


def _as_it_is(test: PageTest) -> PageTest:
    return test


class VaddrActor:
    """Acts on processes; `refaults`, where given, is told what pageout moved.

    `left` counts bytes in reach that were left alone, by "locked", "text", "shared", "filtered" and
    "failed" (the call said no), NO_SWAP, what has nowhere to go and was not advised, and MAIN_ENDED, what the kernel
    does not advise (acting.reasons); all since the actor was made, each byte of a process once for a reason.
    """

    def __init__(
        self,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        exclusions: Exclusions = LEAVE_ALL,
        refaults: Refaults | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._roots = roots
        self._now_ns = now_ns
        self._exclusions = exclusions
        self._refaults = refaults
        self._views = Views(roots.proc, now_ns)
        self._filters = PageFilters(roots)
        self._left = LeftAlone()

    @property
    def left(self) -> Counter[str]:
        """Bytes that were left, by why."""
        return self._left.bytes

    def missing(self, request: ActionRequest) -> str | None:
        """See acting.base."""
        return missing_for_processes(request, self._roots) or self._filters.missing(request.page_filters)

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        """See acting.base; [start, end) in whole pages. Raises NotPermitted only."""
        if request.action is Action.STAT and not request.page_filters:
            return Applied(0, 0)  # as in the kernel: there is nothing to look at
        start, end = -(-start // PAGE_SIZE) * PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE
        applied = self.apply_to(target, [Range(start, end)], request)
        return (
            applied if request.page_filters or applied == _NOTHING else applied._replace(passed=end - start)
        )

    def apply_to(
        self,
        target: Target,
        ranges: Sequence[Range],
        request: ActionRequest,
        only: Callable[[PageTest], PageTest] = _as_it_is,
    ) -> Applied:
        """As `apply`, for sorted, disjoint ranges; `only` may narrow the test of pages. `passed` are pages that were
        there and that the test let through. Raises NotPermitted only."""
        try:
            view = self._views.of(target)
            pieces = [piece for r in ranges for piece in view.pieces(r.start, r.end)]
            applied = self._apply(view, self._in_reach(view, pieces, request.action), request, only)
            if not applied.applied and not is_running(process_of(target), self._roots.proc):
                self._forget(target)  # what is known of it may be a second old
                return _NOTHING
            return applied
        except OSError as error:
            self._forget(target)
            if error.errno in _REFUSED and is_alive(process_of(target), self._roots.proc):
                raise _refusal(target, request) from error
            return _NOTHING

    def _forget(self, target: Target) -> None:
        self._views.forget(target)
        self._left.forget(process_of(target))

    def close(self) -> None:
        """See acting.base."""
        self._views.close()
        self._filters.close()

    def _apply(
        self,
        view: View,
        pieces: Sequence[MappingPiece],
        request: ActionRequest,
        only: Callable[[PageTest], PageTest],
    ) -> Applied:
        wanted = [Range(piece.start, piece.end) for piece in pieces]
        if request.action is Action.WILLNEED:
            return Applied(total(self._advise(view, wanted, wanted, request.action)), total(wanted))
        spare_shared = request.action in _RECLAIMING_ACTIONS and self._exclusions.shared
        found = judge(view.page_map, wanted, only(self._filters.test(request, spare_shared=spare_shared)))
        for why, state in (("shared", SHARED), ("filtered", REJECTED)):
            self._left.add(why, view.process, (run for run, of in found.left if of == state))
        passed = found.bytes[TAKE] + found.bytes[SHARED]
        if request.action is Action.STAT:
            return Applied(0, passed)
        if request.action in MIGRATIONS:
            return self._migrate(view, pieces, found, request)._replace(passed=passed)
        if request.action is Action.COLLAPSE:
            return self._collapse(view, pieces, found)._replace(passed=passed)
        vectors = self._with_room(view, pieces, found, request.action)
        meant = list(overlap(found.taken, vectors))
        # What is absent between pages that are taken is advised with them, and is none of what was tried.
        done = joined(sorted(self._advise(view, vectors, meant, request.action)))
        applied = total(overlap(found.taken, done))
        return Applied(applied, passed, self._moved(view, found, done, request.action))

    def _with_room(
        self, view: View, pieces: Sequence[MappingPiece], found: PageVerdicts, action: Action
    ) -> list[Range]:
        """The vectors without anonymous memory that has nowhere to go: the kernel would say that it paged it out, so
        that it used up a quota, and look for nothing at each of its pages."""
        anonymous = [Range(piece.start, piece.end) for piece in pieces if piece.anonymous]
        if action is not Action.PAGEOUT or not anonymous or features.has_swap(self._roots.proc):
            return found.vectors
        self._left.add(NO_SWAP, view.process, overlap(found.taken, anonymous))
        return minus(found.vectors, anonymous)

    def _in_reach(self, view: View, pieces: Sequence[MappingPiece], action: Action) -> list[MappingPiece]:
        if action is Action.COLLAPSE:
            return [p for p in pieces if p.private]
        if action not in _RECLAIMING_ACTIONS:
            return list(pieces)
        kept = []
        for piece in pieces:
            why = ("locked" if piece.locked and self._exclusions.locked
                   else "text" if piece.text and self._exclusions.text else None)  # fmt: skip
            if why is None:
                kept.append(piece)
            else:
                self._left.add(why, view.process, [Range(piece.start, piece.end)], kind=UniqueRanges)
        return kept

    def _advise(
        self, view: View, vectors: Sequence[Range], meant: Sequence[Range], action: Action
    ) -> list[Range]:
        """Those of `vectors` that took the advice. What of `meant`, which lies in them, did not counts as left."""
        asked_ns = self._now_ns()

        def cut_again(vector: Range) -> list[Range]:
            if view.read_at < asked_ns:  # once is enough, however many fail
                view.refresh()
            kept = self._in_reach(view, view.pieces(vector.start, vector.end), action)
            return [Range(p.start, p.end) for p in kept]

        why = "failed"
        try:
            done = advise_all(view.pidfd, vectors, _ADVICE[action], cut_again)
        except ProcessLookupError:
            if not self._goes_on_without_main(view):
                raise
            done, why = [], MAIN_ENDED
        self._left.add(why, view.process, minus(meant, joined(sorted(done))))
        return done

    def _goes_on_without_main(self, view: View) -> bool:
        """Its main thread, by which alone the kernel takes advice (by pidfds of other threads neither Linux 6.18 nor
        7.2 does), has ended, and another has the memory. One that ends may look so, but its memory is gone."""
        other = memory_thread(view.process, self._roots.proc) != view.process.pid
        return other and os.pread(view.page_map, ENTRY, 0) != b""

    def _moved(
        self,
        view: View,
        found: PageVerdicts,
        done: Sequence[Range],
        action: Action,
    ) -> int | None:
        if action is not Action.PAGEOUT:
            return None
        asked = list(overlap(found.taken, done))
        there = present(view.page_map, done)
        gone = minus(asked, there)
        if self._refaults is not None:
            self._refaults.moved(view.process, gone)
        return total(gone)

    def _collapse(self, view: View, pieces: Sequence[MappingPiece], found: PageVerdicts) -> Applied:
        """Huge-page ranges that lie in one mapping whole, have a page that is taken and none that is left."""
        ranges = [
            Range(at, at + HUGE_PAGE_SIZE)
            for piece in pieces
            for at in huge_blocks(Range(piece.start, piece.end))
        ]
        wanted = {r.start - r.start % HUGE_PAGE_SIZE for r in overlap(ranges, found.taken)}
        left = [run for run, _ in found.left]
        wanted -= {r.start - r.start % HUGE_PAGE_SIZE for r in overlap(ranges, left)}
        ranges = [r for r in ranges if r.start in wanted]
        before = huge_bytes(view.page_map, ranges)
        done = self._advise(view, ranges, ranges, Action.COLLAPSE)
        after = huge_bytes(view.page_map, ranges)
        moved = None if before is None or after is None else max(after - before, 0)
        return Applied(total(done), 0, moved)

    def _migrate(
        self, view: View, pieces: Sequence[MappingPiece], found: PageVerdicts, request: ActionRequest
    ) -> Applied:
        if len(nodes(request)) > 1:
            split = self._filters.folios(view.page_map)
        else:
            split = by_huge_pages(huge(view.page_map, found.taken) or ())
        moved = migrate(
            lambda: memory_thread(view.process, self._roots.proc),
            units(found.taken, pieces, request, split),
            shared=not self._exclusions.shared,
        )
        return Applied(moved, 0, moved)


def _refusal(target: Target, request: ActionRequest) -> NotPermitted:
    return NotPermitted(
        f"process {target.pid} may no longer be acted on ({request.action}): the kernel refuses; run udamon as root, "
        "or as the process's user with CAP_SYS_NICE (see docs/privileges.md)."
    )
