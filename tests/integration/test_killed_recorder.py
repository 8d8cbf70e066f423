"""A recorder that is killed, at any moment, leaves what it had flushed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.integration.programs import running
from tests.integration.recorder import report, running_udamon, snapshots_in, udamon, until_recorded
from udamon.record.reader import Recording

pytestmark = pytest.mark.needs("clear_refs")


@pytest.mark.parametrize("delay", [random.Random(n).uniform(0, 0.9) for n in range(5)])
def test_killed_at_a_random_moment(tmp_path: Path, delay: float) -> None:
    """What a reader saw before is still there, and the recording says that its end is missing."""
    file = tmp_path / "a.udamon"
    with running(mode="touch", size=1 << 20) as watched:
        words = ("record", "-p", watched.pid, "--via", "refs", "--aggr", "20ms", "-o", file)
        with running_udamon(*words) as recorder:
            until_recorded(file)
            time.sleep(delay)
            seen = snapshots_in(file)
            recorder.kill()
            recorder.wait()
    assert snapshots_in(file) >= seen
    recording = Recording(file)
    assert recording.truncated is True


def test_reports_of_a_killed_recorder(tmp_path: Path) -> None:
    """All reports work, info tells of the end; and the target is free for the next recorder."""
    file, other = tmp_path / "a.udamon", tmp_path / "b.udamon"
    with running(mode="touch", size=1 << 20) as watched:
        words = ("record", "-p", watched.pid, "--via", "refs", "--aggr", "20ms")
        with running_udamon(*words, "-o", file) as recorder:
            until_recorded(file)
            recorder.kill()
            recorder.wait()
        again = udamon(*words, "--windows", "2", "-o", other)
    assert again.status == 0, again.stderr
    assert report("info", file)["truncated"] is True
    assert "the recorder was killed or still runs" in udamon("report", "info", file).stdout
    for name in ("wss", "heatmap", "access"):
        report(name, file)


def test_a_running_recording_grows(tmp_path: Path) -> None:
    """Nothing waits for the end: a reader sees more and more, which is all that a kill could lose."""
    file = tmp_path / "a.udamon"
    with (
        running(mode="rest", size=1 << 20) as watched,
        running_udamon("record", "-p", watched.pid, "--via", "refs", "--aggr", "20ms", "-o", file),
    ):
        for _ in range(3):
            until_recorded(file, snapshots_in(file) + 1)


def test_killed_before_the_first_snapshot(tmp_path: Path) -> None:
    """A head without snapshots is a recording; reports that need one say so in a sentence."""
    file = tmp_path / "a.udamon"
    with (
        running(mode="rest", size=1 << 20) as watched,
        running_udamon("record", "-p", watched.pid, "--via", "refs", "--aggr", "1h", "-o", file) as recorder,
    ):
        while not file.exists() or not file.stat().st_size:
            time.sleep(0.01)
        recorder.kill()
        recorder.wait()
    done = udamon("report", "wss", file)
    assert (done.status, done.stderr.count("\n")) == (1, 1)
    assert "no snapshot is in it" in done.stderr
    assert report("info", file)["truncated"] is True
