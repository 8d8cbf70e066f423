"""Sources and operations sets on a fake /proc: who is watched, followed, and let go, and what is said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import MAPS, FakeProc
from tests.unit.targets.test_coverage import FakeEvents
from udamon.core.target import Target
from udamon.errors import NotPermitted, RangesError, TargetBusy, TargetGone, UsageError
from udamon.linux import maps, open_files
from udamon.linux.proc_events import Fork
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.lock import held_locks
from udamon.model import Range
from udamon.ops.fvaddr import Fvaddr, whole_pages
from udamon.ops.opening import open_census, open_ops
from udamon.ops.paddr import Paddr
from udamon.ops.vaddr import Vaddr
from udamon.targets import tracker
from udamon.targets.processes import CgroupProcesses, Forks, NamedProcesses, ProcessFamilies, process_source

THREE = [
    Range(0x55D000000000, 0x55D000031000),
    Range(0x7F0000000000, 0x7F0000010000),
    Range(0x7FFD00000000, 0x7FFD00021000),
]


class Log:
    """An `emit` that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def __call__(self, name: str, data: Mapping[str, object]) -> None:
        self.events.append((name, data))

    def take(self) -> list[tuple[str, Mapping[str, object]]]:
        taken, self.events = self.events, []
        return taken

    def names(self) -> list[str]:
        return [name for name, _ in self.take()]


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    (tmp_path / "proc").mkdir()
    return FakeProc(tmp_path / "proc")


@pytest.fixture
def roots(fake: FakeProc, tmp_path: Path) -> Roots:
    return Roots(fake.root, tmp_path / "sys", (tmp_path / "locks",))


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_process_from_start_to_end(fake: FakeProc, roots: Roots, log: Log) -> None:
    """Its three regions, its mappings once, nothing while nothing changes, and its end."""
    fake.process(9, start_time=100)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    (start_name, start), (mappings_name, mappings) = log.take()
    assert (start_name, mappings_name) == ("target_start", "mappings")
    assert start == {
        "target": 0, "pid": 9, "start_time": 100, "comm": "sleep", "cmdline": ["sleep", "-x"], "user": "root",
    }  # fmt: skip
    assert [entry[5] for entry in mappings["add"]] == ["/usr/bin/sleep", "[heap]", "", "[stack]"]  # type: ignore[attr-defined]
    assert targets[0].ranges == THREE
    assert (targets[0].pid, targets[0].start_time, ops.valid(targets[0])) == (9, 100, True)
    ops.update(targets, log)
    assert log.take() == []
    target = targets[0]
    fake.remove(9)
    assert not ops.valid(target)
    ops.update(targets, log)
    ended, coverage = log.take()
    assert ended == ("target_end", {"target": 0, "pid": 9, "why": "exited"})
    assert (coverage[0], coverage[1]["processes_missed"]) == ("coverage", 1)  # no window of it was complete
    assert targets == []
    assert not ops.expecting()


def test_mappings_are_told_as_changes(fake: FakeProc, roots: Roots, log: Log) -> None:
    """A mapping that grew is added again under its start; one that went is removed."""
    fake.process(9)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    log.take()
    lines = MAPS.replace("55d000031000", "55d000041000").splitlines(keepends=True)
    fake.process(9, maps="".join(lines[:2] + lines[3:]))
    ops.update(targets, log)
    assert log.take() == [
        ("mappings", {
            "target": 0,
            "add": [[0x55D000010000, 0x55D000041000, "rw-p", 0, 0, "[heap]"]],
            "remove": [0x7F0000000000],
        })
    ]  # fmt: skip
    assert targets[0].ranges[0].end == 0x55D000041000 or targets[0].ranges[0].end == 0x55D000002000


def test_ranges_stay_when_there_are_no_three(fake: FakeProc, roots: Roots, log: Log) -> None:
    fake.process(9)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    fake.process(9, maps=MAPS.splitlines(keepends=True)[0])
    ops.update(targets, log)
    assert targets[0].ranges == THREE


def test_a_reused_pid_is_not_followed(fake: FakeProc, roots: Roots, log: Log) -> None:
    """Between two updates the pid went to another process: the target ends, the newcomer is not taken."""
    fake.process(9, start_time=100)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    log.take()
    fake.process(9, start_time=200)
    assert not ops.valid(targets[0])
    ops.update(targets, log)
    assert log.names() == ["target_end", "coverage"]
    ops.update(targets, log)
    assert (log.names(), targets) == ([], [])


