"""Reclaim of a whole cgroup by memory.reclaim: what is cold says how much, and the kernel chooses which pages.

The amount of a cold region is what is in memory of it and mapped by no other process, so that nothing is asked for
twice. What became of it is an amount, too: what the cgroup lost to reclaim meanwhile, whoever did it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from udamon.acting.base import Applied
from udamon.acting.pages import TAKE, TopByteTest, judge
from udamon.acting.view import Views
from udamon.core.scheme import Action, ActionRequest
from udamon.core.target import Target
from udamon.errors import NotPermitted, NotSupported
from udamon.linux.cgroup import memory as cgroup_memory
from udamon.linux.cgroup.memory import Reclaimed, read_reclaimed
from udamon.linux.roots import Roots
from udamon.model import Range

FILE = "memory.reclaim"


class CgroupActor:
    """An Actor (acting.base) that does `pageout` to the cgroup in `directory` instead of to single regions."""

    def __init__(
        self,
        directory: Path,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._directory = directory
        self._views = Views(roots.proc, now_ns)
        self._test = TopByteTest(spare_shared=True)

    def missing(self, request: ActionRequest) -> str | None:
        """See acting.base."""
        if request.action is not Action.PAGEOUT or request.page_filters:
            what = "filters of pages" if request.page_filters else request.action
            return f"{FILE} takes memory out by the kernel's own choice and knows no {what}; act by region."
        return None

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        """See acting.base. Raises NotPermitted."""
        try:
            amount = self._there(target, start, end)
            if amount == 0:
                return Applied(0, 0, 0)
            before = read_reclaimed(self._directory)
            complete = cgroup_memory.reclaim(self._directory, amount)
            moved = max(read_reclaimed(self._directory).stolen - before.stolen, 0)
        except PermissionError as error:
            raise NotPermitted(f"{error.filename} may not be used by you; run udamon as root.") from error
        except OSError:  # the process ended, or the cgroup was removed
            self._views.forget(target)
            return Applied(0, 0, 0)
        return Applied(amount if complete else min(moved, amount), amount, moved)

    def _there(self, target: Target, start: int, end: int) -> int:
        view = self._views.of(target)
        pieces = [Range(piece.start, piece.end) for piece in view.pieces(start, end)]
        return judge(view.page_map, pieces, self._test).bytes[TAKE]

    def close(self) -> None:
        self._views.close()


class CgroupBackend:
    """Acts on a control group (modules.action_backends.ActionBackend). Raises NotSupported and CannotError."""

    left: Mapping[str, int] = {}
    resident = None

    def __init__(self, cgroup: str, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        try:
            self._directory = cgroup_memory.memory_cgroup(cgroup, FILE, roots.proc)
        except NotSupported as error:
            raise NotSupported(
                f"the cgroup {cgroup!r} has no {FILE}, which needs Linux 5.19, cgroup version 2 and its memory "
                "controller; leave --by cgroup out."
            ) from error
        self.actor = CgroupActor(self._directory, roots)
        self._before = self._read() or Reclaimed(0, 0)
        self._refaulted = 0

    @property
    def refaulted(self) -> int | None:
        """All that the cgroup took back since this began, whenever and by whomever it was taken out."""
        return self._refaulted

    def look(self) -> None:
        now = self._read()
        if now is not None:
            self._refaulted = max(now.refaulted - self._before.refaulted, 0)

    def _read(self) -> Reclaimed | None:
        try:
            return read_reclaimed(self._directory)
        except OSError:
            return None  # removed
