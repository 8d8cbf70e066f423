"""What trials of hot sets of known sizes mean: below which size a working set may be missed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from udamon.availability import tlb
from udamon.availability.tlb import BEYOND, SIZES, State, Tlb, measure, sentence
from udamon.ops.refs import Refs
from udamon.ops.tlb import Way


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """From which size on the trials see a hot set."""

    @contextlib.contextmanager
    def no_child(size: int) -> Iterator[None]:
        yield

    def since(least: int) -> None:
        monkeypatch.setattr(tlb, "_is_seen", lambda census, child, size: size >= least)

    monkeypatch.setattr(tlb, "hot_set", no_child)
    return since


@pytest.mark.parametrize(("used", "state"), [("flush", "flushed"), ("visit", "displaced")])
def test_what_is_flushed_or_displaced_is_seen_whatever_its_size(
    seen: Callable[[int], None], used: Way, state: State
) -> None:
    seen(0)
    found = measure(Refs(tlb=used), used)
    assert found == Tlb(state, 0)
    assert "are seen" in sentence(found)


def test_without_a_flush_smaller_sets_than_were_tried_may_be_missed(seen: Callable[[int], None]) -> None:
    """They were seen by chance: other work displaced the TLB."""
    seen(0)
    found = measure(Refs(tlb="none"), "none")
    assert found == Tlb("stale", min(SIZES))
    assert "below 256.0 KiB may be missed" in sentence(found)


@pytest.mark.parametrize("used", ["flush", "visit", "none"])
@pytest.mark.parametrize(("least", "missed"), [(1 << 20, 1 << 20), (4 << 20, 4 << 20), (16 << 20, 16 << 20)])
def test_the_smallest_that_was_seen_is_the_limit(
    seen: Callable[[int], None], used: Way, least: int, missed: int
) -> None:
    seen(least)
    assert measure(Refs(tlb=used), used) == Tlb("stale", missed)


def test_where_nothing_is_seen_there_is_no_limit(seen: Callable[[int], None]) -> None:
    seen(max(BEYOND) + 1)
    found = measure(Refs(tlb="none"), "none")
    assert found == Tlb("stale", None)
    assert "may be missed" in sentence(found)
