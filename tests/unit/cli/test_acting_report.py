"""What is said about acting: the line, the totals, the document."""

from __future__ import annotations

import io
import os
import threading
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.acting.left_alone import UniqueRanges
from udamon.cli.acting.report import ActingReport, document, line, summary
from udamon.cli.half_used import HalfUsed
from udamon.cli.progress_line import LINE_S, SHOW_S, ProgressLine
from udamon.cli.rereading import SETTLED_S, Rereading, may_wait
from udamon.core.regions import Region
from udamon.core.scheme import AccessPattern, Action, Bounds, Scheme, SchemeStats, SchemeStatus
from udamon.core.target import Target
from udamon.model import Event, Snapshot
from udamon.modules.dry_run import PassWatch

MIB = 1 << 20


def status(action: Action, index: int = 0, why: str = "", active: bool = True) -> SchemeStatus:
    stats = SchemeStats(
        nr_tried=4, sz_tried=8 * MIB, nr_applied=3, sz_applied=6 * MIB, qt_exceeds=2,
        sz_moved=5 * MIB if action is Action.PAGEOUT else None,
    )  # fmt: skip
    return SchemeStatus(index, Scheme(AccessPattern.all(), action), active, why, 0, 0, stats)


def account(*statuses: SchemeStatus, dry: bool = False) -> ActingReport:
    return ActingReport(
        statuses=statuses,
        seconds=12.34,
        cpu_share=0.012,
        start_cpu_seconds=0.21,
        dry=dry,
        passes=PassWatch(),
        refaulted=None if dry else MIB,
        left={"locked": 3 * MIB, "text": 0},
        resident=7 * MIB if dry else None,
    )


def test_the_line_has_both_accounts_and_refaults() -> None:
    text = line(account(status(Action.PAGEOUT)))
    assert text == (
        "12.3 s  pageout: tried 8.0 MiB, advised 6.0 MiB, moved 5.0 MiB  refaulted 1.0 MiB  monitor 1.2% CPU"
    )


def test_the_line_says_what_keeps_a_scheme_from_acting() -> None:
    full = status(Action.PAGEOUT, why="the quota of this window is used up")
    assert "moved 5.0 MiB (waiting: the quota of this window is used up)" in line(account(full))
    backed_off = status(Action.PAGEOUT, why="60.0 % of memory is free", active=False)
    assert "(inactive: 60.0 % of memory is free)" in line(account(backed_off))
    held = replace(account(status(Action.PAGEOUT)), held="300 major faults a second")
    assert "held back: 300 major faults a second" in line(held)


def test_the_totals_say_what_kept_a_scheme_from_acting() -> None:
    """Nothing was tried, and the last line that showed why is gone."""
    backed_off = account(
        status(Action.PAGEOUT), status(Action.COLD, 1, "60.0 % of memory is free", active=False)
    )
    found = summary(replace(backed_off, held="300 major faults a second"), "duration").splitlines()
    assert "scheme 1 is inactive at the end: 60.0 % of memory is free" in found
    assert "held back at the end: 300 major faults a second" in found
    assert not any("scheme 0 is inactive" in text for text in found)


def test_it_says_that_what_is_idle_lies_in_mappings_that_are_used() -> None:
    """Only while that is more than what was moved, and where no other reason holds the scheme."""
    words = "64.0 MiB untouched lie in mappings that are used in part, and refs cannot tell which pages"
    some = replace(account(status(Action.PAGEOUT)), half_used={0: 64 * MIB})
    assert f"moved 5.0 MiB ({words})" in line(some)
    assert f"scheme 0 could not have more: {words}" in summary(some, "signal").splitlines()
    assert words not in line(replace(some, half_used={0: 5 * MIB}))
    assert words not in line(replace(account(status(Action.STAT)), half_used={0: 64 * MIB}))
    full = replace(some, statuses=(status(Action.PAGEOUT, why="the quota of this window is used up"),))
    assert words not in line(full)


