"""What was missed is counted: by events exactly, without them from the faults that parents and groups inherit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.linux.proc_events import Fork
from udamon.linux.procfs import ProcessId, Stat, read_stat
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.targets.coverage import NOISE, BirthCounts, Coverage, document, line, short
from udamon.targets.forks import MOST, ForkFollower
from udamon.targets.processes import Forks

ALL, POLLED = BirthCounts(), BirthCounts(exact=False)


def stat(pid: int, *, faults: int = 0, children: int = 0, ppid: int = 1) -> Stat:
    return Stat(pid, "x", "S", ppid, False, 0, 0, 1, 100, 2, 2, faults, children, 0)


def numbers(coverage: Coverage, living_seen: int = 0) -> tuple[object, object, object]:
    found = coverage.totals(living_seen)
    return found["processes_seen"], found["processes_missed"], found["bytes_missed"]


def test_children_that_nobody_saw_are_known_by_events_and_their_faults() -> None:
    """Three of 2048 faults each: 24 MiB, of which the parent's earlier children are no part."""
    coverage = Coverage()
    coverage.look([stat(5, children=700)], ALL)
    assert numbers(coverage, 1) == (1, 0, 0)
    coverage.look([stat(5, children=700 + 3 * 2048)], BirthCounts(3))
    assert numbers(coverage, 1) == (1, 3, 3 * 2048 * PAGE_SIZE)


def test_a_group_that_was_empty_has_been_looked_at() -> None:
    """All that a process with a parent in it had waited for was missed; what one from elsewhere had before is not."""
    coverage = Coverage()
    coverage.look([], POLLED)
    coverage.look([stat(5, children=700), stat(6, children=2048, ppid=5)], POLLED)
    assert numbers(coverage) == (0, 1, 2048 * PAGE_SIZE)


def test_without_events_faults_from_nowhere_are_at_least_one_process() -> None:
    coverage = Coverage()
    coverage.look([stat(5)], POLLED)
    coverage.look([stat(5)], POLLED)
    assert numbers(coverage) == (0, 0, 0)
    coverage.look([stat(5, children=3 * 2048)], POLLED)
    assert numbers(coverage) == (0, 1, 3 * 2048 * PAGE_SIZE)
    assert coverage.totals(0)["exact"] is False


@pytest.mark.parametrize("births", [ALL, POLLED])
def test_the_faults_of_a_child_that_was_seen_are_not_missed(births: BirthCounts) -> None:
    """Those of its last second neither, although nobody knows them; it may be collected later, too."""
    coverage = Coverage()
    coverage.look([stat(5), stat(6, faults=1000, ppid=5)], births)
    coverage.ended(stat(6, faults=1000, ppid=5), seen=True)
    coverage.look([stat(5)], births)
    coverage.look([stat(5, children=1100)], births)
    assert numbers(coverage) == (1, 0, 0)


def test_a_target_without_a_window_is_missed_with_its_faults() -> None:
    coverage = Coverage()
    coverage.look([stat(5), stat(6, faults=10, ppid=5)], POLLED)
    coverage.ended(stat(6, faults=10, ppid=5), seen=False)
    coverage.look([stat(5)], POLLED)
    assert numbers(coverage) == (0, 1, None), "its parent has not collected it, so nobody tells its size"
    coverage.look([stat(5, children=50)], POLLED)
    assert numbers(coverage) == (0, 1, 50 * PAGE_SIZE), "one process, not two"


@pytest.mark.parametrize("exact", [True, False])
def test_a_group_counts_the_faults_of_all_that_ran_in_it(exact: bool) -> None:
    """Also of those that came into it from elsewhere, of which no fork tells."""
    coverage = Coverage()
    coverage.look([stat(5, faults=100)], BirthCounts(0, exact, 5_000))
    coverage.look([stat(5, faults=300)], BirthCounts(0, exact, 5_200 + NOISE))
    assert numbers(coverage) == (0, 0, 0), "retries of its own faults"
    coverage.look([stat(5, faults=300)], BirthCounts(0, exact, 5_200 + NOISE + 4096))
    assert numbers(coverage) == (0, 1, 4096 * PAGE_SIZE)
    assert coverage.totals(0)["exact"] is False


def test_a_large_page_is_one_fault() -> None:
    """Of 8 faults the machine served 5 MiB with large pages since the first look; and no fault has more than one."""
    coverage = Coverage()
    coverage.look([stat(5)], ALL, lambda: 100 << 20)
    coverage.look([stat(5, children=8)], BirthCounts(1), lambda: 105 << 20)
    found = coverage.totals(1)
    assert (found["bytes_missed"], found["bytes_missed_high"]) == (8 * PAGE_SIZE, 8 * PAGE_SIZE + (5 << 20))
    assert str(found["why"]).endswith("at most with the large pages that the machine gave meanwhile")
    coverage.look([stat(5, children=8)], ALL, lambda: 999 << 20)
    assert coverage.totals(1) == found, "nothing was missed since"
    coverage.look([stat(5, children=10)], BirthCounts(1), lambda: 1 << 40)
    assert coverage.totals(1)["bytes_missed_high"] == 10 * HUGE_PAGE_SIZE


