"""Rows of the fleet's table from a simulated node: what each window of five minutes tells, and what it does not."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Program
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.windows import Windows
from udamon.core.idle_time import SECONDS
from udamon.errors import OutOfFiles
from udamon.fleet.spool import Spool
from udamon.fleet.tables import TABLES

WINDOW_S = 300
TWO_MINUTES = SECONDS.index(120)


class Rows(Spool):
    """Keeps rows, and has no directory."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.nodes: list[Mapping[str, Any]] = []
        self.dropped_rows = 3

    def add(self, table: str, rows: Any) -> bool:
        TABLES[table].batch(rows)  # as they are written
        (self.rows if table == "services" else self.nodes).extend(rows)
        return True


class Watching:
    """A node that is watched from `start_s`, seconds behind a window's begin."""

    def __init__(self, start_s: float = 0) -> None:
        self.node = Node()
        self.rotation: Rotation = self.node.rotation(Settings(budget=1.0))
        self.spool = Rows()
        self.windows = Windows(self.spool, "h1", lambda _: 64 * MIB, lambda: self.node.cpu_ns, machine="m1")
        self.offset_ns = 900_000 * NS + round(start_s * NS) - self.node.clock.now_ns()

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.node.run(self.rotation, 1)
            now_ns = self.node.clock.now_ns()
            self.windows.advance(self.rotation.services.values(), now_ns, now_ns + self.offset_ns)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        return self.spool.rows


@pytest.fixture
def watching() -> Watching:
    return Watching()


def test_a_row_for_each_service_and_window(watching: Watching) -> None:
    watching.node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}))
    watching.node.add("db", Program({0.0: 8 * MIB}))
    watching.run(3 * WINDOW_S + 5)
    found = sorted((row["service"], row["window_begin"] // 1_000_000) for row in watching.rows)
    assert found == [(name, 900_000 + WINDOW_S * n) for name in ("db", "web") for n in range(3)]
    first, web, _ = (row for row in watching.rows if row["service"] == "web")
    assert (web["host"], web["via"], web["grain"], web["processes"]) == ("h1", "refs", "mapping", 1)
    assert {row["machine"] for row in [*watching.rows, *watching.spool.nodes]} == {"m1"}
    assert (web["resident_bytes"], web["limit_bytes"], web["seconds"]) == (16 * MIB, 64 * MIB, 300)
    assert (first["cold_bytes"][TWO_MINUTES], first["cold_bytes_high"][TWO_MINUTES]) == (12 * MIB, 12 * MIB)
    assert first["cold_bytes"][SECONDS.index(28800)] is None, "nobody watched for eight hours"
    assert (web["cold_bytes"][TWO_MINUTES], web["cold_bytes_high"][TWO_MINUTES]) == (12 * MIB, 16 * MIB), (
        "five minutes were looked at, so two are known within bounds"
    )


def test_a_row_of_the_node(watching: Watching) -> None:
    """What there is to watch, and what watching cost in this window."""
    watching.node.add("web", Program({1.0: 4 * MIB}))
    watching.node.add("db", Program({0.0: 8 * MIB}))
    watching.node.add("empty")
    watching.run(WINDOW_S + 5)
    watching.rotation.give(["db"])
    watching.run(WINDOW_S)
    first, second = watching.spool.nodes
    assert (first["services_wanted"], first["services_seen"]) == (2, 2)
    assert (second["services_wanted"], second["services_seen"]) == (2, 1), "one is being recorded"
    assert (first["host"], first["seconds"], first["rows_dropped"]) == ("h1", pytest.approx(300, abs=2), 3)
    assert first["agent_cpu_seconds"] + second["agent_cpu_seconds"] == pytest.approx(
        watching.node.cpu_ns / NS, rel=0.1
    )


def test_a_window_that_ends_without_descriptors_is_told_when_there_are_some(watching: Watching) -> None:
    full = True

    def limit(directory: Path) -> int:
        if full:
            raise OutOfFiles("no more")
        return 5 * MIB

    watching.windows = Windows(watching.spool, "h1", limit, lambda: watching.node.cpu_ns)
    watching.node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}))
    watching.run(WINDOW_S - 1)
    with pytest.raises(OutOfFiles):
        watching.run(5)
    full = False
    watching.run(5)
    ((row,), (node,)) = watching.rows, watching.spool.nodes
    assert (row["window_begin"], node["window_begin"]) == (900_000 * 1_000_000, 900_000 * 1_000_000)
    assert (row["limit_bytes"], row["cold_bytes"][TWO_MINUTES]) == (5 * MIB, 12 * MIB)


