"""What events and heads say is checked where it enters: no report meets a value of another kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.wrong import COSTS
from tests.unit.snapshots import recorded, snap
from udamon.cli.main import main
from udamon.model import Event

WRONG: tuple[Any, ...] = ("x", [], {}, [1], -1, True)


@pytest.mark.parametrize("key", COSTS)
def test_costs(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (*WRONG, None):
        path = tmp_path / "a"
        cost = {"cpu_ns": 1, "max_rss_bytes": 1} | {key: value}
        recorded(path, [Event(1, "cost", cost), snap(0, [(0, 4096, 1, 0)])], attrs={"sample_us": 5000})
        for more in ([], ["--json"]):
            assert main(["report", "info", str(path), *more]) == 0
        assert ("is damaged" in capsys.readouterr().err) == (value is not None or key == "cpu_ns")


@pytest.mark.parametrize(
    "key", ["why", "tlb", "marked_by_others", "grain", "tlb_missed_below_bytes", "taken_by_others"]
)
def test_heads(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(tmp_path / "good", [snap(0, [(0, 4096, 1, 0)])], **{key: None})
    assert main(["report", "info", str(tmp_path / "good")]) == 0
    with pytest.raises(Exception, match="impossible of"):
        recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], **{key: {"a": 1}})
    assert main(["report", "info", str(tmp_path / "a")]) == 1
    assert "says something impossible" in capsys.readouterr().err
