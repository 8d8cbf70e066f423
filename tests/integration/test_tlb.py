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
from udamon.availability import tlb as availability_tlb
from udamon.availability.tlb import State, Tlb, measured, touched
from udamon.errors import UsageError
from udamon.linux import features
from udamon.ops.base import Census
from udamon.ops.opening import open_census, open_ops
from udamon.ops.refs import Refs
from udamon.ops.tlb import SWITCH, HotSet, Way, hot_set, way
from udamon.targets.processes import NamedProcesses

pytestmark = pytest.mark.needs("clear_refs")

KIB = 1 << 10
WINDOWS, CONTROLS = 7, 60
SEEN = 0.95


class NothingProved(Exception):
    """The control run saw what it should not see."""


def shares(census: Census, child: HotSet, size: int, windows: int) -> Iterator[float]:
    """Touched share of a hot set in each of some windows."""
    for _ in range(windows):
        found = touched(census, child, size)
        if found is not None:
            yield found / size


def check(child: HotSet, size: int, used: Way) -> None:
    """Right in the median window; and the control wrong by far in two windows, which may have to be looked for."""
    right = median(shares(Refs(tlb=used), child, size, WINDOWS))
    assert abs(right - 1) <= 1 - SEEN
    check_control(child, size)


def check_control(child: HotSet, size: int) -> None:
    """Without displacing, two windows see less than half. Raises NothingProved where other work displaces the TLB."""
    wrong = (share for share in shares(Refs(tlb="none"), child, size, CONTROLS) if share < 0.5)
    if len(list(itertools.islice(wrong, 2))) < 2:
        raise NothingProved(
            f"without displacing, {size >> 10} KiB were seen in nearly all of {CONTROLS} windows: other work displaces "
            "the TLB here"
        )


def check_measured(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    """What is said of refs is `state` exactly when the windows of that trial saw each size in two of three."""
    windows: dict[int, list[int]] = {}

    def recorded(census: Census, child: HotSet, size: int) -> int | None:
        found = touched(census, child, size)
        windows.setdefault(size, []).append(found or 0)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(availability_tlb, "touched", recorded)
        found = measured("refs")
    missed = [size for size, saw in windows.items() if sum(n >= SEEN * size for n in saw) < 2]
    assert sorted(windows)[:3] == [256 * KIB, 1024 * KIB, 4096 * KIB]
    assert found is not None
    if missed:
        assert found.state == "stale"
        assert found.missed_below is None or found.missed_below > max(missed)
    else:
        assert found == Tlb(state, 0)


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


@pytest.mark.skipif(
    features.soft_dirty() is not False, reason="clear_refs 4 does more than flush on this kernel"
)
def test_small_working_sets_are_seen_by_a_flush() -> None:
    with proved() as cpu, hot_set(256 * KIB, cpu) as child:
        check(child, 256 * KIB, "flush")


@pytest.mark.needs("second_user")
def test_an_ordinary_user_sees_small_working_sets() -> None:
    """Visits take no privilege, if more patience."""

    def work() -> None:
        # The same controls as above say where nothing is proved.
        with apart() as cpu, hot_set(1024 * KIB, cpu) as child, contextlib.suppress(NothingProved):
            check(child, 1024 * KIB, "visit")
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv(SWITCH, "visit")
            check_measured(patched, "displaced")

    as_nobody(work)


def test_the_way_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A census is opened with what the switch says, else with what the kernel offers; udamon says which."""
    monkeypatch.delenv(SWITCH, raising=False)
    assert way() == ("visit" if features.soft_dirty() is not False else "flush")
    monkeypatch.setenv(SWITCH, "visit")
    assert way() == "visit"
    check_measured(monkeypatch, "displaced")
    with proved() as cpu, hot_set(256 * KIB, cpu) as child:
        ops = open_ops("vaddr", NamedProcesses([child.target.pid or 0]))
        census = open_census("refs", ops)
        ops.close()
        assert median(shares(census, child, 256 * KIB, WINDOWS)) >= SEEN
        check_control(child, 256 * KIB)
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
