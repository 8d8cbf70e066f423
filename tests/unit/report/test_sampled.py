"""Limits on recordings of samples: bounds of what was cold and how often memory was accessed, and where none follow."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_checks import run
from tests.unit.report.test_estimates import START, sampled, shot
from tests.unit.snapshots import MS, recorded
from udamon.model import Event, Snapshot
from udamon.record.reader import Recording
from udamon.record.schema import IDLE_COLUMNS
from udamon.report import hot_cold, right_size, size
from udamon.report import sampled as bounds
from udamon.report.catalog import Catalog
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal
from udamon.units import MIB


def checked(
    capsys: pytest.CaptureFixture[str], path: Path, *words: str
) -> tuple[int, float | None, float | None, float | None]:
    """Status, low, high and estimate of one limit."""
    status = run(path, *words, "--json")
    (found,) = json.loads(capsys.readouterr().out)["checks"]
    assert found["holds"] is {0: True, 1: False, 3: None}[status]
    assert (found["why"] is None) == (status != 3)
    return status, found["low"], found["high"], found["estimate"]


def spans_of(path: Path, age_ms: int) -> list[tuple[int, float, float]]:
    """The last windows' bytes that were not touched for so long: target, at least and at most, in MiB."""
    with RecordingSource(Recording(path)) as source:
        sql = bounds.spans(source, age_ms * MS)
        rows = source.query(f"SELECT seq, target, low, high FROM ({sql}) AS spans ORDER BY seq, target")
    last = max(seq for seq, *_ in rows)
    return [(target, low / MIB, high / MIB) for seq, target, low, high in rows if seq == last]


def idle(seq: int, checks: int, hits: int) -> Snapshot:
    """A window of 8 MiB of which the first half was touched, and the second idle from the start on."""
    made = shot(seq, 4, 4, 4)
    return replace(
        made, ages=array("I", [0, seq]), idle_checks=checks, idle_hits=hits,
        idle_bytes=4 * MIB, idle_mixed=0,
    )  # fmt: skip


def shots(count: int) -> list[Snapshot]:
    return [shot(seq, 1.5, 1, 2) for seq in range(count)]


@pytest.mark.parametrize(
    ("age_ms", "low", "high"),
    [(100, 6, 7), (300, 2, 7), (250, 2, 7), (400, 0, 7), (50, 6, 8)],
)
def test_cold_bytes_are_what_no_window_can_have_touched(
    tmp_path: Path, age_ms: int, low: float, high: float
) -> None:
    """Of 8 MiB 1 to 2 were touched in each window of 100 ms, or others in each. No window lies within 50 ms."""
    path = tmp_path / "a"
    sampled(path, shots(10))
    assert spans_of(path, age_ms) == [(0, low, high)]


@pytest.mark.parametrize(("hits", "most"), [(0, 3.689), (1, 5.572), (5, 11.668), (10, 18.390), (50, 65.919)])
def test_what_idle_memory_hides_follows_from_checks_of_it(tmp_path: Path, hits: int, most: float) -> None:
    """4 MiB are idle in 4 windows, with 100 checks in each: of `hits` accesses the upper limit of the mean of a
    Poisson number with 97.5 % (Garwood 1936). What was touched adds up to more than all there is."""
    path = tmp_path / "a"
    sampled(path, [idle(seq, 100, hits if seq == 8 else 0) for seq in range(10)])
    ((_, low, high),) = spans_of(path, 400)
    assert low == pytest.approx(4 - 4 * 4 * most / 400, abs=0.0004 * most)
    assert high == 4


