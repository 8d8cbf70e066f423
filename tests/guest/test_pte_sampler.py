"""pte as a sampler on real kernels: each kind of memory, hot and cold, beside idle, and targets that change."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.damon import rate
from tests.guest.memory import MIB, PAGE, Memory, memory
from tests.guest.test_idle import CHECKS, rates, sample, while_touched
from tests.guest.test_pte import HAS, needs_tables
from tests.integration.privileged import as_user_with
from tests.integration.recorder import forked_udamon
from tests.waiting import WAIT_LIMIT_S
from udamon.core.policy import ACCESSED, NO_PAGE, NOT_ACCESSED, Slots
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.linux.maps import line_range
from udamon.linux.procfs import read_stat
from udamon.model import Range
from udamon.ops.idle import IdleSampler
from udamon.ops.kernel_tables import SWITCH, open_tables
from udamon.ops.pte_sampler import PteSampler
from udamon.record.reader import Recording

# One processor, as in test_idle.py; test_pte_sampler_tlb.py has two.
pytestmark = [
    pytest.mark.guest_version,
    pytest.mark.guest_pte,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root"),
]

BITMAP = Path("/sys/kernel/mm/page_idle/bitmap")


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        yield started


def opened(backend: str = "bpf") -> PteSampler:
    if not HAS[backend]:
        pytest.skip(f"this kernel has no {backend}")
    os.environ[SWITCH] = backend
    try:
        return PteSampler(open_tables(allowed=True))
    finally:
        del os.environ[SWITCH]


@pytest.fixture(scope="module", params=["bpf", "kcore"])
def sampler(request: pytest.FixtureRequest) -> Iterator[PteSampler]:
    made = opened(request.param)
    yield made
    made.close()


@pytest.fixture
def without_idle(sampler: PteSampler) -> Iterator[PteSampler]:
    """As on kernels that do not track idle pages."""
    bitmap, sampler._bitmap = sampler._bitmap, -1
    yield sampler
    sampler._bitmap = bitmap


def test_hot_is_hot_and_cold_is_cold_and_phases_are_followed(program: Memory, sampler: PteSampler) -> None:
    a, b = program.map("a", 8 * MIB), program.map("b", 8 * MIB)
    for hot in ("a", "b", "a"):
        program.tell("touch", hot)
        found = while_touched(sampler, program.target(), program, a, b)
        warm, cold = found if hot == "a" else reversed(found)
        assert warm >= 0.95
        assert cold <= 0.01
    assert sampler.advised > 0
    program.tell("rest")


def test_every_page_of_small_memory_has_an_answer(program: Memory, without_idle: PteSampler) -> None:
    """Hot ones show accessed again before they can be seen clear: that they were cleared is known all the same."""
    area = program.map("all", 8 * MIB)
    program.tell("touch", "all")
    answers = sample(without_idle, program.target(), area)
    assert list(answers.answer).count(NO_PAGE) <= 0.05 * answers.checks
    program.tell("rest")
    sample(without_idle, program.target(), area, checks=2000)
    answers = sample(without_idle, program.target(), area)
    assert list(answers.answer).count(NOT_ACCESSED) >= 0.95 * answers.checks


def test_it_answers_as_idle_does(program: Memory, sampler: PteSampler) -> None:
    """Of the same pages at the same rates: all, a part of the time, never."""
    if not BITMAP.exists():
        pytest.skip("this kernel does not track idle pages")
    areas = [
        program.map("i-hot", 8 * MIB),
        program.map("i-cold", 8 * MIB),
        program.map("i-huge", 8 * MIB, "huge"),
    ]
    program.tell("touch", "i-hot", "i-huge")
    idle = IdleSampler()
    try:
        expected = while_touched(idle, program.target(), program, *areas)
    finally:
        idle.close()
    found = while_touched(sampler, program.target(), program, *areas)
    program.tell("rest")
    assert found == [pytest.approx(share, abs=0.05) for share in expected]
    assert found == [pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.05)]


def test_transparent_huge_pages_answer_as_wholes_and_stay_whole(
    program: Memory, without_idle: PteSampler
) -> None:
    hot, cold = program.map("huge", 8 * MIB, "huge"), program.map("huge-cold", 8 * MIB, "huge")
    before = program.huge_bytes()
    program.tell("touch", "huge")
    answers = sample(without_idle, program.target(), hot, cold)
    assert list(answers.shift).count(21) >= answers.checks // 2, (
        "huge pages were not given; nothing is proved"
    )
    warm, cool = while_touched(without_idle, program.target(), program, hot, cold)
    program.tell("rest")
    assert warm >= 0.95
    assert cool <= 0.01
    assert program.huge_bytes() >= before > 0


def test_pages_of_a_file_that_one_process_maps(program: Memory, without_idle: PteSampler) -> None:
    mine = program.map("file", 4 * MIB, "file")
    program.tell("touch", "file")
    assert while_touched(without_idle, program.target(), program, mine)[0] >= 0.95
    program.tell("rest")
    sample(without_idle, program.target(), mine, checks=1000)
    found = rates(sample(without_idle, program.target(), mine))
    program.tell("unmap", "file")
    assert found == [0.0]


def test_shared_pages_are_told_apart_or_are_no_page(program: Memory, sampler: PteSampler) -> None:
    """By idle page tracking, where the kernel has it; what another process touches is its own business."""
    mine = program.map("both", 4 * MIB, "file")
    with memory() as other:
        theirs = other.map("both", 4 * MIB, "file")
        program.tell("rest")
        other.tell("touch", "both")
        if BITMAP.exists():
            assert while_touched(sampler, other.target(index=1), other, theirs)[0] >= 0.95
            assert while_touched(sampler, program.target(), other, mine)[0] <= 0.01
        bitmap, sampler._bitmap = sampler._bitmap, -1
        program.tell("once", "both")  # accessed, so that it would have to be cleared
        assert set(sample(sampler, program.target(), mine).answer) <= {NO_PAGE, NOT_ACCESSED}
        sampler._bitmap = bitmap
    program.tell("unmap", "both")


def test_a_fork_shares_and_its_end_gives_back(program: Memory, without_idle: PteSampler) -> None:
    area = program.map("forked", 4 * MIB)
    child = int(program.tell("fork"))
    program.tell("touch", "forked")  # copies what it writes: the copies are its own
    assert while_touched(without_idle, program.target(), program, area)[0] >= 0.95
    there = Target(1, child, read_stat(child).start_time)
    assert ACCESSED not in set(sample(without_idle, there, area).answer)
    os.kill(child, 9)
    program.tell("rest")


def test_swapped_out_pages_have_no_page(program: Memory, sampler: PteSampler, swap: None) -> None:
    area = program.map("swapped", 4 * MIB)
    program.tell("rest")
    program.tell("advise", "swapped", 21)  # MADV_PAGEOUT
    deadline = time.monotonic() + WAIT_LIMIT_S
    while (found := sample(sampler, program.target(), area)).no_page[0] < CHECKS:
        assert time.monotonic() < deadline, f"{found.no_page[0]} of {CHECKS} were swapped out"


def test_hugetlb_is_not_observable(program: Memory, sampler: PteSampler) -> None:
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if not pool.exists():
        pytest.skip("this kernel has no hugetlb")
    pool.write_text("4")
    area = program.map("hugetlb", 4 * MIB, "hugetlb")
    program.tell("touch", "hugetlb")
    answers = sample(sampler, program.target(), area)
    program.tell("rest")
    program.tell("unmap", "hugetlb")
    pool.write_text("0")
    assert ACCESSED not in set(answers.answer)


def test_fresh_pages_are_never_taken_for_hot(program: Memory, sampler: PteSampler) -> None:
    """Pages that no LRU list holds yet are not cleared."""
    for number in range(5):
        area = program.map(f"fresh{number}", 10 * PAGE, "fresh")
        program.tell("once", f"fresh{number}")
        program.tell("rest")
        answers = sample(sampler, program.target(), area, ticks=2)
        assert ACCESSED not in set(answers.answer)


def test_pages_unmapped_and_mapped_while_watched(program: Memory, sampler: PteSampler) -> None:
    area = program.map("gone", 4 * MIB)
    program.tell("touch", "gone")
    slots = Slots()
    slots.add(0, area.start, area.end, 200)
    program.tell("rest")
    program.tell("unmap", "gone")
    answers = sampler.sample([program.target()], slots, time.monotonic_ns(), 4, 20_000_000, seed=1)
    assert list(answers.answer).count(NO_PAGE) >= 0.99 * answers.checks


def test_targets_that_exec_and_exit(sampler: PteSampler) -> None:
    with memory() as program:
        area = program.map("a", 4 * MIB)
        target = program.target(index=7)
        program.tell("rest")
        assert set(sample(sampler, target, area).answer) <= {NO_PAGE, NOT_ACCESSED}
        before = len(os.listdir("/proc/self/fd"))
        program.tell("exec")
        while list(sample(sampler, target, area).answer).count(NO_PAGE) < CHECKS:
            pass  # it is still the old program
        (stack,) = stacks(program.pid)
        assert set(sample(sampler, target, stack).answer) != {NO_PAGE}, "the new memory is seen"
        assert len(os.listdir("/proc/self/fd")) == before
        program.end()
        assert set(sample(sampler, target, area).answer) == {NO_PAGE}
        assert len(os.listdir("/proc/self/fd")) == before - 2


def stacks(pid: int) -> list[Range]:
    lines = (Path("/proc") / str(pid) / "maps").read_bytes().splitlines()
    return [line_range(line) for line in lines if line.endswith(b"[stack]")]


@needs_tables
@pytest.mark.parametrize("policy", ["adaptive", pytest.param("damon", marks=pytest.mark.guest_long)])
def test_recordings(program: Memory, tmp_path: Path, policy: str) -> None:
    """From the command line, after all privileges that opening alone took were given up."""
    hot, cold = program.map(f"{policy}-hot", 16 * MIB), program.map(f"{policy}-cold", 64 * MIB)
    program.touch_every(20, f"{policy}-hot")
    file = tmp_path / "recording"
    how = ("--via", "pte", "--policy", policy, "--sample", "50ms", "--aggr", "1s", "--duration", "15s")
    done = forked_udamon("record", "-q", "-p", program.pid, *how, "-o", file)
    assert done.status == 0, done.stderr
    program.tell("rest")
    recording = Recording(file)
    assert (recording.metadata["via"], recording.metadata["policy"]) == ("pte", policy)
    last = list(recording.snapshots())[-1]
    assert rate(last, hot) >= 0.7
    assert rate(last, cold) <= 0.1


def test_who_may_not_advise_is_told(program: Memory) -> None:
    area = program.map("mine", MIB)
    program.tell("rest")
    made = opened()

    def check() -> None:
        with pytest.raises(NotPermitted, match="CAP_SYS_NICE"):
            sample(made, program.target(), area)

    as_user_with(["DAC_OVERRIDE", "SYS_ADMIN", "SYS_PTRACE"], check)
    made.close()
