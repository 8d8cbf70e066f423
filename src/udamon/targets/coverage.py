"""What of the wanted processes was seen, and what was missed: processes that ended before a window of them was
complete, and those that could not be watched.

How large they were is told by page faults, a page each, which the kernel adds to the parent that collects a child
(cminflt), and to the control group in which it ran (pgfault). Those of processes that were seen are taken off. That is
what the missed ones touched first, not what they had at a time: too small where no parent waited for them, or a fault
mapped pages of a file around it; too large where they gave memory back and took it again. A large page is one fault,
too, and no process tells how many it was given: at most those of the whole machine, and one a fault.

Where forks are not followed by events, the number is a lower bound: faults from nowhere are at least one process. So
it is where processes came into a control group by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from udamon.linux.procfs import ProcessId, Stat
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.units import counted, format_range, format_size

NOISE = 256
"""Faults of a control group in one look that may be retries of others, and no process by themselves: 1 MiB."""


class BirthCounts(NamedTuple):
    """What a source of processes knows of those that came and went between two looks.

    `unseen`: how many did. `exact`: no other one did. `faults`: page faults of all that ever ran in the group, None
    where the kernel does not count them.
    """

    unseen: int = 0
    exact: bool = True
    faults: int | None = None


class Coverage:
    """Running totals; `look` once an update, with the processes that are watched now."""

    def __init__(self) -> None:
        self._seen = 0  # of those that have ended
        self._missed = 0
        self._bytes = 0
        self._large: int | None = None  # bytes of large pages that the machine had given at the first look
        self._larger = 0  # at most so much more than `_bytes`, for those that served the missed
        self._sized = False  # something told the size of at least one
        self._exact = True
        self._unwatched: dict[ProcessId, int] = {}  # living, with their resident bytes
        self._ended: list[tuple[Stat, bool]] = []  # since the last look, and whether they were seen
        self._gone = 0  # since the last look
        self._child_faults: dict[ProcessId, int] | None = None  # None: before the first look
        self._known: Counter[int] = (
            Counter()
        )  # by parent's pid: faults of seen processes that it will collect
        self._group: tuple[int, Mapping[ProcessId, int]] | None = None
        self._pending = False  # missed ones whose faults have not come yet

    def unwatched(self, process: ProcessId, resident: Callable[[], int]) -> None:
        """A wanted process that cannot be watched, now or at all; `resident` tells its bytes, the first time."""
        if process not in self._unwatched:
            self._unwatched[process] = resident()

    def watched(self, process: ProcessId) -> None:
        """It can be, now."""
        self._unwatched.pop(process, None)

    def gone(self) -> None:
        """A wanted process was found, and ended before it could be watched."""
        self._gone += 1

    def ended(self, stat: Stat, *, seen: bool) -> None:
        """A target has ended, or was let go; `stat` is the last that is known of it."""
        self._ended.append((stat, seen))

    def look(self, living: Collection[Stat], births: BirthCounts, large: Callable[[], int] = int) -> None:
        """The update is complete: count what ended unseen since the last one. `large` tells the bytes of large
        pages that the machine has given so far (linux.large_pages)."""
        if self._large is None:
            self._large = large()
        ended, self._ended = self._ended, []
        seen = sum(was_seen for _, was_seen in ended)
        missed = len(ended) - seen + births.unseen + self._gone
        self._gone = 0
        self._exact &= births.exact
        sure, unsure = self._by_children(living, ended)
        if births.faults is not None:
            sure, unsure = self._by_group(living, births.faults, bool(seen))
        if sure and not missed and not self._pending and (not births.exact or births.faults is not None):
            missed = 1  # at least; into a group processes also come from elsewhere, of which no fork tells
            self._exact = False
        self._seen += seen
        self._missed += missed
        if missed or self._pending:
            faults = sure + unsure
            self._bytes += faults * PAGE_SIZE
            # The missed processes may have been given large pages at any time since the first look.
            most = self._bytes // PAGE_SIZE * (HUGE_PAGE_SIZE - PAGE_SIZE)
            self._larger = min(large() - self._large, most)
            self._sized |= faults > 0
            self._pending = not faults

    def totals(
        self, living_seen: int, living_unseen: Mapping[ProcessId, int] | None = None
    ) -> dict[str, object]:
        """The data of a coverage event. At the end, `living_unseen` are targets without a window, and their bytes."""
        more = self._unwatched | dict(living_unseen or {})
        missed = self._missed + len(more)
        known = not missed or self._sized or len(more) > 0
        size = self._bytes + sum(more.values()) if known else None
        return {
            "processes_seen": self._seen + living_seen,
            "processes_missed": missed,
            "bytes_missed": size,
            "bytes_missed_high": None if size is None else size + self._larger,
            "exact": self._exact,
            "why": _why(known=known, exact=self._exact, estimated=self._sized, large=self._larger > 0),
        }

    def _by_children(self, living: Collection[Stat], ended: Collection[tuple[Stat, bool]]) -> tuple[int, int]:
        """Faults that parents took over from missed children: for sure, and maybe. They are unsure where a parent has
        also collected a child that was seen, for the last faults of that one are not known."""
        for stat, was_seen in ended:
            if was_seen:
                self._known[stat.ppid] += stat.faults + stat.child_faults
        before, now = self._child_faults, dict[ProcessId, int]()
        self._child_faults = now
        parents = {stat.pid for stat in living}
        sure = unsure = 0
        collecting = {stat.ppid for stat, was_seen in ended if was_seen}
        for stat in living:
            now[stat.id] = stat.child_faults
            # A process that was born here since the last look had no children before it. One that came from elsewhere
            # may have had some.
            born = before is not None and stat.ppid in parents
            known = (before or {}).get(stat.id, 0 if born else stat.child_faults)
            grown = stat.child_faults - known
            taken = min(self._known[stat.pid], grown)
            self._known[stat.pid] -= taken
            if taken or stat.pid in collecting:
                unsure += grown - taken
            else:
                sure += grown
        self._known = Counter(
            {pid: faults for pid, faults in self._known.items() if faults and pid in parents}
        )
        return sure, unsure

    def _by_group(self, living: Collection[Stat], faults: int, some_ended: bool) -> tuple[int, int]:
        now = {stat.id: stat.faults for stat in living}
        before, self._group = self._group, (faults, now)
        if before is None:
            return 0, 0
        own = sum(count - before[1].get(process, 0) for process, count in now.items())
        more = max(faults - before[0] - own, 0)
        if some_ended:
            return 0, more
        return (more, 0) if more > max(NOISE, own // 10) else (0, 0)


def _why(*, known: bool, exact: bool, estimated: bool, large: bool) -> str:
    """What the figures do not tell."""
    parts = []
    if not exact:
        parts.append("processes that came and ended between two looks are noticed by the page faults they left, at "
                     "least one each time")  # fmt: skip
    if not known:
        parts.append("nothing told how large the missed processes were")
    elif estimated:
        most = ", and at most with the large pages that the machine gave meanwhile" if large else ""
        parts.append(f"bytes are page faults of {PAGE_SIZE >> 10} KiB, an estimate{most}")
    return "; ".join(parts)


def document(data: Mapping[str, Any] | None, *, complete: bool = False) -> dict[str, Any]:
    """`coverage` of a JSON document, from the last coverage event. With `complete` no event means that nothing was
    missed; else it is not known, and null."""
    data, default = data or {}, 0 if complete else None
    return {
        "processes_seen": data.get("processes_seen", default),
        "processes_missed": data.get("processes_missed", default),
        "bytes_missed": data.get("bytes_missed", default),
        "bytes_missed_high": data.get("bytes_missed_high", data.get("bytes_missed", default)),
        "exact": bool(data.get("exact")),
        "why": data.get("why") or None,
    }


def missed_size(found: Mapping[str, Any], unknown: str) -> str:
    """How large the missed processes of such a document were; `unknown` where nothing tells."""
    low, high = found["bytes_missed"], found["bytes_missed_high"]
    if low is None or high is None:
        return unknown
    return format_range(low, high) if high > low else format_size(low)


def short(found: Mapping[str, Any]) -> str:
    """The same in a few words."""
    if not found["processes_missed"]:
        return ""
    least = "" if found["exact"] else "at least "
    size = missed_size(found, "size unknown")
    return f"{least}{counted(found['processes_missed'], 'process', 'processes')} not seen ({size})"


def line(found: Mapping[str, Any]) -> str:
    """For people, of such a document: a sentence, "" where nothing is known to have been missed."""
    missed, seen = found["processes_missed"], found["processes_seen"]
    if not missed:
        return ""
    least = "" if found["exact"] else "at least "
    of = f"of {missed_size(found, 'unknown size')}"
    why = f" ({found['why']})" if found["why"] else ""
    return f"Not seen: {least}{missed} of {least}{counted(missed + (seen or 0), 'process', 'processes')}, {of}{why}."