def test_idle_bytes_of_used_mappings_are_those_too_hot_as_a_whole_and_of_a_size_that_is_taken() -> None:
    def window(target: int, resident: list[int] | None) -> Snapshot:
        return Snapshot(
            target, 7, 0, 0, 1, 1, 10, array("Q", [0, 100, 200]), array("Q", [100, 110, 300]),
            array("I", [3, 3, 0]), array("I", [0] * 3), array("Q", [30, 1, 0]),
            None if resident is None else array("Q", resident),
        )  # fmt: skip

    seen = HalfUsed()
    pattern = AccessPattern(Bounds(50, 1000), Bounds(0, 0), Bounds(5, 9))
    seen.snapshot(window(0, [90, 10, 100]))
    seen.snapshot(window(1, [40, 10, 100]))
    seen.snapshot(window(2, None))
    assert seen.untouched(Scheme(pattern, Action.PAGEOUT)) == 60 + 10
    seen.event(Event(0, "target_end", {"target": 0}))
    assert seen.untouched(Scheme(pattern, Action.PAGEOUT)) == 10
    hot = replace(pattern, nr_accesses=Bounds(0, 3))
    assert seen.untouched(Scheme(hot, Action.PAGEOUT)) == 0


def test_what_came_back_is_told_where_something_was_paged_out() -> None:
    """Of huge pages that were made nobody looks whether they come back: 0 B was told."""
    made = account(status(Action.COLLAPSE))
    made = replace(
        made, statuses=[replace(made.statuses[0], stats=replace(made.statuses[0].stats, sz_moved=5 * MIB))]
    )
    assert "refaulted" not in line(made)
    assert "came back" not in summary(made, "target")
    found = document(made, "target", {})
    assert (found["moved_bytes"], found["refault_bytes"]) == (5 * MIB, None)
    assert document(account(status(Action.PAGEOUT)), "target", {})["refault_bytes"] == MIB


def test_several_schemes_are_told_apart() -> None:
    text = line(account(status(Action.PAGEOUT), status(Action.COLD, 1)))
    assert "0 pageout: tried 8.0 MiB, advised 6.0 MiB, moved 5.0 MiB" in text
    assert "1 cold: tried 8.0 MiB, advised 6.0 MiB  refaulted" in text, "what cold moves no file shows"


def test_stat_only_counts() -> None:
    text = line(account(status(Action.PAGEOUT), status(Action.STAT, 1)))
    assert "  1 stat: 0 B in the last pass, 8.0 MiB in all  " in text
    assert "scheme 1 stat: tried 8.0 MiB in 4 regions\n" in summary(account(status(Action.STAT, 1)), "target")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 30)), max_size=30))
def test_memory_that_is_met_again_counts_once(met: list[tuple[int, int, int]]) -> None:
    """Against sets of bytes: what is new, and how much there is in all."""
    seen, known = UniqueRanges(), dict[int, set[int]]()
    for target, start, size in met:
        before = known.setdefault(target, set())
        new = seen.add(target, start, start + size)
        found = [byte for part in new for byte in range(part.start, part.end)]
        assert found == sorted(set(range(start, start + size)) - before)
        before.update(found)
        assert seen.bytes == sum(map(len, known.values()))


def test_a_dry_run_does_not_add_up_its_passes() -> None:
    dry = account(status(Action.PAGEOUT), dry=True)
    for _ in range(5):
        dry.passes.before_apply(0, Target(0), Region(MIB, 3 * MIB))
        dry.passes.before_apply(0, Target(0), Region(2 * MIB, 4 * MIB))
    assert "would pageout: 0 B in the last pass, 3.0 MiB in all" in line(dry)
    assert "scheme 0 pageout: tried 3.0 MiB in 4 regions" in summary(dry, "duration")


def test_addresses_are_not_told_as_memory() -> None:
    """8 MiB were charged in a mapping of 1 TiB."""
    dry = account(status(Action.PAGEOUT), dry=True)
    dry.passes.before_apply(0, Target(0), Region(0, 1 << 40))
    words = "1.0 TiB of addresses (8.0 MiB in memory, pass by pass)"
    assert f"tried {words} in 4 regions" in summary(dry, "duration")
    assert f"{words} in all" in line(dry)


