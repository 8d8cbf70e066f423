"""A recording of a given length, as udamon's own and as damo's json_compressed: the same regions in both."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from udamon.model import PAGE_SIZE, Snapshot
from udamon.record.converting import convert
from udamon.record.reader import Recording
from udamon.record.writer import Writer

REGIONS, TICKS, SAMPLE_NS = 500, 20, 5_000_000
WINDOW_NS = TICKS * SAMPLE_NS
START_NS = 1_000 * WINDOW_NS
MADE = 6_000
"""Snapshots that are made one by one; a longer recording repeats them."""

PER_FLUSH = 10
"""Snapshots: udamon record flushes once a second."""

METADATA: dict[str, object] = {
    "via": "kernel", "ops": "vaddr", "policy": "damon",
    "attrs": {"sample_us": 5_000, "aggr_us": 100_000, "update_us": 1_000_000, "min_nr_regions": 10,
              "max_nr_regions": 1000},
}  # fmt: skip

AREAS = ((0x5581_2000_0000, 60, 1 << 15), (0x7F30_0000_0000, 430, 1 << 21), (0x7FFC_6000_0000, 10, 33))
"""Heap, mappings and stack: start, regions, pages."""


class Files(NamedTuple):
    """The same snapshots twice."""

    own: Path
    damo: Path


def make(place: Path, snapshots: int, *, with_damo: bool = True) -> Files:
    """The files of `snapshots` x REGIONS regions in `place`, made unless they are there."""
    files = Files(place / f"{snapshots}.udamon", place / f"{snapshots}.damo")
    place.mkdir(parents=True, exist_ok=True)
    if not files.own.exists():
        part = files.own.with_suffix(".part")
        with Writer(part, METADATA, force=True) as writer:
            for snapshot in _again(snapshots):
                writer.snapshot(snapshot)
                if snapshot.seq % PER_FLUSH == PER_FLUSH - 1:
                    writer.flush()
        part.rename(files.own)
    if with_damo and not files.damo.exists():
        convert(Recording(files.own), files.damo, "damo-json", compress=True)
        files.damo.chmod(0o644)  # damo reads it as another user
    return files


def _again(count: int) -> Iterator[Snapshot]:
    """`count` snapshots; those after the first MADE are the same ones again, later."""
    made = []
    for snapshot in snapshots_of(min(count, MADE)):
        yield snapshot
        if count > MADE:
            made.append(snapshot)
    for seq in range(MADE, count):
        begin = START_NS + seq * WINDOW_NS
        yield replace(made[seq % MADE], seq=seq, begin_ns=begin, end_ns=begin + WINDOW_NS)


def snapshots_of(count: int, seed: int = 1) -> Iterator[Snapshot]:
    """`count` snapshots as DAMON makes them: boundaries move a little, most counts stay near what they were,
    and a region is as old as the time since it last changed by more than a tenth of the ticks."""
    random = Random(seed)
    areas = [_Area(random, *area) for area in AREAS]
    for seq in range(count):
        for area in areas:
            area.step()
        yield _snapshot(seq, areas)


class _Area:
    """Neighbouring regions: bounds in pages, how hot each is, counts and ages."""

    def __init__(self, random: Random, start: int, regions: int, pages: int) -> None:
        self._random, self._start, self._pages = random, start, pages
        self._bounds = [0, *sorted(random.sample(range(1, pages), regions - 1)), pages]
        self._heat = [random.choice((0, 0, 0, 1, 4, 12, 19)) for _ in range(regions)]
        self.counts = array("I", self._heat)
        self.ages = array("I", [0] * regions)

    def step(self) -> None:
        random, bounds, regions = self._random, self._bounds, len(self._heat)
        old = self.counts
        self.counts = array("I", old)
        ages = array("I", [age + 1 for age in self.ages])
        for row in random.sample(range(regions), max(1, regions // 4)):
            heat = self._heat[row]
            self.counts[row] = (
                min(TICKS, max(0, heat + random.randint(-2, 2))) if heat else random.random() < 0.1
            )
            if abs(self.counts[row] - old[row]) > TICKS // 10:
                ages[row] = 0
        for row in random.sample(range(1, regions), max(1, regions // 20)):
            low, high = bounds[row - 1] + 1, bounds[row + 1]
            if low < high:
                bounds[row] = random.randrange(low, high)
                ages[row] = ages[row - 1] = 0
        self._heat[random.randrange(regions)] = random.choice((0, 0, 0, 1, 4, 12, 19))
        self.ages = ages

    def addresses(self) -> tuple[list[int], list[int]]:
        found = [self._start + page * PAGE_SIZE for page in self._bounds]
        return found[:-1], found[1:]


def _snapshot(seq: int, areas: list[_Area]) -> Snapshot:
    starts, ends, counts, ages = array("Q"), array("Q"), array("I"), array("I")
    for area in areas:
        low, high = area.addresses()
        starts.extend(low)
        ends.extend(high)
        counts.extend(area.counts)
        ages.extend(area.ages)
    begin = START_NS + seq * WINDOW_NS
    touched = (end - start if count else 0 for start, end, count in zip(starts, ends, counts, strict=True))
    return Snapshot(
        target=0, pid=None, seq=seq, begin_ns=begin, end_ns=begin + WINDOW_NS, sample_ns=SAMPLE_NS, ticks=TICKS,
        starts=starts, ends=ends, nr_accesses=counts, ages=ages, touched=array("Q", touched),
    )  # fmt: skip
