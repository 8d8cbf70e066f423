"""The kernel's list of targets kept in step with ours, against a DAMON that keeps its list as the kernel does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.engine.interval_stretch import GOAL
from udamon.engine.kernel.context import RESTART_NOTE, KernelContext
from udamon.errors import CannotError, NotSupported
from udamon.linux.damon_tree import Setting
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.model import Range

CONTEXT = "contexts/0"


class FakeDamon:
    """Claim and tree in one. `listed` are the pids that the running kdamond watches; `dead` ones it refuses."""

    def __init__(self, *, obsolete: bool = True, commits: bool = True, goal: bool = True) -> None:
        self.tree = self
        self.files = {
            f"{CONTEXT}/avail_operations": "vaddr fvaddr paddr",
            f"{CONTEXT}/schemes/0/tried_regions": "",
        }
        self.obsolete, self.commits = obsolete, commits
        if goal:
            self.files[f"{CONTEXT}/monitoring_attrs/intervals/intervals_goal"] = ""
        self.listed: list[int] = []
        self.dead: set[int] = set()
        self.on = False
        self.log: list[str] = []

    def take(self) -> None:
        self.log.append("take")

    def release(self) -> None:
        self.log.append("release")

    def owns_kdamond(self) -> bool:
        return True

    def set_up(self, settings: Iterable[Setting]) -> None:
        for path, value in settings:
            if path.endswith("nr_targets"):
                self.files = {p: v for p, v in self.files.items() if "/targets/" not in p}
            self.files[path] = value

    def has(self, path: str) -> bool:
        return self.obsolete if path.endswith("obsolete_target") else path in self.files

    def read(self, path: str) -> str:
        return self.files[path]

    def _written(self) -> list[tuple[int, bool]]:
        count = int(self.files[f"{CONTEXT}/targets/nr_targets"])
        targets = [f"{CONTEXT}/targets/{n}" for n in range(count)]
        pids = [int(self.files[f"{t}/pid_target"]) for t in targets]
        if self.dead & set(pids):
            raise OSError(22, "Invalid argument")
        return [(pid, f"{t}/obsolete_target" in self.files) for pid, t in zip(pids, targets, strict=True)]

    def start(self) -> ProcessId:
        self.log.append("start")
        try:
            self.listed = [pid for pid, _ in self._written()]
        except OSError as error:
            raise CannotError("in-kernel DAMON could not be started.") from error
        self.on = True
        return ProcessId(1, 1)

    def command(self, keyword: str, settings: Iterable[Setting] = ()) -> None:
        assert keyword == "commit"
        if not self.commits:
            raise OSError(22, "Invalid argument")
        self.set_up(settings)
        written = self._written()
        self.log.append("commit")
        for position, (pid, obsolete) in enumerate(written):
            if position >= len(self.listed):
                self.listed.append(pid)
            elif not obsolete:
                assert self.listed[position] == pid, "the kernel would go on with another process's regions"
        kept = [obsolete for _, obsolete in written]
        self.listed = [pid for pid, gone in zip(self.listed, kept, strict=True) if not gone]

    def turn_off(self) -> None:
        self.on = False
        self.log.append("off")


def context(damon: FakeDamon, ops: str = "vaddr") -> KernelContext:
    made = KernelContext(ops, Roots(Path("/nowhere"), Path("/nowhere")))
    made._claim = made.schemes._claim = damon  # type: ignore[assignment]
    return made


def opened(damon: FakeDamon, *pids: int) -> tuple[KernelContext, list[Target]]:
    made = context(damon)
    made.open(Attrs())
    targets = [Target(n, pid) for n, pid in enumerate(pids)]
    made.start(targets)
    damon.log.clear()
    return made, targets


def in_step(made: KernelContext, damon: FakeDamon, targets: list[Target]) -> bool:
    return damon.listed == [t.pid for t in made.positions] == [t.pid for t in targets]


def test_targets_come_and_go_while_it_runs() -> None:
    damon = FakeDamon()
    made, targets = opened(damon, 10, 11, 12)
    targets.append(Target(3, 13))
    assert made.follow(targets) is None
    assert in_step(made, damon, targets)
    damon.dead.add(11)
    del targets[1]
    targets.append(Target(4, 14))
    assert made.follow(targets) is None
    assert in_step(made, damon, targets)
    assert made.target_at(1) is targets[1]
    assert made.target_at(9) is None
    assert damon.log == ["commit", "commit"]
    assert made.follow(targets) is None
    assert damon.log == ["commit", "commit"], "nothing changed, nothing is written"


def test_without_removal_the_dead_stay_until_somebody_comes() -> None:
    damon = FakeDamon(obsolete=False)
    made, targets = opened(damon, 10, 11)
    gone = targets.pop(0)
    damon.dead.add(10)
    assert made.follow(targets) is None
    assert damon.log == []
    assert made.target_at(0) is gone
    targets.append(Target(2, 12))
    assert made.follow(targets) == RESTART_NOTE
    assert damon.log == ["off", "start"]
    assert in_step(made, damon, targets)


def test_a_kernel_that_cannot_commit_is_begun_anew() -> None:
    damon = FakeDamon(commits=False)
    made, targets = opened(damon, 10)
    targets.append(Target(1, 11))
    assert made.follow(targets) == RESTART_NOTE
    assert in_step(made, damon, targets)


def test_it_starts_again_when_all_had_ended() -> None:
    damon = FakeDamon()
    made, _ = opened(damon, 10)
    damon.on = False
    assert made.follow([]) is None
    assert damon.log == []
    later = [Target(1, 11)]
    assert made.follow(later) is None
    assert in_step(made, damon, later)


def test_one_that_ends_while_it_is_listed_is_left_out_next_time() -> None:
    damon = FakeDamon()
    made, targets = opened(damon, 10)
    targets.append(Target(1, 11))
    damon.dead.add(11)
    with pytest.raises(CannotError):
        made.follow(targets)
    assert made.positions == []
    targets.pop()
    assert made.follow(targets) is None
    assert in_step(made, damon, targets)


def test_what_the_kernel_lacks() -> None:
    damon = FakeDamon(goal=False)
    attrs = context(damon).open(Attrs(goal=GOAL))
    assert attrs.goal.aggrs == 0
    damon.files[f"{CONTEXT}/avail_operations"] = "paddr"
    with pytest.raises(NotSupported, match="watches paddr and not vaddr.*CONFIG_DAMON_VADDR"):
        context(damon).open(Attrs())
    damon = FakeDamon()
    del damon.files[f"{CONTEXT}/schemes/0/tried_regions"]
    with pytest.raises(NotSupported, match="no tried_regions; mount tracefs"):
        context(damon).open(Attrs())


def test_ranges_are_given_to_all_but_vaddr() -> None:
    damon = FakeDamon()
    made = context(damon, "fvaddr")
    made.open(Attrs())
    made.start([Target(0, 10, ranges=[Range(4096, 8192)])])
    assert damon.files[f"{CONTEXT}/targets/0/regions/0/end"] == "8192"


def test_damon_is_given_back_even_where_tracing_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    damon = FakeDamon()
    made, _ = opened(damon, 10)

    def close() -> None:
        raise OSError(16, "Device or resource busy", "/sys/kernel/tracing/instances/udamon-1")

    monkeypatch.setattr(made.source, "close", close)
    with pytest.raises(CannotError, match="could not be removed: .*busy.* rmdir /sys/.*/udamon-1"):
        made.close()
    assert damon.log == ["off", "release"]
