"""From how many rows Spark pays: lines and where they cross, worked out by hand."""

from __future__ import annotations

import pytest

from bench.fleet.paying import CORES, Cost, Line, costs, equal_at, paying


def cost(engine: str, factor: int, cpu: float, mib: int = 100) -> Cost:
    return Cost(
        "cold", factor, engine, factor * 1_000_000, factor * 50_000_000, "a machine", 9.0, cpu, mib, 3.0
    )


def test_a_line_through_points_that_lie_on_one() -> None:
    line = Line.through([cost("spark", factor, 30 + 2.0 * factor) for factor in (1, 4, 16)])
    assert line.fixed == pytest.approx(30)
    assert line.each == pytest.approx(2e-6)
    assert line.seconds(32e6, 16) == pytest.approx(34)


def test_nothing_costs_less_than_nothing() -> None:
    assert Line.through([cost("spark", 1, 30), cost("spark", 4, 29)]).each == 0
    assert Line.through([cost("duckdb", 1, 1), cost("duckdb", 4, 5)]).fixed == 0


def test_where_lines_cross() -> None:
    """30 s more, and a gain of 1.6 / 16 - 3.2 / 160 = 0.08 s for each million rows."""
    duckdb, spark = Line(1.0, 1.6e-6), Line(31.0, 3.2e-6)
    assert CORES == 16
    assert equal_at(duckdb, spark, 10) == pytest.approx(375e6)
    assert equal_at(duckdb, Line(31.0, 16e-6), 10) is None  # ten times the work by ten times the cores
    assert equal_at(duckdb, spark, 2) is None


def test_tables() -> None:
    found = [cost("duckdb", n, 1 + 1.6 * n) for n in (1, 4)] + [
        cost("spark", n, 31 + 3.2 * n) for n in (1, 4)
    ]
    assert costs(found).rows == [
        ["`cold`, 1 ×", "1,000,000", "2.6 s", "9 s", "100 MiB", "34.2 s", "9 s", "100 MiB"],
        ["`cold`, 4 ×", "4,000,000", "7.4 s", "9 s", "100 MiB", "43.8 s", "9 s", "100 MiB"],
    ]
    # A day is 864 M rows: 1 + 864 * 1.6 / 16 = 87.4 s, 31 + 864 * 3.2 / 160 = 48.3 s.
    (row,) = paying(found).rows
    assert row == ["`cold`", "1.0 + 1.60", "31.0 + 3.20", "375 M", "87 s, 48 s", "43 min, 549 s", "0 GiB"]


def test_memory_of_a_large_fleet() -> None:
    """64 MiB for each million rows: 54 GiB for 864 M."""
    found = [cost("duckdb", n, 1.0, 100 + 64 * n) for n in (1, 4)] + [cost("spark", n, 30.0) for n in (1, 4)]
    assert paying(found).rows[0][-1] == "54 GiB"