def test_those_that_cannot_be_watched_are_missed_while_they_cannot() -> None:
    coverage = Coverage()
    one, other = ProcessId(7, 1), ProcessId(8, 1)
    once = iter([4096, 8192]).__next__
    for _ in range(2):
        coverage.unwatched(one, once)
        coverage.unwatched(other, once)
    assert numbers(coverage) == (0, 2, 12288)
    coverage.watched(other)
    assert numbers(coverage) == (0, 1, 4096)
    at_last = coverage.totals(3, {ProcessId(9, 1): 1})
    assert (at_last["processes_seen"], at_last["processes_missed"], at_last["bytes_missed"]) == (3, 2, 4097)


class FakeEvents:
    def __init__(self) -> None:
        self.forks: list[Fork] | None = []
        self.closed = 0
        self.most = -1

    def take(self, most: int) -> Sequence[Fork] | None:
        self.most = most
        taken, self.forks = self.forks, []
        return taken

    def close(self) -> None:
        self.closed += 1


def test_births_follow_a_family_through_parents_that_are_gone() -> None:
    events = FakeEvents()
    followed = ForkFollower(lambda: events)
    events.forks = [Fork(5, 10), Fork(10, 11), Fork(99, 12), Fork(12, 13), Fork(11, 14)]
    assert followed.take({5}) == ([10, 11, 14], 0)
    events.forks = [Fork(5, 10), Fork(99, 10), Fork(10, 11), Fork(99, 5), Fork(5, 12)]
    assert followed.take({5}) == ([], 1), "numbers that were given to strangers"
    events.forks = [Fork(5, 10), Fork(10, 11)]
    assert followed.take({5, 10}) == ([11], 0), "found before its event was taken"
    assert followed.take({5, 10, 15}) == ([], 0)
    events.forks = [Fork(5, 15), Fork(5, 16)]
    assert followed.take({5, 10}) == ([16], 0), "found then, and ended before its event was taken"


def test_looks_of_one_update_interval_share_its_events() -> None:
    events = FakeEvents()
    followed = ForkFollower(lambda: events)
    events.forks = [Fork(5, 10), Fork(99, 12)]
    for expected in (MOST, MOST - 2, MOST - 2):
        followed.take({5})
        assert events.most == expected
    followed.renew()
    followed.take({5})
    assert events.most == MOST


@pytest.mark.parametrize("how", ["lost", "failed", "refused"])
def test_events_that_are_lost_are_not_followed_any_more(how: str) -> None:
    events = FakeEvents()

    def take(most: int) -> None:
        if how == "failed":
            raise OSError

    def refuse() -> FakeEvents:
        raise PermissionError

    followed = ForkFollower(refuse if how == "refused" else lambda: events)
    events.take = take  # type: ignore[method-assign]
    assert followed.take({5}) == ([], 0)
    assert not followed.followed
    assert events.closed == (how != "refused")


def test_who_was_born_and_is_gone(tmp_path: Path) -> None:
    fake, events = FakeProc(tmp_path), FakeEvents()
    fake.process(10)
    fake.process(11, state="Z", threads=1)
    fake.process(13)
    forks = Forks(fake.root, lambda: events)
    events.forks = [Fork(5, 10), Fork(5, 11), Fork(5, 12), Fork(5, 13)]
    assert forks.look({5}, {13}) == [read_stat(10, fake.root).id]
    assert forks.births() == BirthCounts(2, True)
    assert forks.births() == BirthCounts(0, True)


def test_the_document_and_the_sentence() -> None:
    full = document({"processes_seen": 3, "processes_missed": 57, "bytes_missed": 456 << 20, "exact": False})
    assert line(full) == "Not seen: at least 57 of at least 60 processes, of 456.0 MiB."
    assert line(full | {"bytes_missed_high": 2 << 30}).endswith("60 processes, of 456.0 MiB to 2.0 GiB.")
    assert line(document({"exact": True}, complete=True)) == ""
    unknown = document({"processes_seen": 1, "processes_missed": 2, "exact": True, "why": "no."})
    assert unknown["bytes_missed"] is None
    assert short(full) == "at least 57 processes not seen (456.0 MiB)"
    assert short(unknown) == "2 processes not seen (size unknown)"
    assert short(document({})) == ""
    assert line(unknown) == "Not seen: 2 of 3 processes, of unknown size (no.)."