def test_passes_are_counted_apart() -> None:
    passes = PassWatch()
    stats = SchemeStats()
    for total in (3 * MIB, 8 * MIB, 8 * MIB):
        stats.sz_tried = total
        passes.after_apply_interval(0, stats)
    assert (passes.passes, passes.last, passes.most) == ({0: 3}, {0: 0}, {0: 5 * MIB})


def test_a_scheme_that_takes_the_number_of_one_that_is_gone_begins_anew() -> None:
    """Its first pass was told with what the other had tried taken off: a negative number."""
    passes = PassWatch()
    for scheme in (0, 1):
        passes.before_apply(scheme, Target(0), Region(0, 8 * MIB))
        passes.after_apply_interval(scheme, SchemeStats(sz_tried=8 * MIB))
    passes.keep(1)
    passes.after_apply_interval(1, SchemeStats(sz_tried=MIB))
    assert (passes.passes, passes.last) == ({0: 1, 1: 1}, {0: 8 * MIB, 1: MIB})
    assert (passes.different(0), passes.different(1)) == (8 * MIB, None)


def test_what_schemes_did_that_the_file_has_no_more_is_part_of_the_totals() -> None:
    """What was moved is moved: 0 B was told of it."""
    gone = replace(account(status(Action.STAT)), removed=[status(Action.PAGEOUT, 1)])
    found = document(gone, "signal", {})
    assert (found["tried_bytes"], found["advised_bytes"], found["moved_bytes"]) == (
        16 * MIB,
        12 * MIB,
        5 * MIB,
    )
    assert found["refault_bytes"] == MIB
    gone_schemes = found["removed_schemes"]
    assert isinstance(gone_schemes, list)
    assert [(one["action"], one["stats"]["sz_moved"]) for one in gone_schemes] == [("pageout", 5 * MIB)]
    assert [scheme["action"] for scheme in found["schemes"]] == ["stat"]  # type: ignore[attr-defined]
    lines = summary(gone, "signal").splitlines()
    assert (
        "before, scheme 1 pageout: tried 8.0 MiB in all passes, advised 6.0 MiB, moved 5.0 MiB, quota used up 2 times"
    ) in lines
    assert "came back within a minute: 1.0 MiB" in lines


def test_a_dry_run_says_so() -> None:
    dry = account(status(Action.PAGEOUT), dry=True)
    dry.passes.after_apply_interval(0, dry.statuses[0].stats)
    assert "would pageout: 8.0 MiB in the last pass, 8.0 MiB in all" in line(dry)
    text = summary(dry, "duration")
    assert "dry run: nothing was done; 7.0 MiB of it was in memory" in text
    assert "advised" not in text
    assert "refault" not in text


def test_the_summary() -> None:
    assert summary(account(status(Action.PAGEOUT)), "target").splitlines() == [
        "12.3 s, ended by target; the monitor took 1.20% of a CPU, after 210 ms of CPU to start",
        "scheme 0 pageout: tried 8.0 MiB in 4 regions, advised 6.0 MiB, moved 5.0 MiB, quota used up 2 times",
        "came back within a minute: 1.0 MiB",
        "left alone: 3.0 MiB locked",
    ]


def test_a_quota_that_was_used_up_once() -> None:
    once = status(Action.PAGEOUT)
    once.stats.qt_exceeds = 1
    assert "quota used up 1 time\n" in summary(account(once), "target")


