"""The operations set and primitive `sim`: a simulated address space whose truth is known."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udamon.core.clock import Clock
from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.model import PAGE_SIZE, Emit
from udamon.native._native import sim_sample
from udamon.ops.base import WholeTargets
from udamon.workload.truth import Truth

if TYPE_CHECKING:
    from udamon.acting.sim import SimMemory
    from udamon.native._native import Simulated


class SimSpace(WholeTargets):
    """A target for each workload: the space that its layout maps."""

    name = "sim"

    def __init__(self, *truths: Truth, memory: SimMemory | None = None) -> None:
        """`memory`: where pages of the first are moved out and come back; without it all stay."""
        self._truths = truths
        self._memory = memory

    def update(self, targets: list[Target], emit: Emit) -> None:
        if targets:
            if self._memory is not None:
                targets[0].resident = self._memory.resident()
            return
        for index, truth in enumerate(self._truths):
            targets.append(Target(index, ranges=truth.layout.ranges(), resident=truth.resident()))
            emit("target_start", {"target": index, "pid": None, "comm": "sim", "cmdline": "", "user": ""})
            placed = truth.layout.regions
            names = [[r.start, r.end, "rw-p", 0, 0, f"[anon:{r.name}]"] for r in placed]
            emit("mappings", {"target": index, "add": names, "remove": []})


class SimSampler:
    """Answers from the truth. `origin_ns` is the clock's time at which the workload began.

    Whether a page is accessed in a tick depends on `seed`, page and tick alone; so all checks agree.
    Sleeping is the clock's business: a ManualClock makes it simulated time. With `memory`, pages that were moved
    out are no pages until the workload accesses them again.
    """

    name = "sim"
    longest_pause_ns = 0

    def __init__(
        self, truth: Truth, clock: Clock, origin_ns: int = 0, seed: int = 0, memory: SimMemory | None = None
    ) -> None:
        self._truth = truth
        self._clock = clock
        self._origin_ns = origin_ns
        self._seed = seed & 0xFFFF_FFFF_FFFF_FFFF
        self._memory = memory
        resident = truth.resident()
        self._all = (array("Q", [r.start for r in resident]), array("Q", [r.end for r in resident]))
        self._interrupted = threading.Event()
        self.refused: dict[int, CannotError] = {}
        """None ever is."""

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        # Real time may be interrupted, so it goes tick by tick only as far as it came.
        done = ticks
        if not self._clock.wait_until(begin_ns + ticks * tick_ns):
            done = min(max((self._clock.now_ns() - begin_ns) // tick_ns, 0), ticks)
        t_ns = begin_ns - self._origin_ns
        resident = self._all
        if self._memory is not None:
            self._memory.advance(t_ns, done, tick_ns, self._accessed)
            resident = self._memory.resident_arrays()
        asked = Slots(
            start=slots.start, end=slots.end, span=slots.span,
            checks=slots.checks if done == ticks else array("I", [n * done // ticks for n in slots.checks]),
        )  # fmt: skip
        found = self._answers(asked, resident, t_ns, done, tick_ns, seed & 0xFFFF_FFFF_FFFF_FFFF)
        return Answers(
            done, found.hits, found.no_page, found.slot, found.address, found.span, found.answer,
            bytes([PAGE_SIZE.bit_length() - 1]) * len(found.answer), array("q", bytes(8 * done)),
        )  # fmt: skip

    def _answers(
        self,
        slots: Slots,
        resident: tuple[array[int], array[int]],
        t_ns: int,
        ticks: int,
        tick_ns: int,
        seed: int,
    ) -> Simulated:
        from_tick, segment, window, starts, ends, chances, windows = self._sets(t_ns, ticks, tick_ns)
        return sim_sample(
            set_tick=from_tick, set_segment=segment, set_window=window, segment_start=starts, segment_end=ends,
            segment_chance=chances, windows=windows, resident_start=resident[0], resident_end=resident[1],
            slot_start=slots.start, slot_end=slots.end, slot_checks=slots.checks, slot_span=slots.span, ticks=ticks,
            first_tick=t_ns // tick_ns, truth_seed=self._seed, draw_seed=seed,
        )  # fmt: skip

    def _accessed(self, pages: Sequence[int], t_ns: int, ticks: int, tick_ns: int) -> list[int]:
        """Those of `pages` that the workload accesses in the stretch: the same facts that checks are answered from."""
        slots = Slots()
        slots.extend(0, pages, [page + PAGE_SIZE for page in pages], [1] * len(pages), ticks)
        hits = self._answers(slots, self._all, t_ns, ticks, tick_ns, 0).hits
        return [page for page, hit in zip(pages, hits, strict=True) if hit]

    def interrupt(self) -> None:
        self._clock.interrupt()

    def close(self) -> None:
        """Nothing is open."""

    def _sets(
        self, t_ns: int, ticks: int, tick_ns: int
    ) -> tuple[array[int], array[int], array[int], array[int], array[int], array[float], array[float]]:
        """The truth of the stretch: one set of segments and windows for each phase it runs through."""
        from_tick, segment, window = array("I"), array("I"), array("I")
        starts, ends, chances = array("Q"), array("Q"), array("d")
        windows = array("d")
        tick = 0
        while tick < max(ticks, 1):
            now = t_ns + tick * tick_ns
            truth = self._truth.segments(now, tick_ns)
            from_tick.append(tick)
            segment.append(len(starts))
            window.append(len(windows) // 6)
            starts += truth.starts
            ends += truth.ends
            chances += truth.chances
            for w in truth.windows:
                position = w.cursor + w.speed * (t_ns - truth.begin_ns)
                windows.extend((w.base, w.length, w.width, position, w.speed * tick_ns, w.chance))
            tick += max(-(-(truth.end_ns - now) // tick_ns), 1)
        return from_tick, segment, window, starts, ends, chances, windows


class SimSamplers:
    """One sampler for each target, in the order of the targets' indices, as one."""

    name = "sim"

    longest_pause_ns = 0

    def __init__(self, samplers: Sequence[SimSampler]) -> None:
        self._samplers = samplers
        self.refused: dict[int, CannotError] = {}
        """None ever is."""

    def sample(
        self, targets: Sequence[Target], slots: Slots, begin_ns: int, ticks: int, tick_ns: int, seed: int
    ) -> Answers:
        mine: list[list[int]] = [[] for _ in targets]
        for slot, position in enumerate(slots.target):
            mine[position].append(slot)
        merged = Answers(ticks, array("I", bytes(4 * len(slots))), array("I", bytes(4 * len(slots))))
        for target, asked in zip(targets, mine, strict=True):
            found = self._samplers[target.index].sample(
                [target], _some(slots, asked), begin_ns, ticks, tick_ns, seed + target.index
            )
            for slot, hits, no_page in zip(asked, found.hits, found.no_page, strict=True):
                merged.hits[slot], merged.no_page[slot] = hits, no_page
            merged.slot.extend(map(asked.__getitem__, found.slot))
            merged.address += found.address
            merged.span += found.span
            merged.answer += found.answer
            merged.shift += found.shift
            merged.ticks, merged.late_ns = min(merged.ticks, found.ticks), found.late_ns
        return merged

    def interrupt(self) -> None:
        for sampler in self._samplers:
            sampler.interrupt()

    def close(self) -> None:
        """Nothing is open."""


def _some(slots: Slots, chosen: Sequence[int]) -> Slots:
    """The slots with the numbers `chosen`, of a context's only target."""

    def of(column: array[int]) -> array[int]:
        return array(column.typecode, map(column.__getitem__, chosen))

    first = array("I", [0]) * len(chosen)
    return Slots(first, of(slots.start), of(slots.end), of(slots.checks), of(slots.span))
