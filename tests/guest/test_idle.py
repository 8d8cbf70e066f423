"""The primitive idle on real kernels: each kind of memory, hot and cold, and targets that change under it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.memory import MIB, PAGE, Memory, frames, memory
from tests.integration.programs import as_nobody
from udamon.core.policy import ACCESSED, NO_PAGE, Answers, Slots
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.model import Range
from udamon.ops.base import Sampler
from udamon.ops.idle import IdleSampler

# One processor: a context switch lies between the monitor and every access, and flushes the emulated TLB.
pytestmark = [
    pytest.mark.guest_version,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "idle_bitmap"),
]

TICK = 100_000_000
MOST_TICKS = 200
CHECKS = 40


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        yield started


@pytest.fixture
def sampler() -> Iterator[IdleSampler]:
    made = IdleSampler()
    yield made
    made.close()


def sample(
    sampler: Sampler, target: Target, *areas: Range, ticks: int = 4, checks: int = CHECKS, span: int = 1
) -> Answers:
    slots = Slots()
    for area in areas:
        slots.add(0, area.start, area.end, checks, span)
    return sampler.sample([target], slots, time.monotonic_ns(), ticks, TICK, seed=3)


def rates(answers: Answers) -> list[float]:
    """Per slot: the share of checks that met a page and were accessed; -1 where none met a page."""
    total = [0] * len(answers.hits)
    for slot in answers.slot:
        total[slot] += 1
    return [
        hits / (n - absent) if n > absent else -1.0
        for hits, absent, n in zip(answers.hits, answers.no_page, total, strict=True)
    ]


def while_touched(
    sampler: Sampler, target: Target, touching: Memory, *areas: Range, ticks: int = 4
) -> list[float]:
    """The rates over ticks in which `touching` surely reached all its pages between the first mark and the last look:
    one of three rounds that ended in the tick began and ended in it. Other ticks say nothing, for the processor was
    somewhere else."""
    hits, met = [0] * len(areas), [0] * len(areas)
    for _ in range(MOST_TICKS):
        before = touching.sweeps()
        answers = sample(sampler, target, *areas, ticks=1)
        if touching.sweeps() - before < 3:
            continue
        for number in range(len(areas)):
            hits[number] += answers.hits[number]
            met[number] += CHECKS - answers.no_page[number]
        ticks -= 1
        if not ticks:
            return [hit / n if n else -1.0 for hit, n in zip(hits, met, strict=True)]
    pytest.fail(f"the program touched its memory in too few of {MOST_TICKS} ticks; nothing is proved")


def test_hot_is_hot_and_cold_is_cold_and_phases_are_followed(program: Memory, sampler: IdleSampler) -> None:
    a, b = program.map("a", 8 * MIB), program.map("b", 8 * MIB)
    for hot in ("a", "b", "a"):
        program.tell("touch", hot)
        found = while_touched(sampler, program.target(), program, a, b)
        warm, cold = found if hot == "a" else reversed(found)
        assert warm >= 0.9
        assert cold <= 0.05


def test_transparent_huge_pages_answer_as_wholes(program: Memory, sampler: IdleSampler) -> None:
    hot, cold = program.map("huge", 8 * MIB, "huge"), program.map("huge-cold", 8 * MIB, "huge")
    program.tell("touch", "huge")
    answers = sample(sampler, program.target(), hot, cold)
    assert list(answers.shift).count(21) >= answers.checks // 2, (
        "huge pages were not given; nothing is proved"
    )
    warm, cool = while_touched(sampler, program.target(), program, hot, cold)
    assert warm >= 0.9
    assert cool <= 0.05


def test_huge_pages_off_and_on_agree(program: Memory, sampler: IdleSampler) -> None:
    """One touched page makes its whole huge page hot, and only its own self when pages are small."""
    small, huge = program.map("few", 4 * MIB, "small"), program.map("many", 4 * MIB, "huge")
    program.tell("rest")
    program.tell("touch", "few")
    assert while_touched(sampler, program.target(), program, small, huge) == [pytest.approx(1, abs=0.1), 0.0]


def test_file_pages_and_pages_shared_with_another_process(program: Memory, sampler: IdleSampler) -> None:
    """A page that any process touches is hot: the idle bit is the page's, not the mapping's."""
    mine = program.map("file", 4 * MIB, "file")
    with memory() as other:
        theirs = other.map("file", 4 * MIB, "file")
        program.tell("rest")
        other.tell("rest")
        assert rates(sample(sampler, program.target(), mine))[0] <= 0.05
        other.tell("touch", "file")
        assert while_touched(sampler, program.target(), other, mine)[0] >= 0.9
        assert while_touched(sampler, other.target(index=1), other, theirs)[0] >= 0.9


def test_physical_memory_by_its_frames(program: Memory, sampler: IdleSampler) -> None:
    hot, cold = program.map("p-hot", 4 * MIB), program.map("p-cold", 4 * MIB)
    program.tell("touch", "p-hot")
    slots = Slots()
    hot_frames, cold_frames = frames(program.pid, hot), frames(program.pid, cold)
    for frame in hot_frames[::16] + cold_frames[::16]:
        slots.add(0, frame * PAGE, frame * PAGE + PAGE, 1)
    for _ in range(MOST_TICKS):
        before = program.sweeps()
        answers = sampler.sample([Target(0)], slots, time.monotonic_ns(), 1, 4 * TICK, seed=1)
        if program.sweeps() - before >= 3:
            break
    else:
        pytest.fail("the program touched its memory in no tick; nothing is proved")
    half = len(hot_frames[::16])
    assert sum(answers.hits[:half]) >= 0.9 * half
    assert sum(answers.hits[half:]) <= 0.05 * half


def test_swapped_out_pages_have_no_page(program: Memory, sampler: IdleSampler, swap: None) -> None:
    area = program.map("swapped", 4 * MIB)
    program.tell("advise", "swapped", 21)  # MADV_PAGEOUT
    out = frames(program.pid, area).count(0)
    assert out >= 0.9 * area.size / PAGE, "nothing was paged out; nothing is proved"
    answers = sample(sampler, program.target(), area)
    assert answers.no_page[0] >= 0.8 * CHECKS
    assert answers.hits[0] <= 0.05 * CHECKS


def test_hugetlb_is_not_observable(program: Memory, sampler: IdleSampler) -> None:
    Path("/proc/sys/vm/nr_hugepages").write_text("4")  # in the guest, which is ours
    area = program.map("hugetlb", 4 * MIB, "hugetlb")
    program.tell("touch", "hugetlb")
    answers = sample(sampler, program.target(), area)
    assert list(answers.no_page) == [CHECKS]


def test_fresh_pages_are_never_taken_for_hot(program: Memory, sampler: IdleSampler) -> None:
    """Pages in a per-CPU batch of the LRU ignore the idle bit, and would look always accessed."""
    area = program.map("fresh", 8 * PAGE, "fresh")
    answers = sample(sampler, program.target(), area)
    assert list(answers.no_page) == [CHECKS], "never touched: no page at all"
    program.tell("once", "fresh")
    program.tell("rest")
    answers = sample(sampler, program.target(), area)
    assert answers.hits[0] == 0


def test_pages_unmapped_and_mapped_while_watched(program: Memory, sampler: IdleSampler) -> None:
    area = program.map("gone", 4 * MIB)
    program.tell("unmap", "gone")
    target = program.target()
    assert list(sample(sampler, target, area).no_page) == [CHECKS]
    again = program.map("again", 4 * MIB)
    program.tell("touch", "again")
    assert while_touched(sampler, target, program, again)[0] >= 0.9


def test_pages_that_go_away_between_two_looks_are_never_taken_for_hot(
    program: Memory, sampler: IdleSampler
) -> None:
    """Their frames are freed, and a free frame's idle bit reads like an access."""
    area = program.map("leaving", 16 * MIB)
    program.tell("rest")
    target = program.target()
    timer = threading.Timer(TICK * 2.5e-9, lambda: program.tell("unmap", "leaving"))
    timer.start()
    answers = sample(sampler, target, area, ticks=5)
    timer.join()
    assert answers.hits[0] == 0
    assert 0 < answers.no_page[0] < CHECKS


