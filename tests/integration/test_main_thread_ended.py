"""Actions on a process whose main thread has ended while another goes on: by its number the kernel takes no advice."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.recorder import udamon
from tests.integration.worker import MIB, Worker, working
from udamon.acting import migrating
from udamon.acting.paddr import PaddrActor
from udamon.acting.reasons import EXPLAINED, MAIN_ENDED
from udamon.acting.vaddr import VaddrActor
from udamon.core.scheme import Action, ActionRequest
from udamon.core.target import Target
from udamon.linux import move_pages
from udamon.linux.procfs import memory_thread
from udamon.linux.residency import resident
from udamon.model import PAGE_SIZE
from udamon.ranges import total
from udamon.targets.processes import process_of

pytestmark = pytest.mark.needs("root", "process_madvise")


@pytest.fixture
def worker() -> Iterator[Worker]:
    with working(main_ends=True) as started:
        yield started


@pytest.fixture
def actor() -> Iterator[VaddrActor]:
    with contextlib.closing(VaddrActor()) as made:
        yield made


@pytest.mark.parametrize(
    ("action", "kind", "moved"),
    [
        (Action.PAGEOUT, "private", 0),
        (Action.COLD, "small", None),
        (Action.LRU_DEPRIO, "small", None),
        (Action.WILLNEED, "small", None),
        (Action.COLLAPSE, "small", 0),
    ],
)
def test_advice_is_refused_and_counted_once(
    worker: Worker, actor: VaddrActor, tmp_path: Path, action: Action, kind: str, moved: int | None
) -> None:
    area = worker.area("a", 4 * MIB, kind, tmp_path / "a")
    target = worker.target()
    for _ in range(3):  # as passes do
        applied = actor.apply(target, *area, ActionRequest(action))
        assert (applied.applied, applied.moved) == (0, moved)
        assert actor.left == Counter({MAIN_ENDED: area.size}), "and it says why"
    assert total(resident(process_of(target), [area])) == area.size
    assert worker.intact("a", area)


def test_holes_between_pages_are_not_counted_as_left(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("h", 8 * MIB, "small")
    for page in range(0, area.size // PAGE_SIZE, 8):
        worker.tell("drop", "h", page, page + 7)
    there = total(resident(process_of(worker.target()), [area]))
    assert 0 < there <= area.size // 8
    assert actor.apply(worker.target(), *area, ActionRequest(Action.COLD)).passed == area.size
    assert actor.left == Counter({MAIN_ENDED: there})


def test_a_main_thread_that_ends_later(actor: VaddrActor, tmp_path: Path) -> None:
    """What was open of the process goes on being looked at."""
    with working() as worker:
        area = worker.area("a", 2 * MIB, "small")
        target = worker.target()
        assert actor.apply(target, *area, ActionRequest(Action.COLD)).applied == area.size
        worker.end_main_thread()
        assert actor.apply(target, *area, ActionRequest(Action.COLD)).applied == 0
        assert actor.left == Counter({MAIN_ENDED: area.size})


def test_pages_are_moved_by_the_number_of_a_living_thread(
    worker: Worker, actor: VaddrActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on machines with a single node it is asked where they are."""
    asked = []

    def nodes_of(tid: int, pages: Sequence[int]) -> array[int]:
        answer = move_pages.nodes_of(tid, pages)
        asked.append((tid, len(answer), min(answer) >= 0))
        return answer

    monkeypatch.setattr(migrating, "nodes_of", nodes_of)
    area = worker.area("m", 1 * MIB, "small")
    actor.apply(worker.target(), *area, ActionRequest(Action.MIGRATE_COLD, target_nid=0))
    thread = memory_thread(process_of(worker.target()))
    assert thread != worker.pid
    assert (thread, area.size // PAGE_SIZE, True) in asked
    assert not actor.left.total()


@pytest.mark.needs("frame_numbers")
def test_physical_memory_counts_it_too(worker: Worker) -> None:
    area = worker.area("a", 2 * MIB, "small")
    with contextlib.closing(PaddrActor()) as actor:
        frames = [entry & (1 << 55) - 1 for entry in worker.entries(area)]
        for frame in frames:
            actor.apply(
                Target(0), frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE, ActionRequest(Action.LRU_DEPRIO)
            )
        assert 0 < actor.left[MAIN_ENDED] <= area.size


@pytest.mark.needs("clear_refs")
def test_the_command_says_why(worker: Worker, tmp_path: Path) -> None:
    area = worker.area("f", 8 * MIB, "private", tmp_path / "f")
    done = udamon(
        "schemes", "-p", worker.pid, "--apply", "--action", "pageout", "--max-accesses", "0%",
        "--via", "refs", "--aggr", "400ms", "--no-quota", "--duration", "3s", "--json",
    )  # fmt: skip
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left_bytes"][MAIN_ENDED] >= area.size
    assert (found["advised_bytes"], found["moved_bytes"]) == (0, 0)
    assert EXPLAINED[MAIN_ENDED] in done.stderr
    assert worker.intact("f", area)
