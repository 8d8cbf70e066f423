"""Numbers that commands print: read without ever waiting."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.waiting import until
from udamon.errors import CannotError
from udamon.scheme_metrics.command_number import RESTART_NS, CommandNumber


def living(group: int) -> list[str]:
    """Processes of a group; those that only wait to be collected left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(str(path))
    return found


def test_the_last_number_counts_and_other_lines_do_not(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = CommandNumber(
        f"echo 5; echo 17.9 ms; echo no; while [ ! -e {go} ]; do sleep 0.01; done; echo 3; exec sleep 60"
    )
    try:
        until(lambda: command.value() == 17)
        go.touch()
        until(lambda: command.value() == 3)
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
    until(lambda: command.value() == 1 and command._ended)
    for _ in range(50):
        command.value()
    assert runs.read_text() == "x\n"
    now += RESTART_NS
    until(lambda: command.value() == 2)
    command.close()


def test_a_command_that_prints_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read at a time is bounded, and nothing of the command is left: not even what ignores SIGTERM."""
    command = CommandNumber("trap '' TERM; yes 7 & yes 8")
    begun: list[subprocess.Popen[bytes]] = []
    start = command._start

    def remember() -> None:
        start()
        assert command._process is not None
        begun.append(command._process)

    monkeypatch.setattr(command, "_start", remember)

    def refused() -> bool:
        """Perhaps at once: on a busy machine it may have printed enough before it is read for the first time."""
        try:
            command.value()
        except CannotError as error:
            return "prints without end" in str(error)
        return False

    until(refused)
    (process,) = begun
    assert process.returncode == -signal.SIGKILL
    until(lambda: not living(process.pid))
    with pytest.raises(CannotError, match="prints without end"):
        command.value()
    command.close()


def test_much_output_is_no_endless_one() -> None:
    command = CommandNumber(
        "i=0; while [ $i -lt 3000 ]; do echo $i and some words; i=$((i+1)); done; exec sleep 60"
    )
    until(lambda: command.value() == 2999)
    command.close()


def test_a_command_that_fails_without_a_number_is_an_error() -> None:
    now = 0
    command = CommandNumber("exit 3", lambda: now)
    until(lambda: command.value() is None and command._ended)
    now += RESTART_NS
    with pytest.raises(CannotError, match="status 3"):
        command.value()
    command.close()