def test_exec_is_noticed(fake: FakeProc, roots: Roots, log: Log) -> None:
    """The program moved; a mere change of name is none."""
    fake.process(9)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    log.take()
    fake.process(9, comm="renamed")
    ops.update(targets, log)
    assert log.names() == []
    fake.process(9, comm="other", code=0x560000000000, maps=MAPS.replace("55d0", "5600"))
    ops.update(targets, log)
    (name, data), (second, _) = log.take()
    assert (name, second) == ("target_exec", "mappings")
    assert data == {"target": 0, "pid": 9, "comm": "other", "cmdline": ["other", "-x"]}
    assert targets[0].ranges[0].start == 0x560000000000


def test_an_exec_that_is_seen_half_done_is_told_whole(fake: FakeProc, roots: Roots, log: Log) -> None:
    """The program is another one already, its command line is not there yet; one that stays empty is told as it is."""
    fake.process(9)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    log.take()
    fake.process(9, comm="other", code=0x560000000000)
    whole = (fake.root / "9/cmdline").read_bytes()
    (fake.root / "9/cmdline").write_bytes(b"")
    ops.update(targets, log)
    assert log.names() == []
    (fake.root / "9/cmdline").write_bytes(whole)
    ops.update(targets, log)
    assert log.take() == [
        ("target_exec", {"target": 0, "pid": 9, "comm": "other", "cmdline": ["other", "-x"]})
    ]
    fake.process(9, comm="silent", code=0x570000000000)
    (fake.root / "9/cmdline").write_bytes(b"")
    ops.update(targets, log)
    ops.update(targets, log)
    assert [data["cmdline"] for _, data in log.take()] == [[]]


