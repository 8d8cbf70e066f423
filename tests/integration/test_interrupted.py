"""Ctrl-C leaves nothing behind: no temporary file, no half of an output, no lock that keeps the next one out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.forking import UDAMON
from tests.integration.programs import started
from tests.integration.recorder import WAIT_LIMIT_S, snapshots_in, udamon, until, until_recorded
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
