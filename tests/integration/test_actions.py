"""Actions on real processes, which are left unharmed. Without swap only memory of files can be paged out."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.memory import frames
from tests.guest.pages import entries
from tests.integration.worker import MIB, Worker, working
from udamon.acting.exclusions import Exclusions
from udamon.acting.paddr import PaddrActor
from udamon.acting.refaults import Refaults
from udamon.acting.vaddr import NO_SWAP, VaddrActor
from udamon.core.scheme import Action, ActionRequest, Bounds, Filter, FilterType
from udamon.core.target import Target
from udamon.linux import features
from udamon.linux.features import idle_bitmap
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined

pytestmark = pytest.mark.needs("root", "process_madvise")


@pytest.fixture
def worker() -> Iterator[Worker]:
    with working() as started:
        yield started


@pytest.fixture
def actor() -> Iterator[VaddrActor]:
    with contextlib.closing(VaddrActor(refaults=Refaults())) as made:
        yield made


def there(worker: Worker, area: Range) -> int:
    """Bytes present, read in the plainest way."""
    return sum(entry >> 63 for entry in entries(worker.pid, area)) * PAGE_SIZE


ENOUGH = 0.9
"""Pages that wait in a processor's batch for the LRU cannot be paged out: at most 31 a processor."""


def test_pageout_of_file_memory_moves_it_and_harms_nothing(worker: Worker, tmp_path: Path) -> None:
    refaults = Refaults()
    actor = VaddrActor(refaults=refaults)
    area = worker.area("f", 8 * MIB, "private", tmp_path / "f")
    assert actor.missing(ActionRequest(Action.PAGEOUT)) is None
    assert there(worker, area) == area.size
    applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
    gone = area.size - there(worker, area)
    assert applied.applied == area.size
    assert applied.moved == gone
    assert gone >= ENOUGH * area.size
    assert (refaults.look(), refaults.watched) == (0, gone)
    assert worker.intact("f", area)
    assert refaults.look() == gone == refaults.bytes
    assert refaults.watched == 0
    actor.close()


