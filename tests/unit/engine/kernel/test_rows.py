"""Trace events put together to regions of targets, whatever is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from udamon.engine.kernel.rows import Aggregated, Grouping, KernelTuned
from udamon.engine.kernel.source import apart
from udamon.linux.tracefs import TraceEvent

PAGE = 4096


def aggregation(time_ns: int, *sizes: int) -> list[TraceEvent]:
    """Events of one aggregation: so many regions for each target."""
    events: list[TraceEvent] = []
    for position, size in enumerate(sizes):
        for n in range(size):
            values = (position, size, n * PAGE, (n + 1) * PAGE, n, time_ns)
            events.append(TraceEvent(time_ns + len(events), "damon_aggregated", values))
    return events


def told(found: list[Aggregated | KernelTuned]) -> list[tuple[int, int, bool, int]]:
    return [(a.time_ns, a.position, a.first, len(a.rows)) for a in found if isinstance(a, Aggregated)]


def test_one_aggregation_of_two_targets_has_one_time() -> None:
    grouping = Grouping()
    events = aggregation(100, 3, 2) + aggregation(200, 3, 2)
    found = list(grouping.feed(events))
    assert told(found) == [(100, 0, True, 3), (100, 1, False, 2), (200, 0, True, 3), (200, 1, False, 2)]
    assert isinstance(found[1], Aggregated)
    assert found[1].rows == [(0, PAGE, 0, 100), (PAGE, 2 * PAGE, 1, 100)]
    assert grouping.torn == 0


@given(st.data())
def test_it_does_not_matter_how_events_come_in(data: st.DataObject) -> None:
    events = [e for time in (100, 200, 300) for e in aggregation(time, 4, 1, 2)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=5)))
    grouping, found = Grouping(), []
    for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        found += list(grouping.feed(events[begin:end]))
    assert told(found) == told(list(Grouping().feed(events)))


@given(st.sets(st.integers(0, 20)))
def test_lost_events_cost_their_own_target_only(lost: set[int]) -> None:
    """What comes out was complete."""
    events = [e for time in (100, 200, 300) for e in aggregation(time, 4, 1, 2)]
    grouping = Grouping()
    found = list(grouping.feed(e for n, e in enumerate(events) if n not in lost))
    whole = told(list(Grouping().feed(events)))
    sizes = {position: size for _, position, _, size in whole}
    for time, position, _, size in told(found):
        assert size == sizes[position]
        assert any(time // 100 == t // 100 for t, p, _, _ in whole if p == position)
    assert len(told(found)) >= len(whole) - len(lost)
    firsts = [time // 100 for time, _, first, _ in told(found) if first]
    assert firsts == sorted(set(firsts)), "an aggregation begins once"


def test_a_tuning_comes_in_its_place() -> None:
    events = [TraceEvent(90, "damon_monitor_intervals_tune", (7000,)), *aggregation(100, 1)]
    first, second = Grouping().feed(events)
    assert first == KernelTuned(90, 7000, one_more=True)
    assert isinstance(second, Aggregated)


def test_tried_regions_are_taken_apart_where_addresses_fall() -> None:
    rows = [(1, 5, 0, 0), (5, 9, 0, 0), (2, 3, 0, 0), (9, 10, 0, 0), (1, 2, 0, 0)]
    assert apart(rows) == [rows[:2], rows[2:4], rows[4:]]
    assert apart([]) == []