def test_a_long_span_sees_what_happened_at_any_time_in_it(program: Memory, sampler: IdleSampler) -> None:
    area = program.map("long", 2 * MIB)
    program.tell("touch", "long")
    program.tell("rest")
    answers = sample(sampler, program.target(), area, ticks=6, span=6)
    assert set(answers.span) <= {1, 2, 3, 4, 5, 6}
    assert ACCESSED not in answers.answer


def test_targets_that_fork_exec_and_exit(sampler: IdleSampler) -> None:
    with memory() as doomed:
        area = doomed.map("a", 4 * MIB)
        target = doomed.target()
        doomed.tell("touch", "a")
        assert while_touched(sampler, target, doomed, area)[0] >= 0.9
        doomed.tell("rest")
        child = int(doomed.tell("fork"))
        assert child > 0
        assert rates(sample(sampler, target, area))[0] <= 0.1, "fork write-protects, it does not touch"
        doomed.tell("exec")
        time.sleep(1)
        assert list(sample(sampler, target, area).no_page) == [CHECKS]
        doomed.end()
        assert list(sample(sampler, target, area).answer) == [NO_PAGE] * CHECKS


@pytest.mark.guest_long
def test_a_limit_of_10_ms_is_kept(program: Memory, tmp_path: Path) -> None:
    """A look by refs at 384 MiB takes longer and is refused; idle holds its lock for a check at a time."""
    from tests.integration.recorder import report, udamon  # which other boots need not import

    program.map("large", 384 * MIB)
    program.tell("once", "large")
    program.tell("touch", "large")
    file = tmp_path / "a.udamon"
    words = ("record", "-p", program.pid, "--max-pause", "10ms", "-o", file)
    windows = ("--sample", "100ms", "--aggr", "1s", "--windows", "3")
    refused = udamon(*words, *windows, "--via", "refs")
    assert refused.status == 1
    assert "longer than --max-pause 10 ms" in refused.stderr
    done = udamon(*words, *windows, "--via", "idle")
    assert done.status == 0, done.stderr
    found = report("info", file)
    assert found["snapshots"] == 3
    assert 0 < found["longest_pause_seconds"] <= 0.010
    program.tell("unmap", "large")


def test_without_privilege_frame_numbers_are_an_error() -> None:
    def check() -> None:
        with pytest.raises(NotPermitted, match="root"):
            IdleSampler()

    as_nobody(check)
