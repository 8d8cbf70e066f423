"""Memory that is accessed seldom, but all of it: schemes must not take it for memory that nobody needs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median

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
    """By snapshot: the share of the memory that it called unaccessed for five aggregations."""

    def __init__(self, kdamond: Kdamond) -> None:
        self.shares: list[float] = []
        self._kdamond = kdamond

    def snapshot(self, snapshot: Snapshot) -> None:
        columns = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages, strict=True)
        cold = sum(end - start for start, end, accesses, age in columns if not accesses and age >= 5)
        self.shares.append(cold / SIZE)
        if len(self.shares) == AGGREGATIONS:
            self._kdamond.stop()

    def event(self, event: Event) -> None:
        """Not of interest."""


def watch(config: Path, seed: int) -> list[float]:
    """The shares of Cold in a simulation of the workload."""
    workload = load(config)
    truth = Truth(workload, place(workload))
    random, clock = Random(seed), ManualClock()
    sampler = SimSampler(truth, clock, origin_ns=clock.now_ns(), seed=seed)
    watched = SampledWatch(AdaptivePolicy(checks=1000), sampler, random)
    kdamond = Kdamond(Context(SimSpace(truth), watched, Attrs()), clock)
    cold = Cold(kdamond)
    kdamond.bus.subscribe(cold)
    kdamond.run()
    return cold.shares


@pytest.mark.parametrize("chance", [0.03, 0.07])
def test_little_is_not_nothing(tmp_path: Path, chance: float) -> None:
    """A page is accessed in a tick with this chance: in an aggregation 46 % and 77 % of all are."""
    config = tmp_path / "seldom.masim"
    config.write_text(f"a, {SIZE}\n\nalways\n60000\na, 1, 4096, 1 # udamon: chance={chance}\n")
    for seed in (1, 2, 3):
        assert max(watch(config, seed)) < 0.05


@pytest.mark.parametrize("chance", [0.02, 0.03, 0.07, 0.15, 0.9])
def test_from_little_to_nothing_is_a_change_that_is_seen_when_it_comes(tmp_path: Path, chance: float) -> None:
    """From aggregation 50 on, three quarters of the memory are accessed no more: five later they have the age. Of nine
    runs the middle one: at 0.07 a part of the change is seen later in one of eight."""
    turns = 50
    config = tmp_path / "turns.masim"
    config.write_text(
        f"a, {SIZE // 4}\nb, {SIZE * 3 // 4}\n\nboth\n{turns * 100}\n"
        f"a, 1, 4096, 1 # udamon: chance={chance}\nb, 1, 4096, 1 # udamon: chance={chance}\n\n"
        f"one\n60000\na, 1, 4096, 1 # udamon: chance=0.5\n"
    )
    ends = []
    for seed in range(1, 10):
        shares = watch(config, seed)
        assert max(shares[: turns + 3]) < 0.05
        ends.append(min(shares[turns + 8 :]))
    assert median(ends) == pytest.approx(0.75, abs=0.04)
