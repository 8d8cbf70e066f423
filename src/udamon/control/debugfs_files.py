"""The tree of /sys/kernel/debug/damon (docs/damon.md#debugfs): contexts that start and stop together.

All files are 0600, whether they can be read, written or both; what a file has no use for is refused with EINVAL.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from udamon.control import debugfs_form
from udamon.control.files import OpenedFile
from udamon.control.kdamonds import KdamondFactory
from udamon.control.kinds import refused, text_of
from udamon.control.nodes import BASELINE
from udamon.control.plan import ContextPlan, PlannedTarget
from udamon.control.running import Running, refusal
from udamon.core.attrs import Attrs
from udamon.core.scheme import Scheme, SchemeStats
from udamon.core.scheme_fields import Version
from udamon.errors import UdamonError
from udamon.model import Range

DEPRECATED_SINCE: Version = (6, 9)
"""From then on `monitor_on` has another name, and a file says why."""
NOTICE = "DAMON's debugfs interface is deprecated; use its sysfs interface at /sys/kernel/mm/damon.\n"
CONTEXT_FILES = ("attrs", "schemes", "target_ids", "init_regions", "kdamond_pid")

PidExists = Callable[[int], bool]


def pid_exists(pid: int) -> bool:
    """Whether there is such a process now."""
    return pid > 0 and os.path.exists(f"/proc/{pid}")


class DebugfsContext:
    """One context and its five files. Its lock is that of the whole tree."""

    def __init__(self) -> None:
        self.operations = "vaddr"
        self.attrs = Attrs()
        self.pids: list[int] = []
        self.ranges: list[list[Range]] = []
        self.schemes: list[Scheme] = []
        self.stats: list[SchemeStats] = []
        self.running: Running | None = None

    @property
    def on(self) -> bool:
        self.settle()
        return self.running is not None

    def settle(self) -> None:
        """Take note of a kdamond that has ended: as in the kernel, its targets are gone then if they are processes."""
        if self.running is not None and not self.running.alive:
            self.stats = [status.stats for status in self.running.schemes.status()]
            self.running = None
            if self.operations != "paddr":
                self.pids, self.ranges = [], []

    def plan(self) -> ContextPlan:
        targets = zip(self.pids, self.ranges, strict=True)
        planned = tuple(PlannedTarget(pid, tuple(ranges)) for pid, ranges in targets)
        return ContextPlan(self.operations, self.attrs, planned, tuple(self.schemes))

    def show_schemes(self) -> str:
        stats = self.stats
        if self.on and self.running is not None:
            with suppress(OSError):
                stats = [status.stats for status in self.running.status()]
        known = [*stats, *(SchemeStats() for _ in self.schemes[len(stats) :])]
        return debugfs_form.show_schemes(list(zip(self.schemes, known, strict=False)))

    def show_targets(self) -> str:
        self.settle()
        return " ".join(map(str, self.pids)) + "\n"

    def show_regions(self) -> str:
        if self.on:
            raise refused(errno.EBUSY)
        return debugfs_form.show_regions(self.ranges)

    def show_pid(self) -> str:
        return f"{self.running.pid}\n" if self.on and self.running is not None else "none\n"

    def set_targets(self, text: str, exists: PidExists) -> None:
        physical = text == "paddr\n"[: len(text)] and len(text) >= len("paddr")
        pids = (
            [debugfs_form.PADDR_ID]
            if physical
            else debugfs_form.leading_numbers(text, debugfs_form.MOST_TARGETS)
        )
        if not physical and not all(map(exists, pids)):
            raise refused(errno.ENOMEM)
        self._refuse_if_on()
        self.pids, self.ranges = pids, [[] for _ in pids]
        if pids:
            self.operations = "paddr" if physical else "vaddr"

    def set_attrs(self, text: str) -> None:
        attrs = debugfs_form.read_attrs(text)
        self._refuse_if_on()
        self.attrs = attrs

    def set_schemes(self, text: str) -> None:
        schemes = debugfs_form.read_schemes(text)
        self._refuse_if_on()
        self.schemes, self.stats = schemes, []

    def set_regions(self, text: str) -> None:
        self._refuse_if_on()
        self.ranges = [[] for _ in self.pids]
        self.ranges = debugfs_form.read_regions(text, len(self.pids))

    def _refuse_if_on(self) -> None:
        if self.on:
            raise refused(errno.EBUSY)


class DebugfsFiles:
    """Implements files.Files. `make` makes kdamonds; `others_run` tells whether the newer tree has some running."""

    def __init__(
        self,
        make: KdamondFactory,
        others_run: Callable[[], bool],
        version: Version = BASELINE,
        exists: PidExists = pid_exists,
    ) -> None:
        self._make = make
        self._others_run = others_run
        self._exists = exists
        self._lock = threading.Lock()
        self._top = DebugfsContext()
        self._named: dict[str, DebugfsContext] = {}
        deprecated = version >= DEPRECATED_SINCE
        self._switch = "monitor_on_DEPRECATED" if deprecated else "monitor_on"
        self._static = ["mk_contexts", "rm_contexts", self._switch, *(["DEPRECATED"] if deprecated else [])]

    def any_running(self) -> bool:
        return any(context.on for context in self._contexts())

    def close(self) -> None:
        """Stop all that run. Idempotent."""
        for context in self._contexts():
            if context.running is not None:
                with suppress(OSError):
                    context.running.stop()

    def mode(self, path: str) -> int:
        context, name = self._find(path)
        return -1 if context is not None and not name else 0o600

    def entries(self, path: str) -> list[tuple[str, bool]]:
        context, name = self._find(path)
        if name:
            raise refused(errno.ENOTDIR)
        top = context is self._top
        files = [*CONTEXT_FILES, *(self._static if top else [])]
        return [*((file, False) for file in files), *((each, True) for each in self._named if top)]

    def open(self, path: str) -> OpenedFile:
        context, name = self._find(path)
        if not name:
            raise refused(errno.EISDIR)
        return _DebugfsHandle(self, context, name)

    def _contexts(self) -> list[DebugfsContext]:
        return [self._top, *self._named.values()]

    def _find(self, path: str) -> tuple[DebugfsContext | None, str]:
        """The context that a path lies in, and the file's name; "" for its directory. Raises OSError ENOENT."""
        first, _, rest = path.strip("/").partition("/")
        if first in self._named:
            context, name = self._named[first], rest
        elif first in self._static and not rest:
            return None, first
        else:
            context, name = self._top, path.strip("/")
        if name and name not in CONTEXT_FILES:
            raise refused(errno.ENOENT)
        return context, name

    def read(self, context: DebugfsContext | None, name: str) -> str:
        with self._lock:
            if context is not None:
                shows: dict[str, Callable[[], str]] = {
                    "attrs": lambda: debugfs_form.show_attrs(context.attrs),
                    "schemes": context.show_schemes,
                    "target_ids": context.show_targets,
                    "init_regions": context.show_regions,
                    "kdamond_pid": context.show_pid,
                }
                return shows[name]()
            if name == self._switch:
                return "on\n" if self.any_running() or self._others_run() else "off\n"
            if name == "DEPRECATED":
                return NOTICE
            raise refused(errno.EINVAL)

    def write(self, context: DebugfsContext | None, name: str, text: str) -> None:
        with self._lock:
            if context is not None:
                sets: dict[str, Callable[[str], None]] = {
                    "attrs": context.set_attrs,
                    "schemes": context.set_schemes,
                    "target_ids": lambda text: context.set_targets(text, self._exists),
                    "init_regions": context.set_regions,
                }
            else:
                sets = {
                    "mk_contexts": self._make_context,
                    "rm_contexts": self._remove_context,
                    self._switch: self._turn,
                }
            if name not in sets:
                raise refused(errno.EINVAL)
            sets[name](text)

    def _make_context(self, text: str) -> None:
        name = _word(text)
        if self.any_running() or self._others_run():
            raise refused(errno.EBUSY)
        if name in self._named or name in self._static or name in CONTEXT_FILES:
            raise refused(errno.EEXIST)
        if "/" in name or name in (".", ".."):
            raise refused(errno.EINVAL)
        self._named[name] = DebugfsContext()

    def _remove_context(self, text: str) -> None:
        name = _word(text)
        if self.any_running() or self._others_run():
            raise refused(errno.EBUSY)
        if name in self._static or name in CONTEXT_FILES:
            raise refused(errno.EINVAL)
        if name not in self._named:
            raise refused(errno.ENOENT)
        del self._named[name]

    def _turn(self, text: str) -> None:
        word = _word(text)
        if word == "on":
            self._turn_on()
        elif word == "off":
            self._turn_off()
        else:
            raise refused(errno.EINVAL)

    def _turn_on(self) -> None:
        running = self.any_running() or self._others_run()
        if not all(context.pids for context in self._contexts()):
            raise refused(errno.EINVAL)
        if running:
            raise refused(errno.EBUSY)
        started: list[DebugfsContext] = []
        try:
            for number, context in enumerate(self._contexts()):
                made = self._make(context.plan(), number)
                made.start()
                context.running = made
                started.append(context)
        except UdamonError as error:
            for context in started:
                if context.running is not None:
                    context.running.stop()
                context.settle()
            raise refusal(error) from error

    def _turn_off(self) -> None:
        for context in self._contexts():
            if not context.on or context.running is None:
                raise refused(errno.EPERM)
            context.running.stop()
            context.settle()


class _DebugfsHandle:
    """A file of debugfs: only what is written at its beginning counts."""

    def __init__(self, files: DebugfsFiles, context: DebugfsContext | None, name: str) -> None:
        self._files = files
        self._context = context
        self._name = name
        self.mode = 0o600

    def read(self) -> str:
        return self._files.read(self._context, self._name)

    def write(self, data: bytes, offset: int) -> int:
        if offset:
            raise refused(errno.EINVAL)
        self._files.write(self._context, self._name, text_of(data))
        return len(data)


def _word(text: str) -> str:
    """The first word. Raises OSError EINVAL when there is none."""
    words = text.split(maxsplit=1)
    if not words:
        raise refused(errno.EINVAL)
    return words[0]
