"""refs on a fake /proc: what is written, what is answered, and whose answers are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import MAPS, FakeProc, smaps_entry
from udamon.core.target import Target
from udamon.errors import TargetGone
from udamon.linux.roots import Roots
from udamon.model import Range
from udamon.ops import tlb
from udamon.ops.refs import Refs

SMAPS = (
    smaps_entry("1000-5000 rw-p 00000000 00:00 0 ", rss=16, referenced=8)
    + smaps_entry("5000-9000 rw-p 00000000 00:00 0 ")
    + smaps_entry("9000-b000 rw-p 00000000 00:00 0 ", rss=8, referenced=0)
    + smaps_entry("200000-400000 rw-p 00000000 00:00 0 ", hugetlb=2048)
    + smaps_entry("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]")
)


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


@pytest.fixture
def target(fake: FakeProc) -> Target:
    fake.process(9, start_time=100, smaps=SMAPS)
    return Target(4, 9, 100)


def test_look(fake: FakeProc, target: Target) -> None:
    """Mappings with anything resident, touched or not; hugetlb is reported as unseen."""
    refs = Refs(Roots(fake.root))
    assert refs.look(target) == [(0x1000, 0x5000, 16384, 8192), (0x9000, 0xB000, 8192, 0)]
    assert refs.unseen == {4: 2 << 20}
    assert refs.news() == [
        "process 9 uses hugetlb pages, which refs does not see: all figures leave such pages out."
    ]
    refs.look(target)
    assert refs.news() == []


def test_look_within_ranges(fake: FakeProc, target: Target) -> None:
    """fvaddr: whole mappings that share a byte with a range."""
    refs = Refs(Roots(fake.root), only_ranges=True)
    for ranges, starts in (
        ([Range(0x4FFF, 0x5000)], [0x1000]),
        ([Range(0x5000, 0x9000)], []),
        ([Range(0, 0x1000), Range(0x2000, 0x3000), Range(0x4000, 0x9001)], [0x1000, 0x9000]),
        ([Range(0xB000, 0xC000)], []),
    ):
        target.ranges = ranges
        assert [entry.start for entry in refs.look(target)] == starts


def test_prepare_clears_and_flushes(fake: FakeProc, target: Target) -> None:
    """4 only when told that it does nothing but flush, and never for a process that runs a guest."""
    file = fake.root / "9/clear_refs"
    Refs(Roots(fake.root)).prepare(target)
    assert file.read_text() == "1"
    Refs(Roots(fake.root), tlb="flush").prepare(target)
    assert file.read_text() == "14"
    file.write_text("")
    vcpu = "7e0000000000-7e0000003000 rw-s 00000000 00:0f 9 anon_inode:kvm-vcpu:0\n"
    fake.process(9, start_time=100, maps=MAPS + vcpu)
    Refs(Roots(fake.root), tlb="flush").prepare(target)
    assert file.read_text() == "1"


def test_processors_that_cannot_be_visited_are_told(
    fake: FakeProc, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tlb, "allowed_cpus", lambda *_: os.sched_getaffinity(0) | {1 << 20})
    refs, number = Refs(Roots(fake.root), tlb="visit"), len(os.sched_getaffinity(0)) + 1
    refs.expose([target])
    (told,) = refs.news()
    assert told.startswith(f"1 of {number} processors that targets may run on cannot be visited")
    refs.expose([target])
    assert refs.news() == []


def test_a_reused_pid_is_neither_cleared_nor_read(fake: FakeProc, target: Target) -> None:
    fake.process(9, start_time=200, smaps=SMAPS)
    refs = Refs(Roots(fake.root))
    with pytest.raises(TargetGone, match="given to another"):
        refs.prepare(target)
    with pytest.raises(TargetGone, match="given to another"):
        refs.look(target)
    assert (fake.root / "9/clear_refs").read_text() == ""


def test_ends_between_prepare_and_look(fake: FakeProc, target: Target) -> None:
    """A zombie has no memory; later it is gone altogether."""
    refs = Refs(Roots(fake.root))
    refs.prepare(target)
    fake.process(9, start_time=100, state="Z", smaps="")
    with pytest.raises(TargetGone, match="has ended"):
        refs.look(target)
    fake.remove(9)
    with pytest.raises(TargetGone, match="there is no process 9"):
        refs.look(target)