def test_children_come_and_stay(fake: FakeProc, roots: Roots, log: Log) -> None:
    """A grandchild is found, and stays when its parent ends; indices are never given twice."""
    fake.process(9)
    ops, targets = Vaddr(ProcessFamilies([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    fake.process(10, ppid=9)
    fake.process(11, ppid=10)
    fake.children(9, 10)
    fake.children(10, 11)
    ops.update(targets, log)
    assert [(t.index, t.pid) for t in targets] == [(0, 9), (1, 10), (2, 11)]
    fake.remove(10)
    fake.children(9)
    ops.update(targets, log)
    fake.process(12, ppid=11)
    fake.children(11, 12)
    ops.update(targets, log)
    assert [(t.index, t.pid) for t in targets] == [(0, 9), (2, 11), (3, 12)]


def test_without_children_they_are_left_alone(fake: FakeProc, roots: Roots, log: Log) -> None:
    fake.process(9)
    fake.process(10, ppid=9)
    fake.children(9, 10)
    ops, targets = Vaddr(process_source([9], root=fake.root), roots), list[Target]()
    ops.update(targets, log)
    assert [t.pid for t in targets] == [9]


@pytest.fixture
def group(fake: FakeProc, tmp_path: Path) -> Path:
    directory = tmp_path / "cg/job"
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text("")
    (fake.root / "self/mountinfo").write_text(f"3 0 0:3 / {tmp_path}/cg rw - cgroup2 cgroup2 rw\n")
    return directory


def test_a_cgroup_that_is_empty_at_first(fake: FakeProc, roots: Roots, log: Log, group: Path) -> None:
    """It is waited for; processes come, leave and end; kernel threads and udamon itself are passed over."""
    ops, targets = Vaddr(CgroupProcesses("/job", fake.root, exclude={13}), roots), list[Target]()
    ops.update(targets, log)
    assert (targets, ops.expecting()) == ([], True)
    fake.process(11)
    fake.process(12, flags=0x00208040)
    fake.process(13)
    fake.process(14)
    (group / "cgroup.procs").write_text("11\n12\n13\n14\n15\n")
    ops.update(targets, log)
    assert [t.pid for t in targets] == [11, 14]
    log.take()
    (group / "cgroup.procs").write_text("14\n")
    ops.update(targets, log)
    assert log.take()[0] == ("target_end", {"target": 0, "pid": 11, "why": "left"})
    (group / "cgroup.procs").unlink()
    group.rmdir()
    assert not ops.expecting()


def test_a_refused_process_of_a_cgroup_is_a_note(
    fake: FakeProc, roots: Roots, log: Log, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that may not be read does not keep the others from being watched; it is told once."""
    fake.process(11)
    fake.process(12)
    _deny(monkeypatch, fake.root / "11/maps")
    (group / "cgroup.procs").write_text("11\n12\n")
    ops, targets = Vaddr(CgroupProcesses("/job", fake.root), roots), list[Target]()
    ops.update(targets, log)
    ops.update(targets, log)
    assert [t.pid for t in targets] == [12]
    notes = [data["text"] for name, data in log.take() if name == "note"]
    assert len(notes) == 1
    assert str(notes[0]).startswith("not watched: process 11 (sleep)")
    ops.close()
    (group / "cgroup.procs").write_text("11\n")
    with pytest.raises(NotPermitted):
        Vaddr(CgroupProcesses("/job", fake.root), roots).update([], log)


def test_permission_lost_while_watching(
    fake: FakeProc, roots: Roots, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exec of a protected program ends the target as denied, and only that: what was seen stays."""
    fake.process(9)
    ops, targets = Vaddr(NamedProcesses([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    log.take()
    _deny(monkeypatch, fake.root / "9/maps")
    ops.update(targets, log)
    assert log.take()[0] == ("target_end", {"target": 0, "pid": 9, "why": "denied"})
    assert targets == []


def _deny(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    real, denied = os.open, set(map(str, paths))

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path) in denied:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)


def test_a_named_process_that_is_refused(
    fake: FakeProc, roots: Roots, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user named it, so it is an error, even beside one that could be watched; no lock stays behind."""
    fake.process(8)
    fake.process(9)
    _deny(monkeypatch, fake.root / "9/maps")
    ops = Vaddr(NamedProcesses([8, 9], fake.root), roots)
    with pytest.raises(NotPermitted):
        ops.update([], log)
    assert held_locks(roots).holders == {}


def test_two_monitors(fake: FakeProc, roots: Roots, log: Log) -> None:
    """The second is refused; once the first closed, it may."""
    fake.process(9)
    first, second = (Vaddr(NamedProcesses([9], fake.root), roots) for _ in range(2))
    first.update([], log)
    with pytest.raises(TargetBusy, match=r"process 9 \(sleep\) is already watched"):
        second.update([], log)
    first.close()
    first.close()
    Vaddr(NamedProcesses([9], fake.root), roots).update([], log)


@pytest.mark.parametrize(
    ("pid", "error", "says"),
    [
        (0, UsageError, "0 is not a pid"),
        (-5, UsageError, "-5 is not a pid"),
        (4_000_000, TargetGone, "there is no process 4000000"),
        (2, UsageError, "kernel thread"),
        (3, TargetGone, "has ended"),
        (7, UsageError, "udamon itself"),
    ],
)
def test_pids_that_cannot_be_watched(fake: FakeProc, pid: int, error: type[Exception], says: str) -> None:
    fake.process(2, comm="kthreadd", flags=0x00208040)
    fake.process(3, state="Z")
    fake.process(7)
    with pytest.raises(error, match=says):
        NamedProcesses([pid], fake.root, exclude={7})


def test_a_thread_names_its_process(fake: FakeProc) -> None:
    """And a process named twice is one target."""
    process = fake.process(9)
    fake.process(10)
    status = fake.root / "10/status"
    status.write_text(status.read_text().replace("Tgid:\t10", "Tgid:\t9"))
    assert NamedProcesses([10, 9, 10], fake.root).processes() == [process]


def test_what_the_command_line_may_mean(fake: FakeProc) -> None:
    with pytest.raises(UsageError, match="no process to watch"):
        process_source(root=fake.root)
    with pytest.raises(UsageError, match="exclude each other"):
        process_source([1], cgroup="/x", root=fake.root)


def test_fvaddr_keeps_the_ranges_given(fake: FakeProc, roots: Roots, log: Log) -> None:
    fake.process(9)
    ops, targets = Fvaddr(NamedProcesses([9], fake.root), [Range(0x1800, 0x2001)], roots), list[Target]()
    ops.update(targets, log)
    ops.update(targets, log)
    assert targets[0].ranges == [Range(0x1000, 0x3000)]


@pytest.mark.parametrize(
    "ranges",
    [[], [(5, 5)], [(9, 5)], [(0, 4096), (0, 4096)], [(8192, 9000), (0, 10)], [(0, 1 << 64)], [(-1, 5)]],
)
def test_ranges_damon_refuses(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(RangesError):
        whole_pages([Range(*pair) for pair in ranges])


def test_fvaddr_refuses_what_no_process_can_have(fake: FakeProc, roots: Roots) -> None:
    """With a topmost byte that arm64's kernel leaves out, it would answer for memory at another address."""
    fake.process(9)
    for end in (1 << 56, (1 << 56) + 0x2000):
        source = NamedProcesses([9], fake.root)
        if end > 1 << 56:
            with pytest.raises(
                RangesError, match="0x100000000001000-0x100000000002000 is empty or no user memory"
            ):
                Fvaddr(source, [Range(end - 0x1000, end)], roots)
        else:
            Fvaddr(source, [Range(end - 0x1000, end)], roots)


def test_paddr(fake: FakeProc, roots: Roots, log: Log) -> None:
    """One target without a pid, valid for ever; one monitor of it at a time."""
    (fake.root / "iomem").write_text("00100000-001fffff : System RAM\n")
    ops, targets = Paddr(roots=roots), list[Target]()
    ops.update(targets, log)
    ops.update(targets, log)
    assert [(t.pid, t.ranges) for t in targets] == [(None, [Range(0x100000, 0x200000)])]
    assert (ops.valid(targets[0]), ops.expecting(), log.names()) == (True, False, ["target_start"])
    with pytest.raises(TargetBusy, match="physical memory"):
        Paddr(roots=roots).update([], log)
    ops.close()
    Paddr([Range(0, 4096)], roots).update([], log)


def test_opening(fake: FakeProc, roots: Roots) -> None:
    """Names and combinations, and those that make no sense."""
    fake.process(9)
    source = NamedProcesses([9], fake.root)
    assert open_ops("vaddr", source, roots=roots).name == "vaddr"
    assert open_ops("fvaddr", source, [Range(0, 4096)], roots).name == "fvaddr"
    paddr = open_ops("paddr", None, [Range(0, 4096)], roots)
    assert open_census("refs", open_ops("vaddr", source, roots=roots), roots).name == "refs"
    for bad in (
        lambda: open_ops("paddr", source, roots=roots),
        lambda: open_ops("vaddr", None, roots=roots),
        lambda: open_ops("vaddr", source, [Range(0, 1)], roots),
        lambda: open_ops("fvaddr", source, [], roots),
        lambda: open_ops("nonsense", source, roots=roots),
        lambda: open_census("refs", paddr, roots),
        lambda: open_census("idle", paddr, roots),
    ):
        with pytest.raises(UsageError):
            bad()


def test_more_targets_than_there_is_room_for(fake: FakeProc, roots: Roots, log: Log) -> None:
    """What fits is watched, the rest is told once, and comes in when there is room."""
    pids = list(range(10, 15))
    for pid in pids:
        fake.process(pid)
    ops, targets = Vaddr(NamedProcesses(pids, fake.root), roots), list[Target]()
    ops.hold(2)
    ops.update(targets, log)
    told = [data for name, data in log.take() if name == "note"]
    assert told == [
        {"text": f"2 of 5 watched: hard limit of open files {open_files.limit()}.", "urgent": True}
    ]
    ops.update(targets, log)
    assert log.take() == []
    fake.remove(10)
    ops.update(targets, log)
    ops.update(targets, log)
    assert [target.pid for target in targets] == [11, 12]
    ops.hold(9)
    ops.update(targets, log)
    assert [target.pid for target in targets] == [11, 12, 13, 14]


@pytest.mark.parametrize("with_children", [False, True])
def test_a_zombie_is_not_wanted(fake: FakeProc, with_children: bool) -> None:
    """It has no memory; it stays in /proc until its parent collects it, and must not be found anew at each look."""
    fake.process(9, start_time=100)
    source = process_source([9], with_children=with_children, root=fake.root)
    assert [process.pid for process in source.processes()] == [9]
    fake.process(9, start_time=100, state="Z")
    assert source.processes() == []


def test_a_target_that_ends_after_the_source_named_it_is_missed_once(
    fake: FakeProc, roots: Roots, log: Log
) -> None:
    """The source is asked first: a target may end before it is refreshed, and must not be begun again."""
    fake.process(9, start_time=100)

    class EndsWhenAsked(NamedProcesses):
        def processes(self) -> list[ProcessId]:
            wanted = super().processes()
            if ending:
                fake.remove(9)
            return wanted

    ending = False
    ops, targets = Vaddr(EndsWhenAsked([9], fake.root), roots), list[Target]()
    ops.update(targets, log)
    ending = True
    log.take()
    ops.update(targets, log)
    events = dict(log.take())
    assert events["target_end"]["why"] == "exited"
    assert (events["coverage"]["processes_seen"], events["coverage"]["processes_missed"]) == (0, 1)


class Family(ProcessFamilies):
    """A family whose forks a test tells; `calls` counts those that look through /proc."""

    def __init__(self, pids: list[int], root: Path, events: FakeEvents) -> None:
        super().__init__(pids, root)
        self._forks.close()
        self._forks = Forks(root, lambda: events)
        self.calls = 0

    def processes(self) -> list[ProcessId]:
        self.calls += 1
        return super().processes()


def test_a_fork_is_followed_between_two_updates(fake: FakeProc, roots: Roots, log: Log) -> None:
    """The child comes at once, and what it executes and maps until the next update is told, too."""
    events = FakeEvents()
    fake.process(9, start_time=100)
    source = Family([9], fake.root, events)
    ops, targets = Vaddr(source, roots), list[Target]()
    ops.update(targets, log)
    log.take()
    assert not ops.follow_forks(targets, log)
    fake.process(10, start_time=200)
    events.forks = [Fork(9, 10)]
    assert ops.follow_forks(targets, log)
    assert [name for name, _ in log.take()] == ["target_start", "mappings"]
    assert [(target.index, target.pid, target.ranges) for target in targets] == [
        (0, 9, THREE),
        (1, 10, THREE),
    ]
    assert not ops.follow_forks(targets, log)
    other = MAPS.replace("55d000031000", "55d000041000")
    fake.process(10, start_time=200, maps=other, code=0x560000000000)
    assert ops.follow_forks(targets, log)
    assert [name for name, _ in log.take()] == ["target_exec", "mappings"]
    assert targets[1].ranges != THREE
    fake.remove(10)
    assert ops.follow_forks(targets, log)
    assert [target.pid for target in targets] == [9]
    assert source.calls == 1


def test_a_child_in_the_middle_of_an_exec_is_tried_again(
    fake: FakeProc, roots: Roots, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its old memory is gone, and the new is not there yet: reading it fails, but the process lives."""
    events = FakeEvents()

    def executing(process: ProcessId, root: Path) -> list[bytes]:
        if process.pid == 10:
            raise ProcessLookupError
        return maps.read_raw_lines(process, root)

    fake.process(9, start_time=100)
    ops, targets = Vaddr(Family([9], fake.root, events), roots), list[Target]()
    ops.update(targets, log)
    fake.process(10, start_time=200)
    events.forks = [Fork(9, 10)]
    monkeypatch.setattr(tracker, "read_raw_lines", executing)
    ops.follow_forks(targets, log)
    assert [target.pid for target in targets] == [9]
    monkeypatch.setattr(tracker, "read_raw_lines", maps.read_raw_lines)
    ops.follow_forks(targets, log)
    assert [target.pid for target in targets] == [9, 10]


@pytest.mark.parametrize("stays", [True, False])
def test_a_child_that_ends_at_once_is_missed_once(
    fake: FakeProc, roots: Roots, log: Log, stays: bool
) -> None:
    """Before the look, or between the look and the next window."""
    events = FakeEvents()
    fake.process(9, start_time=100)
    ops, targets = Vaddr(Family([9], fake.root, events), roots), list[Target]()
    ops.update(targets, log)
    if stays:
        fake.process(10, start_time=200)
    events.forks = [Fork(9, 10)]
    ops.follow_forks(targets, log)
    if stays:
        fake.remove(10)
        ops.follow_forks(targets, log)
    log.take()
    ops.update(targets, log)
    coverage = dict(log.take())["coverage"]
    assert (coverage["processes_missed"], coverage["exact"]) == (1, True)