@pytest.mark.parametrize(
    ("change", "low"),
    [
        (dict.fromkeys(IDLE_COLUMNS), 0),  # as earlier versions recorded
        ({"idle_checks": 0, "idle_hits": 0}, 0),
        ({"idle_checks": 100, "idle_hits": 100}, 0),
        ({"idle_checks": 100_000_000, "idle_hits": 0}, 4),
        ({"idle_checks": 100_000_000, "idle_hits": 0, "ages": [9, 2]}, 0),  # idle for 300 ms
        ({"idle_checks": 100_000_000, "idle_hits": 0, "nr_accesses": [20, 1]}, 0),
        ({"idle_checks": 100_000_000, "idle_hits": 0, "touched": [4 * MIB, MIB]}, 0),
        ({"idle_checks": 100_000_000, "idle_hits": 0, "resident": [4 * MIB, MIB]}, 1),
        ({"idle_checks": 100_000_000, "idle_mixed": MIB}, 3),
        ({"idle_checks": 100_000_000, "idle_mixed": 5 * MIB}, 0),
        ({"idle_checks": 100_000_000, "idle_bytes": 0}, 0),
        ({"idle_checks": 0, "idle_bytes": 0}, 0),
    ],
)
def test_only_what_checks_knew_as_idle_is_cold(
    tmp_path: Path, change: dict[str, int | list[int] | None], low: float
) -> None:
    path, codes = tmp_path / "a", {"touched": "Q", "resident": "Q"}
    columns = {
        name: array(codes.get(name, "I"), value) if isinstance(value, list) else value
        for name, value in change.items()
    }
    sampled(path, [replace(idle(seq, 0, 0), **columns) for seq in range(10)])  # type: ignore[arg-type]
    assert spans_of(path, 400)[0][1] == pytest.approx(low, abs=0.001)


@pytest.mark.parametrize(
    ("change", "low"),
    [
        ({"idle_bytes": 3 * MIB}, 3),  # a part was taken for accessed
        ({"idle_checks": 0}, 0),  # what was accessed then is not known
        ({"idle_mixed": 3 * MIB}, 4),  # of a report that is not asked for
    ],
)
@pytest.mark.parametrize(("seq", "counts"), [(5, False), (6, True), (9, True)])
def test_each_window_counts(
    tmp_path: Path, change: dict[str, int], low: float, seq: int, *, counts: bool
) -> None:
    """Of ten windows the last four are asked for."""
    shots = [idle(number, 100_000_000, 0) for number in range(10)]
    shots[seq] = replace(shots[seq], **change)  # type: ignore[arg-type]
    if "idle_mixed" in change and seq == 9:
        low = 1
    sampled(tmp_path / "a", shots)
    assert spans_of(tmp_path / "a", 400)[0][1] == pytest.approx(low if counts else 4, abs=0.001)


def test_memory_that_targets_share_is_not_known_by_checks_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    both = [replace(idle(seq, 10**6, 0), target=target) for seq in range(10) for target in (0, 1)]
    sampled(path, both)
    assert spans_of(path, 400)[0][1] == 0
    sampled(path, both, via="sim")
    assert [low for _, low, _ in spans_of(path, 400)] == pytest.approx([4, 4], abs=0.001)


def test_the_mean_of_the_windows_within_counts(tmp_path: Path) -> None:
    """Of two windows that lie within, 1 and 3 MiB were touched at least."""
    path = tmp_path / "a"
    sampled(path, [*shots(8), shot(8, 1.5, 1, 2), shot(9, 3, 3, 3.5)])
    assert spans_of(path, 200) == [(0, 2.5, 6)]


def test_what_was_not_looked_at_may_have_been_touched(tmp_path: Path) -> None:
    """No memory is cold for sure over a gap, or for longer than it was watched."""
    path = tmp_path / "a"
    sampled(path, shots(2))
    assert spans_of(path, 300) == [(0, 0, 7)]
    late = [
        replace(one, begin_ns=one.begin_ns + 50 * MS, end_ns=one.end_ns + 50 * MS) for one in shots(10)[8:]
    ]
    path = tmp_path / "b"
    sampled(path, [*shots(8), *late])
    assert spans_of(path, 300) == [(0, 0, 7)]
    assert spans_of(path, 100) == [(0, 6, 7)]


