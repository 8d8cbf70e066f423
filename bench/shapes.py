"""The shapes that monitors are judged on, and simulated monitors on them."""

from __future__ import annotations

from random import Random

from bench import held_out, other_shapes
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.policies import make_policy
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch
from udamon.model import Event, Snapshot
from udamon.ops.sim import SimSampler, SimSpace
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.shapes import find
from udamon.workload.truth import Truth

SHAPES = ("one", "many", "fine", "zipf", "shifting", "sweep", "cold", "tiny", "sparse")
DEFAULTS = Attrs()
HELD_OUT = "held-out"
OTHER = "other"
_DRAWN = {HELD_OUT: held_out.draw, OTHER: other_shapes.draw}


def truth_of(shape: str) -> Truth:
    """Of a shape or trace that comes with udamon, or, as "held-out NAME N" or "other NAME N", of draw N of one
    that does not."""
    kind, _, rest = shape.partition(" ")
    workload = _DRAWN[kind](*_name_and_number(rest)) if kind in _DRAWN else load(find(shape))
    return Truth(workload, place(workload))


def _name_and_number(words: str) -> tuple[str, int]:
    name, number = words.split()
    return name, int(number)


class Collector:
    """Takes `count` snapshots, then ends the monitor."""

    def __init__(self, kdamond: Kdamond, count: int) -> None:
        self.snapshots: list[Snapshot] = []
        self._kdamond, self._count = kdamond, count

    def snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)
        if len(self.snapshots) >= self._count:
            self._kdamond.stop()

    def event(self, event: Event) -> None:
        """Only snapshots are wanted."""


def simulated(truth: Truth, count: int, attrs: Attrs = DEFAULTS, seed: int = 1) -> list[Snapshot]:
    """`count` snapshots of a monitor with the policy damon, in simulated time."""
    clock, random = ManualClock(), Random(seed)
    watch = SampledWatch(make_policy("damon", random), SimSampler(truth, clock, seed=seed), random)
    kdamond = Kdamond(Context(SimSpace(truth), watch, attrs), clock)
    collector = Collector(kdamond, count)
    kdamond.bus.subscribe(collector)
    kdamond.run()
    return collector.snapshots
