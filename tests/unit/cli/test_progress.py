"""What a monitor says of itself while it runs and at its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.snapshots import MS, snap
from udamon.cli.progress import Progress
from udamon.linux import cpu_time
from udamon.model import Event


def told(*counts: int, window: int = 7_600 * MS) -> Progress:
    """A progress that was told so many targets' snapshots in each window."""
    progress = Progress()
    for seq, targets in enumerate(counts):
        for target in range(targets):
            progress.snapshot(replace(snap(seq, [(0, 4096, 1, 0)], target=target, window=window), pid=target))
    return progress


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((), "0 snapshots"),
        ((1, 1, 1), "3 snapshots"),
        ((10, 10), "2 windows of 10 targets"),
        ((10, 8, 1), "3 windows of up to 10 targets"),
    ],
)
def test_many_targets_are_not_many_windows(counts: tuple[int, ...], words: str) -> None:
    progress = told(*counts)
    assert progress.count() == words
    assert f"  {words}  " in progress.line()


def test_a_total_over_processes_says_what_it_is() -> None:
    """And what was missed is told while it runs."""
    assert "sum over" not in told(1).line()
    progress = told(2)
    assert "hot 0 B (sum over processes, shared memory counted in each)  " in progress.line()
    assert "not seen" not in progress.line()
    missed = {"processes_seen": 2, "processes_missed": 5, "bytes_missed": None, "exact": True}
    progress.event(Event(0, "coverage", missed))
    assert progress.line().endswith("  5 processes not seen (size unknown)")


def test_the_length_of_a_window_is_that_of_the_windows() -> None:
    """The interval that is wanted next says nothing of those that were."""
    assert told(10, 10).window(11.0) == "each of 7.6 s"
    assert told(10, 10).window(7.5) == "each of 7.5 s"
    assert told().window(11.0) == "each of 11 s"


def test_the_start_is_part_of_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([200_000_000, 300_000_000])
    monkeypatch.setattr(cpu_time, "process_ns", lambda: next(spent))
    now = iter([100.0, 110.0])
    assert Progress(lambda: next(now)).cost == "the monitor took 1.00% of a CPU, after 200 ms of CPU to start"


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([100] * 4, "each of 100 ms"),
        ([98, 101, 103], "each of 100 ms"),
        ([20, 100, 100, 100], "of 80 ms on average"),
    ],
)
def test_how_long_windows_are(lengths: list[int], said: str) -> None:
    """Of 100 ms that were wanted; the last may be cut off, and a budget may choose others."""
    progress = Progress()
    for seq, length in enumerate(lengths):
        progress.snapshot(snap(seq, [(0, 4096, 1, 0)], window=length * 10**6))
    assert progress.window(0.1) == said
