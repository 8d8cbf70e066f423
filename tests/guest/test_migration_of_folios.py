"""Migration on two nodes: of large folios that are no huge pages, and of a process without its main thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker import MIB, Worker, working
from udamon.acting.vaddr import VaddrActor
from udamon.core.scheme import Action, ActionRequest, Destination
from udamon.linux.frame_files import FrameWords, folio_sizes
from udamon.linux.move_pages import nodes_of
from udamon.linux.procfs import memory_thread
from udamon.model import PAGE_SIZE, Range
from udamon.targets.processes import process_of

pytestmark = [
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=2, mem=1024, append="numa=fake=2"),
    pytest.mark.needs("root", "process_madvise", "pages_of_4k", "frame_numbers"),
]
THP = Path("/sys/kernel/mm/transparent_hugepage")
FRAME = (1 << 55) - 1


@pytest.fixture
def actor() -> Iterator[VaddrActor]:
    with contextlib.closing(VaddrActor()) as made:
        yield made


@contextlib.contextmanager
def only_of(kib: int) -> Iterator[None]:
    """Large folios of this size alone are given."""
    files = dict.fromkeys(THP.glob("hugepages-*kB/enabled"), "never")
    files[THP / f"hugepages-{kib}kB/enabled"] = "always"
    before = {file: file.read_text().split("[")[1].split("]")[0] for file in files}
    try:
        for file, word in files.items():
            file.write_text(word)
        yield
    finally:
        for file, word in before.items():
            file.write_text(word)


def nodes(worker: Worker, area: Range) -> list[int]:
    thread = memory_thread(process_of(worker.target()))
    return list(nodes_of(thread, range(area.start, area.end, PAGE_SIZE)))


@pytest.mark.parametrize("kib", [64, 1024])
def test_large_folios_come_to_rest(actor: VaddrActor, kib: int) -> None:
    """All of each is on one node, half of them on each, and no later pass moves any."""
    dests = (Destination(0, 1), Destination(1, 1))
    request = ActionRequest(Action.MIGRATE_HOT, dests=dests)
    with only_of(kib), working() as worker:
        area = worker.area("a", 8 * MIB, "anon")
        flags, frames = FrameWords("kpageflags"), [entry & FRAME for entry in worker.entries(area)]
        sizes = folio_sizes(flags, frames)
        flags.close()
        assert [sizes[frame] * PAGE_SIZE >> 10 for frame in frames].count(kib) >= len(frames) // 2
        before = nodes(worker, area)
        applied = actor.apply(worker.target(), *area, request)
        after = nodes(worker, area)
        assert applied.moved == PAGE_SIZE * sum(a != b for a, b in zip(before, after, strict=True)) > 0
        whole = kib * 1024 // PAGE_SIZE
        assert {len(set(after[at : at + whole])) for at in range(0, len(after), whole)} == {1}
        assert after.count(0) == after.count(1)
        for _ in range(2):
            assert actor.apply(worker.target(), *area, request).moved == 0
        assert worker.intact("a", area)


def test_a_process_without_its_main_thread(actor: VaddrActor) -> None:
    with working(main_ends=True) as worker:
        area = worker.area("m", 4 * MIB, "small")
        for node in (0, 1):
            away = sum(on != node for on in nodes(worker, area))
            applied = actor.apply(worker.target(), *area, ActionRequest(Action.MIGRATE_COLD, target_nid=node))
            assert applied.applied == applied.moved == away * PAGE_SIZE
            assert set(nodes(worker, area)) == {node}
        assert worker.intact("m", area)
