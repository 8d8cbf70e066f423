"""Temperature and recency against what damo 3.4.3 prints for the same regions, and by hand."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_wss import START, record, snap
from tests.unit.snapshots import recorded
from udamon.errors import RecordingError
from udamon.model import Snapshot
from udamon.report import access, temperature
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20
ROUND = [(0, MIB, 20, 0, 0), (MIB, 3 * MIB, 0, 5, 0), (3 * MIB, 10 * MIB, 5, 100, 0),
         (10 * MIB, 10 * MIB + 4096, 0, 200, 0), (16 * MIB, 32 * MIB, 1, 7, 0)]  # fmt: skip
"""Windows of 100 ms and 20 ticks. damo prints, for `report access` of a recording with these regions:

temperature-sz-hist: [-2,000,000,000, -1,699,999,749) 4.000 KiB, [-199,998,494, 100,001,757) 19.000 MiB,
[700,002,259, 1,000,002,510) 7.000 MiB, and nothing in the other seven columns.
"""


def odd() -> Snapshot:
    """19 ticks of 7 ms, whose rates are no whole percents."""
    starts, ends = array("Q", [0, MIB, 3 * MIB, 4 * MIB]), array("Q", [MIB, 3 * MIB, 4 * MIB, 5 * MIB])
    return Snapshot(
        0, 1, 0, START, START + 133_000_000, 7_000_000, 19, starts, ends,
        array("I", [3, 7, 0, 1]), array("I", [0, 3, 2, 1]), array("Q", [0, 0, 0, 0]),
    )  # fmt: skip


def test_histogram_of_temperature_as_damo_has_it(tmp_path: Path) -> None:
    """Edges and bytes to the last digit."""
    with RecordingSource(record(tmp_path / "a", [snap(0, ROUND)])) as source:
        found = temperature.histogram(source, "temperature", 0, definition="damo").columns
    assert found[0][:2] == (-2_000_000_000, -1_699_999_749)
    assert found[-1][1] == 1_000_002_510
    assert {(low, size) for low, _, size in found if size} == {
        (-2_000_000_000, 4096), (-199_998_494, 19 * MIB), (700_002_259, 7 * MIB)
    }  # fmt: skip


def test_rates_are_whole_percents(tmp_path: Path) -> None:
    """damo: 3 of 19 ticks are 15 %, 7 are 36, 1 is 5; temperatures and percentiles as it prints them."""
    with RecordingSource(record(tmp_path / "a", [odd()])) as source:
        heat = temperature.percentiles(source, "temperature", 0, definition="damo")
        idle = temperature.percentiles(source, "recency", 0, definition="damo")
        ages = temperature.histogram(source, "recency", 0, definition="damo")
        lines = access.measure(source, sort="hot").lines
    assert [value for _, value in heat.levels] == [
        -26_600_000, -26_600_000, 1500, 13_300_500, 39_903_600, 39_903_600, 39_903_600
    ]  # fmt: skip
    assert [value for _, value in idle.levels] == [0, 0, 0, 0, 0, 399_000, 399_000]
    assert ages.columns[0] == (0, 39_901, 4 * MIB)
    assert ages.columns[-1] == (359_109, 399_010, MIB)
    assert [line.temperature for line in lines] == [39_903_600, 13_300_500, 1500, -26_600_000]


def test_percentiles_at_the_edges(tmp_path: Path) -> None:
    """damo: of five MiB, the 20th percentile is still the first, the 21st the second."""
    with RecordingSource(record(tmp_path / "a", [odd()])) as source:
        found = temperature.percentiles(source, "temperature", 0, definition="damo", levels=(0, 20, 21, 40))
    assert found.levels == [(0, -26_600_000), (20, -26_600_000), (21, 1500), (40, 1500)]


def test_hot_and_cold_first(tmp_path: Path) -> None:
    """Hottest first, and coldest first, are the same order from both ends."""
    with RecordingSource(record(tmp_path / "a", [snap(0, ROUND)])) as source:
        hot, cold = (access.measure(source, sort=sort) for sort in ("hot", "cold"))
    assert [line.start for line in hot.lines] == [3 * MIB, 16 * MIB, 0, MIB, 10 * MIB]
    assert [line.start for line in cold.lines] == [10 * MIB, MIB, 0, 16 * MIB, 3 * MIB]
    boxes = access.boxes(hot, Terminal(80, 0, False), "ticks accessed")
    assert max(map(len, boxes.splitlines())) <= 80
    assert boxes.isascii()


def test_weights(tmp_path: Path) -> None:
    """A weight of size counts bytes; of age alone, microseconds."""
    with RecordingSource(record(tmp_path / "a", [snap(0, ROUND[:2])])) as source:
        by_size = temperature.percentiles(source, "temperature", 0, definition="damo", weights=(1, 0, 0))
        by_age = temperature.percentiles(source, "temperature", 0, definition="damo", weights=(0, 0, 1))
    assert [by_size.levels[0][1], by_size.levels[-1][1]] == [-2 * MIB, MIB]
    assert [by_age.levels[0][1], by_age.levels[-1][1]] == [-500_000, 0]


def test_whole_recording_and_resident_bytes(tmp_path: Path) -> None:
    """Of the whole recording, bytes are means of the moments; resident ones where they are known."""
    there = array("Q", [MIB // 2])
    shot = Snapshot(0, 1, 0, START, START + 100_000_000, 5_000_000, 20, array("Q", [0]), array("Q", [MIB]),
                    array("I", [20]), array("I", [1]), array("Q", [0]), there)  # fmt: skip
    empty = snap(1, [])
    with RecordingSource(record(tmp_path / "a", [shot, empty])) as source:
        assert sum(size for *_, size in temperature.histogram(source, "recency", None).columns) == MIB / 4
        damo = temperature.histogram(source, "recency", None, definition="damo")
        assert sum(size for *_, size in damo.columns) == MIB / 2
    filters = Filters.parse(size="2MiB-")
    with (
        RecordingSource(record(tmp_path / "b", [shot]), filters) as source,
        pytest.raises(RecordingError, match="is left by"),
    ):
        temperature.histogram(source, "recency", None)


def test_document_and_text(tmp_path: Path) -> None:
    """Recency is in seconds; text fits 80 columns, signs or not."""
    with RecordingSource(record(tmp_path / "a", [snap(0, ROUND)])) as source:
        reports = [make(source, what, 0) for make in (temperature.histogram, temperature.percentiles)
                   for what in ("temperature", "recency")]  # fmt: skip
    idle = temperature.document(reports[1])
    assert (idle["schema"], idle["histogram"][0]["from"]) == (1, 0)
    assert idle["histogram"][-1]["to"] == pytest.approx(20.10001)
    for report in reports:
        for blocks in (True, False):
            text = temperature.render(report, Terminal(80, 0, blocks))
            assert max(map(len, text.splitlines())) <= 80
            assert blocks or text.isascii()


def test_by_mapping_what_was_not_touched_is_told(tmp_path: Path) -> None:
    """Of 10 MiB resident, 4 and then 6 were touched; the other mapping was not at all."""
    shots = [
        replace(
            snap(seq, [(0, 10 * MIB, 8, 0, size * MIB), (16 * MIB, 18 * MIB, 0, 4, 0)]),
            resident=array("Q", [10 * MIB, 2 * MIB]),
        )
        for seq, size in enumerate((4, 6))
    ]  # fmt: skip
    for via, at_last, mean in (("refs", 4 * MIB, 5 * MIB), ("idle", None, None)):
        with RecordingSource(recorded(tmp_path / via, shots, via=via)) as source:
            for make in (temperature.histogram, temperature.percentiles):
                for what, bound in (
                    ("recency", "idle times are at least"),
                    ("temperature", "temperatures are at most"),
                ):
                    last, whole = make(source, what, 1), make(source, what, None)
                    assert (last.untouched, whole.untouched) == (at_last, mean)
                    assert temperature.document(whole)["untouched_bytes"] == mean
                    text = str(temperature.render(whole, Terminal(80, 0, False)))
                    assert (
                        f"5.0 MiB of mappings that were touched in part were not; they count as touched, so {bound}"
                        in text
                    ) == (via == "refs")


def test_numbers_of_other_than_64_bits(tmp_path: Path) -> None:
    """Whoever made the file by hand; each figure is at most 127,000 years of microseconds, or as much heat."""
    one = snap(0, [(0, MIB, 20, 2**32 - 1, 0), (MIB, 2 * MIB, 0, 2**32 - 1, 0)])
    with RecordingSource(record(tmp_path / "a", [replace(one, ticks=2**32 - 1)])) as source:
        for weights in ((0, 100, 100), (999_999, 999_999, 999_999)):
            heat = temperature.histogram(source, "temperature", 0, weights=weights)
            assert sum(size for *_, size in heat.columns) == 2 * MIB
            assert heat.columns[0][0] == -4 * 10**18
        levels = temperature.percentiles(source, "recency", 0).levels
    assert (levels[0], levels[-1]) == ((0.0, 0), (100.0, 4 * 10**18))
