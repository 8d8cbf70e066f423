"""Working sets within the reach of a TLB, by the way that a kernel with soft-dirty bits takes, too.

Every test has a control: the same without displacing the TLB must show far too little. Where it does not (other work
on the processor displaces it just as well) the run proves nothing, and is skipped with that reason.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

import pytest

from tests.integration.programs import as_nobody
from udamon.availability.tlb import Tlb, measured, touched
from udamon.errors import UsageError
from udamon.linux import features
from udamon.ops.opening import open_census, open_ops
from udamon.ops.refs import Refs
from udamon.ops.tlb import SWITCH, HotSet, Way, hot_set, way
from udamon.targets.processes import NamedProcesses

pytestmark = pytest.mark.needs("clear_refs")

KIB = 1 << 10
WINDOWS, CONTROLS = 7, 60


MOST_KEPT = 0.5
"""A share of entries that a processor may keep, whatever is read on it. On an Intel Xeon under a hypervisor nearly
half of 256 KiB stayed in one median of a hundred, a tenth in most, after visits and after reading 65,536 pages of
another process alike; `measured` says "stale" there. The control sees less than half, so visits that visit nothing
fail there, too."""


class NothingProved(Exception):
    """The control run saw what it should not see, or the processor keeps what is to be displaced."""


def entries_kept(share: float) -> None:
    """Raises NothingProved for a touched share that this explains."""
    if 1 - MOST_KEPT <= share < 0.95:
        raise NothingProved(f"this processor keeps entries of its TLB: visits displaced {share:.0%}")


def shares(child: HotSet, size: int, used: Way, windows: int) -> Iterator[float]:
    """Touched share of a hot set in each of some windows."""
    census = Refs(tlb=used)
    for _ in range(windows):
        found = touched(census, child, size)
        if found is not None:
            yield found / size


def check(child: HotSet, size: int, used: Way) -> None:
    """Right in the median window; and the control wrong by far in two windows, which may have to be looked for."""
    right = median(shares(child, size, used, WINDOWS))
    if used == "visit":
        entries_kept(right)
    assert abs(right - 1) <= 0.05
    wrong = (share for share in shares(child, size, "none", CONTROLS) if share < 0.5)
    if len(list(itertools.islice(wrong, 2))) < 2:
        raise NothingProved(
            f"without displacing, {size >> 10} KiB were seen in nearly all of {CONTROLS} windows: other work displaces "
            "the TLB here"
        )


@contextlib.contextmanager
def apart() -> Iterator[int]:
    """The processor for a child on which this test does not run: taking turns with it would displace its TLB."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus - {max(cpus)} or cpus)
    try:
        yield max(cpus)
    finally:
        os.sched_setaffinity(0, cpus)


@contextlib.contextmanager
def proved() -> Iterator[int]:
    """The processor for the child; skips where nothing was proved."""
    with apart() as cpu:
        try:
            yield cpu
        except NothingProved as unproved:
            pytest.skip(f"{unproved}, so the run proves nothing")


@contextlib.contextmanager
def busy(cpu: int, count: int = 2) -> Iterator[None]:
    """Processes that take all of a processor that they can get."""
    program = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass"
    started = [
        subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE) for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kib", [256, 1024, 4096])
def test_small_working_sets_are_seen_by_visits(kib: int) -> None:
    with proved() as cpu, hot_set(4096 * KIB, cpu) as child:
        check(child, kib * KIB, "visit")


def test_small_working_sets_are_seen_beside_busy_processes() -> None:
    """They take turns with the target on its processor, and the visitor has to get there, too."""
    with proved() as cpu, busy(cpu), hot_set(1024 * KIB, cpu) as child:
        check(child, 1024 * KIB, "visit")


@pytest.mark.skipif(features.soft_dirty(), reason="clear_refs 4 does more than flush on this kernel")
def test_small_working_sets_are_seen_by_a_flush() -> None:
    with proved() as cpu, hot_set(256 * KIB, cpu) as child:
        check(child, 256 * KIB, "flush")


@pytest.mark.needs("second_user")
def test_an_ordinary_user_sees_small_working_sets() -> None:
    """Visits take no privilege, if more patience."""

    def work() -> None:
        with apart() as cpu, hot_set(1024 * KIB, cpu) as child:
            try:
                check(child, 1024 * KIB, "visit")
                if (found := measured("refs")) is not None and found.state == "stale":
                    entries_kept(min(shares(child, 1024 * KIB, "visit", CONTROLS)))
            except NothingProved:
                return  # the same controls as above say so
        assert measured("refs").state != "stale"  # type: ignore[union-attr]

    as_nobody(work)


def test_the_way_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A census is opened with what the switch says, else with what the kernel offers; udamon says which."""
    monkeypatch.delenv(SWITCH, raising=False)
    assert way() == ("visit" if features.soft_dirty() else "flush")
    monkeypatch.setenv(SWITCH, "visit")
    assert way() == "visit"
    with proved() as cpu, hot_set(4096 * KIB, cpu) as child:
        for size in (256, 1024, 4096):
            entries_kept(min(shares(child, size * KIB, "visit", CONTROLS)))
    found = measured("refs")
    assert found is not None
    assert (found.state, found.missed_below) == ("displaced", 0)
    with hot_set(256 * KIB) as child:
        ops = open_ops("vaddr", NamedProcesses([child.target.pid or 0]))
        census = open_census("refs", ops)
        ops.close()
        assert 256 * KIB in [touched(census, child, 256 * KIB) for _ in range(3)]
    monkeypatch.setenv(SWITCH, "wish")
    with pytest.raises(UsageError, match="UDAMON_TLB=wish is no way"):
        way()


def test_what_it_says_without_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stale, with the size below which sets may be missed; nothing of a simulation, and samples of pte need none."""
    assert measured("sim") is None
    assert measured("pte", sampled=True) == Tlb("flushed", 0)
    monkeypatch.setenv(SWITCH, "none")
    found = measured("refs")
    assert found is not None
    assert found.state == "stale"