def pods(watching: Watching, *programs: Program, container: str = "app") -> None:
    """A pod of the Deployment front for each, with one container."""
    for number, program in enumerate(programs):
        pod = f"front-7d9f8b6c5-x2x4{number + 4}"
        watching.node.labels = {"namespace": "shop", "pod": pod, "container": container}
        watching.node.add(f"{pod}/{container}", program)


def test_pods_of_one_workload_are_one_service(watching: Watching) -> None:
    """Whatever a roll-out calls them: their bytes are added up, and no row is taken for another one told twice."""
    pods(watching, Program({1.0: 4 * MIB, 0.0: 12 * MIB}), Program({0.0: 8 * MIB}))
    pods(watching, Program({1.0: 2 * MIB}), container="sidecar")
    watching.run(WINDOW_S + 5)
    app, sidecar = sorted(watching.rows, key=lambda row: str(row["service"]))
    assert [app[name] for name in ("namespace", "workload", "service")] == ["shop", "front", "app"]
    assert (app["instances"], app["processes"], app["coverage"]) == (2, 2, 1)
    assert (app["resident_bytes"], app["limit_bytes"]) == (24 * MIB, 128 * MIB)
    assert (app["cold_bytes"][TWO_MINUTES], app["cold_bytes_high"][TWO_MINUTES]) == (20 * MIB, 20 * MIB)
    assert (sidecar["service"], sidecar["instances"], sidecar["resident_bytes"]) == ("sidecar", 1, 2 * MIB)


def test_an_instance_that_is_new_makes_bounds(watching: Watching) -> None:
    """Of two minutes only the first pod knows: of the other all, or nothing, may be cold."""
    pods(watching, Program({0.0: 8 * MIB}))
    watching.run(WINDOW_S - 30)
    watching.node.labels = {"namespace": "shop", "pod": "front-7d9f8b6c5-zzzzz", "container": "app"}
    watching.node.add("new", Program({0.0: 4 * MIB}))
    watching.run(35)
    (row,) = watching.rows
    assert (row["instances"], row["seconds"]) == (2, 300)
    assert (row["cold_bytes"][TWO_MINUTES], row["cold_bytes_high"][TWO_MINUTES]) == (8 * MIB, 12 * MIB)
    assert row["coverage"] == pytest.approx(8 / 12)
    assert row["accessed_bytes"] is None, "the other was not watched for a whole window"


def test_who_cannot_be_looked_at_has_a_row_without_figures(watching: Watching) -> None:
    watching.node.add("refused", Program({1.0: MIB}, error=errno.EACCES))
    watching.run(WINDOW_S + 5)
    (row,), (node,) = watching.rows, watching.spool.nodes
    assert (row["coverage"], row["resident_bytes"], row["accessed_bytes"]) == (0, None, None)
    assert set(row["cold_bytes"]) == set(row["promoted_bytes"]) == {None}
    assert (node["services_wanted"], node["processes_missed"]) == (1, 1)


def test_the_cost_of_a_service(watching: Watching) -> None:
    """What rows tell adds up to what all was charged, and the longest pause is that of the larger one."""
    watching.node.add("large", Program({1.0: 64 * MIB}))
    watching.node.add("small", Program({1.0: MIB}))
    watching.run(3 * WINDOW_S)
    spent = watching.node.spent
    told = sum(row["cpu_seconds"] for row in watching.rows)
    assert told == pytest.approx(spent.total_ns / NS, rel=0.1)
    large = [row for row in watching.rows if row["service"] == "large"]
    assert large[0]["pause_seconds"] == spent.longest_ns / NS
    assert all(row["cpu_seconds"] > 0 for row in watching.rows)


def test_promotions_are_those_of_the_window() -> None:
    """Four MiB come back every 200 s, idle for two minutes by then: the counter grows, and rows tell by how much."""
    watching = Watching()
    watching.node.add("web", Program({200.0: 4 * MIB, 1.0: MIB}))
    watching.run(12 * WINDOW_S + 5)
    told = [row["promoted_bytes"][TWO_MINUTES] or 0 for row in watching.rows]
    total = watching.rotation.services["web"].figures.promoted[TWO_MINUTES]
    assert sum(told) <= total
    assert total - sum(told) <= 4 * MIB, "what came back since the last row"
    assert max(told) <= 8 * MIB


