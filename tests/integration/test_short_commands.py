"""What is said of commands that end before there is anything to see."""

from __future__ import annotations

from pathlib import Path

from tests.integration.recorder import udamon


def test_a_command_that_ends_within_its_first_window(tmp_path: Path) -> None:
    """It is said what would show something, and its status is its own; without a window there is no size."""
    file = tmp_path / "r.udamon"
    done = udamon("record", "--aggr", "30s", "-o", file, "--", "sh", "-c", "sleep 0.3; exit 3")
    assert done.status == 3
    assert f"{file}: 0 snapshots in" in done.stderr
    said = "ended before the first window of 30 s was over; give shorter windows: --aggr "
    assert said in done.stderr
    done = udamon("report", "wss", file)
    assert (done.status, done.stdout) == (1, "")
    assert "it ended before its first window of 30 s was over; record longer, or with shorter" in done.stderr
    done = udamon("size", "--aggr", "30s", "--", "sh", "-c", "sleep 0.3")
    assert (done.status, done.stdout) == (125, "")
    assert said in done.stderr
    assert "no snapshot" not in done.stderr
