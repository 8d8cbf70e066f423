"""The pytest plugin via idle: what a test's child touches is in its recording, what it leaves alone is not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.guest.memory import MIB, memory
from udamon import pytest_plugin

pytestmark = [pytest.mark.guest_boot(smp=1), pytest.mark.needs("root", "idle_bitmap")]


@pytest.mark.guest_long
def test_recorded_via_idle(tmp_path: Path) -> None:
    """32 MiB that are touched all the time, 64 MiB that were touched once, before it was looked."""
    with memory() as program:
        program.map("hot", 32 * MIB)
        program.map("cold", 64 * MIB)
        program.tell("touch", "hot")
        monitor = pytest_plugin.Fixture(tmp_path)
        with monitor.record(via="idle", pid=program.pid, sample="200ms", aggr="4s") as recording:
            time.sleep(20)
        recording.check(min_wss="24MiB", max_wss="64MiB", level="max", min_snapshots=2)
        with pytest.raises(AssertionError, match="FAIL  working set max"):
            recording.check(max_wss="16MiB", level="max")
