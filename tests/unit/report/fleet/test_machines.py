"""Machines that share a host name: no row of them is lost, and each counts as a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.fleet.rows import MIB, NOON, WINDOW_US, service
from tests.unit.report.fleet.made import put, report
from udamon.fleet.compaction import compact
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES
from udamon.report.fleet import render
from udamon.report.fleet.engines import DuckEngine
from udamon.report.terminal import Terminal


def node(host: str, window: int, machine: str | None) -> dict[str, Any]:
    return {"host": host, "window_begin": NOON + window * WINDOW_US, "seconds": 300.0, "machine": machine}


def clones(place: Path, host: str = "web-1") -> Path:
    """Two machines of a name in the same windows, and others of names of their own."""
    for machine, resident in (("aaa", 100), ("bbb", 20)):
        rows = [service(host=host, window=n, resident=resident, machine=machine) for n in range(3)]
        put(place, "services", rows)
        put(place, "nodes", [node(host, n, machine) for n in range(3)])
    for number in range(4):
        rows = [service(host=f"h{number}", window=n, resident=19 + number, machine="ccc") for n in range(3)]
        put(place, "services", rows)
        put(place, "nodes", [node(f"h{number}", n, "ccc") for n in range(3)])
    return place


@pytest.mark.parametrize("host", ["web-1", "it's\\a 'host'"])
def test_each_counts(tmp_path: Path, host: str) -> None:
    found = report(clones(tmp_path, host), "cold")
    (row,) = found.rows
    assert (row["hosts"], row["resident_bytes"]) == (6, (100 + 20 + 19 + 20 + 21 + 22) * MIB)
    assert found.document()["shared_hosts"] == [host]
    assert found.seen is not None
    assert found.seen["hosts"] == 6
    assert "Names that several machines have at once, which count each: " in render.render(
        found, Terminal(200), 20
    )


def test_an_outlier_is_one_of_them(tmp_path: Path) -> None:
    found = report(clones(tmp_path), "outliers")
    rows = [row for row in found.rows if row["figure"] == "resident_bytes"]
    assert [(row["host"], row["machine"], row["hosts"]) for row in rows] == [("web-1", "aaa", 6)]
    assert "web-1/aaa" in render.render(found, Terminal(200), 20)
    (row,) = report(tmp_path, "percentiles").rows
    assert (row["hosts"], row["resident_bytes"]["max"]) == (6, 100 * MIB)
    (row,) = report(tmp_path, "coverage").rows
    assert (row["hosts"], row["rows"], row["missing_rows"]) == (6, 18, 0)


def test_compaction_keeps_both(tmp_path: Path) -> None:
    place, work = clones(tmp_path / "fleet"), tmp_path / "work"
    before = report(place, "cold").rows
    work.mkdir()
    store = Directory(place)
    with DuckEngine(store) as engine:
        compact(
            store, SERVICES, lambda objects, to: engine.merge(SERVICES, objects, to, 1 << 30), work,
            now=NOON / 1e6 + 7 * 86400, grace_s=0.0,
        )  # fmt: skip
    assert report(place, "cold").rows == before


def test_a_row_that_comes_twice_still_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(window=0, machine="aaa"), service(window=1, machine="aaa")])
    put(tmp_path, "services", [service(window=0, machine="aaa")])
    (row,) = report(tmp_path, "cold").rows
    assert (row["hosts"], row["resident_bytes"]) == (1, 10 * MIB)


def test_a_host_that_was_installed_anew_is_the_same_host(tmp_path: Path) -> None:
    """As one that came from a version which had no machine."""
    for window, machine in enumerate((None, "aaa", "bbb")):
        put(tmp_path, "services", [service(window=window, machine=machine)])
        put(tmp_path, "nodes", [node("h1", window, machine)])
    for kind in ("cold", "percentiles", "coverage"):
        found = report(tmp_path, kind)
        assert [row["hosts"] for row in found.rows] == [1]
        assert found.document()["shared_hosts"] == []


def test_machines_of_one_identity_are_named(tmp_path: Path) -> None:
    """Clones of different names: no row is lost or counted twice, and reports say who they are."""
    found = report(clones(tmp_path), "coverage")
    assert found.document()["shared_machines"] == [{"machine": "ccc", "hosts": ["h0", "h1", "h2", "h3"]}]
    (row,) = found.rows
    assert (row["hosts"], row["rows"], row["missing_rows"]) == (6, 18, 0)
    assert "which their names alone tell apart: h0, h1, h2, h3; give each one of its own." in render.render(
        found, Terminal(200), 20
    )


def test_a_machine_that_got_another_name_is_no_clone(tmp_path: Path) -> None:
    """Nor are machines whose identity is not known."""
    for window, host in enumerate(("old", "old", "new")):
        put(tmp_path, "services", [service(host=host, window=window, machine="aaa")])
        put(tmp_path, "nodes", [node(host, window, "aaa"), node(f"{host}-2", window, None)])
    found = report(tmp_path, "cold")
    assert found.document()["shared_machines"] == []
    assert "machine-id" not in render.render(found, Terminal(200), 20)


def test_clones_of_one_name_and_identity_are_named(tmp_path: Path) -> None:
    """Each window counts once. A copy of an object is no clone, nor are two halves of a window of an agent that began
    anew."""
    for free in (1, 2):
        for host, seconds in (("clone", 300.0), ("anew", (180.0, 110.0)[free - 1])):
            put(tmp_path, "services", [service(host=host, resident=free, machine="aaa")])
            own = {
                "machine": host,
                "seconds": seconds,
                "available_bytes": free << 30,
                "agent_resident_bytes": 1,
            }
            put(tmp_path, "nodes", [node(host, 0, host) | own])
    put(tmp_path, "nodes", [node("copy", 0, "ccc") | {"available_bytes": 1}])
    put(tmp_path, "services", [service(host="copy")])
    (original,) = (tmp_path / "nodes").rglob("copy.*.parquet")
    original.with_name("a copy.parquet").write_bytes(original.read_bytes())
    found = report(tmp_path, "coverage")
    assert found.document()["doubled_hosts"] == ["clone"]
    assert [(row["hosts"], row["rows"]) for row in found.rows] == [(3, 3)]
    assert "of which one counts: clone; give clones a name of their own." in render.render(
        found, Terminal(400), 20
    )
