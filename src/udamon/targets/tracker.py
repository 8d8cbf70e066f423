"""Keeps a context's targets in step with the processes that are wanted, and tells what changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from udamon.core.target import Target
from udamon.errors import CannotError, NotPermitted, OutOfFiles, TargetGone
from udamon.linux import open_files
from udamon.linux.failure import owner, process_errors
from udamon.linux.large_pages import large_pages_given
from udamon.linux.maps import current, line_range, parse_line, read_raw_lines
from udamon.linux.procfs import (
    ProcessId,
    Stat,
    is_running,
    read_cmdline,
    read_exe,
    read_stat,
    resident_bytes,
    stat_of,
)
from udamon.linux.roots import Roots
from udamon.lock import Lock, take_lock
from udamon.model import Emit, Range
from udamon.targets.coverage import Coverage
from udamon.targets.processes import ProcessSource


@dataclass(slots=True)
class _Entry:
    """State of a target: `image` tells one program from the next (exec changes it)."""

    process: ProcessId
    lock: Lock
    image: tuple[object, ...]
    stat: Stat
    nameless: tuple[object, ...] = ()  # the image of another program that had no command line yet
    raw: list[bytes] = field(default_factory=list)  # lines of its mappings as they were read
    lines: list[bytes] = field(default_factory=list)  # those that hold
    ranges: list[Range] = field(default_factory=list)


class TargetTracker:
    """Targets by index; an index never comes back. Holds the lock of every target.

    `most` are the targets for which the primitive has room, where it holds files of each: more are not watched, and
    that is told.
    """

    def __init__(self, source: ProcessSource, roots: Roots) -> None:
        self.source = source
        self._roots = roots
        self._entries: dict[int, _Entry] = {}
        self._next_index = 0
        self._noted: set[ProcessId] = set()
        self._started = False
        self.most: int | None = None
        self._told_full = 0
        self._changed: list[Target] = []
        self._young: set[int] = set()
        """Targets that came between two updates, since the last one: most execute a program, or map memory, soon."""
        self._executing: list[ProcessId] = []
        """Processes that did not let themselves be watched for the moment of an exec."""
        self._coverage = Coverage()
        self._told: dict[str, object] = self._coverage.totals(0)

    def update(self, targets: list[Target], emit: Emit) -> list[Target]:
        """Change `targets` in place; returns those that are new or whose mappings changed.

        Raises, at the first update, what keeps a named process from being watched, or all that came by
        themselves. Any other refusal is a note.
        """
        self._changed = []
        wanted = self.source.processes()
        still_wanted = frozenset(wanted)
        self._noted &= still_wanted
        watched = {entry.process for entry in self._entries.values()}  # who ends now is not begun again
        self._young.clear()
        self._executing.clear()
        for target in list(targets):
            self._refresh(target, targets, still_wanted, emit)
        waiting = [process for process in wanted if process not in watched]
        refusals = [r for p in waiting if (r := self._try_add(p, targets, emit)) is not None]
        self._tell_full(len(wanted), emit)
        self._look([entry.stat for entry in self._entries.values()])
        self._tell(self._coverage.totals(_seen(targets)), emit)
        first, self._started = not self._started, True
        if first and refusals and not targets:
            raise refusals[0]
        return self._changed

    def follow_forks(self, targets: list[Target], emit: Emit) -> list[Target]:
        """Between two updates: add to `targets` who was forked, as far as events tell of it, and refresh those that
        were added so. Returns those that are new or whose mappings changed. Raises OutOfFiles."""
        self._changed = []
        for target in [target for target in targets if target.index in self._young]:
            self._refresh(target, targets, None, emit)
        waiting, self._executing = [*self._executing, *self.source.forked()], []
        first = self._next_index
        for process in waiting:
            self._try_add(process, targets, emit)
        self._young.update(range(first, self._next_index))
        return self._changed

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        """Say what was missed, those included of which no window is complete yet."""
        entries = self._entries
        unseen = [entries[t.index].process for t in targets if not t.snapshots and t.index in entries]
        living = []
        for entry in entries.values():
            with suppress(OSError):
                living.append(stat_of(entry.process, self._roots.proc))
        with suppress(CannotError, OSError):  # who came since the last update was not watched, and who went
            known = {entry.process for entry in entries.values()}
            unseen += [process for process in self.source.processes() if process not in known]
            self._look(living)
        sizes = {process: resident_bytes(process.pid, self._roots.proc) for process in unseen}
        self._told = {}  # it is told at the end in any case: nothing missed is something to know, too
        self._tell(self._coverage.totals(_seen(targets), sizes), emit)

    def _look(self, living: Sequence[Stat]) -> None:
        roots = self._roots
        self._coverage.look(living, self.source.births(), lambda: large_pages_given(roots.sys, roots.proc))

    def _tell(self, totals: dict[str, object], emit: Emit) -> None:
        if totals != self._told:
            self._told = totals
            emit("coverage", totals)

    def _full(self) -> bool:
        return self.most is not None and len(self._entries) >= self.most

    def _tell_full(self, wanted: int, emit: Emit) -> None:
        """Say how many do not fit, once, and again where they have become many more."""
        if self._full() and wanted > max(len(self._entries), 2 * self._told_full):
            self._told_full = wanted
            text = f"{len(self._entries)} of {wanted} watched: hard limit of open files {open_files.limit()}."
            emit("note", {"text": text, "urgent": True})

    def mappings(self, target: Target) -> list[Range]:
        """The mappings of a target as of the last update."""
        return self._entries[target.index].ranges

    def close(self) -> None:
        """Release all locks. Idempotent."""
        self.source.close()
        for entry in self._entries.values():
            entry.lock.release()
        self._entries.clear()

    def _try_add(self, process: ProcessId, targets: list[Target], emit: Emit) -> CannotError | None:
        strict = process.pid in self.source.named and not self._started
        if self._full():
            self._coverage.unwatched(process, partial(resident_bytes, process.pid, self._roots.proc))
            return None
        try:
            self._add(process, targets, emit)
            self._coverage.watched(process)
        except OutOfFiles:
            self.close()
            raise
        except CannotError as refusal:
            if strict:
                self.close()
                raise
            if isinstance(refusal, TargetGone):
                self._count_gone(process)
                return None
            return self._note(process, refusal, emit)
        return None

    def _count_gone(self, process: ProcessId) -> None:
        """Unless it executes a program just now: then it is tried again."""
        if is_running(process, self._roots.proc):
            self._executing.append(process)
        else:
            self._coverage.gone()

    def _note(self, process: ProcessId, refusal: CannotError, emit: Emit) -> CannotError:
        if process not in self._noted:
            self._noted.add(process)
            self._coverage.unwatched(process, partial(resident_bytes, process.pid, self._roots.proc))
            emit("note", {"text": f"not watched: {refusal}"})
        return refusal

    def _add(self, process: ProcessId, targets: list[Target], emit: Emit) -> None:
        pid, proc = process.pid, self._roots.proc
        with process_errors(pid, proc, process.start_time):
            lines = read_raw_lines(process, proc)  # first: it tells whether we may
            stat = read_stat(pid, proc)
            cmdline = read_cmdline(pid, proc)
            image = self._image(process, stat)
        lock = take_lock(f"{pid}-{process.start_time}", f"process {pid} ({stat.comm})", self._roots)
        if not lock.real and self._next_index == 0:
            emit("note", {"text": "no lock directory can be written; another monitor would not be noticed."})
        target = Target(self._next_index, pid, process.start_time)
        self._next_index += 1
        self._entries[target.index] = _Entry(process, lock, image, stat)
        targets.append(target)
        who = {"comm": stat.comm, "cmdline": cmdline, "user": owner(pid, proc)}
        emit("target_start", {"target": target.index, "pid": pid, "start_time": process.start_time, **who})
        self._take_mappings(target, lines, emit)

    def _refresh(
        self, target: Target, targets: list[Target], wanted: frozenset[ProcessId] | None, emit: Emit
    ) -> None:
        """Of a target as it is now; without `wanted` no target has left."""
        entry = self._entries[target.index]
        proc = self._roots.proc
        try:
            with process_errors(entry.process.pid, proc, entry.process.start_time):
                lines = read_raw_lines(entry.process, proc)
                self._notice_exec(target, entry, emit)
        except TargetGone:
            return self._end(target, targets, "exited", emit)
        except NotPermitted:
            return self._end(target, targets, "denied", emit)
        except OutOfFiles:
            raise
        except CannotError as failure:
            return emit("note", {"text": str(failure)})
        if wanted is not None and entry.process not in wanted:
            return self._end(target, targets, "left", emit)
        return self._take_mappings(target, lines, emit)

    def _image(self, process: ProcessId, stat: Stat) -> tuple[object, ...]:
        # Not comm and not the command line: programs rewrite those. An exec moves code and stack (unless
        # address randomisation is off: then a program that executes itself again is not noticed).
        return stat.start_code, stat.start_stack, read_exe(process.pid, self._roots.proc)

    def _notice_exec(self, target: Target, entry: _Entry, emit: Emit) -> None:
        entry.stat = stat = stat_of(entry.process, self._roots.proc)
        if stat.main_ended:
            return  # its program shows no more; an exec by another thread would make that the main one
        image = self._image(entry.process, stat)
        if image == entry.image:
            return
        pid, proc = entry.process.pid, self._roots.proc
        cmdline = read_cmdline(pid, proc)
        entry.stat = stat = stat_of(entry.process, proc)
        if self._image(entry.process, stat) != image:
            return  # in the middle of its exec: what was read is in part of the old program, in part of the new
        if not cmdline and (stat.start_code == 0 or entry.nameless != image):
            entry.nameless = image  # likewise: the next update sees all of it
            return
        entry.image, entry.nameless = image, ()
        emit("target_exec", {"target": target.index, "pid": pid, "comm": stat.comm, "cmdline": cmdline})

    def _end(self, target: Target, targets: list[Target], why: str, emit: Emit) -> None:
        entry = self._entries.pop(target.index)
        entry.lock.release()
        self._coverage.ended(entry.stat, seen=target.snapshots > 0)
        targets.remove(target)
        emit("target_end", {"target": target.index, "pid": target.pid, "why": why})

    def _take_mappings(self, target: Target, lines: list[bytes], emit: Emit) -> None:
        entry = self._entries[target.index]
        if lines == entry.raw:
            return
        entry.raw, lines = lines, current(lines)
        old, old_ranges = set(entry.lines), entry.ranges
        entry.lines, entry.ranges = lines, [line_range(line) for line in lines]
        self._changed.append(target)
        starts = {r.start for r in entry.ranges}
        removed = [r.start for r in old_ranges if r.start not in starts]
        added = [parse_line(line) for line in lines if line not in old]
        add = [[m.start, m.end, m.perms, m.offset, m.inode, m.name] for m in added]
        emit("mappings", {"target": target.index, "add": add, "remove": removed})


def _seen(targets: Sequence[Target]) -> int:
    return sum(target.snapshots > 0 for target in targets)
