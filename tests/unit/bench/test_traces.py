"""Traces of real programs: from what was seen of each page to a workload, and the ones that are committed."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from bench.make_traces import LEVELS, PROGRAMS, nearest, pieces, read, rounded, workload
from udamon.errors import ConfigError
from udamon.model import PAGE_SIZE
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.shapes import find, name_of, traces
from udamon.workload.truth import Truth

NEVER, ALWAYS = 0, len(LEVELS) - 1


def test_what_the_tool_prints_is_read_page_by_page() -> None:
    """Slices of 200 intervals; lines of valgrind itself are passed over; slices from the third on are cut off."""
    lines = ["==7== pages, which pages are touched when", "0 10 200", "0 f 1", "1 10 50", "2 10 200"]
    assert read(lines, 2) == {0xF: [0.005, 0.0], 0x10: [1.0, 0.25]}


@pytest.mark.parametrize(
    ("share", "level"),
    [(0, 0.0), (0.005, 0.01), (0.015, 0.01), (0.1, 0.12), (0.495, 0.4), (0.5, 0.6), (0.9, 0.95), (1, 1.0)],
)
def test_the_level_of_a_share_is_on_its_side_of_one_half(share: float, level: float) -> None:
    assert LEVELS[nearest(share)] == level


def test_a_share_that_may_be_a_draw_of_its_neighbours_level_takes_that() -> None:
    """0.25 ± 3 · 0.031 reaches to 0.34; never touched is told from hardly touched; hot from not hot."""
    levels = rounded(
        {1: [0.25], 2: [0.33], 3: [0.36], 10: [0.01], 11: [0.0], 20: [0.6], 21: [0.49], 22: [0.52]}
    )
    found = {page: LEVELS[row[0]] for page, row in levels.items()}
    assert found == {1: 0.25, 2: 0.25, 3: 0.4, 10: 0.01, 11: 0.0, 20: 0.6, 21: 0.4, 22: 0.6}
    # Pages 2 and 3 are neighbours: 0.36 is too far from 0.25. 22 has a neighbour that is not hot.


def test_a_page_keeps_its_level_from_one_slice_to_the_next() -> None:
    assert [LEVELS[level] for level in rounded({1: [0.25, 0.33, 0.36, 0.34]})[1]] == [0.25, 0.25, 0.4, 0.4]


def test_far_apart_is_not_one_piece() -> None:
    far = 4 * 256  # pages of 4 MiB
    assert pieces([5, 6, 5 + far, 6 + 2 * far + 1]) == [(5, 6 + far), (7 + 2 * far, 8 + 2 * far)]


def test_a_workload_has_a_region_for_each_run_of_like_pages() -> None:
    """Pages 1 and 2 alike, 3 never, 4 only in the second slice."""
    made = workload({1: [1.0, 0.25], 2: [1.0, 0.25], 4: [0.0, 0.6]})
    assert [(r.size // PAGE_SIZE, r.resident) for r in made.regions] == [(2, 1.0), (1, 0.0), (1, 1.0)]
    assert [{p.region: p.chance for p in phase.patterns} for phase in made.phases] == [
        {"r0": 1.0}, {"r0": 0.25, "r2": 0.6},
    ]  # fmt: skip


def test_nine_programs_are_committed_and_can_be_replayed() -> None:
    assert set(traces()) == set(PROGRAMS)
    assert len(PROGRAMS) == 9
    path = find("trace:sort")
    assert path == find("sort")
    assert name_of(path) == "sort"
    made = load(path)
    truth = Truth(made, place(made))
    seen = truth.expected(10**9, 20, 5_000_000)
    assert any(e.mean >= 0.5 for e in seen)
    assert all(phase.duration_ns == 10**9 for phase in made.phases)
    assert sum(find(name).stat().st_size for name in traces()) < 500_000


def test_a_packed_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.masim.xz"
    file.write_bytes(b"not packed")
    with pytest.raises(ConfigError, match="not a whole file of xz"):
        load(file)
    whole = lzma.compress(b"a, 1M\n\np\n1\n")
    file.write_bytes(whole[:-20])
    with pytest.raises(ConfigError, match="not a whole file of xz"):
        load(file)
    file.write_bytes(whole)
    assert load(file).regions[0].name == "a"
