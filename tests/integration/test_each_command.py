"""One real run of each command: what a new interpreter has to pass beside the tests of the C extension."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.forking import Done
from tests.integration.programs import started
from tests.integration.recorder import started_udamon
from udamon.cli.parsers import COMMANDS

pytestmark = pytest.mark.each_command

SLEEPER = "import time; area = bytearray(8 << 20); print(0, flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated workload, a second long."""
    place = tmp_path_factory.mktemp("recording")
    config, file = place / "small.masim", place / "small.udamon"
    config.write_text("hot, 4194304\ncold, 8388608\n\nall\n1000\nhot, 0, 4096, 1, rw\n")
    done = started_udamon("record", "-q", "--sim", config, "--duration", "1s", "-o", file)
    assert done.status == 0, done.stderr
    return file


def _acting(command: str, *more: str) -> Callable[[Path], Done]:
    def run(recording: Path) -> Done:
        with started([sys.executable, "-c", SLEEPER]) as process:
            assert process.stdout is not None
            process.stdout.readline()
            words = ["-p", str(process.pid), "--via", "refs", "--duration", "1s", "--json"]
            return started_udamon(command, *words, *more)

    return run


def _fleet(recording: Path) -> Done:
    from tests.unit.fleet.rows import service
    from udamon.fleet.spool import Spool

    spool = Spool(recording.parent / "spool", "h1")
    spool.add("services", [service()])
    spool.close()
    return started_udamon("fleet", "report", "cold", recording.parent / "spool", "--json")


RUNS: dict[str, Callable[[Path], Done]] = {
    "doctor": lambda _: started_udamon("doctor", "--json"),
    "record": lambda file: started_udamon("report", "info", file, "--json"),
    "schemes": _acting("schemes", "--action", "stat"),
    "reclaim": _acting("reclaim", "--dry-run"),
    "lru-sort": _acting("lru-sort", "--dry-run"),
    "stat": _acting("stat"),
    "size": lambda file: started_udamon("size", file, "--json"),
    "report": lambda file: started_udamon("report", "wss", file, "--json"),
    "check": lambda file: started_udamon("check", file, "--max-wss", "1GiB", "--json"),
    "completion": lambda _: started_udamon("completion", "bash"),
    "fleet": _fleet,
    "convert": lambda file: started_udamon("convert", file, "-o", file.with_suffix(".csv"), "--to", "csv"),
    "workload": lambda file: started_udamon(
        "workload", file.with_suffix(".masim"), "--duration", "100ms", "--quiet"
    ),
    "eval": lambda file: started_udamon("eval", file.with_suffix(".masim"), "--duration", "1s", "--json"),
}


ELSEWHERE = {
    "agent": "test_agent.py::test_it_serves_what_it_sees",
    "live": "test_live_terminal.py::test_watch_record_and_leave",
    "control": "test_control_mount.py::test_a_shell_can_write_and_read",
}
"""Tests with the same marker, for commands that one call does not try."""


def test_every_command_is_here() -> None:
    assert sorted([*RUNS, *ELSEWHERE]) == sorted(COMMANDS)


@pytest.mark.parametrize("command", RUNS)
def test_it_runs(command: str, recording: Path) -> None:
    done = RUNS[command](recording)
    assert done.status == 0, done.stderr
    assert "Traceback" not in done.stderr
    if done.stdout.startswith(("{", "[")):
        json.loads(done.stdout)