@pytest.mark.parametrize("action", [Action.COLD, Action.LRU_DEPRIO])
def test_holes_between_pages_are_not_counted_as_advised(
    worker: Worker, actor: VaddrActor, action: Action
) -> None:
    """They are advised with the pages around them: 4 MiB of every 8th page were told as 32 MiB."""
    area = worker.area("h", 8 * MIB, "small")
    for page in range(0, area.size // PAGE_SIZE, 8):
        worker.tell("drop", "h", page, page + 7)
    before = there(worker, area)
    assert 0 < before <= area.size // 8
    assert actor.apply(worker.target(), *area, ActionRequest(action)).applied == before


@pytest.mark.parametrize("action", [Action.COLD, Action.LRU_DEPRIO, Action.WILLNEED])
def test_advice_that_moves_nothing(worker: Worker, actor: VaddrActor, action: Action) -> None:
    area = worker.area("a", 8 * MIB, "anon")
    assert actor.missing(ActionRequest(action)) is None
    applied = actor.apply(worker.target(), *area, ActionRequest(action))
    assert applied.applied == area.size
    assert applied.moved is None
    assert worker.intact("a", area)


@pytest.mark.skipif(features.has_swap(), reason="this machine has swap")
def test_without_swap_anonymous_memory_is_not_advised(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("a", 4 * MIB, "anon")
    for _ in range(3):  # as passes do
        applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
        assert (applied.applied, applied.passed, applied.moved) == (0, area.size, 0)
    assert actor.left == Counter({NO_SWAP: area.size}), "and it says why"
    assert actor.apply(worker.target(), *area, ActionRequest(Action.COLD)).applied == area.size


def test_executable_locked_and_shared_memory_is_left_unless_asked_for(
    worker: Worker, actor: VaddrActor, tmp_path: Path
) -> None:
    text = worker.area("t", 2 * MIB, "text", tmp_path / "t")
    locked = worker.area("l", 2 * MIB, "private", tmp_path / "l")
    assert worker.tell("lock", "l") == "0"
    shared, child = worker.area("s", 2 * MIB, "anon"), int(worker.tell("fork"))
    for area in (text, locked, text, locked):
        applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
        assert (applied.applied, applied.moved or 0) == (0, 0)
    assert (actor.left["text"], actor.left["locked"]) == (text.size, locked.size)
    for _ in range(2):
        applied = actor.apply(worker.target(), *shared, ActionRequest(Action.PAGEOUT))
        assert (applied.applied, actor.left["shared"]) == (0, shared.size)
    bold = VaddrActor(exclusions=Exclusions(locked=False, shared=False, text=False))
    assert (
        bold.apply(worker.target(), *text, ActionRequest(Action.PAGEOUT)).moved or 0
    ) >= ENOUGH * text.size
    applied = bold.apply(worker.target(), *locked, ActionRequest(Action.PAGEOUT))
    assert (applied.applied, applied.moved) == (0, 0), "the kernel itself leaves locked memory"
    assert bold.apply(worker.target(), *shared, ActionRequest(Action.COLD)).applied == shared.size
    bold.close()
    os.kill(child, signal.SIGKILL)


def test_a_target_that_is_gone_is_no_bytes(worker: Worker, actor: VaddrActor, tmp_path: Path) -> None:
    area = worker.area("f", 2 * MIB, "private", tmp_path / "f")
    target = worker.target()
    assert actor.apply(target, *area, ActionRequest(Action.PAGEOUT)).applied == area.size
    worker.end()
    for action in (Action.PAGEOUT, Action.COLD, Action.WILLNEED):
        assert actor.apply(target, *area, ActionRequest(action)) == (0, 0, None)


def by(type: FilterType, **more: object) -> ActionRequest:
    """Count the pages that are of this type."""
    filter = Filter(type, matching=True, allow=True, **more)  # type: ignore[arg-type]
    return ActionRequest(Action.STAT, (filter,), pages_allowed_by_default=False)


@pytest.mark.needs("frame_numbers", "thp")
def test_folios_are_told_by_their_size(worker: Worker, actor: VaddrActor) -> None:
    small, huge = worker.area("s", 4 * MIB, "anon"), worker.area("h", 4 * MIB, "anon")
    worker.tell("advise", "s", 15)
    if actor.apply(worker.target(), *huge, ActionRequest(Action.COLLAPSE)).applied != huge.size:
        pytest.skip("the kernel had no huge pages to give")
    wanted = by(FilterType.HUGEPAGE_SIZE, size=Bounds(2 * MIB, 2 * MIB))
    assert actor.missing(wanted) is None
    assert actor.apply(worker.target(), *huge, wanted) == (0, huge.size, None)
    assert actor.apply(worker.target(), *small, wanted) == (0, 0, None)
    assert worker.intact("h", huge)


@pytest.mark.needs("frame_numbers")
def test_pages_are_told_by_their_cgroup(worker: Worker, actor: VaddrActor) -> None:
    lines = [line.split(":", 2) for line in Path(f"/proc/{worker.pid}/cgroup").read_text().splitlines()]
    mine = next((path for _, names, path in lines if "memory" in names.split(",")), None) or next(
        (path for number, _, path in lines if number == "0"), "/"
    )
    area = worker.area("a", 2 * MIB, "anon")
    wanted = by(FilterType.MEMCG, memcg_path=mine)
    if (why := actor.missing(wanted)) is not None:
        pytest.skip(why)
    assert actor.apply(worker.target(), *area, wanted).passed == area.size
    assert actor.missing(by(FilterType.MEMCG, memcg_path="/there-is-none")) is not None


@pytest.mark.needs("frame_numbers")
def test_physical_memory_through_the_process_that_maps_it(worker: Worker, tmp_path: Path) -> None:
    """Exactly the frames of a child process. Compaction may move pages to other frames before they are acted on; those
    are no longer in the ranges."""
    area = worker.area("f", 4 * MIB, "private", tmp_path / "f")
    before = frames(worker.pid, area)
    ranges = joined(sorted(Range(f * PAGE_SIZE, (f + 1) * PAGE_SIZE) for f in before))
    wanted = ActionRequest(Action.PAGEOUT, (Filter(FilterType.YOUNG),) if idle_bitmap() == "open" else ())
    actor = PaddrActor()
    assert actor.missing(wanted) is None
    moved = sum(actor.apply(Target(0), *r, wanted).moved or 0 for r in ranges)
    pairs = zip(before, frames(worker.pid, area), strict=True)
    elsewhere = sum(now not in (0, frame) for frame, now in pairs) * PAGE_SIZE
    assert moved == area.size - there(worker, area)
    assert moved >= ENOUGH * (area.size - elsewhere)
    assert actor.left["out of reach"] <= elsewhere
    assert worker.intact("f", area)
    actor.close()
