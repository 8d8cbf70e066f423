"""What is asked of move_pages(2), and what is counted, where huge pages are known and where they are not."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.acting import migrating
from udamon.acting.migrating import MigrationUnit, migrate, units
from udamon.acting.view import MappingPiece
from udamon.core.scheme import Action, ActionRequest, Destination
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range

IN_BLOCK = HUGE_PAGE_SIZE // PAGE_SIZE
BASE = 40 * HUGE_PAGE_SIZE


class Nodes:
    """A kernel that moves a huge page as a whole, whichever of its pages is asked for."""

    def __init__(
        self, folios: Sequence[tuple[int, int]], nodes: Sequence[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`folios`: (address, size)."""
        self.folio_of = {
            page: first for first, size in folios for page in range(first, first + size, PAGE_SIZE)
        }
        self.node = {first: node for (first, _), node in zip(folios, nodes, strict=True)}
        monkeypatch.setattr(migrating, "nodes_of", lambda pid, pages: [self.of(page) for page in pages])
        monkeypatch.setattr(migrating, "move", self.move)

    def of(self, page: int) -> int:
        return self.node[self.folio_of[page]]

    def move(self, pid: int, pages: Sequence[int], node: int, *, shared: bool) -> None:
        assert not shared
        for page in pages:
            self.node[self.folio_of[page]] = node


def piece(pages: int) -> MappingPiece:
    return MappingPiece(BASE, BASE + pages * PAGE_SIZE, True, False, False, BASE // PAGE_SIZE)


@given(
    huge=st.lists(st.booleans(), min_size=1, max_size=3),
    small=st.integers(0, 3),
    nodes=st.randoms(use_true_random=False),
    weights=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    known=st.booleans(),
)
def test_what_moved_is_what_is_elsewhere(
    huge: list[bool], small: int, nodes: object, weights: tuple[int, int], known: bool
) -> None:
    """Whole huge pages, known or not, beside small ones; a second pass moves nothing."""
    folios: list[tuple[int, int]] = []
    for block, whole in enumerate(huge):
        first = BASE + block * HUGE_PAGE_SIZE
        pages = range(first, first + HUGE_PAGE_SIZE, PAGE_SIZE)
        folios += [(first, HUGE_PAGE_SIZE)] if whole else [(page, PAGE_SIZE) for page in pages]
    end = BASE + len(huge) * HUGE_PAGE_SIZE
    folios += [(end + page * PAGE_SIZE, PAGE_SIZE) for page in range(small)]
    mapped = piece(len(huge) * IN_BLOCK + small)
    wholes = [Range(first, first + size) for first, size in folios if size > PAGE_SIZE] if known else None
    request = ActionRequest(
        Action.MIGRATE_HOT, dests=(Destination(0, weights[0]), Destination(1, weights[1]))
    )
    with pytest.MonkeyPatch.context() as patched:
        kernel = Nodes(folios, [nodes.randrange(2) for _ in folios], patched)  # type: ignore[attr-defined]
        before = dict(kernel.node)
        taken = [Range(mapped.start, mapped.end)]
        moved = migrate(os.getpid, units(taken, wholes, [mapped], request), shared=False)
        sizes = dict(folios)
        assert moved == sum(sizes[first] for first, node in kernel.node.items() if node != before[first])
        assert migrate(os.getpid, units(taken, wholes, [mapped], request), shared=False) == 0


def test_unknown_huge_pages_are_spread_as_wholes() -> None:
    """Half of them to each node; pages outside of any aligned block go singly."""
    request = ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 1), Destination(1, 1)))
    mapped = piece(4 * IN_BLOCK + 2)
    found = list(units([Range(mapped.start, mapped.end)], None, [mapped], request))
    assert {unit.size for unit in found} == {PAGE_SIZE}
    assert [unit.node for unit in found[: 4 * IN_BLOCK : IN_BLOCK]] == [0, 1, 0, 1]
    assert [unit.node for unit in found[1 : 4 * IN_BLOCK : IN_BLOCK]] == [0, 1, 0, 1]
    assert [unit.node for unit in found[4 * IN_BLOCK :]] == [0, 1]


@pytest.mark.parametrize("error", [errno.ESRCH, errno.EINVAL])
def test_a_thread_that_ends_meanwhile(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that has the memory is asked; where there is none, the process has ended."""
    numbers = iter([1, 2, 2, 2, 2])

    def of(thread: int) -> int:
        if thread == 1:
            raise OSError(error, os.strerror(error))
        return 0

    with pytest.MonkeyPatch.context() as patched:
        kernel = Nodes([(BASE, PAGE_SIZE)], [0], patched)
        patched.setattr(
            migrating, "nodes_of", lambda thread, pages: [of(thread) or kernel.of(p) for p in pages]
        )
        unit = MigrationUnit(BASE, PAGE_SIZE, 1)
        assert migrate(lambda: next(numbers), [unit], shared=False) == PAGE_SIZE
        with pytest.raises(OSError, match=os.strerror(error)):
            migrate(lambda: 1, [unit], shared=False)
