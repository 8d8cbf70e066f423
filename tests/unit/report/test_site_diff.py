"""What two recordings differ in by the code that allocates, worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.test_sites import MIB, STACKS, SYMBOLS, WINDOWS, start, told
from tests.unit.snapshots import recorded
from udamon.model import Event
from udamon.record.reader import Recording
from udamon.report import site_diff
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

HOT, COLD, UNNAMED = range(3)
"""Stacks of tests/unit/report/test_sites.py."""


def of(path: Path, *rows: list[int], symbols: dict[str, Any] = SYMBOLS) -> Recording:
    code = [Event(1, "allocation_stacks", STACKS), Event(1, "symbols", symbols)]
    return recorded(path, [start(), *code, told(*rows), *WINDOWS], via="pte")


def compared(before: Recording, after: Recording) -> site_diff.SiteDiff:
    with RecordingSource(before) as first, RecordingSource(after) as second:
        return site_diff.measure(first, second)


def large(at: int, mib: int, stack: int) -> list[int]:
    """An allocation that is always sampled, as near as makes no difference."""
    return [1, at * MIB, mib * MIB, mib * MIB, stack]


def test_what_changed_most_comes_first(tmp_path: Path) -> None:
    before = of(tmp_path / "a", large(16, 40, HOT), large(64, 32, COLD))
    after = of(tmp_path / "b", large(16, 44, HOT), large(128, 16, UNNAMED))
    document = site_diff.document(compared(before, after))
    rows = [(one["function"], one["change_bytes"], one["certain"]) for one in document["sites"]]
    assert rows == [("cold", -32 * MIB, True), (None, 16 * MIB, True), ("hot", 4 * MIB, True)]
    gone, new, grown = document["sites"]
    assert (gone["after"], new["before"]) == (None, None)
    assert (grown["before"]["bytes"], grown["after"]["bytes"]) == (40 * MIB, 44 * MIB)
    assert [call["function"] for call in grown["stack"]] == ["operator new(unsigned long)", "hot", "main"]


def test_another_build_has_other_lines_and_addresses(tmp_path: Path) -> None:
    moved = {
        "module": 0,
        "symbols": [
            [16, [["operator new(unsigned long)", None, None], ["hot", "/other/a.c", 30]]],
            [32, [["main", "/other/a.c", 90]]],
            [48, [["cold", "/other/b.c", 50]]],
        ],
    }
    before = of(tmp_path / "a", large(16, 40, HOT), large(64, 32, COLD))
    after = of(tmp_path / "b", large(16, 40, HOT), large(64, 32, COLD), symbols=moved)
    assert [one.change for one in compared(before, after).changes] == [0, 0]


def test_sites_of_one_function_are_one(tmp_path: Path) -> None:
    """Two lines of a function are two sites of a recording, and one in a comparison."""
    twice = {
        "module": 0,
        "symbols": [
            [16, [["f", "/a.c", 3]]],
            [32, [["main", "/a.c", 9]]],
            [48, [["f", "/a.c", 5]]],
        ],
    }
    before = of(tmp_path / "a", large(16, 40, HOT), large(64, 32, COLD), symbols=twice)
    after = of(tmp_path / "b", large(16, 72, HOT), symbols=twice)
    (one,) = compared(before, after).changes
    assert (len(one.before), len(one.after), one.change) == (2, 1, 0)


def test_few_small_samples_are_no_certain_change(tmp_path: Path) -> None:
    """One sample of 4 KiB stands for some 512 KiB, and so do two for twice that: by chance, perhaps."""
    before = of(tmp_path / "a", [1, 16 * MIB, 4096, 4096, HOT])
    after = of(tmp_path / "b", [1, 16 * MIB, 4096, 4096, HOT], [1, 17 * MIB, 4096, 4096, HOT])
    report = compared(before, after)
    (one,) = report.changes
    assert one.change == pytest.approx(MIB / 2, rel=0.01)
    assert not one.certain
    text = site_diff.render(report, Terminal(width=80))
    assert "perhaps" in text
    assert "sampling alone may explain" in text
    narrow = site_diff.render(report, Terminal(width=50)).splitlines()
    assert any(line.endswith("perhaps") for line in narrow)
    assert max(map(len, narrow[:5])) <= 50
