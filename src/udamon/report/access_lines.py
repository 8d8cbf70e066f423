"""A monitor's snapshots as documents of `report access --json`, while they come."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from udamon.model import Event, Snapshot
from udamon.report.access import Access, document, line_of
from udamon.report.catalog import upper_bound
from udamon.report.common import keys_of
from udamon.report.grain import has_shares
from udamon.report.mappings import MappingTable
from udamon.targets import coverage

USED_EVENTS = ("mappings", "target_end", "coverage", "cost")
"""The events that documents are made with."""


class AccessDocuments:
    """Makes one of each snapshot, with the mappings of its time; `metadata` is that of a recording."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self._metadata = metadata
        self._mappings: dict[int, MappingTable] = {}
        # The first event comes with an update; until then no process is known to be missed.
        self._coverage: Mapping[str, Any] = coverage.Coverage().totals(0)
        self._seen: set[int] = set()  # targets with a pid
        self._cost: Mapping[str, Any] = {}
        self._start_ns: int | None = None

    def event(self, event: Event) -> None:
        """Take in what the next documents need of it."""
        data: Mapping[str, Any] = event.data
        if event.name == "mappings":
            self._mappings.setdefault(data["target"], MappingTable()).apply(data)
        elif event.name == "target_end":
            self._mappings.pop(data["target"], None)
        elif event.name == "coverage":
            self._coverage = data
        elif event.name == "cost":
            self._cost = data

    def document(self, snapshot: Snapshot) -> dict[str, Any]:
        """Of the target and the window of this snapshot; `elapsed` is since the first window began."""
        if self._start_ns is None:
            self._start_ns = snapshot.begin_ns
        mappings = self._mappings.setdefault(snapshot.target, MappingTable())
        via = self._metadata.get("via")
        shares = has_shares(self._metadata)
        lines = [
            line_of(row, mappings, lambda kind: upper_bound(via, kind), shares=shares)
            for row in _rows(snapshot)
        ]
        found = Access(self._start_ns, snapshot.end_ns, snapshot.seq, lines, len(lines))
        if snapshot.pid is not None:
            self._seen.add(snapshot.target)
        many = max(
            self._coverage["processes_seen"], len(self._seen)
        )  # what was told may be older than this one
        seen = coverage.document({**self._coverage, "processes_seen": many})
        return document(found) | keys_of(self._metadata, self._cost, seen)


def _rows(one: Snapshot) -> list[tuple[object, ...]]:
    """Rows of access.REGIONS."""
    many = len(one)
    rates = one.rates
    columns = (
        [[None] * many] * 3 if rates is None else [_known(rates.rate), _known(rates.low), _known(rates.high)]
    )
    resident = [None] * many if one.resident is None else one.resident
    return [
        (
            one.target,
            one.pid,
            start,
            end,
            count,
            age,
            touched,
            one.ticks,
            one.sample_ns,
            one.end_ns,
            there,
            *rate,
        )
        for start, end, count, age, touched, there, *rate in zip(
            one.starts, one.ends, one.nr_accesses, one.ages, one.touched, resident, *columns, strict=True
        )
    ]


def _known(values: Any) -> list[float | None]:
    return [None if isnan(value) else value for value in values]
