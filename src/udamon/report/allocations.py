"""The allocations of a recording: which samples were alive at the end of what a report looks at, and their code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from udamon.errors import RecordingError
from udamon.record.reader import Recording
from udamon.sites import symbols
from udamon.sites.stacks import NOWHERE, Frames
from udamon.sites.state import Image, Images, Live
from udamon.sites.symbols import Frame
from udamon.units import counted

EXEC_SLACK_NS = 1_100_000_000
"""An exec is noticed at most so late: at the next update."""


class Call(NamedTuple):
    """A call of a stack; None is not known. `module` is the path of the file of code, `address` within that."""

    function: str | None
    file: str | None
    line: int | None
    module: str | None
    address: int
    module_number: int = NOWHERE


@dataclass(slots=True)
class Allocations:
    """What the events say. `live` has the samples of a target that were alive at the time that was asked for it."""

    modules: dict[int, tuple[str, str]] = field(default_factory=dict)
    stacks: dict[int, Frames] = field(default_factory=dict)
    symbols: dict[int, dict[int, tuple[Frame, ...]]] = field(default_factory=dict)
    unseen: list[tuple[int, str, str]] = field(default_factory=list)
    """(pid, comm, why) of processes of which no allocation was seen."""
    images: dict[int, Image] = field(default_factory=dict)
    live: dict[int, tuple[Image, Live]] = field(default_factory=dict)
    unwatched: int = 0
    """Processes whose allocations were recorded and whose accesses were not."""
    lost: tuple[int, int, int] = (0, 0, 0)
    """Samples that found no room in a ring, their bytes, and ends of samples that found none."""

    def calls(self, stack: int) -> list[Call]:
        """The calls of a stack, the innermost first, those that were inlined as well."""
        found: list[Call] = []
        for module, address in self.stacks.get(stack, ()):
            path = self.modules[module][0] if module in self.modules else None
            frames = self.symbols.get(module, {}).get(address)
            if frames:
                found += [Call(*frame, path, address, module) for frame in frames]
            else:
                found.append(Call(None, None, None, path, address, module))
        return found


def has_some(recording: Recording) -> bool:
    """Whether allocations were recorded, or that nothing was seen of them."""
    return any(event.name in ("allocations", "allocations_unseen") for event in recording.events())


@dataclass(slots=True)
class _Rings:
    """By image its first event; by target its process, and when it executed programs (ns)."""

    first: dict[int, dict[str, Any]] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)
    executed: dict[int, list[int]] = field(default_factory=dict)


def read(recording: Recording, ends: dict[int, int]) -> Allocations:
    """The allocations of the targets in `ends`, alive at that time (ns on CLOCK_MONOTONIC) of each.

    Raises RecordingError where the recording has none.
    """
    found = Allocations()
    rings = _Rings()
    _read_events(recording, found, rings)
    first, pids = rings.first, rings.pids
    if not first and not found.unseen:
        raise RecordingError(
            f"{recording.path} has no allocations; record them with udamon record --sites -- COMMAND."
        )
    # Those that execute a program now of which nothing is seen: what an earlier one allocated is gone.
    gone = {pid for pid, _, _ in found.unseen}
    chosen = {
        target: image
        for target, end in ends.items()
        if pids.get(target) not in gone
        if (image := _image_of(first, pids.get(target), rings.executed.get(target, ()), end)) is not None
    }
    found.unwatched = len({data["pid"] for data in first.values()} - set(pids.values()))
    if not chosen and found.unseen:
        why = [f"{unseen_head(pid, comm)} {reason}" for pid, comm, reason in found.unseen]
        if found.unwatched:  # a shell that is wrapped around a program, mostly
            more = counted(found.unwatched, "more process", "more processes")
            why.append(
                f"allocations of {more} were recorded, whose accesses were not; record with --children"
            )
        raise RecordingError(f"{recording.path}: {'; '.join(why)}.")
    wanted: dict[int, list[int]] = {}
    for target, number in chosen.items():
        wanted.setdefault(number, []).append(ends[target])
    for data in first.values():
        if data["parent"] is not None:
            wanted.setdefault(data["parent"], []).append(data["parent_ns"] or 0)
    images = Images(wanted)
    for event in recording.events():
        if event.name == "allocations":
            images.add(event.data)
    found.images = images.images
    found.live = {
        target: (images.images[image], images.at(image, ends[target])) for target, image in chosen.items()
    }
    lost = [image.lost for image in images.images.values()]
    found.lost = (sum(one[0] for one in lost), sum(one[1] for one in lost), sum(one[2] for one in lost))
    return found


def _read_events(recording: Recording, found: Allocations, rings: _Rings) -> None:
    """All but the allocations themselves: which images there are is known only afterwards."""
    for event in recording.events():
        data: Any = event.data
        match event.name:
            case "allocations":
                rings.first.setdefault(data["image"], data)
            case "allocation_stacks":
                found.modules |= {number: (path, build_id) for number, path, build_id in data["modules"]}
                for number, parts in data["stacks"]:
                    found.stacks[number] = tuple(zip(parts[::2], parts[1::2], strict=True))
            case "symbols":
                known = found.symbols.setdefault(data["module"], {})
                for address, calls in data["symbols"]:
                    known[address] = tuple(Frame(*call) for call in calls)
            case "allocations_unseen":
                found.unseen.append((data["pid"], data["comm"], data["why"]))
            case "target_start" if data.get("pid") is not None:
                rings.pids[data["target"]] = data["pid"]
            case "target_exec":
                rings.executed.setdefault(data["target"], []).append(event.time_ns)


def _image_of(
    first: dict[int, dict[str, Any]], pid: int | None, executed: Iterable[int], end: int
) -> int | None:
    """The ring of a process that was the latest at `end`; None without one, and after an exec without one."""
    of = [data for data in first.values() if data["pid"] == pid and data["begin"] <= end]
    latest = max(of, key=lambda data: (data["begin"], data["image"]), default=None)
    if latest is None or any(latest["begin"] + EXEC_SLACK_NS < time <= end for time in executed):
        return None
    return int(latest["image"])


def unseen_head(pid: object, comm: object) -> str:
    """How a sentence about a process begins of which no allocation was seen; why is what follows."""
    return f"No allocation was seen in {pid} ({comm}):"


def unseen_sentences(unseen: Iterable[tuple[int, str, str]]) -> list[str]:
    """A sentence for each process of which no allocation was seen."""
    return [f"{unseen_head(pid, comm)} {why}." for pid, comm, why in unseen]


def resolve(found: Allocations, stacks: Iterable[int]) -> list[str]:
    """Look up the functions that the recording does not have (its recorder was killed, or had no way to), on this
    machine. Returns what could not be found, a sentence each."""
    wanted: dict[int, set[int]] = {}
    for stack in stacks:
        for module, address in found.stacks.get(stack, ()):
            if module in found.modules and module not in found.symbols:
                wanted.setdefault(module, set()).add(address)
    if not wanted:
        return []
    modules = {number: (path, bytes.fromhex(build)) for number, (path, build) in found.modules.items()}
    answer = symbols.find(modules, wanted)
    found.symbols |= answer.frames
    return answer.missing
