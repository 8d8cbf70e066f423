"""Many small pieces of hot memory among as many of cold: they are found, and once they were found they stay known."""

from __future__ import annotations

import pytest

from tests.unit.simulated import Island, Memory, Simulation, agreement, pages_where, seen
from udamon.core.attrs import Attrs

PIECE, SIZE = 16, 1 << 17


@pytest.mark.parametrize("clusters", [1, 12])
@pytest.mark.parametrize("seed", range(3))
def test_small_pieces_that_do_not_change_stay_known(seed: int, clusters: int) -> None:
    """In the second half of 30 s all pieces are known, to half a page at each end in the mean: F1 is 1 - 1/32 or more.
    Of 1000 checks an aggregation 400 or more explore, so in 15 s a piece of 16 of 131072 pages is missed by all with
    chance e^-7. 1000 regions can tell all 768 segments."""
    pieces = [
        Island(start, start + PIECE)
        for first in range(2_000, SIZE - 2 * PIECE * 384 // clusters, SIZE // clusters)
        for start in range(first, first + 2 * PIECE * 384 // clusters, 2 * PIECE)
    ]
    assert len(pieces) == 384
    memory = Memory(SIZE, *pieces)
    hot = {page for piece in pieces for page in range(piece.start, piece.end)}
    simulation = Simulation(memory, checks=1000, seed=seed, attrs=Attrs(max_nr_regions=1000))
    simulation.aggregate(150)
    found = []
    for _ in range(150):
        simulation.aggregate()
        found.append(agreement(pages_where(seen(memory), 10), hot))
    assert sum(found) / len(found) >= 1 - 1 / (2 * PIECE)
