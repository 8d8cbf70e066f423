"""How sizes, times and shares are shown: never 1024 of a unit, nor 1000 ms, nor a power of ten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.test_size import MIB
from tests.unit.snapshots import recorded, snap
from udamon.cli.main import main
from udamon.units import format_share, format_size, format_time


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"), (1023, "1023 B"), (1023.6, "1.0 KiB"), (1024, "1.0 KiB"), (MIB - 1, "1.0 MiB"),
        (MIB - 53, "1023.9 KiB"), (1024 * MIB - 4096, "1.0 GiB"), (-MIB + 1, "-1.0 MiB"), (1 << 57, "128.0 PiB"),
        (1 << 64, "16.0 EiB"),
    ],
)  # fmt: skip
def test_sizes(size: float, shown: str) -> None:
    assert format_size(size) == shown


@given(st.floats(-(2.0**69), 2.0**69))
def test_every_size_is_below_1024_of_its_unit(size: float) -> None:
    assert re.fullmatch(r"-?[0-9]{1,4}( B|\.[0-9] [KMGTPE]iB)", format_size(size))
    assert abs(float(format_size(size).split()[0])) < 1024


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 us"), (999.6e-6, "1 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (59.94, "59.9 s"), (59.96, "1 m 0 s"),
        (119.7, "2 m 0 s"), (3599.6, "1 h 0 m"), (-0.5, "-500 ms"),
    ],
)  # fmt: skip
def test_times(seconds: float, shown: str) -> None:
    assert format_time(seconds) == shown


@given(st.floats(0, 1e9))
def test_no_time_is_a_power_of_ten(seconds: float) -> None:
    assert "e+" not in format_time(seconds)


def test_a_share_above_none_is_not_none() -> None:
    assert [format_share(share) for share in (0, 1e-9, 0.005, 0.0051, 1)] == [
        "0%",
        "<1%",
        "<1%",
        "1%",
        "100%",
    ]
    assert format_share(0.005, "≤") == "<1%"


def test_idle_memory_that_is_little_is_not_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 of 400 MiB lies idle for two seconds."""
    windows = [snap(seq, [(0, MIB, 0, 0), (MIB, 400 * MIB, 1, 0)]) for seq in range(30)]
    recorded(tmp_path / "a", windows)
    assert main(["report", "ages", str(tmp_path / "a")]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("1 s"))
    assert row.split()[2:5] == ["1.0", "MiB", "<1%"]
