"""The events that still hold: what a new part of a recording must begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from udamon.model import Event
from udamon.sites.state import KnownAllocations

_OF_TARGET = ("target_start", "target_exec", "advice")
_LATEST = ("attrs", "cost", "schemes", "coverage")


class ValidEvents:
    """Follows events and gives back those that still hold, each mapping once. Grows with what lives."""

    def __init__(self) -> None:
        self._latest: dict[str, Event] = {}
        self._targets: dict[object, dict[str, Event]] = {}
        self._mappings: dict[object, dict[int, Any]] = {}
        self._mapped_at: dict[object, int] = {}
        self._allocations = KnownAllocations()
        self._time_ns = 0

    def add(self, event: Event) -> None:
        """Take in the next event."""
        target = event.data.get("target")
        self._allocations.add(event)
        self._time_ns = event.time_ns
        if event.name in _LATEST:
            self._latest[event.name] = event
        elif event.name in _OF_TARGET:
            self._targets.setdefault(target, {})[event.name] = event
        elif event.name == "mappings":
            self._map(target, event.time_ns, event.data)
        elif event.name == "target_end":
            for known in (self._targets, self._mappings, self._mapped_at):
                known.pop(target, None)

    def _map(self, target: object, time_ns: int, data: Mapping[str, Any]) -> None:
        mapped = self._mappings.setdefault(target, {})
        for start in data.get("remove", ()):
            mapped.pop(start, None)
        for row in data.get("add", ()):
            mapped[row[0]] = row
        self._mapped_at[target] = time_ns

    def __iter__(self) -> Iterator[Event]:
        if "attrs" in self._latest:
            yield self._latest["attrs"]
        for events in self._targets.values():
            yield from events.values()
        for target, mapped in self._mappings.items():
            rows = [mapped[start] for start in sorted(mapped)]
            yield Event(self._mapped_at[target], "mappings", {"target": target, "add": rows, "remove": []})
        for name, data in self._allocations:
            yield Event(self._time_ns, name, data)
        for totals in ("cost", "schemes", "coverage"):
            if totals in self._latest:
                yield self._latest[totals]
