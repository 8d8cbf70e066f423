"""Schemes put to work: held by the governor, on a cgroup as a whole, and as a dry run, on a simulated kdamond."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.unit.modules.test_stat import snapshot
from udamon.acting.base import Applied, Tried
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, ActionRequest, Filter
from udamon.core.target import Target
from udamon.engine.acting import ResetAges
from udamon.errors import NotPermitted, NotSupported
from udamon.linux.cgroup import memory as cgroup_memory
from udamon.linux.cgroup.memory import Reclaimed, read_reclaimed
from udamon.linux.procfs import read_stat
from udamon.model import PAGE_SIZE, Emit, Snapshot
from udamon.modules.action_backends import DryRunBackend, backend_for
from udamon.modules.cgroup_reclaim import CgroupActor
from udamon.modules.dry_run import DryActor
from udamon.modules.held import HeldSchemes
from udamon.modules.work import LOOK_NS, RefaultWatch

PAGES = 16
SIZE = PAGES * PAGE_SIZE
PAGEOUT = ActionRequest(Action.PAGEOUT)


class FakeActing:
    """Counts passes; always due."""

    def __init__(self) -> None:
        self.passes = 0
        self.closed = False

    def start(self, attrs: Attrs, emit: Emit) -> None: ...

    def change(self, attrs: Attrs, sis: int) -> None: ...

    def wait_us(self) -> int:
        return 7

    def next_due(self) -> int | None:
        return 3

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        self.passes += 1
        return [ResetAges(Target(0), 0, 4096)]

    def finish(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_schemes_that_are_held_try_nothing_and_are_due_when_they_may() -> None:
    why = [""]
    acting = FakeActing()
    held = HeldSchemes(acting, lambda: why[0])
    assert len(held.apply([], 3, lambda target: True)) == 1
    why[0] = "too many faults"
    assert held.apply([], 6, lambda target: True) == ()
    assert (held.why, held.next_due(), held.wait_us()) == ("too many faults", None, 7)
    assert acting.passes == 1
    why[0] = ""
    assert len(held.apply([], 9, lambda target: True)) == 1
    assert (held.why, held.next_due()) == ("", 3)
    held.close()
    assert acting.closed


@pytest.fixture
def own_memory() -> object:
    """Half of it is in memory."""
    area = mmap.mmap(-1, SIZE)
    area[: SIZE // 2] = b"x" * (SIZE // 2)
    return area


def address_of(area: object) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(area))  # type: ignore[arg-type]


def own_target() -> Target:
    return Target(0, os.getpid(), read_stat(os.getpid()).start_time)


def test_a_dry_run_does_nothing_and_knows_what_is_there(own_memory: object) -> None:
    start = address_of(own_memory)
    actor, nothing = DryActor(), Tried(0, SIZE)
    assert actor.missing(ActionRequest(Action.LRU_PRIO)) is None
    assert actor.resident_bytes is None
    assert actor.apply(own_target(), start, start + SIZE, PAGEOUT) == nothing
    assert actor.resident_bytes == SIZE // 2
    assert actor.apply(own_target(), start, start + SIZE, PAGEOUT) == nothing
    assert actor.resident_bytes == SIZE // 2, "the same memory once more"
    assert actor.apply(Target(1, own_target().pid, 1), start, start + SIZE, PAGEOUT) == nothing
    assert actor.resident_bytes == SIZE // 2, "that process has ended"


class FakeCgroup:
    """A directory with memory.stat and memory.reclaim; what is asked for is granted up to `most` bytes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.directory = directory
        self.asked: list[int] = []
        self._most = most
        self._stolen = 100
        self._write()
        monkeypatch.setattr(cgroup_memory, "reclaim", self._reclaim)

    def _write(self) -> None:
        text = f"anon 1\npgsteal {self._stolen}\nworkingset_refault_anon 3\nworkingset_refault_file 4\n"
        (self.directory / "memory.stat").write_text(text)

    def _reclaim(self, directory: Path, size: int) -> bool:
        assert directory == self.directory
        self.asked.append(size)
        self._stolen += min(size, self._most) // PAGE_SIZE
        self._write()
        return size <= self._most


def test_what_a_cgroup_lost_and_took_back(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text("pgsteal 5\nworkingset_refault_anon 3\nworkingset_refault_file 4\n")
    assert read_reclaimed(tmp_path) == Reclaimed(5 * PAGE_SIZE, 7 * PAGE_SIZE)


def test_a_cgroup_is_asked_for_what_is_in_memory(
    own_memory: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = address_of(own_memory)
    cgroup = FakeCgroup(tmp_path, monkeypatch, most=SIZE)
    actor = CgroupActor(tmp_path)
    try:
        half = SIZE // 2
        assert actor.apply(own_target(), start, start + SIZE, PAGEOUT) == Applied(half, half, half)
        assert actor.apply(own_target(), start + half, start + SIZE, PAGEOUT) == Applied(0, 0, 0)
        assert cgroup.asked == [half], "nothing is there of the second half, so nothing is asked"
    finally:
        actor.close()


def test_a_cgroup_that_gives_less_is_accounted_with_what_it_gave(
    own_memory: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = address_of(own_memory)
    FakeCgroup(tmp_path, monkeypatch, most=3 * PAGE_SIZE)
    actor = CgroupActor(tmp_path)
    given = 3 * PAGE_SIZE
    assert actor.apply(own_target(), start, start + SIZE, PAGEOUT) == Applied(given, SIZE // 2, given)
    actor.close()


def test_a_cgroup_that_was_removed_or_is_forbidden(
    own_memory: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = address_of(own_memory)
    actor = CgroupActor(tmp_path / "gone")
    assert actor.apply(own_target(), start, start + SIZE, PAGEOUT) == Applied(0, 0, 0)

    def refuse(directory: Path, size: int) -> bool:
        raise PermissionError(13, "Permission denied", "memory.reclaim")

    FakeCgroup(tmp_path, monkeypatch, most=0)
    monkeypatch.setattr(cgroup_memory, "reclaim", refuse)
    actor = CgroupActor(tmp_path)
    with pytest.raises(NotPermitted, match="run udamon as root"):
        actor.apply(own_target(), start, start + SIZE, PAGEOUT)
    actor.close()


def test_a_cgroup_knows_pageout_alone(tmp_path: Path) -> None:
    actor = CgroupActor(tmp_path)
    assert actor.missing(PAGEOUT) is None
    assert "knows no cold" in str(actor.missing(ActionRequest(Action.COLD)))
    assert "knows no filters of pages" in str(actor.missing(ActionRequest(Action.PAGEOUT, (Filter(),))))


def test_refaults_are_looked_for_once_a_second_at_most() -> None:
    now, looks = [0], []
    backend = DryRunBackend()
    backend.look = lambda: looks.append(now[0])  # type: ignore[method-assign]
    watch = RefaultWatch(backend, lambda: now[0])
    one: Snapshot = snapshot((4096, 0, 0))
    for now[0] in range(0, 3 * LOOK_NS + 1, LOOK_NS // 10):
        watch.snapshot(one)
    assert looks == [LOOK_NS, 2 * LOOK_NS, 3 * LOOK_NS]


def test_what_cannot_be_acted_on_can_be_dry() -> None:
    assert isinstance(backend_for("sim", dry=True), DryRunBackend)
    with pytest.raises(NotSupported, match="fake cannot be acted on"):
        backend_for("fake")
