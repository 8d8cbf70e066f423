"""Ctrl-C leaves nothing behind: no temporary file, no half of an output, no lock that keeps the next one out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import started
from tests.integration.recorder import snapshots_in, udamon, until_recorded
from tests.unit.fleet.rows import service
from tests.unit.report.fleet.made import put
from tests.unit.snapshots import recorded, snap
from tests.waiting import WAIT_LIMIT_S, until
from udamon.record.reader import Recording

SLEEPER = "import time; area = bytearray(8 << 20); print(0, flush=True); time.sleep(600)"


def interrupted(words: list[str], when: object, place: Path) -> tuple[int, str]:
    """A command in its own directory, with its temporary files there, that gets SIGINT once `when` returns."""
    scratch = place / "tmp"
    scratch.mkdir()
    process = subprocess.Popen(
        [*UDAMON, *words], cwd=place, env=os.environ | {"TMPDIR": str(scratch)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert callable(when)
        when()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert list(scratch.iterdir()) == []
    return process.returncode, said


def left_in(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_record_finishes_its_file_and_gives_its_target_back(tmp_path: Path) -> None:
    file = tmp_path / "a.udamon"
    with started([sys.executable, "-c", SLEEPER]) as target:
        assert target.stdout is not None
        target.stdout.readline()
        how = ["-p", str(target.pid), "--via", "refs", "--aggr", "100ms", "-q"]
        status, said = interrupted(["record", *how, "-o", "a.udamon"], lambda: until_recorded(file), tmp_path)
        assert (status, said) == (0, "")
        assert left_in(tmp_path) == {"a.udamon"}
        assert not Recording(file).truncated
        again = udamon("record", *how, "--windows", "1", "-o", tmp_path / "b.udamon")
    assert (again.status, again.stderr) == (0, "")


def test_size_shows_what_is_known_and_keeps_nothing(tmp_path: Path) -> None:
    """Its recording is a temporary one."""
    scratch = tmp_path / "tmp"

    def recorded() -> None:
        until(lambda: any(snapshots_in(path) for path in scratch.rglob("*.udamon")), "a snapshot")

    status, _ = interrupted(["size", "--sim", "demo", "--duration", "600s"], recorded, tmp_path)
    assert status == 0
    assert left_in(tmp_path) == set()


def test_a_truth_log_ends_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    status, _ = interrupted(
        ["workload", "demo", "--truth", "truth.jsonl", "--quiet"],
        lambda: until(lambda: log.exists() and log.stat().st_size > 0, "the log"),
        tmp_path,
    )
    assert status in (0, 130)
    assert left_in(tmp_path) == {"truth.jsonl"}
    assert log.read_text().endswith("\n")


STARTING = """
import os, sys
from udamon.__main__ import main

class Begun:
    def find_spec(self, name, path=None, target=None):
        if name == "udamon.cli.main":
            os.write(1, b".")

sys.meta_path.insert(0, Begun())
sys.exit(main())
"""
"""A command that says when it begins to import its modules: from there on what a Ctrl-C does is up to udamon."""


@pytest.mark.parametrize(
    "words", ["report wss {0}", "report wss {0} --json", "fleet report cold {1}", "convert {0} --to csv -o b"]
)
def test_at_any_moment_from_the_start_on(words: str, tmp_path: Path) -> None:
    """No traceback, no abort: the command ends by the signal, with status 130, or had done its work. (While the
    interpreter itself starts, its own traceback cannot be helped.)"""
    recorded(tmp_path / "a", [snap(seq, [(4096, 8192, 3, 1)]) for seq in range(3)])
    put(tmp_path / "fleet", "services", [service()])
    own = [sys.executable, "-c", STARTING, *words.format(tmp_path / "a", tmp_path / "fleet").split()]
    ended = set()
    for delay in range(0, 700, 50 if "UDAMON_TEST_LONG" not in os.environ else 3):
        with subprocess.Popen(
            own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == "."
            time.sleep(delay / 1000)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=WAIT_LIMIT_S)
        assert process.returncode in (0, 1, 130, -signal.SIGINT), (delay, said)
        assert "Traceback" not in said, (delay, said)
        ended.add(process.returncode)
    assert ended & {130, -signal.SIGINT}
