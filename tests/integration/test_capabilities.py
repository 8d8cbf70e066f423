"""The least privilege of each thing udamon does to a process: what docs/privileges.md says, tried.

Each row is tried with exactly its capabilities, which must do, and with each of them left out, which must not.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.capabilities import _address_of
from tests.integration.privileged import as_user_with, become
from tests.integration.programs import MIB, forked, in_child
from udamon.acting.vaddr import VaddrActor
from udamon.availability.findings import examine
from udamon.core.scheme import Action, ActionRequest, Filter, FilterType
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.linux.move_pages import move
from udamon.linux.procfs import read_stat
from udamon.linux.roots import Roots
from udamon.model import Range
from udamon.ops.refs import Refs
from udamon.ops.softdirty import SoftDirty

pytestmark = pytest.mark.needs("second_user", "process_madvise", "clear_refs")

SIZE = 4 * MIB


class Memory(NamedTuple):
    """An area that a fork has at the same address."""

    area: mmap.mmap
    address: int

    def touch(self) -> None:
        for page in range(0, SIZE, mmap.PAGESIZE):
            self.area[page] = 1


@pytest.fixture
def memory() -> Memory:
    area = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return Memory(area, _address_of(area))


def see(target: Target, area: Range) -> None:
    """`record --via refs`."""
    refs = Refs()
    refs.prepare(target)
    assert refs.look(target)


def see_writes(target: Target, area: Range) -> None:
    """`record --via softdirty`, as far as this kernel keeps such bits."""
    softdirty = SoftDirty()
    softdirty.prepare(target)
    softdirty.look(target)


def advise(target: Target, area: Range) -> None:
    """pageout, cold, willneed, collapse, lru_deprio."""
    actor = VaddrActor()
    try:
        assert actor.apply(target, *area, ActionRequest(Action.COLD)).applied == SIZE
    finally:
        actor.close()


def count_pages(target: Target, area: Range) -> None:
    """stat with a page filter."""
    _count(target, area, FilterType.ANON, by_default=False)


def count_active(target: Target, area: Range) -> None:
    """The page filters that look at frames."""
    _count(target, area, FilterType.ACTIVE, by_default=True)


def _count(target: Target, area: Range, kind: FilterType, *, by_default: bool) -> None:
    actor = VaddrActor()
    filters = (Filter(kind, matching=True, allow=True),)
    try:
        request = ActionRequest(Action.STAT, filters, pages_allowed_by_default=by_default)
        assert actor.apply(target, *area, request).passed == SIZE
    finally:
        actor.close()


def migrate(target: Target, area: Range) -> None:
    """migrate_hot, migrate_cold: the call itself, to the node where the pages are."""
    assert target.pid is not None
    try:
        move(target.pid, [area.start], 0)
    except PermissionError as error:
        raise NotPermitted(str(error)) from error


LEAST: list[tuple[Callable[[Target, Range], None], bool, set[str]]] = [
    # what, of another user's process?, the capabilities that it takes
    (see, False, set()),
    (see, True, {"SYS_PTRACE", "DAC_OVERRIDE"}),
    (see_writes, False, set()),
    (see_writes, True, {"SYS_PTRACE", "DAC_OVERRIDE"}),
    (count_active, False, {"SYS_ADMIN", "DAC_READ_SEARCH"}),
    (count_active, True, {"SYS_ADMIN", "DAC_READ_SEARCH"}),
    (advise, False, {"SYS_NICE"}),
    (advise, True, {"SYS_NICE", "SYS_PTRACE", "DAC_READ_SEARCH"}),
    (count_pages, False, set()),
    (count_pages, True, {"SYS_PTRACE", "DAC_READ_SEARCH"}),
    (migrate, False, set()),
    (migrate, True, {"SYS_PTRACE"}),
]


@pytest.mark.parametrize(("what", "others", "least"), LEAST)
def test_the_least_privilege(
    memory: Memory, what: Callable[[Target, Range], None], others: bool, least: set[str]
) -> None:
    with forked(memory.touch, nobody=not others) as pid:
        target = Target(0, pid, read_stat(pid).start_time)
        area = Range(memory.address, memory.address + SIZE)

        def refused() -> None:
            with pytest.raises(NotPermitted):
                what(target, area)

        # From Linux 6.13 on CAP_SYS_ADMIN (and CAP_PERFMON) opens the page maps of others; before, it takes this.
        older = {"SYS_PTRACE"} if others and "SYS_ADMIN" in least else set()
        as_user_with(least | older, lambda: what(target, area))
        for name in least:
            as_user_with((least | older) - {name}, refused)


def test_a_permission_that_goes_away_is_an_error_and_a_process_that_goes_away_is_not(memory: Memory) -> None:
    """Root gives its privileges up in the middle of a run."""
    with forked(memory.touch) as pid:
        target = Target(0, pid, read_stat(pid).start_time)
        area = Range(memory.address, memory.address + SIZE)

        def work() -> None:
            actor = VaddrActor()
            assert actor.apply(target, *area, ActionRequest(Action.COLD)).applied == SIZE
            become("nobody", ())
            with pytest.raises(NotPermitted, match="may no longer be acted on"):
                actor.apply(target, *area, ActionRequest(Action.COLD))

        in_child(work)


@pytest.mark.parametrize(
    ("capabilities", "usable", "words"),
    [
        ((), False, "CAP_SYS_NICE"),
        (("SYS_NICE",), True, "your own processes"),
        (("SYS_NICE", "SYS_PTRACE", "DAC_READ_SEARCH"), True, "any process"),
    ],
)
def test_doctor_tells_the_truth_about_actions(
    capabilities: tuple[str, ...], usable: bool, words: str
) -> None:
    def check() -> None:
        found = examine(Roots()).actions["cold"]
        assert found.usable is usable
        assert words in f"{found.why} {found.fix}"

    as_user_with(capabilities, check)


def test_missing_says_what_doctor_says() -> None:
    def check() -> None:
        assert os.geteuid() != 0
        assert "CAP_SYS_NICE" in (VaddrActor().missing(ActionRequest(Action.PAGEOUT)) or "")
        assert VaddrActor().missing(ActionRequest(Action.STAT)) is None

    as_user_with((), check)
