"""What stands behind `state`: the keywords of docs/damon.md#state-keywords, on kdamonds in user space."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from udamon.control.kinds import Value, refused
from udamon.control.plan import CgroupExists, ContextPlan, read_plan
from udamon.control.running import Running, refusal
from udamon.control.scheme_files import read_goals
from udamon.control.tree import Tree, TreeDirectory
from udamon.core.scheme import SchemeStatus
from udamon.errors import UdamonError
from udamon.model import Event, Snapshot

_log = logging.getLogger(__name__)
_NEVER = "this kdamond never ran; write on first."

STATS = (
    "nr_tried",
    "sz_tried",
    "nr_applied",
    "sz_applied",
    "sz_ops_filter_passed",
    "qt_exceeds",
    "nr_snapshots",
)


class KdamondFactory(Protocol):
    """Makes a kdamond for a plan, not started. Raises UdamonError. `number` is how many run already."""

    def __call__(self, plan: ContextPlan, number: int) -> Running: ...


class Kdamonds:
    """The kdamonds of one tree. Implements tree.Commands; the tree calls it with its structure held."""

    def __init__(self, make: KdamondFactory, cgroup_exists: CgroupExists, now_ns: Callable[[], int]) -> None:
        self._make = make
        self._cgroup_exists = cgroup_exists
        self._now_ns = now_ns
        self._known: dict[TreeDirectory, Running] = {}
        self._closing = threading.Event()
        self.tree: Tree | None = None
        """Where refresh_ms finds the lock of the structure; set by who makes both."""
        self.excluded: Callable[[], bool] = lambda: False
        """Whether somebody else runs who wants to be alone: the older tree."""
        self._verbs: dict[str, Callable[[TreeDirectory], None]] = {
            "on": self._on,
            "off": self._off,
            "commit": self._commit,
            "commit_schemes_quota_goals": self._commit_goals,
            "update_schemes_stats": self._update_stats,
            "update_schemes_tried_bytes": lambda kdamond: self._update_tried(kdamond, only_bytes=True),
            "update_schemes_tried_regions": lambda kdamond: self._update_tried(kdamond, only_bytes=False),
            "clear_schemes_tried_regions": self._clear_tried,
            "update_schemes_effective_quotas": self._update_quotas,
            "update_tuned_intervals": self._update_intervals,
        }

    def running(self, kdamond: TreeDirectory) -> bool:
        known = self._known.get(kdamond)
        return known is not None and known.alive

    def pid(self, kdamond: TreeDirectory) -> int:
        known = self._known.get(kdamond)
        return -1 if known is None else known.pid

    def command(self, kdamond: TreeDirectory, keyword: str) -> None:
        self._verbs[keyword](kdamond)

    def forget(self, kdamond: TreeDirectory) -> None:
        self._known.pop(kdamond, None)

    def any_running(self) -> bool:
        return any(known.alive for known in list(self._known.values()))

    def close(self) -> None:
        """Stop all that run; nothing can be started any more. Idempotent."""
        self._closing.set()
        for known in list(self._known.values()):
            with suppress(OSError):
                known.stop()

    def _on(self, kdamond: TreeDirectory) -> None:
        if self.running(kdamond):
            raise refused(errno.EBUSY)
        if self._closing.is_set():
            raise refused(errno.ECANCELED)
        if self.excluded():
            raise refused(errno.EBUSY)
        plan = read_plan(_context(kdamond), self._cgroup_exists)
        self._known.pop(kdamond, None)
        number = sum(known.alive for known in self._known.values())
        try:
            made = self._make(plan, number)
            made.kdamond.bus.subscribe(_Refresher(self, kdamond))
            made.start()
        except UdamonError as error:
            raise refusal(error) from error
        self._known[kdamond] = made

    def _off(self, kdamond: TreeDirectory) -> None:
        known = self._known.get(kdamond)
        if known is None:
            raise refused(errno.EINVAL, _NEVER)
        known.stop()

    def _of(self, kdamond: TreeDirectory) -> Running:
        """Raises OSError: EINVAL for one that never ran, ECANCELED for one that has ended."""
        known = self._known.get(kdamond)
        if known is None:
            raise refused(errno.EINVAL, _NEVER)
        if not known.alive:
            raise refused(errno.ECANCELED)
        return known

    def _commit(self, kdamond: TreeDirectory) -> None:
        known = self._of(kdamond)
        known.commit(read_plan(_context(kdamond), self._cgroup_exists))

    def _commit_goals(self, kdamond: TreeDirectory) -> None:
        known = self._of(kdamond)
        known.commit_goals([read_goals(files, self._cgroup_exists) for files in _schemes(kdamond)])

    def _update_stats(self, kdamond: TreeDirectory) -> None:
        put_stats(kdamond, self._of(kdamond).status())

    def _update_quotas(self, kdamond: TreeDirectory) -> None:
        put_quotas(kdamond, self._of(kdamond).status())

    def _update_intervals(self, kdamond: TreeDirectory) -> None:
        known = self._of(kdamond)
        put_intervals(kdamond, known.ask(lambda: (known.attrs.sample_us, known.attrs.aggr_us)))

    def _clear_tried(self, kdamond: TreeDirectory) -> None:
        for files in _schemes(kdamond):
            with suppress(KeyError):
                files.at("tried_regions").resize(0)
                files.put("tried_regions/total_bytes", 0)

    def _update_tried(self, kdamond: TreeDirectory, *, only_bytes: bool) -> None:
        known = self._known.get(kdamond)
        if known is None:
            raise refused(errno.EINVAL, _NEVER)
        self._clear_tried(kdamond)
        for files, tried in zip(_schemes(kdamond), known.walk(), strict=False):
            files.put("tried_regions/total_bytes", tried.total_bytes)
            if not only_bytes:
                files.at("tried_regions").fill(
                    [
                        {
                            "start": region.start,
                            "end": region.end,
                            "nr_accesses": region.nr_accesses,
                            "age": region.age,
                            "sz_filter_passed": region.sz_filter_passed,
                        }
                        for region in tried.regions
                    ]
                )

    def refresh(self, kdamond: TreeDirectory) -> None:
        """What refresh_ms does, on the kdamond's thread. Leaves it for later when the structure is in use."""
        known = self._known.get(kdamond)
        if self.tree is None or known is None or kdamond.gone:
            return
        with suppress(OSError), self.tree.exclusive():
            if kdamond.at("contexts").count != 1:
                return
            put_intervals(kdamond, (known.attrs.sample_us, known.attrs.aggr_us))
            status = known.schemes.status()
            put_stats(kdamond, status)
            put_quotas(kdamond, status)

    @property
    def now_ns(self) -> Callable[[], int]:
        return self._now_ns


