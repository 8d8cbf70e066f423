"""pte on real kernels: accessed pages are found to the page, through both ways to read kernel memory.

The only tests that read kernel memory; they run in guests alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.pages import MIB, PAGE, Pages, pages
from tests.integration.privileged import as_user_with
from udamon.availability.primitives import probe, proved_pte
from udamon.core.target import Target
from udamon.errors import CannotError, NotPermitted, NotSupported, TargetGone
from udamon.linux import features
from udamon.linux.procfs import read_stat
from udamon.model import Range
from udamon.ops.base import Touched
from udamon.ops.kernel_tables import SWITCH, give_up_privileges, open_tables
from udamon.ops.pte import Pte
from udamon.ops.tlb import way

pytestmark = [
    pytest.mark.guest_version,
    pytest.mark.guest_pte,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root"),
]

HAS = {
    "bpf": Path("/proc/sys/kernel/unprivileged_bpf_disabled").exists(),
    "kcore": Path("/proc/kcore").exists(),
}
needs_tables = pytest.mark.skipif(not any(HAS.values()), reason="this kernel has neither BPF nor /proc/kcore")
"""Of tests that name no back end."""
EXACT = 1 << 20  # ranges: more than there are


@pytest.fixture(scope="module")
def program() -> Iterator[Pages]:
    with pages() as started:
        yield started


@pytest.fixture(scope="module", params=["bpf", "kcore"])
def census(request: pytest.FixtureRequest) -> Iterator[Pte]:
    if not HAS[request.param]:
        pytest.skip(f"this kernel has no {request.param}")
    os.environ[SWITCH] = request.param
    try:
        opened = open_tables(allowed=True)
    finally:
        del os.environ[SWITCH]
    print(opened.backend, opened.how, opened.unproved)
    made = Pte(opened, tlb=way(), max_ranges=EXACT)
    yield made
    made.close()


def window(census: Pte, program: Pages, *, index: int = 0) -> None:
    target = program.target(index)
    census.begin([target])
    census.prepare(target)
    census.expose([target])


def pages_of(found: list[Touched], area: Range) -> tuple[set[int], set[int]]:
    """(resident, touched) pages of an area, by number; none of them only partly."""
    resident: set[int] = set()
    touched: set[int] = set()
    for start, end, here, seen in found:
        if start < area.end and area.start < end:
            first, last = (
                max(start, area.start),
                min(end, area.end),
            )  # the kernel may have joined it with a neighbour
            numbers = set(range((first - area.start) // PAGE, (last - area.start) // PAGE))
            assert here == end - start
            assert seen in {0, here}
            resident |= numbers
            touched |= numbers if seen else set()
    return resident, touched


def third(program: Pages, census: Pte, size: int) -> None:
    """Small pages, reads and writes alike; what is given back is gone."""
    area = program.map("third", size)
    count = area.size // PAGE
    program.write("third", 0, count)
    for tell in (program.read, program.write):
        window(census, program)
        tell("third", 1, count, 3)
        resident, touched = pages_of(census.look(program.target()), area)
        assert resident == set(range(count))
        assert touched == set(range(1, count, 3))
    assert census.unseen == {0: 0}
    program.tell("advise", "third", 4)  # MADV_DONTNEED
    assert pages_of(census.look(program.target()), area) == (set(), set())


def test_every_third_page(program: Pages, census: Pte) -> None:
    third(program, census, 12 * MIB)


@pytest.mark.guest_long
@pytest.mark.guest_612
def test_every_third_page_of_many(program: Pages, census: Pte) -> None:
    third(program, census, 96 * MIB)


def test_huge_pages_count_as_a_whole(program: Pages, census: Pte) -> None:
    area = program.map("huge", 36 * MIB, "huge")
    program.write("huge", 0, area.size // PAGE, 16)
    first = -(-area.start // (2 * MIB)) * 2 * MIB
    page = (first - area.start) // PAGE
    window(census, program)
    for i in range(0, 16, 4):
        program.read("huge", page + 512 * i + 7, page + 512 * i + 8)
    _, touched = pages_of(census.look(program.target()), area)
    assert touched == {page + 512 * i + k for i in range(0, 16, 4) for k in range(512)}


def test_the_zero_page_is_left_out(program: Pages, census: Pte) -> None:
    area = program.map("zero", 64 * PAGE)
    window(census, program)
    program.read("zero", 0, 64)
    program.write("zero", 5, 7)
    assert pages_of(census.look(program.target()), area) == ({5, 6}, {5, 6})


@pytest.mark.parametrize("kind", ["file", "private", "scattered"])
def test_pages_of_files(program: Pages, census: Pte, kind: str) -> None:
    area = program.map(kind, 512 * PAGE, kind)
    program.read(kind, 0, 512)
    window(census, program)
    program.read(kind, 0, 512, 5)
    _, touched = pages_of(census.look(program.target()), area)
    assert touched == set(range(0, 512, 5))


def test_shared_memory_is_told_of_each_process(census: Pte) -> None:
    """What one touches of a memory file is not told of the other that maps it, too."""
    with pages() as one, pages() as other:
        areas = [one.map("shared", 4 * MIB, "memfd")]
        links = (Path("/proc") / str(one.pid) / "fd").iterdir()
        path = next(link for link in links if "memfd:udamon" in os.readlink(link))
        areas.append(other.map("shared", 4 * MIB, str(path)))
        targets = [one.target(0), other.target(1)]
        for each in (one, other):
            each.write("shared", 0, 1024)
        census.begin(targets)
        for target in targets:
            census.prepare(target)
        census.expose(targets)
        one.read("shared", 0, 1024, 3)
        other.write("shared", 1, 1024, 4)
        found = [pages_of(census.look(target), area) for target, area in zip(targets, areas, strict=True)]
        assert found == [
            (set(range(1024)), set(range(0, 1024, 3))),
            (set(range(1024)), set(range(1, 1024, 4))),
        ]


def test_a_process_whose_main_thread_has_ended(census: Pte) -> None:
    """By BTF its tables are found at a thread that lives; without, that is said, and nothing is guessed."""
    with pages(main_ends=True) as program:
        area = program.map("thread", 512 * PAGE)
        program.write("thread", 0, 512)
        if not census.opened.roots.threads:
            with pytest.raises(NotSupported, match="main thread"):
                census.look(program.target())
            return
        window(census, program)
        program.read("thread", 0, 512, 5)
        assert pages_of(census.look(program.target()), area) == (set(range(512)), set(range(0, 512, 5)))


def test_what_a_child_touches_is_the_childs(program: Pages, census: Pte) -> None:
    """After fork both map the same pages: each one's bits are its own."""
    area = program.map("forked", 512 * PAGE)
    program.write("forked", 0, 512)
    child = int(program.tell("fork"))
    targets = [program.target(), Target(1, child, read_stat(child).start_time)]
    census.begin(targets)
    for target in targets:
        census.prepare(target)
    census.expose(targets)
    program.read("forked", 0, 512, 7)
    program.write("forked", 1, 512, 128)  # copies of its own
    mine, childs = (pages_of(census.look(target), area) for target in targets)
    assert mine == (set(range(512)), set(range(0, 512, 7)) | set(range(1, 512, 128)))
    assert childs == (set(range(512)), set())
    os.kill(child, 9)


