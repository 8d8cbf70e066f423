"""Touched bytes that are estimated from checks of single pages: recordings have their bounds, and reports show them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.unit.snapshots import MS, recorded, snap
from udamon.cli import check
from udamon.core.group_total import group_total
from udamon.model import Snapshot
from udamon.record.reader import Recording
from udamon.report import checks, diff, groups, phases, right_size, wss, wss_text
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.page import curves
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal
from udamon.units import MIB

START = 1 << 30


def shot(
    seq: int, touched: float, low: float | None, high: float | None, target: int = 0, *, resident: float = 8
) -> Snapshot:
    """A window of two regions of 4 MiB, of which the first was touched; amounts in MiB."""
    regions = [(START, START + 4 * MIB, 20, 0), (START + 4 * MIB, START + 8 * MIB, 0, 0)]
    made = snap(seq, regions, target=target)
    made.touched[0] = round(touched * MIB)
    there = made.starts[:0]
    there.extend([round(resident / 2 * MIB)] * 2)
    bounds = [None if bound is None else round(bound * MIB) for bound in (low, high)]
    return replace(made, pid=100 + target, resident=there, touched_low=bounds[0], touched_high=bounds[1])


def sampled(path: Path, shots: Sequence[Snapshot], via: str = "idle", policy: str = "adaptive") -> Recording:
    return recorded(path, shots, via=via, policy=policy, attrs={"sample_us": 5000, "aggr_us": 100_000})


def report_of(recording: Recording, filters: Filters | None = None, *, every: bool = False) -> wss.WorkingSet:
    with RecordingSource(recording, filters) as source:
        return wss.measure(source, every=every)


@pytest.fixture
def file(tmp_path: Path) -> Recording:
    """25 windows: 3 MiB, between 2 and 4; the first is known to be below 8 MiB alone."""
    shots = [shot(seq, 3, 2, 4) for seq in range(1, 25)]
    return sampled(tmp_path / "r", [shot(0, 3, 0, 8), *shots])


def test_bounds_are_read_as_they_were_written(file: Recording) -> None:
    found = [(one.touched_low, one.touched_high) for one in file.snapshots()]
    assert found == [(0, 8 * MIB)] + [(2 * MIB, 4 * MIB)] * 24


def test_percentiles_have_those_of_the_bounds(file: Recording) -> None:
    report = report_of(file)
    assert report.exact is not None
    assert (report.exact["p50"], report.exact["max"]) == (3 * MIB, 3 * MIB)
    assert report.bounds("p50") == (2 * MIB, 4 * MIB)
    assert report.bounds("max") == (2 * MIB, 8 * MIB)
    document = wss.document(report, Catalog(file), over_time=True)
    assert document["bounds"]["low"]["min"] == 0
    assert document["targets"][0]["bounds"] == document["bounds"]
    assert document["over_time"][0] == {"time": 0.1, "bytes": 3 * MIB, "low": 0, "high": 8 * MIB}


def test_the_text_says_that_it_is_an_estimate(file: Recording) -> None:
    for width in (60, 80, 120):
        text = wss_text.render(report_of(file), Catalog(file), Terminal(width, 0, True))
        assert "3.0 MiB  2.0 MiB to 4.0 MiB" in text
        assert "bounds of 95 % confidence" in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= width
    moments = wss_text.render(report_of(file, every=True), Catalog(file), Terminal(80, 0, False))
    assert "3.0 MiB  0 B to 8.0 MiB" in moments


@pytest.mark.parametrize("filters", [Filters(address=(START, START + 4 * MIB)), Filters(rate=(0.5, None))])
def test_of_a_part_of_a_target_no_bounds_are_known(file: Recording, filters: Filters) -> None:
    report = report_of(file, filters)
    assert report.total.bounds is None
    text = wss_text.render(report, Catalog(file), Terminal(80, 0, True))
    assert "of unknown error" in text


def test_other_times_and_targets_keep_them(file: Recording) -> None:
    later = report_of(file, Filters(time=(150 * MS, None)))
    assert later.bounds("max") == (2 * MIB, 4 * MIB)
    assert report_of(file, Filters(targets=(0,))).bounds("max") == (2 * MIB, 8 * MIB)


@pytest.mark.parametrize(("via", "policy"), [("idle", "damon"), ("kernel", "damon"), ("pte", "adaptive")])
def test_an_estimate_without_bounds_says_so(tmp_path: Path, via: str, policy: str) -> None:
    recording = sampled(tmp_path / "r", [shot(seq, 3, None, None) for seq in range(25)], via, policy)
    report = report_of(recording)
    assert report.sampled
    assert report.total.bounds is None
    assert "of unknown error." in wss_text.render(report, Catalog(recording), Terminal(80, 0, True))


@pytest.mark.parametrize("via", ["refs", "softdirty", "pte"])
def test_what_was_measured_is_no_estimate(tmp_path: Path, via: str) -> None:
    recording = recorded(
        tmp_path / "r", [shot(seq, 3, None, None) for seq in range(25)], via=via, policy=None
    )
    report = report_of(recording)
    assert not report.sampled
    assert "estimate" not in wss_text.render(report, Catalog(recording), Terminal(80, 0, True))


def test_targets_that_may_share_memory_have_the_widest_bounds(tmp_path: Path) -> None:
    """Two with 3 MiB, between 2 and 5: together at least what one of them has at least, at most both at most. What a
    target can have touched at most ends where its resident bytes do."""
    shots = [shot(seq, 3, 2, 5, target) for seq in range(25) for target in (0, 1)]
    report = report_of(sampled(tmp_path / "r", shots))
    assert report.group is not None
    assert report.group.low["max"] == pytest.approx(2 * MIB, abs=2)
    assert report.group.high["max"] == pytest.approx(10 * MIB, abs=2)
    assert report.targets[1].least["p50"] == 2 * MIB


@pytest.mark.parametrize(
    ("touched", "low", "high", "resident", "least", "most"),
    [
        (0, 0, 4, 8, 0, 4),  # nothing was seen touched: it may be anywhere
        (4, 1, 4, 4, 1, 4),  # all that is there
        (3, 3, 3, 8, 3, 3),
        (3, 0, 8, 8, 0, 8),
    ],
)
def test_bounds_of_rows_add_up_to_those_of_the_snapshot(
    tmp_path: Path, touched: float, low: float, high: float, resident: float, least: float, most: float
) -> None:
    shots = [shot(seq, touched, low, high, resident=resident) for seq in range(3)]
    with RecordingSource(sampled(tmp_path / "r", shots)) as source:
        rows = source.query(groups.ESTIMATED.format(rows="shared_regions"))
        sums = source.query(
            f"SELECT sum(at_least), sum(at_most) FROM ({groups.ESTIMATED.format(rows='shared_regions')}) AS e "
            "GROUP BY seq"
        )
    assert len(rows) == 6
    for found in sums:
        assert found == pytest.approx((least * MIB, most * MIB), abs=2)


def test_other_reports_take_them(file: Recording) -> None:
    """Phases of pages speak of rates; right-size has an interval of its own. Neither ends with an error."""
    with RecordingSource(file) as source:
        assert phases.measure(source).phases
        found = right_size.measure(source)
        moments = source.query(groups.of_moments(source))
    assert found.need == pytest.approx(3 * MIB, rel=0.4)
    assert {(low, high) for _, _, _, low, high in moments} == {(0, 8 * MIB), (2 * MIB, 4 * MIB)}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--max-wss", "5MiB", "--level", "p90"), 0),
        (("--max-wss", "3500KiB", "--level", "p90"), 3),
        (("--max-wss", "1MiB", "--level", "p90"), 1),
        (("--max-wss", "5MiB"), 3),  # the first window may have had more
        (("--max-wss", "5MiB", "--time", "150ms-max"), 0),
        (("--min-wss", "2500KiB", "--level", "p50"), 3),
    ],
)
def test_limits_between_the_bounds_are_not_decided(
    file: Recording, words: Sequence[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    check.configure(parser)
    assert check.run(parser.parse_args([str(file.path), *words, "--json"])) == status
    (one,) = json.loads(capsys.readouterr().out)["checks"]
    assert (one["why"] or "").startswith(checks.SAMPLED) == (status == 3)
    assert ("--time 2s-max" in (one["why"] or "")) == (words == ("--max-wss", "5MiB")), "what to do"


def test_one_moment_is_as_the_query_has_it(tmp_path: Path) -> None:
    """udamon live shows bounds of the last moment, which a recording has for all of them; up to rounding of rows."""
    random, moments = Random(7), []
    for seq in range(60):
        shots = []
        for target in range(random.randint(2, 4)):
            resident = random.choice((0.5, 4, 8))
            touched = random.choice((0.0, random.random(), 1.0)) * resident / 2
            low, high = random.choice(
                ((0.0, resident), (touched / 2, touched), (touched, touched + 1), (None, None))
            )
            shots.append(shot(seq, touched, low, high, target, resident=resident))
        moments.append(shots)
    recording = sampled(tmp_path / "r", [one for shots in moments for one in shots])
    with RecordingSource(recording) as source:
        query = f"SELECT low, high FROM ({groups.query_of(source)}) AS bounds ORDER BY seq"
        found = source.query(query)
    totals = [group_total(shots, marked_by_others=False) for shots in moments]
    assert len(found) == len(totals)
    for (low, high), total in zip(found, totals, strict=True):
        assert (low, high) == pytest.approx((total.low, total.high), abs=10)


def test_a_change_is_between_the_bounds_too(file: Recording, tmp_path: Path) -> None:
    larger = sampled(tmp_path / "larger", [shot(seq, 3.5, 3, 4) for seq in range(25)])
    with RecordingSource(file) as before, RecordingSource(larger, beside=before) as after:
        text = diff.render(diff.measure(before, after), Terminal(80, 0, False))
    (line,) = [line for line in text.splitlines() if "working set p50" in line]
    assert line.split("  ")[-3:] == ["2.0 to 4.0 MiB", "3.0 to 4.0 MiB", "-1.0 to +2.0 MiB"]


def test_the_curve_of_the_page_has_the_bounds(file: Recording) -> None:
    with RecordingSource(file) as source:
        bins = curves.over_time(source, 0, 25 * 100 * MS, 5)
        found = [(one.low / MIB, one.mean / MIB, one.high / MIB) for one in bins]
        resident = {one.resident for one in bins}
    assert found == [(0, 3, 8), *[(2, 3, 4)] * 4]
    assert resident == {8 * MIB}


def test_a_target_that_ends_is_in_the_curve_while_it_lived(tmp_path: Path) -> None:
    shots = [shot(seq, 3, 2, 4, target) for seq in range(10) for target in (0, 1) if target == 0 or seq < 5]
    with RecordingSource(sampled(tmp_path / "r", shots, "sim")) as source:
        bins = curves.over_time(source, 0, 10 * 100 * MS, 2)
    assert [(one.low / MIB, one.mean / MIB, one.high / MIB) for one in bins] == [(4, 6, 8), (2, 3, 4)]


def test_bounds_of_a_moment_are_sums_over_simulated_targets(tmp_path: Path) -> None:
    """Simulated memory is no other's, so targets add up."""
    shots = [shot(seq, 3, 2, 4, target) for seq in range(3) for target in (0, 1)]
    with RecordingSource(sampled(tmp_path / "r", shots, "sim")) as source:
        moments = source.query(groups.of_moments(source))
    assert {(low / MIB, high / MIB) for *_, low, high in moments} == {(4, 8)}
