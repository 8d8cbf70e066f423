"""Regions that stay columns, and regions that somebody asks for as objects: snapshots say the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from udamon.core.adaptive.policy import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.regions import RegionColumns
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch
from udamon.evaluation.run import StopAt
from udamon.model import Event, Snapshot
from udamon.ops.sim import SimSampler, SimSpace
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.shapes import find
from udamon.workload.truth import Truth

SECONDS = 3


class Asking(AdaptivePolicy):
    """As a policy whose regions schemes go through, before the snapshot and after it."""

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        super().finish_aggregation(targets)
        for target in targets:
            assert target.regions

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        super().begin_aggregation(targets)
        for target in targets:
            assert all(region.last_nr_accesses == region.nr_accesses for region in target.regions)


class Kept:
    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []

    def snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def event(self, event: Event) -> None: ...


def watched(policy: AdaptivePolicy, shape: str) -> list[Snapshot]:
    workload = load(find(shape))
    truth, clock, random = Truth(workload, place(workload)), ManualClock(), Random(1)
    watch = SampledWatch(policy, SimSampler(truth, clock, seed=1), random)
    kdamond = Kdamond(Context(SimSpace(truth), watch, Attrs()), clock)
    kept = Kept()
    kdamond.bus.subscribe(kept)
    kdamond.bus.subscribe(StopAt(kdamond, SECONDS * 10**9))
    kdamond.run()
    assert not kdamond.bus.failures
    return kept.snapshots


@pytest.mark.parametrize("shape", ["many", "shifting"])
def test_snapshots_are_the_same(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = watched(Asking(checks=300), shape)
    assert max(map(len, asked)) > 30

    def refuse(columns: RegionColumns, *, begun: bool) -> None:
        raise AssertionError("nobody asks for objects")

    monkeypatch.setattr(RegionColumns, "objects", refuse)
    assert watched(AdaptivePolicy(checks=300), shape) == asked
