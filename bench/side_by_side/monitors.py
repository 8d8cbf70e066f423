"""The monitors that stand side by side: how each is started, and what it recorded."""

from __future__ import annotations

import json
import re
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.side_by_side.plan import ATTRS
from scripts.stages import WORK
from udamon.core.damon import touched_share
from udamon.model import PAGE_SIZE, Snapshot
from udamon.record.reader import Recording
from udamon.units import format_time

DAMO = WORK / "side_by_side" / "damo"
"""The environment that has damo alone."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """`command` is given the target's pid and the file to write; it ends with its target.

    `snapshots` is given that file, and what to add to its times to have CLOCK_MONOTONIC.
    """

    title: str
    command: Callable[[int, Path], Sequence[str | Path]]
    snapshots: Callable[[Path, int], list[Snapshot]]
    starts_in_s: float = 6
    """Until it watches, under emulation."""
    in_kernel: bool = True
    """kdamond checks the pages; it does not count its checks."""


def _udamon(*words: str) -> Callable[[int, Path], Sequence[str | Path]]:
    sample, aggr, update = _intervals()
    attrs = ["--sample", sample, "--aggr", aggr, "--update", update, "--min-regions", str(ATTRS.min_nr_regions),
             "--max-regions", str(ATTRS.max_nr_regions)]  # fmt: skip

    def command(pid: int, file: Path) -> Sequence[str | Path]:
        return [sys.executable, "-m", "udamon", "record", "-q", *words, "-p", str(pid), *attrs, "-o", file]

    return command


def _damo(*words: str) -> Callable[[int, Path], Sequence[str | Path]]:
    sample, aggr, update = _intervals()
    regions = [str(ATTRS.min_nr_regions), str(ATTRS.max_nr_regions)]
    attrs = ["-s", sample, "-a", aggr, "-u", update, "--monitoring_nr_regions_range", *regions]

    def command(pid: int, file: Path) -> Sequence[str | Path]:
        return [DAMO / "bin/damo", "record", str(pid), *attrs, *words, "-o", file]

    return command


def _intervals() -> list[str]:
    found = (ATTRS.sample_us, ATTRS.aggr_us, ATTRS.update_us)
    return [format_time(us / 1e6).replace(" ", "") for us in found]


def _of_udamon(file: Path, offset_ns: int) -> list[Snapshot]:
    return list(Recording(file).snapshots())


def damo_snapshots(file: Path, offset_ns: int) -> list[Snapshot]:
    """Snapshots of one target in what `damo record` wrote: zlib over JSON, numbers as text with commas.

    Bytes touched are estimated as udamon does for in-kernel DAMON: damo's format has none.
    """
    found: list[Snapshot] = []
    (record,) = json.loads(zlib.decompress(file.read_bytes()))
    sample_us, aggr_us = (_number(record["intervals"][key]) for key in ("sample_us", "aggr_us"))
    ticks = aggr_us // sample_us
    for seq, entry in enumerate(record["snapshots"]):
        regions = [_region(region) for region in entry["regions"]]
        starts, ends, counts, ages = zip(*regions, strict=True)
        counts = tuple(min(count, ticks) for count in counts)
        touched = [int((end - start) * touched_share(ticks, count, 0)) for start, end, count, _ in regions]
        found.append(
            Snapshot(
                target=0, pid=None, seq=seq, begin_ns=_number(entry["start_time"]) + offset_ns,
                end_ns=_number(entry["end_time"]) + offset_ns, sample_ns=sample_us * 1000, ticks=ticks,
                starts=array("Q", starts), ends=array("Q", ends), nr_accesses=array("I", counts),
                ages=array("I", ages), touched=array("Q", touched),
            )
        )  # fmt: skip
    return found


def _region(region: dict[str, Any]) -> tuple[int, int, int, int]:
    return (
        _number(region["start"]),
        _number(region["end"]),
        _number(region["nr_accesses"]["samples"]),
        _number(region["age"]["aggr_intervals"]),
    )


def _number(value: int | str) -> int:
    return int(re.sub(",", "", str(value)))


def checks_of_kernel(snapshots: Sequence[Snapshot]) -> Iterator[float]:
    """Of each snapshot but the first, how many checks its window is expected to have had.

    The kernel does not count them. A snapshot tells of its regions before they are cut at random for the next
    window: in two, or in three when their number stood still below a third of the largest; not at all above
    half of it.
    """
    most, before = ATTRS.max_nr_regions, 0
    for snapshot in snapshots[:-1]:
        count = len(snapshot)
        cuts = 0 if count > most // 2 else 2 if count == before and count < most // 3 else 1
        before = count if cuts else before
        sizes = (
            (end - start) // PAGE_SIZE for start, end in zip(snapshot.starts, snapshot.ends, strict=True)
        )
        yield sum(_pieces(min(size, _LARGE), cuts) for size in sizes) * snapshot.ticks


_LARGE = 1000
"""Pages; a region of so many is always cut."""


@cache
def _pieces(pages: int, cuts: int) -> float:
    """Expected pieces of a region: cut at a tenth of it, rounded down to a page, then the left part again."""
    if cuts == 0 or pages <= 2:
        return 1
    places = [pages * tenths // 10 for tenths in range(1, 10)]
    return sum(1 + _pieces(left, cuts - 1) if left else _pieces(pages, cuts - 1) for left in places) / 9


PROVES_IN_S = 25
"""Until pte watches: page tables are found by calibration where the kernel has no BTF, beside a busy workload."""

MONITORS = {
    "kernel": Monitor("kernel (udamon)", _udamon("--via", "kernel"), _of_udamon),
    "damo": Monitor("kernel (damo)", _damo(), damo_snapshots, starts_in_s=12),
    "damo-access": Monitor(
        "kernel (damo, access alone)", _damo("--do_record", "access"), damo_snapshots, starts_in_s=12
    ),
    "idle": Monitor(
        "idle, damon", _udamon("--via", "idle", "--policy", "damon"), _of_udamon, in_kernel=False
    ),
    "idle-adaptive": Monitor(
        "idle, adaptive", _udamon("--via", "idle", "--policy", "adaptive"), _of_udamon, in_kernel=False
    ),
    "pte": Monitor(
        "pte, census", _udamon("--via", "pte"), _of_udamon, starts_in_s=PROVES_IN_S, in_kernel=False
    ),
    "pte-damon": Monitor(
        "pte, damon",
        _udamon("--via", "pte", "--policy", "damon"),
        _of_udamon,
        starts_in_s=PROVES_IN_S,
        in_kernel=False,
    ),
    "pte-adaptive": Monitor(
        "pte, adaptive",
        _udamon("--via", "pte", "--policy", "adaptive"),
        _of_udamon,
        starts_in_s=PROVES_IN_S,
        in_kernel=False,
    ),
}
