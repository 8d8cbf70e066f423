"""Numbers that commands print: read without ever waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from udamon.errors import CannotError
from udamon.ops.command_number import RESTART_NS, CommandNumber


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline, "this never came"
        time.sleep(0.01)


def test_the_last_number_counts_and_other_lines_do_not(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = CommandNumber(
        f"echo 5; echo 17.9 ms; echo no; while [ ! -e {go} ]; do sleep 0.01; done; echo 3; exec sleep 60"
    )
    try:
        eventually(lambda: command.value() == 17)
        go.touch()
        eventually(lambda: command.value() == 3)
    finally:
        command.close()


def test_a_command_that_never_prints_is_no_number_yet_and_is_ended() -> None:
    command = CommandNumber("exec sleep 600")
    assert command.value() is None
    command.close()
    command.close()


def test_a_command_that_ends_is_started_again_but_not_at_once(tmp_path: Path) -> None:
    now, runs = 0, tmp_path / "runs"
    command = CommandNumber(f"echo x >> {runs}; wc -l < {runs}", lambda: now)
    eventually(lambda: command.value() == 1 and command._ended)
    for _ in range(50):
        command.value()
    assert runs.read_text() == "x\n"
    now += RESTART_NS
    eventually(lambda: command.value() == 2)
    command.close()


def test_a_command_that_fails_without_a_number_is_an_error() -> None:
    now = 0
    command = CommandNumber("exit 3", lambda: now)
    eventually(lambda: command.value() is None and command._ended)
    now += RESTART_NS
    with pytest.raises(CannotError, match="status 3"):
        command.value()
    command.close()
