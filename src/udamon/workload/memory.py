"""Real memory for a workload: anonymous, private, in small pages unless asked otherwise."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import CannotError
from udamon.native import _native
from udamon.units import format_size
from udamon.workload.layout import Kind, Layout, PlacedRegion, place
from udamon.workload.spec import Workload, WorkRegion

_AT_ONCE = 1 << 20
"""Bytes of a fill file, over and over, that are copied at a time: one of a byte would take a copy for each."""

_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)


@dataclass(frozen=True, slots=True)
class Memory:
    """The mapping that holds a workload's regions, and where they are in it."""

    buffer: mmap.mmap
    layout: Layout

    def offset(self, region: PlacedRegion) -> int:
        """Bytes from the start of `buffer` to the start of `region`."""
        return region.start - self.layout.base


def map_memory(workload: Workload, kind: Kind, huge: bool = False, meminfo: str = "/proc/meminfo") -> Memory:
    """Map memory for `workload`; none of it is touched yet. `huge` lets the kernel use huge pages.

    Raises CannotError where the machine has too little memory.
    """
    needed, free = workload.resident_bytes, _available(meminfo)
    if free is not None and needed > free:
        raise CannotError(
            f"the workload needs {format_size(needed)} of memory and only {format_size(free)} are available; "
            "use a smaller one."
        )
    span = place(workload, kind, base=0).span
    try:
        buffer = mmap.mmap(-1, span.size, flags=_FLAGS)
    except (OSError, OverflowError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CannotError(f"cannot map {format_size(span.size)} of memory: {why}.") from error
    if not huge:
        _small_pages(buffer)
    memory = Memory(buffer, place(workload, kind, _native.address_of(buffer)))
    for guard in memory.layout.guards():
        _native.guard(buffer, guard.start - memory.layout.base, guard.size)
    return memory


def initialise(memory: Memory, workload: Workload) -> None:
    """Give every resident page of every region its first content, as the region's `init` says.

    Raises CannotError for a file that cannot be read.
    """
    for region, placed in zip(workload.regions, memory.layout.regions, strict=True):
        if region.init is None:
            _native.populate(memory.buffer, memory.offset(placed), region.resident_bytes)
        elif region.init != "none":
            _fill(memory, region, placed)


def _fill(memory: Memory, region: WorkRegion, placed: PlacedRegion) -> None:
    """The file's bytes, over and over, to the end of the resident part."""
    path = Path(region.init or "")
    try:
        with path.open("rb") as file:
            data = file.read(region.resident_bytes)
    except OSError as error:
        raise CannotError(f"cannot fill the region {region.name} from {path}: {error.strerror}.") from error
    if not data:
        raise CannotError(f"cannot fill the region {region.name} from {path}: the file is empty.")
    data *= max(_AT_ONCE // len(data), 1)
    start = memory.offset(placed)
    for at in range(0, region.resident_bytes, len(data)):
        piece = data[: region.resident_bytes - at]
        memory.buffer[start + at : start + at + len(piece)] = piece


def _small_pages(buffer: mmap.mmap) -> None:
    try:
        buffer.madvise(mmap.MADV_NOHUGEPAGE)
    except OSError:
        pass  # a kernel without huge pages refuses the advice, and needs none


def _available(meminfo: str) -> int | None:
    """Bytes that can be had without swapping, as the kernel estimates; None where it does not say."""
    try:
        lines = Path(meminfo).read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None
