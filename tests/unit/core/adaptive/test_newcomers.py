"""New heat in quiet memory is new where it would have been met before, and else as old as what it lies in."""

from __future__ import annotations

import pytest

from tests.unit.simulated import Island, Memory, Simulation, seen

SEEDS = pytest.mark.parametrize("seed", range(3))
SIZE = 1 << 16  # pages


def ages_of(memory: Memory, *islands: Island) -> list[int]:
    """Of the region in the middle of each island."""
    middles = [(island.start + island.end) // 2 for island in islands]
    return [r.age for middle in middles for r in seen(memory) if r.start <= middle < r.end]


@SEEDS
def test_blocks_that_appear_where_much_was_explored_are_new(seed: int) -> None:
    """Eight seconds of at least 40 checks an aggregation: each block would have been met fifty times."""
    always = Island(50_000, 52_000, 1.0)
    blocks = [Island(5000 * k, 5000 * k + 500, 1.0) for k in range(1, 6)]
    memory = Memory(SIZE, always)
    simulation = Simulation(memory, checks=400, seed=seed)
    simulation.aggregate(80)
    memory.islands = [*blocks, always]
    simulation.aggregate(15)
    assert max(ages_of(memory, *blocks)) <= 15
    assert min(ages_of(memory, always)) > 90


@SEEDS
def test_an_island_that_no_look_would_have_met_is_as_old_as_what_it_lies_in(seed: int) -> None:
    """16 pages in 65536 are met by one in four thousand checks; 32 were made until it was there."""
    memory = Memory(SIZE, Island(50_000, 60_000, 1.0))
    simulation = Simulation(memory, checks=32, seed=seed)
    simulation.aggregate(20)
    small = Island(30_000, 30_016, 1.0)
    memory.islands = [small, *memory.islands]
    simulation.policy.checks = 4000
    simulation.aggregate(10)
    assert min(ages_of(memory, small)) > 20


@SEEDS
def test_islands_that_are_seldom_accessed_are_not_new_where_they_were_not_found_before(seed: int) -> None:
    """Blocks that are accessed in one tick of six: many looks come to them and see nothing, and single accesses are not
    enough to know them by. They come and go in what is known."""
    blocks = [Island(1000 * k, 1000 * k + 40, 0.16) for k in range(1, 50)]
    memory = Memory(SIZE, *blocks, Island(55_000, 57_000, 1.0))
    Simulation(memory, checks=400, seed=seed).aggregate(150)
    young = [age for age in ages_of(memory, *blocks) if age < 140]
    assert len(young) <= len(blocks) / 20
