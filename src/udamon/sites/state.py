"""What the events of allocations add up to: the samples alive at a time, and what a recording must begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from udamon.model import Event


class AllocationSample(NamedTuple):
    """A sampled allocation that was alive: when it was made, bytes, the bytes its weight follows from, its stack."""

    time_ns: int
    size: int
    requested: int
    stack: int


Live = dict[int, AllocationSample]
"""By address."""


@dataclass(slots=True)
class Image:
    """A process from its start, fork or exec on; `live` is what is alive after the events so far."""

    number: int
    pid: int
    mean: int
    begin_ns: int
    lost: tuple[int, int, int] = (0, 0, 0)
    live: Live = field(default_factory=dict)


class Images:
    """Follows `allocations` events. `wanted` has times (ns) by image for which `at` will tell what was alive."""

    def __init__(self, wanted: Mapping[int, list[int]] | None = None) -> None:
        self.images: dict[int, Image] = {}
        self._wanted = {image: sorted(set(times)) for image, times in (wanted or {}).items()}
        self._taken: dict[tuple[int, int], Live] = {}

    def add(self, data: Mapping[str, Any]) -> None:
        """Take in the data of the next event."""
        number = data["image"]
        image = self.images.get(number)
        if image is None:
            image = self.images[number] = Image(number, data["pid"], data["mean"], data["begin"])
            if data.get("parent") is not None and data["parent"] in self.images:
                image.live = self._inherited(data["parent"], data["parent_ns"] or 0)
        elif data.get("whole"):
            image.live = {}
        image.lost = (data["lost_allocated"], data["lost_bytes"], data["lost_freed"])
        wanted = self._wanted.get(number)
        for row in data["rows"]:
            # What was said again when a new part was begun has older times, and changes nothing that was taken.
            while wanted and row[0] > wanted[0]:
                self._take(number, wanted.pop(0))
            if len(row) == 2:
                image.live.pop(row[1], None)
            else:
                image.live[row[1]] = AllocationSample(row[0], row[2], row[3], row[4])

    def at(self, image: int, time_ns: int) -> Live:
        """What was alive in `image` at a time that was wanted."""
        taken = self._taken.get((image, time_ns))
        return self.images[image].live if taken is None else taken

    def _take(self, image: int, time_ns: int) -> None:
        self._taken[image, time_ns] = dict(self.images[image].live)

    def _inherited(self, parent: int, time_ns: int) -> Live:
        live = self._taken.get((parent, time_ns))
        if live is None:
            live = self.images[parent].live
        return {address: sample for address, sample in live.items() if sample.time_ns <= time_ns}


class KnownAllocations:
    """The events of allocations that a new part of a recording must begin with. Grows with what lives."""

    def __init__(self) -> None:
        self._images = Images()
        self._modules: dict[int, list[Any]] = {}
        self._stacks: dict[int, list[Any]] = {}
        self._symbols: dict[int, dict[int, list[Any]]] = {}

    def add(self, event: Event) -> None:
        """Take in the next event of any kind."""
        data: Any = event.data
        if event.name == "allocations":
            self._images.add(data)
        elif event.name == "allocation_stacks":
            self._modules |= {row[0]: row for row in data["modules"]}
            self._stacks |= {row[0]: row for row in data["stacks"]}
        elif event.name == "symbols":
            self._symbols.setdefault(data["module"], {}).update({row[0]: row for row in data["symbols"]})
        elif event.name == "target_end":
            gone = [number for number, image in self._images.images.items() if image.pid == data.get("pid")]
            for number in gone:
                del self._images.images[number]

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of the events."""
        if self._modules or self._stacks:
            yield (
                "allocation_stacks",
                {"modules": [*self._modules.values()], "stacks": [*self._stacks.values()]},
            )
        for module, symbols in self._symbols.items():
            yield "symbols", {"module": module, "symbols": [*symbols.values()]}
        for image in self._images.images.values():
            rows = [[s.time_ns, address, s.size, s.requested, s.stack] for address, s in image.live.items()]
            allocated, size, freed = image.lost
            yield "allocations", {
                "image": image.number, "pid": image.pid, "mean": image.mean, "begin": image.begin_ns,
                "parent": None, "parent_ns": None, "lost_allocated": allocated, "lost_bytes": size,
                "lost_freed": freed, "whole": True, "rows": rows,
            }  # fmt: skip
