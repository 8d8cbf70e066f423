"""What outlives a restart, and what a file that is none, is old or is from the future makes of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Program
from udamon.agent.promotions import Promotions
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.state import SavedFigures, check_place
from udamon.core.idle_time import SECONDS
from udamon.errors import CannotError

TEN = SECONDS.index(600)
HOUR = 3600
WALL = 1_000_000 * HOUR * NS


def watched(seconds: float) -> tuple[Node, Rotation]:
    node = Node()
    node.add("web", Program({1.0: 4 * MIB, 200.0: 3 * MIB, 470.0: 2 * MIB, 0.0: 7 * MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, seconds)
    return node, rotation


def again(path: Path, wall_ns: int, watch_s: float = 1200) -> tuple[SavedFigures, Rotation]:
    """Another agent, at another time."""
    state = SavedFigures(str(path))
    node = Node()
    state.load(wall_ns, node.clock.now_ns())
    node.add("web", Program({0.0: 16 * MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    rotation.coming = lambda one: state.came(one, node.clock.now_ns())
    rotation.going = lambda one: state.ended(one, node.clock.now_ns())
    node.run(rotation, watch_s)
    return state, rotation


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    node, rotation = watched(4 * HOUR)
    path = tmp_path / "state.json"
    for _ in range(2):  # the second time it is replaced
        SavedFigures(str(path)).save(rotation.services.values(), WALL, node.clock.now_ns())
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def test_a_restart_keeps_the_safe_age_and_what_was_needed(saved: Path) -> None:
    _, rotation = again(saved, WALL + 60 * NS, 1320)
    figures = rotation.services["web"].figures
    assert figures.safe == TEN, "although nothing came back since"
    assert figures.needs.limit is not None
    _, other = again(saved, WALL + 60 * NS, 0)
    assert other.services["web"].figures.safe is None, "no age was watched yet"


@pytest.mark.parametrize("hours", [25, 1000])
def test_a_day_later_nothing_is_left(saved: Path, hours: int) -> None:
    _, rotation = again(saved, WALL + hours * HOUR * NS)
    assert rotation.services["web"].figures.promotions.watched_ns < HOUR * NS


def test_a_clock_that_went_back_loses_nothing(saved: Path) -> None:
    _, rotation = again(saved, WALL - 500 * HOUR * NS)
    assert rotation.services["web"].figures.safe == TEN


@pytest.mark.parametrize(
    "data",
    [
        b"", b'{"format"', b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "wall_ns": 1, "services": 3}',
        b'{"format": 1, "wall_ns": 1, "services": {"service=web": 1}}', b'{"format":' + b"[" * 100_000,
        b'{"format":\xff\xfe',
        b'{"format": 1, "wall_ns": "x", "services": {}}',
    ],
)  # fmt: skip
def test_what_is_no_state_is_told_and_left(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    state, rotation = again(path, WALL, 10)
    assert state.problem is not None
    assert str(path) in state.problem
    assert rotation.services["web"].figures.resident.high


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"null", b'{"name": 1}', b"root:x:0:0\n", b"\xff\xfe", b"\0" * 9]
)
def test_a_file_that_no_agent_wrote_is_not_replaced(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "precious"
    path.write_bytes(data)
    with pytest.raises(CannotError, match="is no agent's state"):
        SavedFigures(str(path)).load(WALL, 0)
    assert path.read_bytes() == data


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "none/file"):
        with pytest.raises(CannotError):
            check_place(str(tmp_path / name))
    with pytest.raises(CannotError, match="no regular file"):
        SavedFigures(str(tmp_path / "fifo")).load(WALL, 0)
    check_place(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("windows", 3),
        ("windows", [[1]]),
        ("over", [[70_000] * 11] * 24),
        ("watched_ns", None),
        ("over", [["a"] * 11] * 24),
    ],
)
def test_figures_that_cannot_be_are_not_taken_over(saved: Path, where: str, value: object) -> None:
    found = json.loads(saved.read_bytes())
    found["services"]["service=web"]["figures"]["promotions"][where] = value
    saved.write_text(json.dumps(found))
    state, rotation = again(saved, WALL, 10)
    assert state.problem is not None
    assert rotation.services["web"].figures.promotions.safe() is None


@pytest.mark.parametrize("part", ["promotions", "needs"])
def test_of_figures_all_are_taken_over_or_none(saved: Path, part: str) -> None:
    """What is said not to have been taken over was not, not even in part."""
    found = json.loads(saved.read_bytes())
    del found["services"]["service=web"]["figures"][part]
    saved.write_text(json.dumps(found))
    state, rotation = again(saved, WALL, 10)
    figures = rotation.services["web"].figures
    assert state.problem is not None
    assert "was not taken over" in state.problem
    assert (figures.promotions.watched_ns < HOUR * NS, figures.needs.limit) == (True, None)


def test_a_name_that_becomes_known_later_counts(saved: Path) -> None:
    """A container is first called by its id."""
    state, node = SavedFigures(str(saved)), Node()
    state.load(WALL, node.clock.now_ns())
    node.labels = {"service": "0123456789ab"}
    service = node.add("x", Program({0.0: 16 * MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    rotation.coming = lambda one: state.came(one, node.clock.now_ns())
    node.run(rotation, 10)
    assert state.kept == 1
    node.told.append(replace(service, labels={"service": "web"}))
    node.run(rotation, 10)
    assert state.kept == 0
    assert rotation.services["x"].figures.promotions.watched_ns > HOUR * NS


def test_no_more_windows_over_the_limit_than_there_were() -> None:
    made, loaded = Promotions(), Promotions()
    made.advance(0)
    made.add(TEN, 1.0)
    found = made.saved()
    found["over"][0][TEN] = 500
    loaded.load(found, 0, 0)
    loaded.watched_ns = HOUR * NS
    assert loaded.saved()["over"][0][TEN] == 1


def test_a_service_that_ended_is_remembered_for_a_day(tmp_path: Path) -> None:
    node, rotation = watched(2 * HOUR)
    state = SavedFigures(str(tmp_path / "state.json"))
    rotation.going = lambda one: state.ended(one, node.clock.now_ns())
    rotation.coming = lambda one: state.came(one, node.clock.now_ns())
    node.remove("web")
    node.run(rotation, 10)
    assert state.kept == 1
    node.add("web", Program({0.0: MIB}))
    node.run(rotation, 10)
    assert state.kept == 0
    assert rotation.services["web"].figures.promotions.watched_ns >= HOUR * NS
    node.remove("web")
    node.run(rotation, 25 * HOUR)
    state.save([], WALL, node.clock.now_ns())
    assert state.kept == 0
    assert json.loads((tmp_path / "state.json").read_bytes())["services"] == {}
