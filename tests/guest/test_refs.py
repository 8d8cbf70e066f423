"""refs on kernels with soft-dirty bits, where clear_refs 4 may not be used to flush the TLB.

So a working set that the TLB holds would look idle to it while the target stays on its processor: visits displace it.
On arm64 there are no such bits, and clear_refs 4 flushes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.guest.pages import MIB, PAGE, Pages, pages
from udamon.model import Range
from udamon.ops.base import Touched
from udamon.ops.opening import open_census, open_ops
from udamon.ops.refs import Refs
from udamon.targets.processes import NamedProcesses

pytestmark = [
    pytest.mark.guest_boot(smp=2, mem=1024, append="numa=fake=2"),
    pytest.mark.needs("root", "clear_refs"),
]


@pytest.fixture(scope="module")
def program() -> Iterator[Pages]:
    with pages() as started:
        yield started


def at(found: list[Touched], area: Range) -> Touched:
    return next(entry for entry in found if entry.start <= area.start < entry.end)


@pytest.mark.guest_version
@pytest.mark.guest_arm64
@pytest.mark.guest_boot(smp=1, mem=2048, append="")
def test_touched_mappings_are_found_and_the_others_are_not(program: Pages) -> None:
    """Reads and writes alike, at the grain of mappings; a context switch lies between, so no TLB hides it."""
    read, written, cold = (program.map(name, MIB) for name in ("read", "written", "cold"))
    for name in ("read", "written", "cold"):
        program.write(name, 0, MIB // PAGE)
    refs, target = Refs(), program.target()
    for _ in range(2):
        refs.prepare(target)
        program.read("read", 0, MIB // PAGE // 2)
        program.write("written", 0, MIB // PAGE)
        found = refs.look(target)
        assert at(found, read).touched == MIB // 2
        assert at(found, written).touched == MIB
        assert at(found, cold)[2:] == (MIB, 0)


@pytest.mark.guest_version
@pytest.mark.needs("soft_dirty")
@pytest.mark.guest_boot(smp=1, mem=2048, append="")
def test_the_census_leaves_soft_dirty_bits_alone(program: Pages) -> None:
    """Opened as udamon opens it here, it does not flush by clear_refs 4: no fault for any page written."""
    program.map("kept", 64 * PAGE)
    program.write("kept", 0, 64)
    ops = open_ops("vaddr", NamedProcesses([program.pid]))
    try:
        census, target = open_census("refs", ops), program.target()
        census.prepare(target)
        before = faults(program.pid)
        program.write("kept", 0, 64)
        assert faults(program.pid) - before < 64
    finally:
        ops.close()


def faults(pid: int) -> int:
    """Minor page faults so far."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[7])


@pytest.mark.guest_612
@pytest.mark.needs("soft_dirty")
@pytest.mark.parametrize("kib", [64, 1024, 16384])
def test_what_the_tlb_holds_is_displaced(program: Pages, kib: int) -> None:
    """Monitor and target on two processors. How much a TLB holds is the processor's affair (an emulated one
    grows without bound), so what is seen without a visit is printed: where that is all, the rest proves nothing."""
    size = kib << 10
    area = program.map(f"loop{kib}", size)
    program.write(f"loop{kib}", 0, size // PAGE)
    target = program.target()
    program.tell("loop", f"loop{kib}", 0, size // PAGE)
    os.sched_setaffinity(program.pid, {1})
    os.sched_setaffinity(0, {0})
    program.wait_for_passes(1)

    def share(refs: Refs) -> float:
        refs.prepare(target)
        refs.expose([target])
        program.wait_for_passes(2)
        found = at(refs.look(target), area)
        return found.touched / found.resident

    control = [share(Refs()) for _ in range(3)]
    displaced = [share(Refs(tlb="visit")) for _ in range(3)]
    os.sched_setaffinity(program.pid, {0, 1})
    os.sched_setaffinity(0, {0, 1})
    program.read(f"loop{kib}", 0, 1)
    print(f"{kib} KiB touched all the time: seen {control} without a visit, {displaced} with one")
    assert displaced == [1, 1, 1]
    if min(control) > 0.5:
        pytest.skip(f"without a visit {control} of the pages were seen as well")