def test_a_window_without_bounds_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sampled(path, [*shots(9), shot(9, 1.5, None, None)])
    assert spans_of(path, 100) == [(0, 0, 8)]


def test_targets_that_may_share_memory_are_one(tmp_path: Path) -> None:
    """Two of 8 MiB that may be the same pages; a young one was not watched for so long."""
    path = tmp_path / "a"
    both = [shot(seq, 1.5, 1, 2, target) for seq in range(10) for target in (0, 1)]
    sampled(path, both)
    assert spans_of(path, 100) == [(-1, 4, 15)]
    sampled(path, [one for one in both if one.target == 0 or one.seq == 9])
    assert spans_of(path, 200)[0][1] == 0
    sampled(path, both, via="sim")
    assert spans_of(path, 100) == [(0, 6, 7), (1, 6, 7)]


@pytest.mark.parametrize(
    ("share", "status"), [("86%", 3), ("88%", 0), ("76%", 3), ("74%", 1), ("50%", 1), ("100%", 0)]
)  # fmt: skip
def test_a_cold_share_is_decided_outside_its_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str, status: int
) -> None:
    """Each window of 100 ms left 6 to 7 of 8 MiB alone."""
    path = tmp_path / "a"
    sampled(path, shots(10))
    words = ("--cold-age", "100ms", "--max-cold-share", share)
    assert checked(capsys, path, *words) == (status, 0.75, 0.875, 0.75)


NAMES = [
    [START, START + 6 * MIB, "rw-p", 0, 0, "[heap]"],
    [START + 6 * MIB, START + 8 * MIB, "rw-p", 0, 0, "[stack]"],
]


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """8 MiB, of which 4 to 5 were touched in each window of 20 ticks: 6 MiB of heap, and 2 MiB of a stack."""
    event = Event(0, "mappings", {"target": 0, "add": NAMES, "remove": []})
    windows = (shot(seq, 4, 4, 5) for seq in range(25))
    recorded(tmp_path / "n", [event, *windows], via="idle", policy="adaptive")
    return tmp_path / "n"


@pytest.mark.parametrize(
    ("words", "status", "low", "high"),
    [
        # At least 2 of 6 MiB of heap were touched, as there are 2 MiB beside it: in one of 20 ticks or in all.
        (("--max-rate", "heap=84%"), 0, 2 / 6 / 20, 5 / 6),
        (("--max-rate", "heap=83%"), 3, 2 / 6 / 20, 5 / 6),
        (("--max-rate", "heap=1%"), 1, 2 / 6 / 20, 5 / 6),
        (("--min-rate", "heap=1%"), 0, 2 / 6 / 20, 5 / 6),
        (("--min-rate", "heap=90%"), 1, 2 / 6 / 20, 5 / 6),
        (("--max-rate", "main stack=99%"), 3, 0, 1),
        (("--max-rate", "*=63%"), 0, 4 / 8 / 20, 5 / 8),
    ],
)
def test_rates_have_the_bounds_of_what_was_touched(
    named: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    status: int,
    low: float,
    high: float,
) -> None:
    if "main stack=99%" in words:
        words = ("--max-rate", "*stack*=99%")
    found, *bounds_of, estimate = checked(capsys, named, *words)
    assert found == status
    assert estimate is not None
    assert low <= estimate <= high
    assert bounds_of == pytest.approx([low, high])


def test_a_size_has_bounds_of_what_was_cold(named: Path) -> None:
    """At least 4 of 8 MiB were touched in each window: 4 MiB are cold at most, of the heap, and 2 of the stack."""
    recording = Recording(named)
    with RecordingSource(recording) as source:
        report = size.measure(source)
    found = size.document(report, Catalog(recording), size.NextStep("", ""))
    assert (found["cold_seconds"], found["cold_why"]) == (2, None)
    assert found["cold_bytes"] == {"low": 0, "high": 4 * MIB}
    assert found["cold_estimate_bytes"] == found["targets"][0]["cold_estimate_bytes"]
    by_name = {one["label"]: one for one in found["mappings"]}
    assert by_name["heap"]["cold_bytes"] == {"low": 0, "high": 4 * MIB}
    assert by_name["stack"]["cold_bytes"] == {"low": 0, "high": 2 * MIB}