@pytest.mark.skipif(
    not features.has_capability(features.CAP_SYS_NICE), reason="advising another process takes CAP_SYS_NICE"
)
def test_cleared_by_advice(census: Pte) -> None:
    """MADV_COLD by pieces; a process that shares anonymous pages with its child goes back to clear_refs."""
    with pages() as program:
        area = program.map("cold", 8 * MIB)
        program.write("cold", 0, 2048)
        cold = Pte(census.opened, tlb=way(), max_ranges=EXACT, clear="cold")
        for step in (3, 7):
            window(cold, program)
            assert not cold._cold.refused
            program.read("cold", 0, 2048, step)
            assert pages_of(cold.look(program.target()), area)[1] == set(range(0, 2048, step))
        program.tell("fork")
        program.read("cold", 0, 2048)
        window(cold, program)
        assert cold._cold.refused
        program.read("cold", 0, 2048, 5)
        assert pages_of(cold.look(program.target()), area)[1] == set(range(0, 2048, 5))


def test_cleared_by_idle_page_tracking(census: Pte) -> None:
    """Small pages, and a huge one by its head."""
    if features.idle_bitmap() != "open":
        pytest.skip("this kernel does not track idle pages")
    with pages() as program:
        area, huge = program.map("small", 4 * MIB), program.map("huge", 6 * MIB, "huge")
        program.write("small", 0, 1024)
        program.write("huge", 0, huge.size // PAGE, 16)
        # Pages that wait in a per-CPU batch of the LRU ignore the idle bit: others take their place there.
        program.map("later", MIB)
        program.write("later", 0, 256)
        head = (-huge.start % (2 * MIB)) // PAGE
        assert program.huge_bytes() >= 2 * MIB, "no huge page was given, so nothing would be proved"
        idle = Pte(census.opened, max_ranges=EXACT, clear="idle")
        for step in (3, 7):
            window(idle, program)
            program.read("small", 0, 1024, step)
            if step == 3:
                program.read("huge", head + 9, head + 10)
            found = idle.look(program.target())
            assert pages_of(found, area)[1] == set(range(0, 1024, step))
            touched = pages_of(found, huge)[1]
            assert touched == (set(range(head, head + 512)) if step == 3 else set())
        assert idle.pauses.longest_ns == 0


def test_a_process_that_ends_is_gone(census: Pte) -> None:
    with pages() as program:
        program.map("a", PAGE)
        target = program.target()
        census.prepare(target)
        assert census.look(target)
        os.kill(program.pid, 9)
        program._process.wait()
        with pytest.raises(TargetGone):
            census.look(target)


def test_doctor_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without consent it says what would be; with it, what was proved; where there is nothing, what is missing."""
    monkeypatch.delenv("UDAMON_ALLOW_KERNEL_MEMORY", raising=False)
    if not any(HAS.values()):
        assert not probe("pte").usable
        with pytest.raises(CannotError):
            open_tables(allowed=True)
        return
    assert "would see" in proved_pte().why
    monkeypatch.setenv("UDAMON_ALLOW_KERNEL_MEMORY", "1")
    found = proved_pte()
    assert found.usable, found.why
    assert "It sees" in found.why
    assert found.backend == ("bpf" if HAS["bpf"] else "kcore")


def test_without_consent_nothing_is_read() -> None:
    with pytest.raises(CannotError, match="with consent only"):
        open_tables(allowed=False)


@needs_tables
def test_an_unknown_kernel_is_refused_by_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were accessed bits somewhere else, the proof would notice."""
    from udamon.ops import kernel_tables

    for bit, step in ((4, "cleared"), (8, "touched")):
        monkeypatch.setattr(kernel_tables, "PAGE_ACCESSED", bit)
        with pytest.raises(NotSupported, match=step):
            open_tables(allowed=True)


LOCKED = tuple(map(int, os.uname().release.split(".")[:2])) < (5, 11)
"""BPF counts as locked memory, of which there is too little: its limit is raised."""
LEAST = {
    "bpf": {"SYS_ADMIN"} | ({"SYS_RESOURCE"} if LOCKED else set()),
    "kcore": {"SYS_ADMIN", "DAC_READ_SEARCH", "SYS_RAWIO"},
}


@pytest.mark.guest_long
@pytest.mark.needs("second_user")
@pytest.mark.parametrize("backend", list(LEAST))
def test_least_privilege(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """What docs/privileges.md says of one's own process does, and with any one left out one sentence says no."""
    if not HAS[backend]:
        pytest.skip(f"this kernel has no {backend}")
    monkeypatch.setenv(SWITCH, backend)

    def look() -> None:
        census = Pte(open_tables(allowed=True), max_ranges=EXACT)
        me = Target(0, os.getpid(), read_stat(os.getpid()).start_time)
        census.prepare(me)
        assert census.look(me)

    def refused() -> None:
        with pytest.raises(NotPermitted) as caught:
            open_tables(allowed=True)
        assert "\n" not in str(caught.value)
        assert "as root" in str(caught.value)

    as_user_with(LEAST[backend], look)
    as_user_with((), refused)
    for name in LEAST[backend]:
        as_user_with(LEAST[backend] - {name}, refused)


def test_looking_needs_less_than_opening(census: Pte, program: Pages) -> None:
    """After opening, the privilege to read all of the kernel's memory is given up; looking goes on."""
    child = os.fork()
    if not child:
        try:
            give_up_privileges()
            assert not features.has_capability(features.CAP_SYS_RAWIO)
            assert not features.has_capability(features.CAP_PERFMON)
            assert not features.has_capability(features.CAP_BPF)
            window(census, program)
            assert census.look(program.target())
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
