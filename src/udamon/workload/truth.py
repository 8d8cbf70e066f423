"""The truth of a workload: which pages are accessed when, with what chance per sampling interval.

Times are workload time: nanoseconds from the start of the first phase. A sampling interval belongs to the
phase that holds when it begins. Several patterns on one region combine as 1 − Π(1 − p).
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import NamedTuple

from udamon.model import Range
from udamon.workload.layout import Layout
from udamon.workload.motion import Moment, Motion, Window, chance_everywhere, speed, window_bytes
from udamon.workload.pieces import Expected, Layer, PatternPiece, combine, join
from udamon.workload.spec import Workload

_CACHED = 64


class Segments(NamedTuple):
    """One phase in the form a C loop wants: valid for workload times [begin_ns, end_ns).

    Static segments (sorted, disjoint, chance above 0) and the windows that move over them; chances of
    what overlaps combine as 1 − Π(1 − p). Windows count from `begin_ns`.
    """

    starts: array[int]  # 'Q'
    ends: array[int]  # 'Q'
    chances: array[float]  # 'd'
    windows: tuple[Window, ...]
    begin_ns: int
    end_ns: int


class _PhaseTruth(NamedTuple):
    static: tuple[PatternPiece, ...]
    arrays: tuple[array[int], array[int], array[float]]  # starts, ends, chances of the same
    windows: tuple[tuple[str, Window], ...]  # with the region whose cursor it follows


class Truth:
    """What is known of `workload` laid out as `layout`. Pages that nothing accesses are left out."""

    def __init__(self, workload: Workload, layout: Layout) -> None:
        self.workload = workload
        self.layout = layout
        self._motion = Motion(workload, layout)
        self._placed = {region.name: region for region in layout.regions}
        self._phases: dict[tuple[int, int], _PhaseTruth] = {}
        self._means: OrderedDict[object, tuple[Expected, ...]] = OrderedDict()

    def moment(self, t_ns: int) -> Moment:
        """The phase that holds at `t_ns`, and until when."""
        return self._motion.moment(t_ns)

    def resident(self) -> list[Range]:
        """Where there are pages at all, sorted."""
        return self.layout.resident()

    def segments(self, t_ns: int, sample_ns: int) -> Segments:
        """The phase at `t_ns` as arrays (shared: not to be changed) and windows, for intervals of `sample_ns`."""
        moment = self.moment(t_ns)
        arrays = self._phase(moment.phase, sample_ns).arrays
        windows = tuple(self._windows(moment, sample_ns))
        return Segments(*arrays, windows, moment.begin_ns, moment.end_ns)

    def pieces(self, t_ns: int, sample_ns: int) -> tuple[PatternPiece, ...]:
        """The chances in the one sampling interval that begins at `t_ns`: sorted, disjoint."""
        moment = self.moment(t_ns)
        phase = self._phase(moment.phase, sample_ns)
        if not phase.windows:
            return phase.static
        layer = self._layer(phase.static, self._windows(moment, sample_ns), t_ns - moment.begin_ns)
        return tuple(PatternPiece(start, end, mean) for start, end, mean, _ in combine([layer]))

    def expected(self, t0_ns: int, ticks: int, sample_ns: int) -> tuple[Expected, ...]:
        """The aggregation of `ticks` sampling intervals that begins at `t0_ns`: sorted, disjoint.

        A look into a table while no window moves and no phase ends.
        """
        runs = self._runs(t0_ns, ticks, sample_ns)
        if any(self._phase(moment.phase, sample_ns).windows for moment, _, _ in runs):
            return tuple(combine(self._layers(runs, sample_ns)))
        key = (tuple((moment.phase, count) for moment, _, count in runs), sample_ns)
        if key not in self._means:
            self._means[key] = tuple(combine(self._layers(runs, sample_ns)))
            if len(self._means) > _CACHED:
                self._means.popitem(last=False)
        return self._means[key]

    def region_chances(self, phase: int, sample_ns: int) -> list[float]:
        """Each region's chance per interval in phase number `phase`, averaged over its resident pages and
        over time, in the order of the workload."""
        miss = dict.fromkeys(self._placed, 1.0)
        for pattern, rate in self._motion.own_rates(self.workload.phases[phase]):
            resident = self._motion.resident[pattern.region]
            chance = chance_everywhere(pattern, rate, resident, sample_ns)
            if not pattern.random:
                chance *= min(1.0, window_bytes(pattern, rate, resident, sample_ns) / resident)
            miss[pattern.region] *= 1 - chance
        return [1 - missed for missed in miss.values()]

    def _phase(self, index: int, sample_ns: int) -> _PhaseTruth:
        key = (index, sample_ns)
        if key not in self._phases:
            self._phases[key] = self._phase_truth(index, sample_ns)
        return self._phases[key]

    def _phase_truth(self, index: int, sample_ns: int) -> _PhaseTruth:
        miss = dict.fromkeys(self._placed, 1.0)
        windows = []
        for pattern, rate in self._motion.own_rates(self.workload.phases[index]):
            resident = self._motion.resident[pattern.region]
            chance = chance_everywhere(pattern, rate, resident, sample_ns)
            width = resident if pattern.random else window_bytes(pattern, rate, resident, sample_ns)
            if width >= resident:
                miss[pattern.region] *= 1 - chance
            elif width > 0 and chance > 0:
                base, pace = self._placed[pattern.region].start, speed(pattern, rate, resident)
                windows.append((pattern.region, Window(base, resident, width, pace, chance, 0.0)))
        placed = self._placed.values()
        static = join(
            PatternPiece(p.start, p.resident_end, 1 - miss[p.name]) for p in placed if miss[p.name] < 1
        )
        starts, ends = array("Q", (p.start for p in static)), array("Q", (p.end for p in static))
        return _PhaseTruth(static, (starts, ends, array("d", (p.chance for p in static))), tuple(windows))

    def _windows(self, moment: Moment, sample_ns: int) -> list[Window]:
        """The windows of a phase, with their cursors as they are when this occurrence of it begins."""
        windows = self._phase(moment.phase, sample_ns).windows
        return [w._replace(cursor=self._motion.cursor(region, moment)) for region, w in windows]

    def _runs(self, t0_ns: int, ticks: int, sample_ns: int) -> list[tuple[Moment, int, int]]:
        """(phase, time of its first tick, ticks) for the ticks from `t0_ns` on."""
        runs = []
        while ticks > 0:
            moment = self.moment(t0_ns)
            count = min(ticks, -(-(moment.end_ns - t0_ns) // sample_ns))
            runs.append((moment, t0_ns, count))
            ticks -= count
            t0_ns += count * sample_ns
        return runs

    def _layers(self, runs: list[tuple[Moment, int, int]], sample_ns: int) -> list[Layer]:
        layers: list[Layer] = []
        for moment, start, count in runs:
            static = self._phase(moment.phase, sample_ns).static
            windows = self._windows(moment, sample_ns)
            if not windows:
                layers.append(Layer([static], count))
                continue
            since = range(start - moment.begin_ns, start - moment.begin_ns + count * sample_ns, sample_ns)
            layers += [self._layer(static, windows, ns) for ns in since]
        return layers

    def _layer(self, static: tuple[PatternPiece, ...], windows: list[Window], ns: int) -> Layer:
        """One sampling interval, `ns` after its phase began."""
        moving = [[PatternPiece(start, end, w.chance) for start, end in w.parts(ns)] for w in windows]
        return Layer([static, *moving], 1)