def test_the_first_window_was_watched_in_part() -> None:
    watching = Watching(start_s=120)
    watching.node.add("web", Program({1.0: 4 * MIB}))
    watching.run(WINDOW_S)
    assert watching.rows[0]["seconds"] == pytest.approx(180, abs=2)


def test_what_was_measured_before_the_window_is_not_told(watching: Watching) -> None:
    """Nobody looks for two windows: what the last look said of two minutes is not what is cold now."""
    watching.node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}))
    watching.run(WINDOW_S + 5)
    assert watching.rows[-1]["cold_bytes"][TWO_MINUTES] == 12 * MIB
    now_ns = watching.node.clock.now_ns() + 2 * WINDOW_S * NS
    watching.windows.advance(watching.rotation.services.values(), now_ns, now_ns + watching.offset_ns)
    row = watching.rows[-1]
    assert row["window_begin"] == (900_000 + 2 * WINDOW_S) * 1_000_000
    assert set(row["cold_bytes"]) == {None}
    assert row["resident_bytes"] == 16 * MIB


def test_a_clock_that_is_set_back_tells_no_window_twice(watching: Watching) -> None:
    watching.node.add("web", Program({1.0: 4 * MIB}))
    watching.run(2 * WINDOW_S + 5)
    before = len(watching.rows)
    watching.offset_ns -= 900 * NS
    watching.run(WINDOW_S + 5)
    assert len(watching.rows) == before


def test_what_has_grown_since_a_clock_was_set_back_is_of_no_window(watching: Watching) -> None:
    """The rows after it are of one window again, and so is what they say was promoted."""
    watching.node.add("web", Program({400.0: 4 * MIB}))
    watching.run(3 * WINDOW_S + 5)
    watching.offset_ns -= 900 * NS
    watching.run(5 * WINDOW_S)
    known = [row["promoted_bytes"] is not None for row in watching.rows]
    assert known == [True] * 3 + [False, True]
    assert [row["cpu_seconds"] is not None for row in watching.rows] == known
    assert [row["agent_cpu_seconds"] is not None for row in watching.spool.nodes] == known
    windows = [row["window_begin"] for row in watching.rows]
    assert windows == sorted(set(windows))


def test_a_clock_that_was_years_ahead(watching: Watching) -> None:
    """When the machine started: windows count from its right time on, not years later."""
    watching.node.add("web", Program({1.0: 4 * MIB}))
    watching.offset_ns += 10**9 * NS
    watching.run(2 * WINDOW_S + 5)
    watching.offset_ns -= 10**9 * NS
    watching.run(2 * WINDOW_S)
    begins = [row["window_begin"] // 1_000_000 for row in watching.rows]
    assert [begin < 10**9 for begin in begins] == [False, False, True, True]
    assert begins[3] - begins[2] == WINDOW_S


def test_a_group_that_is_made_again_begins_anew(watching: Watching) -> None:
    """Removed and made again with the same name between two rows: what it had before was of another one."""
    watching.node.add("web", Program({400.0: 64 * MIB}))
    watching.run(4 * WINDOW_S + 5)
    assert any(each for row in watching.rows for each in row["promoted_bytes"])
    watching.node.remove("web")
    watching.run(20)
    watching.node.add("web", Program({400.0: 4 * MIB}))
    watching.run(2 * WINDOW_S)
    for row in watching.rows:
        assert all(each is None or each >= 0 for each in row["promoted_bytes"])
        assert row["cpu_seconds"] >= 0
    assert len(watching.rows) == 6


def test_a_service_that_is_recorded_has_no_row(watching: Watching) -> None:
    watching.node.add("web", Program({1.0: 4 * MIB}))
    watching.run(WINDOW_S + 5)
    watching.rotation.give(["web"])
    before = len(watching.rows)
    watching.run(WINDOW_S)
    assert len(watching.rows) == before


def test_rows_become_objects_that_reports_read(tmp_path: Path) -> None:
    watching = Watching()
    spool = Spool(tmp_path / "spool", "h1")
    watching.windows = Windows(spool, "h1", lambda _: None)
    watching.node.add("web", Program({1.0: 4 * MIB, 0.0: 12 * MIB}))
    watching.run(3 * WINDOW_S + 5)
    spool.close()
    assert spool.failure is None
    paths = list((tmp_path / "spool").rglob("*.parquet"))
    assert sorted(path.relative_to(tmp_path / "spool").parts[0] for path in paths) == ["nodes", "services"]
    assert all(path.name.startswith("h1.") for path in paths)
