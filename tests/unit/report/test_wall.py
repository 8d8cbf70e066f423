"""The time of day beside the seconds of a recording."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.snapshots import MS, recorded, snap
from udamon.cli.main import main
from udamon.report.catalog import Catalog


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_it_is_that_of_the_clock_at_the_start(tmp_path: Path) -> None:
    """86400 s is midnight; half an hour later on the clock that the recording counts by."""
    file = recorded(
        tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], wall_ns=86_400_000 * MS, monotonic_ns=5_000 * MS
    )
    assert Catalog(file).wall(5_000 * MS) == " (00:00:00)"
    assert Catalog(file).wall(5_000 * MS + 1_800_000 * MS) == " (00:30:00)"


@pytest.mark.parametrize("about", [{}, {"wall_ns": 1}])
def test_it_is_left_out_where_nothing_tells(tmp_path: Path, about: dict[str, object]) -> None:
    assert Catalog(recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], **about)).wall(0) == ""


@pytest.mark.parametrize("columns", [1, 12, 31, 32, 60])
def test_times_below_a_heatmap_are_apart(
    tmp_path: Path, columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wall's where both fit beside each other, with a blank between them."""
    shots = [snap(seq, [(0, 4096, 1, 0)]) for seq in range(20)]
    path = str(recorded(tmp_path / "a", shots, wall_ns=86_400_000 * MS, monotonic_ns=0).path)
    assert main(["report", "heatmap", path, "--resol", f"1x{columns}"]) == 0
    (axis,) = (
        line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("0 s")
    )
    clocks = ["(00:00:00)"], ["(00:00:02)"]
    wall = columns >= len("0 s (00:00:00) 2 s (00:00:02)")
    assert axis == ["0", "s", *(clocks[0] if wall else []), "2", "s", *(clocks[1] if wall else [])]
