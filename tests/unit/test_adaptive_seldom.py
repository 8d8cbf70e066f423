"""Memory that is accessed seldom, but all of it: schemes must not take it for memory that nobody needs."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch
from udamon.model import Event, Snapshot
from udamon.ops.sim import SimSampler, SimSpace
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.truth import Truth

SIZE = 512 << 20
AGGREGATIONS = 100


class Cold:
    """The largest share of the memory that a snapshot called unaccessed for five aggregations."""

    def __init__(self, kdamond: Kdamond) -> None:
        self.most = 0.0
        self._kdamond = kdamond
        self._seen = 0

    def snapshot(self, snapshot: Snapshot) -> None:
        columns = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages, strict=True)
        cold = sum(end - start for start, end, accesses, age in columns if not accesses and age >= 5)
        self.most = max(self.most, cold / SIZE)
        self._seen += 1
        if self._seen == AGGREGATIONS:
            self._kdamond.stop()

    def event(self, event: Event) -> None:
        """Not of interest."""


@pytest.mark.parametrize("chance", [0.03, 0.07])
def test_little_is_not_nothing(tmp_path: Path, chance: float) -> None:
    """A page is accessed in a tick with this chance: in an aggregation 46 % and 77 % of all are."""
    config = tmp_path / "seldom.masim"
    config.write_text(f"a, {SIZE}\n\nalways\n60000\na, 1, 4096, 1 # udamon: chance={chance}\n")
    workload = load(config)
    truth = Truth(workload, place(workload))
    for seed in (1, 2, 3):
        random, clock = Random(seed), ManualClock()
        sampler = SimSampler(truth, clock, origin_ns=clock.now_ns(), seed=seed)
        watch = SampledWatch(AdaptivePolicy(checks=1000), sampler, random)
        kdamond = Kdamond(Context(SimSpace(truth), watch, Attrs()), clock)
        cold = Cold(kdamond)
        kdamond.bus.subscribe(cold)
        kdamond.run()
        assert cold.most < 0.05