class _Refresher:
    """Keeps the files of one kdamond up to date, if refresh_ms asks for it, once an aggregation at most."""

    def __init__(self, kdamonds: Kdamonds, kdamond: TreeDirectory) -> None:
        self._kdamonds = kdamonds
        self._kdamond = kdamond
        self._next_ns = 0

    def snapshot(self, snapshot: Snapshot) -> None:
        refresh_ms = int(self._kdamond.get("refresh_ms", 0))
        now_ns = self._kdamonds.now_ns()
        if refresh_ms and now_ns >= self._next_ns:
            self._next_ns = now_ns + refresh_ms * 1_000_000
            self._kdamonds.refresh(self._kdamond)

    def event(self, event: Event) -> None:
        """Events change no file."""


def put_stats(kdamond: TreeDirectory, status: Sequence[SchemeStatus]) -> None:
    """Copy stats; a scheme whose directory was removed meanwhile is passed over."""
    for files, scheme in zip(_schemes(kdamond), status, strict=False):
        for name in STATS:
            value: Value = getattr(scheme.stats, name)
            files.put(f"stats/{name}", value)


def put_quotas(kdamond: TreeDirectory, status: Sequence[SchemeStatus]) -> None:
    """Show the effective sizes of quotas."""
    for files, scheme in zip(_schemes(kdamond), status, strict=False):
        files.put("quotas/effective_bytes", scheme.effective_bytes)


def put_intervals(kdamond: TreeDirectory, intervals: tuple[int, int]) -> None:
    """Show the sampling and aggregation intervals, µs."""
    context = _context(kdamond)
    for name, value in zip(("sample_us", "aggr_us"), intervals, strict=True):
        context.put(f"monitoring_attrs/intervals/{name}", value)


def _context(kdamond: TreeDirectory) -> TreeDirectory:
    """The one context, which there is: the tree has looked."""
    return kdamond.at("contexts").nth(0)


def _schemes(kdamond: TreeDirectory) -> Iterator[TreeDirectory]:
    return _context(kdamond).at("schemes").children()