def test_a_size_has_bounds_of_what_each_part_needs(named: Path) -> None:
    """Of 8 MiB at least 4 were touched in a window, so of a heap of 6 at least 2, and of a stack of 2 maybe none."""
    recording = Recording(named)
    with RecordingSource(recording) as source:
        report = size.measure(source)
    found = size.document(report, Catalog(recording), size.NextStep("", ""))
    most = found["needed_bytes"]["high"]
    assert found["targets"][0]["needed_bytes"] == found["needed_bytes"]
    by_name = {one["label"]: one for one in found["mappings"]}
    assert by_name["heap"]["needed_bytes"] == {"low": 2 * MIB, "high": min(most, 6 * MIB)}
    assert by_name["stack"]["needed_bytes"] == {"low": 0, "high": 2 * MIB}
    for one in (*found["mappings"], *found["targets"]):
        bounds_of, estimate = one["needed_bytes"], one["needed_estimate_bytes"]
        assert bounds_of["low"] <= estimate["low"] <= estimate["high"] <= bounds_of["high"]
    text = str(size.render(report, Catalog(recording), Terminal(80, 0, True), size.NextStep("x", "y")))
    assert "what each needs, and what was cold, is estimated; --json has the bounds" in text


@pytest.mark.parametrize(("targets", "via"), [(1, "idle"), (2, "sim"), (2, "idle")])
def test_estimates_of_a_size_lie_between_its_bounds(tmp_path: Path, targets: int, via: str) -> None:
    """Windows that touch one part or another: together parts need more than all of it can have."""
    random, outside = Random(targets), 0
    for number in range(12):
        windows: list[Snapshot | Event] = [
            Event(0, "mappings", {"target": target, "add": NAMES, "remove": []}) for target in range(targets)
        ]
        for seq in range(random.randint(1, 30)):
            for target in range(targets):
                first, second = (random.choice((0, 1, 4)) * MIB for _ in range(2))
                spread = random.choice((0.0, 0.5))
                low, high = ((first + second) * (1 - spread) / MIB, (first + second) * (1 + spread) / MIB)
                one = shot(seq, 0, low, high, target, resident=random.choice((8, 8, 6)))
                amounts = array("Q", [min(first, one.resident[0]), min(second, one.resident[1])])  # type: ignore[index]
                windows.append(replace(one, touched=amounts, nr_accesses=array("I", map(bool, amounts))))
        path = tmp_path / str(number)
        recording = recorded(path, windows, via=via, policy="adaptive")
        with RecordingSource(recording) as source:
            report = size.measure(source)
        parts = sum(one.used_estimate[1] for one in report.owners if one.used_estimate)
        outside += parts > report.needed[1]
        found = size.document(report, Catalog(recording), size.NextStep("", ""))
        for part in (*found["mappings"], *found["targets"]):
            needed, estimate = part["needed_bytes"], part["needed_estimate_bytes"]
            assert needed["low"] <= estimate["low"] <= estimate["high"] <= needed["high"]
    assert outside, "parts that are more than all needs"


def test_mappings_have_bounds_of_their_own(named: Path) -> None:
    """The same as of limits on rates, for the touched bytes and the rate of each; never without the estimate."""
    recording = Recording(named)
    with RecordingSource(recording) as source:
        report = hot_cold.measure(source)
    found = hot_cold.document(report, Catalog(recording))
    by_name = {one["label"]: one for one in found["mappings"]}
    assert found["why"] is None
    assert by_name["heap"]["bounds"] == {"low": 2 * MIB, "high": 5 * MIB}
    assert by_name["stack"]["bounds"] == {"low": 0, "high": 2 * MIB}
    assert by_name["heap"]["rate_bounds"]["low"] == pytest.approx(2 / 6 / 20)
    assert by_name["heap"]["rate_bounds"]["high"] == pytest.approx(5 / 6)
    assert "--json has bounds of each mapping" in str(
        hot_cold.render(report, Catalog(recording), Terminal(200, 0, True))
    )


