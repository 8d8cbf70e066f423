"""Processes of one name are told apart by the beginnings of their command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.snapshots import recorded, snap
from udamon.model import Event
from udamon.report.catalog import TITLE, Catalog


def labels(tmp_path: Path, *processes: tuple[str, list[str]]) -> list[str]:
    events = [
        Event(0, "target_start", {"target": number, "pid": 100 + number, "comm": comm, "cmdline": cmdline})
        for number, (comm, cmdline) in enumerate(processes)
    ]
    catalog = Catalog(recorded(tmp_path / "a", [*events, snap(0, [(0, 4096, 1, 0)])]))
    return [catalog.target(number).label for number in range(len(processes))]


@pytest.mark.parametrize(
    ("cmdline", "label"),
    [
        (["postgres: checkpointer "], "pid 100 postgres: checkpointer"),
        (["/usr/lib/postgresql/15/bin/postgres", "-D", "/data"], "pid 100 postgres -D /data"),
        (["postgres: " + "x" * 50], f"pid 100 postgres: {'x' * (TITLE - 12)}.."),
        ([], "pid 100 postgres"),
    ],
)
def test_by_what_they_call_themselves(tmp_path: Path, cmdline: list[str], label: str) -> None:
    found = labels(
        tmp_path, ("postgres", cmdline), ("postgres", ["postgres: other"]), ("redis", ["redis", "-x"])
    )
    assert found == [label, "pid 101 postgres: other", "pid 102 redis"]


def test_a_name_of_one_process_is_enough(tmp_path: Path) -> None:
    assert labels(tmp_path, ("redis", ["/bin/redis", "--long"])) == ["pid 100 redis"]