def test_the_document() -> None:
    found = document(account(status(Action.PAGEOUT), status(Action.COLD, 1)), "signal", {"via": "refs"})
    assert {
        "schema": 1, "advised_bytes": 12 * MIB, "moved_bytes": 5 * MIB, "refault_bytes": MIB, "seconds": 12.34,
        "stopped_by": "signal", "dry_run": False, "via": "refs",
    }.items() <= found.items()  # fmt: skip
    only_cold = document(account(status(Action.COLD)), "signal", {})
    assert only_cold["moved_bytes"] is None, "nobody looked: that is not 0"
    assert only_cold["refault_bytes"] is None
    idle = replace(status(Action.PAGEOUT), stats=SchemeStats())
    nothing = document(account(idle), "signal", {})
    assert nothing["advised_bytes"] == nothing["moved_bytes"] == 0, "nothing was advised, so nothing moved"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "every", "expected"),
    [
        (Terminal(), SHOW_S, "\rfirst\rnext \r    \rudamon: a note\n"),
        (io.StringIO(), LINE_S, "first\nnext\nudamon: a note\n"),
    ],
    ids=["terminal", "file"],
)
def test_a_line_is_rewritten_on_a_terminal_alone(stream: io.StringIO, every: float, expected: str) -> None:
    now = [0.0]
    told = ProgressLine(stream, now=lambda: now[0])
    told.show(lambda: "too early")
    for text in ("first", "next"):
        now[0] += every
        told.show(lambda text=text: text)  # type: ignore[misc]
    told.event(Event(0, "note", {"text": "a note"}))
    assert stream.getvalue() == expected


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    told = ProgressLine(stream, quiet=True, now=iter(range(100)).__next__)
    for _ in range(20):
        told.show(lambda: "line")
    told.say("note")
    assert stream.getvalue() == ""


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def settled(reread: Rereading, clock: Seconds) -> bool:
    """Whether the file is read some time after a change, and not before."""
    assert not reread.due()
    clock.now += SETTLED_S / 2
    assert not reread.due()
    clock.now += SETTLED_S / 2
    return reread.due()


def test_a_file_is_read_again_when_it_changes_or_when_asked(tmp_path: Path) -> None:
    file, hang_up, clock = tmp_path / "parameters.toml", threading.Event(), Seconds()
    file.write_text("a = 1")
    reread = Rereading(file, hang_up, clock)
    assert not settled(reread, clock)
    file.write_text("a = 12")
    assert settled(reread, clock)
    assert not settled(reread, clock)
    hang_up.set()
    assert reread.due()
    assert not settled(reread, clock)
    file.unlink()
    assert not settled(reread, clock), "an editor is replacing it"
    file.write_text("a = 12")
    assert settled(reread, clock)
    hang_up.set()
    assert not Rereading(None, hang_up).due()


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    """Emptied, and then written bit by bit, each within the time in which it may still change."""
    file, clock = tmp_path / "parameters.toml", Seconds()
    file.write_text('min_age = "1h"\nquota_sz = "1M"\n')
    reread = Rereading(file, threading.Event(), clock)
    for text in ("", 'min_age = "1h"\n', 'min_age = "1h"\nquota_sz = "2M"\n'):
        file.write_text(text)
        assert not reread.due()
        clock.now += 0.9 * SETTLED_S
    clock.now += 0.1 * SETTLED_S
    assert reread.due()


def test_a_change_that_was_asked_for_is_read_at_once_and_once(tmp_path: Path) -> None:
    file, hang_up, clock = tmp_path / "parameters.toml", threading.Event(), Seconds()
    file.write_text("a = 1")
    reread = Rereading(file, hang_up, clock)
    file.write_text("a = 12")
    hang_up.set()
    assert reread.due()
    assert not settled(reread, clock)


def test_a_fifo_is_not_read_again(tmp_path: Path) -> None:
    """Nobody writes into it any more: a hang-up held the command up for ever, and it went on acting."""
    file = tmp_path / "file"
    os.mkfifo(file)
    hang_up, now = threading.Event(), [0.0]
    rereading = Rereading(file, hang_up, lambda: now[0])
    hang_up.set()
    assert not rereading.due()
    os.utime(file, ns=(1, 1))
    for later in (1.0, 2.0):
        now[0] = later
        assert not rereading.due()
    assert may_wait(file)
    file.unlink()
    assert not may_wait(file)
    hang_up.set()
    assert rereading.due(), "what is away is told"
    file.write_text("x")
    assert not may_wait(file)
