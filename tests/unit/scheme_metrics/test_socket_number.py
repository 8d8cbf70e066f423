"""A number that is sent to a socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from udamon.core.scheme import Goal, GoalMetric
from udamon.errors import CannotError
from udamon.scheme_metrics.machine import MachineMetrics
from udamon.scheme_metrics.socket_number import SocketNumber


def send(path: Path, *texts: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for text in texts:
            sender.sendto(text, str(path))


def test_the_last_number_holds_until_another_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "latency"
    number = SocketNumber(path)
    try:
        assert number.value() is None
        send(path, b"12\n", b"15.7 ms")
        assert number.value() == 15
        assert number.value() == 15
        send(path, b"soon", b"", b"3\n4\n")
        assert number.value() == 4
    finally:
        number.close()
    assert not path.exists()
    number.close()


def test_it_is_for_its_user_alone(tmp_path: Path) -> None:
    number = SocketNumber(tmp_path / "n")
    assert (tmp_path / "n").stat().st_mode & 0o777 == 0o600
    number.close()


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "n"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(path))
    left.close()
    number = SocketNumber(path)
    send(path, b"7")
    assert number.value() == 7
    number.close()


def test_another_listener_and_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "n"
    first = SocketNumber(path)
    with pytest.raises(CannotError, match="listens"):
        SocketNumber(path)
    send(path, b"1")
    assert first.value() == 1
    path.unlink()
    path.write_text("mine")
    first.close()
    assert path.read_text() == "mine"
    with pytest.raises(CannotError, match="no socket"):
        SocketNumber(path)
    with pytest.raises(CannotError, match="name another"):
        SocketNumber(tmp_path / "no" / "such")


def test_as_a_goal_it_is_made_before_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "n"
    metrics, goal = MachineMetrics(), Goal(GoalMetric.SOCKET, 1, path=str(path))
    assert metrics.missing(goal) is None
    assert metrics.value(goal) is None
    send(path, b"9")
    assert metrics.value(goal) == 9
    metrics.close()
    assert not path.exists()
    (tmp_path / "file").touch()
    assert "no socket" in (metrics.missing(Goal(GoalMetric.SOCKET, 1, path=str(tmp_path / "file"))) or "")
