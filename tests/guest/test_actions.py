"""Actions on real kernels with swap and two NUMA nodes: what moves, what is left, and whether the accounts agree."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.pages import entries
from tests.integration.privileged import as_user_with
from tests.integration.worker import MIB, Worker, working
from tests.waiting import until
from udamon.acting.paddr import PaddrActor
from udamon.acting.page_filters import PageFilters
from udamon.acting.refaults import Refaults
from udamon.acting.vaddr import VaddrActor
from udamon.availability.primitives import probe
from udamon.core.scheme import Action, ActionRequest, Destination, Filter, FilterType, Goal, GoalMetric
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.cgroup.memory import lru_bytes
from udamon.linux.features import idle_bitmap
from udamon.linux.move_pages import nodes_of
from udamon.linux.procfs import read_stat
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined
from udamon.scheme_metrics.machine import MachineMetrics

pytestmark = [
    pytest.mark.guest_arm64,
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=2, mem=1024, append="numa=fake=2"),
    pytest.mark.needs(
        "root", "process_madvise", "pages_of_4k"
    ),  # counted in these, and in huge pages of 2 MiB
]

SWAPPED, PRESENT, FRAME = 1 << 62, 1 << 63, (1 << 55) - 1
COLLAPSE = 25


@pytest.fixture
def worker() -> Iterator[Worker]:
    with working() as started:
        yield started


@pytest.fixture
def actor() -> Iterator[VaddrActor]:
    with contextlib.closing(VaddrActor(refaults=Refaults())) as made:
        yield made


def count(worker: Worker, area: Range, bit: int) -> int:
    """Bytes of the area whose page-map entry has this bit: the truth, read in the plainest way."""
    return sum(bool(entry & bit) for entry in entries(worker.pid, area)) * PAGE_SIZE


@pytest.mark.guest_version
def test_pageout_moves_anonymous_memory_and_knows_how_much(worker: Worker, swap: None) -> None:
    refaults = Refaults()
    area = worker.area("a", 16 * MIB, "small")
    with contextlib.closing(VaddrActor(refaults=refaults)) as actor:
        before = count(worker, area, PRESENT)
        applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
        gone = before - count(worker, area, PRESENT)
        assert applied.applied == area.size
        assert applied.moved == gone == count(worker, area, SWAPPED)
        assert gone >= 0.95 * area.size
        assert refaults.watched == gone
        assert worker.intact("a", area), "which brings all of it back"
        assert refaults.look() == gone
        assert actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT)).moved == area.size - count(
            worker, area, PRESENT
        )


def test_holes_cost_nothing_but_themselves(worker: Worker, actor: VaddrActor, swap: None) -> None:
    """Unmapped before the mappings were read, and after: then the kernel meets the hole first."""
    area = worker.area("a", 8 * MIB, "small")
    worker.tell("unmap", "a", 100, 110)
    actor.apply(
        worker.target(), area.start, area.start, ActionRequest(Action.COLD)
    )  # the mappings are known from here on
    worker.tell("unmap", "a", 1000, 1010)
    applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
    assert applied.moved == count(worker, area, SWAPPED)
    assert (applied.moved or 0) >= 0.95 * (area.size - 20 * PAGE_SIZE)
    assert applied.applied >= applied.moved


def test_locked_memory_is_left(worker: Worker, actor: VaddrActor, swap: None) -> None:
    area = worker.area("l", 4 * MIB, "small")
    assert worker.tell("lock", "l") == "0"
    assert actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT)).applied == 0
    assert actor.left["locked"] == area.size
    assert count(worker, area, SWAPPED) == 0


def test_pages_that_a_child_still_shares_are_left(worker: Worker, actor: VaddrActor, swap: None) -> None:
    area = worker.area("s", 4 * MIB, "small")
    worker.tell("fork")
    assert actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT)).applied == 0
    assert actor.left["shared"] == area.size


@pytest.mark.guest_version
def test_anonymous_and_file_memory_by_filter(worker: Worker, actor: VaddrActor, swap: None) -> None:
    anon, file = (
        worker.area("a", 2 * MIB, "small"),
        worker.area("f", 2 * MIB, "private", Path("/run/udamon-f")),
    )
    no_anon = ActionRequest(Action.PAGEOUT, (Filter(FilterType.ANON, matching=True),))
    assert actor.apply(worker.target(), *anon, no_anon) == (0, 0, 0)
    no_file = ActionRequest(Action.PAGEOUT, (Filter(FilterType.ANON, matching=False),))
    assert actor.apply(worker.target(), *file, no_file) == (0, 0, 0)
    assert actor.apply(worker.target(), *anon, no_file).passed == anon.size
    assert actor.left["filtered"] == 4 * MIB


def test_more_than_swap_has_room_for(worker: Worker, actor: VaddrActor, swap: None) -> None:
    """128 MiB of zram take 128 MiB of pages: the rest is advised, does not move, and is not counted."""
    area = worker.area("big", 160 * MIB, "fill")
    applied = actor.apply(worker.target(), *area, ActionRequest(Action.PAGEOUT))
    out = count(worker, area, SWAPPED)
    assert applied.applied == area.size
    assert applied.moved == out
    assert 0 < out <= 128 * MIB


def test_a_target_that_is_killed_meanwhile(worker: Worker, actor: VaddrActor, swap: None) -> None:
    area = worker.area("a", 64 * MIB, "small")
    target = worker.target()
    timer = threading.Timer(0.2, worker.end)
    timer.start()
    for _ in range(20):
        applied = actor.apply(target, *area, ActionRequest(Action.PAGEOUT))
        assert 0 <= (applied.moved or 0) <= area.size
        if not applied.applied:
            break
    timer.join()
    assert actor.apply(target, *area, ActionRequest(Action.PAGEOUT)) == (0, 0, None)


def test_an_address_space_that_was_replaced_is_not_acted_on(
    worker: Worker, actor: VaddrActor, swap: None
) -> None:
    area = worker.area("a", 4 * MIB, "small")
    target = worker.target()
    actor.apply(target, area.start, area.start, ActionRequest(Action.COLD))
    before = read_stat(worker.pid).start_stack
    worker.tell("exec")
    until(lambda: read_stat(worker.pid).start_stack != before)
    applied = actor.apply(target, *area, ActionRequest(Action.PAGEOUT))
    assert (applied.applied, applied.moved or 0) == (0, 0)


@pytest.mark.guest_version
@pytest.mark.needs("thp")
def test_collapse_makes_huge_pages_of_private_memory(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("h", 8 * MIB, "anon")
    applied = actor.apply(worker.target(), area.start + PAGE_SIZE, area.end, ActionRequest(Action.COLLAPSE))
    assert applied.applied == 6 * MIB, "the first huge page is not whole"
    assert worker.intact("h", area)
    smaps = (Path("/proc") / str(worker.pid) / "smaps").read_text()
    huge = sum(int(line.split()[1]) << 10 for line in smaps.splitlines() if line.startswith("AnonHugePages"))
    assert huge >= 6 * MIB
    assert applied.moved is None or applied.moved <= 6 * MIB


def on_node(worker: Worker, area: Range) -> dict[int, int]:
    """Pages by node, minus an errno for those that are not there."""
    found: dict[int, int] = {}
    for node in nodes_of(worker.pid, range(area.start, area.end, PAGE_SIZE)):
        found[node] = found.get(node, 0) + 1
    return found


@pytest.mark.guest_version
@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("action", [Action.MIGRATE_HOT, Action.MIGRATE_COLD])
def test_migration_to_a_node(worker: Worker, actor: VaddrActor, node: int, action: Action) -> None:
    area = worker.area("m", 4 * MIB, "small")
    request = ActionRequest(action, target_nid=node)
    assert actor.missing(request) is None
    away = area.size // PAGE_SIZE - on_node(worker, area).get(node, 0)
    applied = actor.apply(worker.target(), *area, request)
    assert applied.moved == applied.applied == away * PAGE_SIZE
    assert on_node(worker, area) == {node: area.size // PAGE_SIZE}
    assert worker.intact("m", area)
    assert actor.apply(worker.target(), *area, request).moved == 0, "pages already there are not counted"


def test_migration_by_weights(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("w", 4 * MIB, "small")
    actor.apply(
        worker.target(),
        *area,
        ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 1), Destination(1, 3))),
    )
    assert on_node(worker, area) == {0: 256, 1: 768}
    assert (
        actor.apply(
            worker.target(), *area, ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 0),))
        ).moved
        == 0
    )


def test_migration_to_no_node(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("n", 1 * MIB, "small")
    request = ActionRequest(Action.MIGRATE_COLD, target_nid=7)
    assert "no node 7" in (actor.missing(request) or "")
    assert actor.apply(worker.target(), *area, request) == (0, area.size, 0)


@pytest.mark.guest_version
def test_migration_of_huge_pages(worker: Worker, actor: VaddrActor) -> None:
    area = worker.area("h", 8 * MIB, "anon")
    assert worker.tell("advise", "h", COLLAPSE) == "0"
    pages = range(area.start, area.end, PAGE_SIZE)
    before = nodes_of(worker.pid, pages)
    dests = (Destination(0, 1), Destination(1, 1))
    applied = actor.apply(worker.target(), *area, ActionRequest(Action.MIGRATE_HOT, dests=dests))
    after = nodes_of(worker.pid, pages)
    # A node without as much memory in one piece takes none: then a huge page stays where it is, and does not count.
    wholes = [set(after[at : at + 512]) for at in range(0, 2048, 512)]
    assert all(len(nodes) == 1 and nodes <= {0, 1} for nodes in wholes), "a huge page moves as one"
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert applied.moved == moved * PAGE_SIZE
    assert worker.intact("h", area)


def free_on(node: int) -> int:
    text = Path(f"/sys/devices/system/node/node{node}/meminfo").read_text()
    return next(int(line.split()[3]) << 10 for line in text.splitlines() if "MemFree:" in line)


@contextlib.contextmanager
def without_swap() -> Iterator[None]:
    """A full node would swap out what has come to it."""
    _, *on = Path("/proc/swaps").read_text().splitlines()
    subprocess.run(["swapoff", "-a"], check=True)
    try:
        yield
    finally:
        for line in on:
            subprocess.run(["swapon", line.split()[0]], check=True)


@contextlib.contextmanager
def reserved(node: int, size: int) -> Iterator[None]:
    """Reserve about `size` bytes of a node's free memory as huge pages that no process uses."""
    pages = Path(f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")
    pages.write_text(str(max(size, 0) >> 21))
    try:
        yield
    finally:
        pages.write_text("0")


def test_a_node_that_is_full_takes_what_it_can(worker: Worker, actor: VaddrActor) -> None:
    """The second node has about 512 MiB, of which huge pages take most. A call that cannot move all ends early; what
    has moved is counted."""
    with without_swap(), reserved(1, free_on(1) - 48 * MIB):
        hog = [worker.area(f"x{n}", 16 * MIB, "fill") for n in range((free_on(1) >> 24) + 1)]
        before = sum(on_node(worker, area).get(1, 0) for area in hog) * PAGE_SIZE
        moved = sum(
            actor.apply(worker.target(), *area, ActionRequest(Action.MIGRATE_COLD, target_nid=1)).moved or 0
            for area in hog
        )
        there = sum(on_node(worker, area).get(1, 0) for area in hog) * PAGE_SIZE
    assert 0 < moved <= there - before


def frames_of(worker: Worker, area: Range) -> list[Range]:
    """Physical ranges that back the area, joined."""
    frames = sorted(entry & FRAME for entry in entries(worker.pid, area) if entry & PRESENT)
    return joined(Range(frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE) for frame in frames)


@pytest.mark.guest_version
def test_physical_memory_is_acted_on_by_those_who_map_it(worker: Worker, swap: None) -> None:
    """No filter says otherwise, so pages that are young are rejected once, and looked at then
    (docs/damon.md#actions). Of 4 MiB, two processors hold at most 6 % back from the LRU lists."""
    area = worker.area("p", 4 * MIB, "small")
    ranges = frames_of(worker, area)
    pageout = ActionRequest(Action.PAGEOUT)
    with contextlib.closing(PaddrActor()) as actor:
        assert actor.missing(pageout) is None
        first = sum(actor.apply(Target(0), *r, pageout).moved or 0 for r in ranges)
        moved = first + sum(actor.apply(Target(0), *r, pageout).moved or 0 for r in ranges)
        out = count(worker, area, SWAPPED)
        assert moved == out
        assert out >= 0.9 * area.size
        if idle_bitmap() == "open":
            assert first <= 0.1 * area.size
    assert worker.intact("p", area)


def test_frames_that_nobody_maps_are_out_of_reach(worker: Worker) -> None:
    area = worker.area("p", 2 * MIB, "small")
    ranges = frames_of(worker, area)
    worker.tell("unmap", "p", 0, 512)
    with contextlib.closing(PaddrActor()) as actor:
        for each in ranges:
            actor.apply(Target(0), *each, ActionRequest(Action.COLD))
        assert actor.left["out of reach"] >= 0.9 * area.size


@pytest.mark.guest_version
@pytest.mark.needs("idle_bitmap")
def test_young_pages_by_the_idle_bits(worker: Worker, actor: VaddrActor) -> None:
    # Each processor holds up to 31 new pages back from the LRU lists, and only pages of these lists
    # can be marked idle. Of 2 MiB that may be 6 % for each processor, of 16 MiB less than 1 %.
    area = worker.area("y", 16 * MIB, "small")
    young = ActionRequest(
        Action.STAT, (Filter(FilterType.YOUNG, True, True),), pages_allowed_by_default=False
    )
    assert actor.missing(young) is None
    assert actor.apply(worker.target(), *area, young).passed == area.size, "never asked about before"
    assert actor.apply(worker.target(), *area, young).passed <= 0.05 * area.size
    worker.area("z", 64 * MIB, "fill")
    worker.tell("unmap", "z", 0, 64 * MIB // PAGE_SIZE)  # what stays in a TLB looks idle: this flushes it
    assert worker.intact("y", area)
    assert actor.apply(worker.target(), *area, young).passed >= 0.9 * area.size


@pytest.mark.needs("idle_bitmap", "second_user")
def test_the_least_privilege_for_idle_bits() -> None:
    """What docs/privileges.md says of them: frames take CAP_SYS_ADMIN, the bitmap is root's file."""

    def is_usable() -> None:
        assert probe("idle").usable

    def is_not() -> None:
        assert not probe("idle").usable

    as_user_with(("SYS_ADMIN", "DAC_OVERRIDE"), is_usable)
    for alone in ("SYS_ADMIN", "DAC_OVERRIDE"):
        as_user_with((alone,), is_not)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    top = Path("/sys/fs/cgroup")
    if not (top / "cgroup.subtree_control").exists():
        pytest.skip("no cgroup hierarchy of version 2 with controllers")
    (top / "cgroup.subtree_control").write_text("+memory")
    made = top / "udamon-metrics"
    made.mkdir()
    yield made
    if made.exists():
        made.rmdir()


@pytest.mark.guest_version
def test_the_metrics_of_a_real_machine(cgroup: Path, tmp_path: Path) -> None:
    """Two nodes, and a cgroup that is removed while it is watched."""
    metrics, path = MachineMetrics(), "/udamon-metrics"
    # Each value reads its file anew, and memory is taken and given back between two readings. So what a value is of the
    # others is judged by one reading of this machine's files.
    once = MachineMetrics(Roots(proc=tmp_path, sys=tmp_path))
    for name in ("meminfo", *(f"devices/system/node/node{nid}/meminfo" for nid in (0, 1))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(
            ((Path("/proc") if name == "meminfo" else Path("/sys")) / name).read_bytes()
        )
    for nid in (0, 1):
        used, free = (
            Goal(metric, 1, nid=nid) for metric in (GoalMetric.NODE_MEM_USED_BP, GoalMetric.NODE_MEM_FREE_BP)
        )
        assert metrics.missing(used) is None
        assert 0 < (metrics.value(used) or 0) < 10_000
        assert 9999 <= (once.value(used) or 0) + (once.value(free) or 0) <= 10_000
    active, inactive = (Goal(metric, 1) for metric in (GoalMetric.ACTIVE_MEM_BP, GoalMetric.INACTIVE_MEM_BP))
    assert 0 < (metrics.value(active) or 0) < 10_000
    assert 9999 <= (once.value(active) or 0) + (once.value(inactive) or 0) <= 10_000
    assert 0 < metrics.free_mem_permil() < 1000
    psi = Goal(GoalMetric.MEMCG_SOME_MEM_PSI_US, 1, path=path)
    assert metrics.missing(psi) is None
    assert isinstance(metrics.value(psi), int)
    assert isinstance(metrics.value(Goal(GoalMetric.SOME_MEM_PSI_US, 1)), int)
    goals = [Goal(GoalMetric.NODE_MEMCG_USED_BP, 1, nid=nid, path=path) for nid in (0, 1)]
    assert metrics.missing(goals[0]) is None
    with working() as worker:
        (cgroup / "cgroup.procs").write_text(str(worker.pid))
        worker.area("c", 64 * MIB, "fill")
        shares = [lru_bytes(cgroup, nid) for nid in (0, 1)]
        assert 60 * MIB <= sum(shares) <= 80 * MIB
        assert sum(metrics.value(goal) or 0 for goal in goals) > 0
        by_cgroup = Filter(FilterType.MEMCG, matching=True, allow=True, memcg_path=path)
        assert PageFilters().missing([by_cgroup]) is None
        worker.end()
    until(lambda: not (cgroup / "cgroup.procs").read_text())
    cgroup.rmdir()
    assert [metrics.value(goal) for goal in goals] == [0, 0]
    with pytest.raises(CannotError):
        metrics.value(psi)
