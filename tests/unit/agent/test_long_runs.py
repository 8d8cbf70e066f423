"""A day, and a storm of groups, in simulated time: nothing grows, nothing is kept of what is gone."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.unit.agent.simulated import MIB, Node, Program
from udamon.agent.metrics import MetricsPage
from udamon.agent.node import NodeFigures
from udamon.agent.settings import Settings
from udamon.agent.state import SavedFigures
from udamon.agent.status import document


@pytest.mark.slow
def test_a_day_does_not_grow() -> None:
    """8 services, one of which is replaced each hour: as much memory after a day as when all ages were reached."""
    node = Node()
    for number in range(8):
        node.add(f"s{number}", Program({1.0: MIB, 300.0: MIB, 0.0: 2 * MIB}))
    rotation = node.rotation()
    state = SavedFigures("/nowhere")
    rotation.coming = lambda one: state.came(one, node.clock.now_ns())
    rotation.going = lambda one: state.ended(one, node.clock.now_ns())
    metrics = MetricsPage(rotation, node.spent, lambda: NodeFigures(None, {}, 1), lambda: 0)
    sizes = []
    tracemalloc.start()
    try:
        for hour in range(24):
            key = f"s{1 + hour % 7}"
            node.remove(key)
            node.run(rotation, 10)
            node.add(key, Program({1.0: MIB, 300.0: MIB, 0.0: 2 * MIB}))
            node.run(rotation, 3590)
            metrics.text()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] < sizes[16] * 1.05
    assert len(node.held) == 8
    assert rotation.coverage() == 1


def test_a_storm_of_groups() -> None:
    """1000 services a minute that live for some seconds: none is kept, locks are given back, and those that stay are
    looked at as before."""
    node = Node()
    node.add("stays", Program({1.0: MIB, 0.0: MIB}))
    rotation = node.rotation()
    state = SavedFigures("/nowhere")
    rotation.going = lambda one: state.ended(one, node.clock.now_ns())
    for minute in range(6):
        for part in range(20):
            for number in range(50):
                node.add(f"m{minute}p{part}n{number}", Program({1.0: MIB}))
            node.run(rotation, 2)
            for number in range(50):
                node.remove(f"m{minute}p{part}n{number}")
            node.run(rotation, 1)
    assert set(rotation.services) == {"stays"}
    assert node.held == {100}
    assert state.kept == 0
    assert rotation.states()["watched"] == 1
    assert len(rotation._due) <= 2 * 50 + 65, "of those that are gone, no more than of those that were there"
    spent = node.cpu_ns + node.spent.lost_ns + node.spent.paused_ns
    assert spent < 0.02 * 360e9


def test_unknown_is_null_in_the_status() -> None:
    node = Node()
    node.add("web", Program({1.0: MIB, 0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 70)
    (service,) = document(rotation, node.spent, "127.0.0.1:1", 0, 1)["services"]
    assert service["cold_bytes"]["60"] == {"low": MIB, "high": MIB}
    assert service["cold_bytes"]["120"] is None
    assert service["promoted_bytes"]["120"] is None
    assert service["safe_cold_age_seconds"] is None
    assert service["working_set_bytes"] is None
