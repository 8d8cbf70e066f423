"""Totals of several processes: in which windows page frames were counted."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_wss import snap
from tests.unit.snapshots import recorded
from udamon.model import Sharing, Snapshot
from udamon.report import wss
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20
AS_ROOT = (
    "  Page frames are counted in recordings made as root and reported without filters: then they are closer."
)


def shot(seq: int, target: int, distinct: int | None) -> Snapshot:
    """2 MiB of anonymous memory of which 1 MiB is nobody else's."""
    sharing = Sharing.of([[MIB], [2 * MIB], [2 * MIB], [7], [None], [distinct]])
    return replace(
        snap(seq, [(16 * MIB, 18 * MIB, 20, 0, 2 * MIB)], target),
        resident=array("Q", [2 * MIB]),
        sharing=sharing,
    )


@pytest.mark.parametrize(
    ("alone", "filters", "said"),
    [
        (None, Filters(), "  Page frames were counted in 2 of 3 windows: in these they are closer."),
        (2 * MIB, Filters(), "  3.0 MiB were resident at most, counted by page frames."),
        (2 * MIB, Filters(rate=(0.5, None)), AS_ROOT),
        (None, Filters(time=(0, 100_000_000)), None),
    ],
)
def test_where_frames_were_counted(
    tmp_path: Path, alone: int | None, filters: Filters, said: str | None
) -> None:
    """A process that is alone has nobody to share with, and its frames need not be counted."""
    shots = [
        shot(0, 0, alone),
        *(shot(seq, target, (2 - target) * MIB) for seq in (1, 2) for target in (0, 1)),
    ]
    with RecordingSource(recorded(tmp_path / "a", shots, via="refs"), filters) as source:
        text = wss.render(wss.measure(source), Catalog(source.recording), Terminal(80, 0, False)).splitlines()
    assert [line for line in text if "rames" in line] == ([] if said is None else [said])