def test_what_serves_accesses_is_an_estimate(named: Path) -> None:
    """How often which memory was accessed has no bounds; the interval is of chance over time alone."""
    with RecordingSource(Recording(named)) as source:
        report = right_size.measure(source, 0.9, seed=1)
    found = right_size.document(report)
    assert found["bytes"] == report.high
    assert found["interval"] is not None
    assert (found["bounds"], found["saved_bounds"], found["why"]) == (None, None, right_size.ESTIMATED)
    assert {(one["low"], one["high"]) for one in found["curve"]} == {(None, None)}
    assert "estimated from checks of single pages" in str(right_size.render(report, Terminal(200, 0, True)))


def test_a_size_without_bounds_is_called_an_estimate(tmp_path: Path) -> None:
    windows = [shot(seq, 4, None, None) for seq in range(25)]
    recording = recorded(tmp_path / "a", windows, via="idle", policy="damon")
    with RecordingSource(recording) as source:
        report = size.measure(source)
    found = size.document(report, Catalog(recording), size.NextStep("", ""))
    assert (found["cold_bytes"], found["cold_why"]) == (None, bounds.UNBOUNDED)
    assert found["cold_estimate_bytes"] == found["targets"][0]["cold_estimate_bytes"] is not None
    assert found["targets"][0]["cold_bytes"] is None
    text = str(size.render(report, Catalog(recording), Terminal(80, 0, True), size.NextStep("x", "y")))
    assert "an estimate (error unknown)" in text


LIMITS = [
    ("--max-wss", "100MiB"),
    ("--min-wss", "100MiB"),
    ("--max-cold-share", "90%", "--cold-age", "1s"),
    ("--max-rate", "heap=99%"),
    ("--min-rate", "heap=1%"),
]


@pytest.mark.parametrize("words", LIMITS)
def test_estimates_without_bounds_decide_only_where_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    """The kernel's algorithm keeps nothing that tells its error."""
    event = Event(0, "mappings", {"target": 0, "add": NAMES, "remove": []})
    path = tmp_path / "a"
    sampled(path, [event, *(shot(seq, 4, None, None) for seq in range(25))], policy="damon")  # type: ignore[list-item]
    status, low, high, estimate = checked(capsys, path, *words)
    assert (status, low, high) == (3, None, None)
    assert estimate is not None
    assert run(path, *words) == 3
    said = capsys.readouterr().out
    assert "by estimate, at" in said
    assert bounds.UNBOUNDED in said
    allowed = checked(capsys, path, *words, "--allow-estimates")
    assert allowed == (1 if words[1] == "100MiB" and words[0] == "--min-wss" else 0, None, None, estimate)


@pytest.mark.parametrize(("limit", "status"), [("70%", (1, 1)), ("90%", (0, 0)), ("80%", (3, 0))])
def test_an_estimate_decides_where_bounds_do_not_and_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, status: tuple[int, int]
) -> None:
    """The share is between 0.75 and 0.875, and 0.75 by estimate."""
    path = tmp_path / "a"
    sampled(path, shots(10))
    words = ("--cold-age", "100ms", "--max-cold-share", limit)
    found = [checked(capsys, path, *words), checked(capsys, path, *words, "--allow-estimates")]
    assert tuple(one[0] for one in found) == status
    assert {one[1:] for one in found} == {(0.75, 0.875, 0.75)}


def test_of_a_part_of_a_target_no_bounds_are_known(named: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, low, high, estimate = checked(capsys, named, "--max-wss", "7MiB", "--mapping", "heap")
    assert (status, low, high, estimate) == (3, None, None, 4 * MIB)
