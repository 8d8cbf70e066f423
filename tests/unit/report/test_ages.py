"""How long memory lies idle: figures worked out by hand, bounds where they are none, and simulated memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.unit.snapshots import recorded, snap
from udamon.assembly import parts
from udamon.core.ages import BOUNDED, GAPS, NO_PAGES, ONCE, SAMPLED, UNBOUNDED, AgesReport
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.idle_time import SECONDS
from udamon.core.policies import make_policy
from udamon.errors import RecordingError
from udamon.evaluation.run import StopAt
from udamon.model import Event, Sharing, Snapshot
from udamon.ops.sim import SimSpace
from udamon.record.reader import Recording
from udamon.report import ages
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

S = 1_000_000_000
MIB = 1 << 20
PAGE = 4096


def window(seq: int, regions: Sequence[tuple[int, int, int]], *, target: int = 0, step: int = S) -> Snapshot:
    """Regions as (start, end, bytes touched), all of them resident."""
    shot = snap(
        seq, [(a, b, int(t > 0), 0) for a, b, t in regions], target=target, window=step, sample=step // 20
    )
    return replace(
        shot,
        touched=array("Q", [t for _, _, t in regions]),
        resident=array("Q", [b - a for a, b, _ in regions]),
    )


def measured(recording: Recording, filters: Filters | None = None) -> AgesReport:
    with RecordingSource(recording, filters) as source:
        return ages.measure(source)


@pytest.fixture
def three(tmp_path: Path) -> Recording:
    """150 windows of 1 s via pte: 1 MiB accessed in each, 2 MiB in the windows 0 and 20, 4 MiB in the first alone."""
    shots = []
    for seq in range(150):
        again, once = 2 * MIB * (seq in {0, 20}), 4 * MIB * (seq == 0)
        shots.append(window(seq, [(0, MIB, MIB), (MIB, 3 * MIB, again), (3 * MIB, 7 * MIB, once)]))
    return recorded(tmp_path / "a", shots, via="pte", sees="reads and writes")


def test_three_kinds_of_memory(three: Recording) -> None:
    found = ages.document(measured(three))
    assert (found["seconds"], found["resident_bytes"]) == (150, 7 * MIB)
    assert (found["bounds"], found["why"]) == (None, None)
    # Idle since 1 s, 21 s and 150 s: the last for 149, the second for 129 s.
    known = {"1": 6, "10": 6, "60": 6, "120": 6}
    nothing = dict.fromkeys(("300", "600", "1800", "3600", "7200", "14400", "28800"))
    assert found["cold_bytes"] == {key: size * MIB for key, size in known.items()} | nothing
    # The second kind had been idle for 19 s when it was accessed again.
    assert found["promoted_bytes"] == {"1": 2 * MIB, "10": 2 * MIB, "60": 0, "120": 0} | nothing


def test_text_has_one_number_and_what_is_not_known(three: Recording) -> None:
    lines = ages.render(measured(three), Terminal(80, 0, blocks=False)).splitlines()
    assert lines[0] == "not touched for at least 1 m: 6.0 MiB of 7.0 MiB"
    assert [line.split()[:2] for line in lines[3:7]] == [["1", "s"], ["10", "s"], ["1", "m"], ["2", "m"]]
    assert lines[-1] == "Watched for 2 m 30 s: nothing is known of 5 m or longer."
    assert max(map(len, lines)) <= 80


def test_some_of_the_memory(three: Recording) -> None:
    """A filter of addresses cuts the region, and what was accessed of it."""
    found = measured(three, Filters.parse(address="0x200000-0x400000"))
    assert (found.found.size, found.cold[2]) == (2 * MIB, 2 * MIB)
    found = measured(three, Filters.parse(time="30s-"))
    assert found.watched_ns == 120 * S or found.watched_ns == 121 * S
    with pytest.raises(RecordingError, match="widen them"):
        measured(three, Filters.parse(time="900s-"))


def test_too_short_for_anything(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "a", [window(0, [(0, MIB, 0)], step=S // 2)], via="pte")
    report = measured(recording)
    assert set(ages.document(report)["cold_bytes"].values()) == {None}
    assert "too short" in ages.render(report, Terminal())


def test_by_mapping_there_are_bounds(tmp_path: Path) -> None:
    """Via refs, 1 MiB of 4 in each of 20 windows: which one is not known. Cold for 1 s is all but that of the last
    window; for 10 s anything from nothing to 3 MiB."""
    shots = [window(seq, [(0, 4 * MIB, MIB)]) for seq in range(20)]
    sharing = Sharing.of([[4 * MIB], [4 * MIB], [MIB], [1], [None], [None]])
    recording = recorded(tmp_path / "a", [replace(shot, sharing=sharing) for shot in shots], via="refs")
    report = measured(recording)
    found = ages.document(report)
    assert (found["cold_bytes"]["1"], found["cold_bytes"]["10"]) == (3 * MIB, 0)
    assert set(found["promoted_bytes"].values()) == {None}
    assert found["bounds"]["cold_bytes"]["high"]["10"] == 3 * MIB
    assert found["why"] == NO_PAGES
    text = ages.render(report, Terminal())
    assert "not touched for at least 10 s: 0 B or more of 4.0 MiB" in text
    assert "Lower bounds: by mapping" in text


def test_what_others_read_of_a_file(tmp_path: Path) -> None:
    """Via refs all of a file was marked; none of it surely by this process: it may be idle, and may not."""
    sharing = Sharing.of([[0], [0], [0], [1], [0], [None]])
    shots = [replace(window(seq, [(0, MIB, MIB)]), sharing=sharing) for seq in range(20)]
    found = ages.document(measured(recorded(tmp_path / "a", shots, via="refs")))
    assert found["cold_bytes"]["10"] == 0
    assert found["bounds"]["cold_bytes"]["high"]["10"] == MIB


def test_processes_together(tmp_path: Path) -> None:
    """One ended at 10 s and has no memory; a second came at 5 s; of a third, in the first's address space, nothing is
    counted twice."""
    shots = []
    for seq in range(20):
        if seq < 10:
            shots.append(window(seq, [(0, 8 * MIB, 0)], target=0))
        if seq >= 5:
            shots.append(window(seq, [(0, 2 * MIB, 0)], target=1))
        shots.append(window(seq, [(0, MIB, MIB * (seq == 0))], target=2))
        same = Sharing.of([[0], [0], [0], [1], [None], [None]], same_as=2)
        shots.append(replace(window(seq, [(0, MIB, 0)], target=3), sharing=same))
    report = measured(recorded(tmp_path / "a", shots, via="pte"))
    found = ages.document(report)
    assert (found["resident_bytes"], found["shared"]) == (3 * MIB, True)
    # Whether the two that are left have pages in common is not known: the larger one's 2 MiB, or both.
    assert (found["cold_bytes"]["1"], found["cold_bytes"]["10"]) == (2 * MIB, 2 * MIB)
    assert found["bounds"]["cold_bytes"]["high"]["10"] == 3 * MIB
    assert found["why"] == ONCE


def shares(seq: int, target: int, common: tuple[int, int], own: tuple[int, int]) -> Snapshot:
    """A window: bytes and bytes touched of a file that others map, too, and of memory that nothing else maps."""
    (size, touched), (alone, used) = common, own
    shot = window(seq, [(0, size, touched), (64 * MIB, 64 * MIB + alone, used)], target=target)
    rows: list[list[int | None]] = [[0, alone], [0, alone], [touched, used], [7, 8], [0, None], [None, None]]
    return replace(shot, sharing=Sharing.of(rows))


def test_memory_that_two_have_counts_once(tmp_path: Path) -> None:
    """Both map the same 4 MiB that nobody touches after the first window; 1 MiB is of each alone."""
    shots = []
    for seq in range(12):
        for target in (0, 1):
            shots.append(shares(seq, target, (4 * MIB, 4 * MIB * (seq == 0)), (MIB, MIB * (seq == 0))))
    report = measured(recorded(tmp_path / "a", shots, via="pte"))
    found = ages.document(report)
    assert (found["resident_bytes"], found["shared"]) == (6 * MIB, True)
    # In the windows of the last 10 s nothing was accessed, and 6 MiB were there.
    assert (found["bounds"], found["why"]) == (None, None)
    assert (found["cold_bytes"]["10"], found["promoted_bytes"]["10"]) == (6 * MIB, 0)
    text = ages.render(report, Terminal())
    assert text.splitlines()[0] == "not touched for at least 1 s: 6.0 MiB of at most 6.0 MiB"


def test_what_one_left_idle_and_another_accessed(tmp_path: Path) -> None:
    """2 MiB that both map, read by the second alone in each window; 1 MiB of the first alone that nobody reads."""
    shots = []
    for seq in range(12):
        shots.append(shares(seq, 0, (2 * MIB, 0), (MIB, 0)))
        shots.append(shares(seq, 1, (2 * MIB, 2 * MIB), (MIB, MIB)))
    report = measured(recorded(tmp_path / "a", shots, via="pte"))
    found = ages.document(report)
    assert (found["resident_bytes"], found["cold_bytes"]["10"]) == (4 * MIB, MIB)
    assert (found["bounds"], found["why"]) == (None, None)


def test_of_what_is_shared_it_may_not_be_known_which(tmp_path: Path) -> None:
    """Each of two reads 2 of the same 4 MiB in every window: the same ones, or one half each."""
    shots = [shares(seq, target, (4 * MIB, 2 * MIB), (MIB, 0)) for seq in range(12) for target in (0, 1)]
    report = measured(recorded(tmp_path / "a", shots, via="pte"))
    found = ages.document(report)
    assert found["cold_bytes"]["10"] == 2 * MIB
    assert found["bounds"]["cold_bytes"]["high"]["10"] == 4 * MIB
    assert ONCE in found["why"]
    assert "of at most 6.0 MiB" in ages.render(report, Terminal())


def test_simulated_memory_is_nobody_elses(tmp_path: Path) -> None:
    shots = [window(seq, [(0, MIB, 0)], target=target) for seq in range(12) for target in (0, 1)]
    found = ages.document(measured(recorded(tmp_path / "a", shots, via="sim")))
    assert (found["shared"], found["cold_bytes"]["10"], found["why"]) == (
        False, 2 * MIB, f"{SAMPLED}; {UNBOUNDED}"
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_of_a_group_lies_between_the_bounds(tmp_path: Path, seed: int) -> None:
    """Three processes map a part of 24 pages each; every page is followed by itself."""
    random, pages, processes = Random(seed), 24, 3
    spans = [sorted(random.sample(range(pages + 1), 2)) for _ in range(processes)]
    mapped = [range(low, high) for low, high in spans]
    owners = [sum(page in own for own in mapped) for page in range(pages)]
    last = dict.fromkeys({page for own in mapped for page in own}, -1)
    again = {1: 0, 10: 0}
    windows, busy = 30, random.choice([0.0, 0.01, 0.1])
    shots = []
    for seq in range(windows):
        accessed = [[page for page in own if random.random() < busy or seq == 0] for own in mapped]
        for page in {page for own in accessed for page in own}:
            if seq > 0:
                for age in again:
                    again[age] += (
                        seq - 1 - last[page] >= age
                    )  # idle from the end of that window to this one's begin
            last[page] = seq
        for target, (own, touched) in enumerate(zip(mapped, accessed, strict=True)):
            private = sum(owners[page] == 1 for page in own)
            shot = window(seq, [(own.start * PAGE, own.stop * PAGE, len(touched) * PAGE)], target=target)
            row: list[list[int | None]] = [
                [private * PAGE],
                [0],
                [len(touched) * PAGE],
                [7],
                [own.start * PAGE],
                [None],
            ]
            shots.append(replace(shot, sharing=Sharing.of(row)))
    report = measured(recorded(tmp_path / "a", shots, via="pte"))
    known = list(zip(SECONDS, report.found.cold_low, report.found.cold_high, strict=True))[:2]
    assert report.found.size >= len(last) * PAGE
    for age, low, high in known:
        truth = PAGE * sum(windows - 1 - seen >= age for seen in last.values())
        assert low is not None
        assert high is not None
        assert low <= truth <= high <= report.found.size
    low, high = report.found.promoted_low[1], report.found.promoted_high[1]
    assert low is not None
    assert high is not None
    assert low <= again[10] * PAGE <= high


def test_a_pause_of_the_monitor(tmp_path: Path) -> None:
    shots = [window(seq, [(0, MIB, 0)]) for seq in [*range(15), *range(20, 25)]]
    found = ages.document(measured(recorded(tmp_path / "a", shots, via="pte")))
    assert (found["cold_bytes"]["1"], found["cold_bytes"]["10"]) == (MIB, 0)
    assert found["bounds"]["cold_bytes"]["high"]["10"] == MIB
    assert found["why"] == GAPS


def test_regions_of_samples_and_of_other_tools(tmp_path: Path) -> None:
    """All or nothing, as DAMON takes a region; that is said. Touched bytes of samples are estimates: not counted."""
    shots = [snap(seq, [(0, MIB, 20, 0), (MIB, 3 * MIB, 0, seq)], window=S) for seq in range(20)]
    shots = [replace(shot, touched=array("Q", [MIB // 2, MIB])) for shot in shots]
    for about in ({"via": "idle"}, {"read_from": "damo"}):
        found = ages.document(measured(recorded(tmp_path / str(*about), shots, **about)))
        assert found["cold_bytes"]["10"] == 2 * MIB
        assert found["bounds"] is None
        assert found["why"] == f"{SAMPLED}; {UNBOUNDED}"


def sampled_shots(low: int | None, high: int | None) -> list[Snapshot]:
    """20 windows of 1 s: of 4 MiB, 1 MiB was accessed by the estimate, between `low` and `high` KiB."""
    found = []
    for seq in range(20):
        shot = snap(seq, [(0, MIB, 20, 0), (MIB, 4 * MIB, 0, seq)], window=S)
        bounds = [None if one is None else one << 10 for one in (low, high)]
        found.append(replace(shot, touched_low=bounds[0], touched_high=bounds[1]))
    return found


def test_samples_with_bounds(tmp_path: Path) -> None:
    """Of 4 MiB, 512 to 1536 KiB were accessed in each window: 4 - 1.5 to 4 - 0.5 MiB are idle for a window, and none
    for sure for 10, which may each have accessed others."""
    about = {"via": "idle", "policy": "adaptive"}
    report = measured(recorded(tmp_path / "a", sampled_shots(512, 1536), **about))
    found = ages.document(report)
    assert found["cold_bytes"]["10"] == 3 * MIB
    cold = found["bounds"]["cold_bytes"]
    assert (cold["low"]["1"], cold["high"]["1"]) == (2.5 * MIB, 3.5 * MIB)
    assert (cold["low"]["10"], cold["high"]["10"]) == (0, 3.5 * MIB)
    assert (cold["low"]["60"], cold["high"]["60"]) == (None, None)
    assert found["bounds"]["promoted_bytes"] is None
    assert found["why"] == f"{SAMPLED}; {BOUNDED}"
    text = ages.render(report, Terminal())
    assert "not touched for at least 10 s: 3.0 MiB of 4.0 MiB, an estimate (0 B to 3.5 MiB)" in text


def test_an_estimate_never_lies_outside_its_bounds(tmp_path: Path) -> None:
    """The regions say that 3 of 4 MiB are idle; the checks, that at least 2 MiB were accessed in each window."""
    about = {"via": "idle", "policy": "adaptive"}
    found = ages.document(measured(recorded(tmp_path / "a", sampled_shots(2048, 4096), **about)))
    assert found["cold_bytes"]["10"] == found["bounds"]["cold_bytes"]["high"]["10"] == 2 * MIB


def test_samples_without_bounds_are_no_exact_figures(tmp_path: Path) -> None:
    for number, about in enumerate(({"via": "idle", "policy": "damon"}, {"read_from": "damo"})):
        report = measured(recorded(tmp_path / str(number), sampled_shots(None, None), **about))
        assert not report.exact
        assert "3.0 MiB of 4.0 MiB, an estimate (error unknown)" in ages.render(report, Terminal())


def test_an_empty_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no snapshot"):
        measured(recorded(tmp_path / "a", [], via="pte"))


class Kept:
    def __init__(self) -> None:
        self.items: list[Snapshot | Event] = []

    def snapshot(self, snapshot: Snapshot) -> None:
        self.items.append(snapshot)

    def event(self, event: Event) -> None:
        """Not needed."""


@pytest.mark.parametrize(("shape", "within"), [("demo", 0.05), ("one", 0.02), ("sweep", 0.05)])
def test_simulated_memory(shape: str, within: float, tmp_path: Path) -> None:
    """The bytes that the truth expects to have had no access in the last 1 and 10 s, of all."""
    truth, clock, random, kept = parts.truth_of(shape), ManualClock(), Random(1), Kept()
    sampler = parts.sim_sampler(truth, clock, 1)
    watch = parts.sampled_watch(make_policy("adaptive", random, checks=1000), sampler, random)
    kdamond = parts.kdamond(SimSpace(truth), watch, Attrs(), clock)
    kdamond.bus.subscribe(kept)
    kdamond.bus.subscribe(StopAt(kdamond, 15 * S))
    kdamond.run()
    report = measured(recorded(tmp_path / "a", kept.items, via="sim"))
    end = max(one.end_ns for one in kept.items if isinstance(one, Snapshot))
    for place, seconds in enumerate((1, 10)):
        expected = truth.expected(end - seconds * S, seconds * 200, 5_000_000)
        accessed = sum((piece.end - piece.start) * piece.touched for piece in expected)
        assert report.cold[place] == pytest.approx(
            report.found.size - accessed, abs=within * report.found.size
        )
