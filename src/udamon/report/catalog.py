"""What the events of a recording tell: its targets, their mappings, attributes, cost and notes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from udamon.model import MAPPING, Event
from udamon.record.naming import FILE, LIBRARY, SHARED, kind_of, title_of
from udamon.record.reader import Recording
from udamon.report.grain import WORDS, grain_of, has_shares
from udamon.report.mappings import NO_MAPPING, MappingTable

TITLE = 28
"""Columns of a title."""


@dataclass(slots=True)
class TargetInfo:
    """One target: times are ns on CLOCK_MONOTONIC, None where the recording does not say."""

    target: int
    pid: int | None = None
    comm: str | None = None
    title: str | None = None
    """What tells it from other targets of this name: the beginning of its command line; None where no other has it."""
    cmdline: list[str] = field(default_factory=list)
    user: str | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    ended_why: str | None = None
    mappings: MappingTable = field(default_factory=MappingTable)

    @property
    def label(self) -> str:
        """ "pid 12 redis-server", or "target 0" for memory that is no process's."""
        if self.pid is None:
            return f"target {self.target}"
        name = self.title or self.comm
        return f"pid {self.pid} {name}" if name else f"pid {self.pid}"


def upper_bound(via: object, kind: str | None) -> bool:
    """What is touched of memory of this kind (None: of no known mapping) is at most what was measured, and may be
    nothing.

    refs counts pages that carry the kernel's own "referenced" flag, too, which the reads of any process set.
    """
    return via == "refs" and kind in (FILE, LIBRARY, SHARED, None)


def bounds_of(touched: int, sure: int) -> dict[str, int] | None:
    """`bounds` of touched bytes in a document, of which `sure` are certain; None where all are, or were estimated."""
    return {"low": sure, "high": touched} if sure < touched else None


class Catalog:
    """The events of a recording up to a moment, replayed."""

    def __init__(self, recording: Recording, until_ns: int | None = None) -> None:
        """Replay the events up to `until_ns` on CLOCK_MONOTONIC, by default all."""
        shares = has_shares(recording.metadata)
        self.rate_of = WORDS[MAPPING] if shares else WORDS[grain_of(recording)]
        """What rates are shares of, for people."""
        self.rate_word = "share" if shares else "rate"
        """How a column of them is called."""
        self.rate_title = "share touched" if shares else "access rate"
        """What they are, in a title."""
        self.by_mapping = grain_of(recording) == MAPPING
        """Whether the grain is mappings: single pages were not seen."""
        self.attrs: dict[str, Any] = dict(recording.metadata.get("attrs") or {})
        self.cost: Mapping[str, Any] = {}
        self.cost_ns = 0
        """When `cost` was told, on CLOCK_MONOTONIC."""
        self.notes: list[str] = []
        self.targets: dict[int, TargetInfo] = {}
        self.mappings_seen = 0
        self._via = recording.metadata.get("via")
        wall, monotonic = (recording.metadata.get(name) for name in ("wall_ns", "monotonic_ns"))
        self._wall_ns = wall - monotonic if isinstance(wall, int) and isinstance(monotonic, int) else None
        for event in recording.events():
            if until_ns is None or event.time_ns <= until_ns:
                self._apply(event)
        names = Counter(info.comm for info in self.targets.values())
        for info in self.targets.values():
            title = title_of(" ".join(info.cmdline))
            if names[info.comm] > 1 and title:
                info.title = title if len(title) <= TITLE else f"{title[: TITLE - 2]}.."

    def wall_ns(self, time_ns: float) -> float | None:
        """The wall-clock time at `time_ns` on CLOCK_MONOTONIC, ns since 1970; None where nothing tells."""
        return None if self._wall_ns is None else self._wall_ns + time_ns

    def wall(self, time_ns: float) -> str:
        """The time of day here at `time_ns` on CLOCK_MONOTONIC, in brackets behind a blank; "" where nothing tells."""
        wall = self.wall_ns(time_ns)
        return "" if wall is None else time.strftime(" (%H:%M:%S)", time.localtime(wall / 1e9))

    def upper_bound(self, kind: str | None) -> bool:
        """See `upper_bound`."""
        return upper_bound(self._via, kind)

    def upper_bound_of(self, names: Iterable[str]) -> bool:
        """Whether `upper_bound` holds for one of the mappings of these names, as the rows of a heatmap have them."""
        return any(self.upper_bound(None if name == NO_MAPPING else kind_of(name)) for name in names)

    def target(self, index: int, pid: int | None = None) -> TargetInfo:
        """A target by index; one that no event told of is made up from its index and pid."""
        info = self.targets.setdefault(index, TargetInfo(index))
        info.pid = pid if info.pid is None else info.pid
        return info

    def cpu_share(self, metadata: Mapping[str, Any], seconds: float) -> float | None:
        """CPU of the monitor and its kdamond as a share of one CPU, its start left out; None where it is not told.

        `metadata` is the recording's, `seconds` the length of what is reported.
        """
        if "cpu_ns" not in self.cost:
            return None
        spent = self.cost["cpu_ns"] + (self.cost.get("kdamond_cpu_ns") or 0)
        return self._share(spent - min(metadata.get("startup_cpu_ns") or 0, spent), metadata, seconds)

    def lost_share(self, metadata: Mapping[str, Any], seconds: float) -> float | None:
        """What the looks cost the targets, as a share of one CPU; as `cpu_share`."""
        lost = self.cost.get("target_cost_ns")
        return None if lost is None else self._share(lost, metadata, seconds)

    def _share(self, spent_ns: int, metadata: Mapping[str, Any], seconds: float) -> float | None:
        """Totals are of all the time that the monitor ran. Of that a rotated recording has only the latest part, and a
        report may leave out more: the warm-up, what a filter by time does."""
        elapsed = self.cost.get("elapsed_ns") or self.cost_ns - (metadata.get("monotonic_ns") or self.cost_ns)
        elapsed = max(elapsed, seconds * 1e9)
        return float(spent_ns / elapsed) if elapsed else None

    def _apply(self, event: Event) -> None:
        data: Mapping[str, Any] = event.data
        if event.name in ("target_start", "target_exec"):
            self._describe(event.time_ns, data)
        elif event.name == "target_end":
            info = self.target(data["target"], data.get("pid"))
            info.ended_ns, info.ended_why = event.time_ns, data.get("why")
        elif event.name == "mappings":
            known = self.target(data["target"]).mappings
            # One that grew is told again, and each part of a rotated recording tells all that are there.
            self.mappings_seen += sum(not known.begins_at(row[0]) for row in data.get("add", ()))
            known.apply(data)
        elif event.name == "attrs":
            self.attrs.update({key: value for key, value in data.items() if key != "why"})
        elif event.name == "cost":
            self.cost, self.cost_ns = data, event.time_ns
        elif event.name in ("note", "subscriber"):
            what = (
                f"{data['what']}: {data.get('why')}"
                if data.get("what")
                else "its text is left out (--anonymize)"
            )
            self.notes.append(str(data.get("text") or what))

    def _describe(self, time_ns: int, data: Mapping[str, Any]) -> None:
        info = self.target(data["target"], data.get("pid"))
        info.comm = data.get("comm", info.comm)
        info.cmdline = list(data.get("cmdline") or info.cmdline)
        info.user = data.get("user", info.user)
        info.started_ns = time_ns if info.started_ns is None else info.started_ns
