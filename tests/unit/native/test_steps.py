"""The fit of steps, worked out by hand; tests/property/test_steps_fit.py has it against an independent one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from math import exp, lgamma

import pytest

from tests.unit.fits import COLD, COOLED, GAPS, HOT, NOTHING, WARMED, Fit, Step, by_hand, fit, fit_buffers
from tests.unit.native_calls import named
from tests.unit.points import HIT, HOLE, LAYOUT, MISS, PAGE, WHOLE, Point, pack
from udamon.core.adaptive.judged import Judged
from udamon.native._native import AGES, MOVED, RESTED, steps_fit


def row(first: int, last: int, kind: int, every: int = 8, age: int = 0) -> list[Point]:
    """A point on every eighth page of [first, last)."""
    return [Point(page * PAGE, kind, age) for page in range(first, last, every)]


def island(hits: int) -> Fit:
    """`hits` hits from page 128 on, between 16 misses and 8 misses, a point every 8 pages."""
    end = 128 + 8 * hits
    return fit([*row(0, 128, MISS), *row(128, end, HIT), *row(end, end + 64, MISS)], end=end + 64)


def test_three_surprises_are_worth_an_island_and_two_are_not() -> None:
    """Cold throughout: 3 for each hit. Their own segment: 0.1 for each, and two steps of 3."""
    assert island(2).state == [COLD]
    assert island(3).state == [COLD, HOT, COLD]


@pytest.mark.parametrize("near", [8, 0])
def test_where_steps_are_denser_less_evidence_is_a_step(near: int) -> None:
    """Two pairs of hits, each worth 5.8. Two steps cost 8, but 4 where one is expected in four times the distance:
    beside page 516, where there was one every other page. Beyond the last of them there are 8 in 1500 pages, fewer than
    in the mean."""
    hits = {512, 520, 1536, 1544}
    points = [Point(page * PAGE, HIT if page in hits else MISS) for page in range(0, 2048, 8)]
    far = 8 * 17 + 2  # index of 4 x 8 pages, in eighths of an octave, rounded up
    tables = by_hand()._replace(jump=[-3.0] * far + [-1.0] * (GAPS - far))
    before = [Step(page, page, page, (-1.0) ** page) for page in range(481, 551, 2)]
    found = fit(points, tables, before, end=2048, near=near, density=16 / (2048 * PAGE))
    assert found.state == ([COLD, HOT, COLD] if near else [COLD])
    assert all(504 < place // PAGE <= 528 for place in found.place)


@pytest.mark.parametrize("density", [0.0, -1.0, float("nan")])
def test_a_density_of_none_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        fit([Point(0)], end=2, density=density)


def test_a_step_lies_between_two_points_and_is_put_amid_them() -> None:
    """The last miss ends with page 120, the first hit begins with page 128; the last hit is page 144."""
    found = island(3)
    assert found.gaps() == [(121, 124, 128), (145, 148, 152)]
    assert found.rate == pytest.approx([0.0, (3 + 2 * 0.9) / (3 + 2), 0.0])
    assert found.seen == [16, 3, 8]


def test_a_gap_of_one_page_or_none() -> None:
    """Between page 1 and page 3 lies one page: the step is before it. Between neighbours there is no choice."""
    for first, gap in ((2, (2, 2, 2)), (3, (2, 2, 3)), (4, (2, 3, 4))):
        found = fit([*row(0, 2, MISS, 1), *row(first, first + 9, HIT, 1)], end=first + 9)
        assert found.gaps() == [gap]


def test_answers_of_one_page_are_never_divided() -> None:
    """Apart they would cost 2 * 9 * 0.1 and a step; on one page, half of them cost 3 each."""
    points = [Point(5 * PAGE, MISS)] * 9 + [Point(5 * PAGE, HIT)] * 9
    assert len(fit(points, end=10).state) == 1
    apart = fit([Point(5 * PAGE, MISS)] * 9 + [Point(6 * PAGE, HIT)] * 9, end=10)
    assert (apart.state, apart.gaps()) == ([COLD, HOT], [(6, 6, 6)])


def test_answers_of_one_huge_page_are_never_divided() -> None:
    """Also where points of single pages, from before it was one, lie inside."""
    huge = Point(0, HIT, 1, 512)
    inside = [*row(0, 200, HIT, age=2), *row(200, 512, MISS, age=2)]
    found = fit([huge, *inside, *row(512, 600, MISS)], end=600)
    assert all(place >= 512 * PAGE for place in found.place)
    assert all(low <= place <= high for low, place, high in found.gaps())


def test_a_hole_is_a_segment_of_its_own_that_nothing_hot_reaches_over() -> None:
    hole = Point(64 * PAGE, HOLE, 0, 100)
    found = fit([*row(0, 64, HIT), hole, *row(168, 232, HIT)], end=232)
    assert found.state == [HOT, NOTHING, HOT]
    assert found.gaps() == [(64, 64, 64), (164, 164, 164)], "known to the page, whatever the points beside it"
    assert (found.rate[1], found.touched[1], found.seen[1]) == (0, 0, 0)
    assert (found.reach, found.moved, found.appeared) == ([0, 0], [], 0), (
        "and that they ever lay elsewhere says nothing"
    )


def test_a_hole_in_cold_memory_is_cut_out_as_well() -> None:
    hole = Point(64 * PAGE, HOLE, 0, 100)
    assert fit([*row(0, 64, MISS), hole, *row(168, 232, MISS)], end=232).state == [COLD, NOTHING, COLD]
    assert fit([hole], end=232).state == [NOTHING]
    assert fit([hole, *row(168, 232, HIT)], end=232).gaps() == [(164, 164, 164)]


def test_without_points_nothing_is_accessed() -> None:
    found = fit([], end=100, before=[Step(5, 5, 6)])
    assert (found.state, found.since, found.rate, found.touched, found.seen) == ([COLD], [0], [0], [0], [0])
    assert (found.place, found.low, found.high, found.reach, found.outliers) == ([], [], [], [], [])


@pytest.mark.parametrize(
    ("old", "new", "state", "rate"), [(MISS, HIT, WARMED, (3 + 2 * 0.9) / (3 + 2)), (HIT, MISS, COOLED, 0.0)]
)
def test_of_a_changed_segment_only_new_points_count(old: int, new: int, state: int, rate: float) -> None:
    """3 new answers against 4 old ones. As ever they were: 3 * 3 or more; changed: 3 + 4 for two steps."""
    around = (
        [*row(0, 64, MISS), *row(128, 192, MISS)] if old == MISS else [*row(0, 64, HIT), *row(128, 192, HIT)]
    )
    changed = [*row(64, 128, old, 16, age=3), *row(72, 120, new, 16)]
    found = fit(sorted(around + changed), end=192)
    assert found.state[1] == state
    assert len(found.state) == 3
    assert found.since == [0, 1, 0]
    assert found.rate[1] == pytest.approx(rate)
    assert found.seen[1] == 3


def test_of_a_segment_that_did_not_change_all_points_count() -> None:
    """By their weights: 1 + 1/2 hits of 1 + 1/2 + 1/4."""
    points = [Point(0, HIT), Point(PAGE, HIT, 1), Point(2 * PAGE, MISS, 2)]
    found = fit(points, by_hand(weights=0.5), end=3)
    assert found.state == [HOT]
    assert found.seen == [1.75]
    assert found.rate == pytest.approx([(1.5 + 2 * 0.9) / (1.75 + 2)])


def test_weights_are_worth_surprises() -> None:
    """Four hits of the age at which a point counts half are worth two: too few."""
    tables = by_hand(weights=0.5)
    for age, state in ((0, [COLD, HOT, COLD]), (1, [COLD])):
        points = [*row(0, 40, MISS, age=age), *row(40, 72, HIT, age=age), *row(72, 112, MISS, age=age)]
        assert fit(points, tables, end=112).state == state


def test_touched_is_what_whole_spans_say_beside_the_rate() -> None:
    """3 of 4 whole spans touched, and 2 checks' worth of what lies between the rate and what that makes of 4 ticks: how
    far, the same 4 say, and 2 checks' worth of all of it."""
    points = [*row(0, 24, HIT), *row(24, 48, HIT + WHOLE), Point(48 * PAGE, WHOLE)]
    found = fit(points, end=49, ticks=4)
    rate = (3 + 2 * 0.9) / (3 + 2)
    assert found.rate == pytest.approx([rate])
    more = (1 - (1 - rate) ** 4) - rate
    part = max((3 - 4 * rate + 2) / (4 * more + 2), 0)
    assert found.touched == pytest.approx([(3 + 2 * (rate + part * more)) / (4 + 2)])
    assert found.seen == [3], "of one-tick checks"


def test_what_only_whole_spans_saw_accessed_has_its_levels_rate() -> None:
    found = fit(row(0, 40, HIT + WHOLE), end=40, ticks=4, prior=1.0)
    assert found.rate == pytest.approx([0.9])
    more = (1 - 0.1**4) - 0.9
    part = min((5 - 5 * 0.9 + 1) / (5 * more + 1), 1)
    assert found.touched == pytest.approx([(5 + 0.9 + part * more) / 6])
    assert found.seen == [0]


def met_once(page: int) -> list[Point]:
    """A page that one whole span met, and its cold neighbours."""
    hits = [Point(page * PAGE, kind) for kind in [HIT + WHOLE, *[HIT] * 60]]
    return [Point((page + side) * PAGE, MISS) for side in (-1, 1) for _ in range(60)] + hits


def test_what_whole_spans_met_too_seldom_is_expected_where_all_is_quiet() -> None:
    """Whole spans met two pages in a hundred checks: others must be there."""
    quiet = [Point(page * PAGE, WHOLE) for page in range(0, 5000, 50) if page not in (1000, 3000)]
    found = fit(sorted(quiet + met_once(1000) + met_once(3000)), end=5000)
    assert found.state == [COLD, HOT, COLD, HOT, COLD]
    sizes = [b - a for a, b in pairwise([0, *(place / PAGE for place in found.place), 5000])]
    assert sum(size * share for size, share in zip(sizes, found.touched, strict=True)) == pytest.approx(100)
    assert found.touched[0] == found.touched[2] == found.touched[4]
    assert found.quiet == (100, 2), "islands stand for those that were not met"


@pytest.mark.parametrize(
    ("levels", "age", "judge", "quiet"),
    [
        ((0, 1), 0, True, (40, 0)),  # known as hot before
        ((1, 0), 0, True, (0, 0)),  # of what is quiet now nothing was known
        ((0, 0), 0, True, (40, 0)),  # accesses are explained by what was found
        ((0, 0), 1, True, (0, 0)),  # older ones counted when they were new
        ((0, 0), 0, False, (0, 0)),
    ],
)
def test_checks_of_quiet_memory_are_new_and_were_so_before_and_are_so_after(
    levels: Sequence[int], age: int, judge: bool, quiet: tuple[int, int]
) -> None:
    """Forty pages that are quiet, and forty of which every check met accesses."""
    points = [Point(page * PAGE, WHOLE + HIT * (page >= 40), age) for page in range(80)]
    ticks = [Point(page * PAGE, HIT, 1) for page in range(40, 80)]
    before = [Step(40, 39, 40)]
    found = fit(sorted(points + ticks), before=before, levels=levels, rates=(0.1, 0.9), end=80, judge=judge)
    assert found.place == [40 * PAGE]
    assert found.quiet == quiet


def test_what_whole_spans_met_as_often_as_its_bytes_say_is_all_there_is() -> None:
    quiet = [Point(page * PAGE, WHOLE) for page in range(0, 5000, 50) if page != 1000]
    found = fit(sorted(quiet + met_once(1000)), end=5000)
    assert found.state == [COLD, HOT, COLD]
    assert found.touched[0] == 0, "one may be chance"


def test_new_answers_say_that_pages_are_less_alike_than_older_ones_did() -> None:
    """Half of the one-tick checks were accesses, and of the older spanning ones all: the share is 0.5 at least. Of 100
    new ones 55 were expected and 40 come. By chance that may differ by 2 standard errors of 0.05: of the 0.15 that are
    too much 1 - (2 · 0.05 / 0.15)² are taken off. If 90 were expected it is all that can be."""
    old = [Point(page * PAGE, kind, 1) for page in range(200) for kind in (MISS, HIT)]
    spanning = [Point(page * PAGE, WHOLE + HIT, 1) for page in range(200)]
    new = [Point(page * PAGE, WHOLE + HIT * (page % 5 < 2), 0) for page in range(0, 200, 2)]
    tables = by_hand()._replace(enter=[-50.0, -50.0, -1e9, -1e9])
    unjudged = (200 + 40 + 2 * 0.5) / (300 + 2)

    def touched(expected: float) -> float:
        return fit(sorted([*old, *spanning, *new]), tables, end=200, shares=[expected]).touched[0]

    assert touched(0.4) == touched(0.3) == pytest.approx(unjudged, abs=0.01)
    assert touched(0.55) == pytest.approx(unjudged - 0.15 * (1 - (2 * 0.05 / 0.15) ** 2), abs=0.01)
    assert touched(0.9) == pytest.approx(0.5, abs=0.01)


def test_what_was_never_seen_accessed_is_not_accessed_at_all() -> None:
    found = fit([*row(0, 40, MISS), *row(40, 80, WHOLE)], end=80)
    assert (found.rate, found.touched) == ([0.0], [0.0])


# One step, hit by hit on the right: its points leave [121, 128); 128 pages are to its left, 135 to its right.
POINTS = [*row(0, 128, MISS), *row(128, 256, HIT)]


def one_step(*before: Step, drift: float = 1 / 128) -> Fit:
    found = fit(POINTS, before=before, end=256, drift=drift)
    assert found.state == [COLD, HOT]
    return found


def test_a_step_that_stays_keeps_its_place_and_its_gap_widens_by_the_drift() -> None:
    """By a page each time: 1/128 of the smaller of both segments; but not beyond what the points say."""
    step = Step(125, 124, 126)
    gaps = []
    for _ in range(5):
        found = one_step(step)
        ((low, place, high),) = found.gaps()
        gaps.append((low, place, high))
        step = Step(int(place), int(low), int(high))
        assert (found.reach, found.moved, found.appeared) == ([0], [], 0)
    assert gaps == [(123, 125, 127), (122, 125, 128), (121, 125, 128), (121, 125, 128), (121, 125, 128)]


def test_a_step_that_moved_keeps_what_was_known_of_its_gap() -> None:
    """It was before 120 and drifts by 2: so it is before 122 now, wherever between 121 and 128 it could be.
    And as it came from 119, it may have come as far again."""
    found = one_step(Step(119, 117, 120), drift=2 / 128)
    assert found.gaps() == [(121, 121, 122)]
    assert (found.reach, found.moved) == ([2 * PAGE], [(119 * PAGE, 121 * PAGE)])


def test_the_reach_of_a_step_that_stays_is_halved_until_it_is_less_than_a_page() -> None:
    reaches, reach = [], 8
    while reach:
        found = one_step(Step(125, 124, 126, reach=reach))
        reaches.append(found.reach[0])
        reach = found.reach[0] // PAGE
    assert reaches == [4 * PAGE, 2 * PAGE, PAGE, 0]


def test_a_step_that_came_from_afar_may_have_come_as_far_again() -> None:
    """It is between 121 and 128 now, so at 124; the nearest step of its direction was at 110."""
    found = one_step(Step(60, 59, 61), Step(110, 109, 111))
    assert found.gaps() == [(121, 124, 128)]
    assert (found.reach, found.moved) == ([14 * PAGE], [(110 * PAGE, 124 * PAGE)])


def test_a_step_of_another_direction_is_another_step() -> None:
    """Nothing is known of this one: it may have come from either end of the smaller segment, 124 pages long."""
    for steps in ((), (Step(110, 109, 111, height=-1.0),), (Step(125, 124, 126, height=-1.0),)):
        found = one_step(*steps)
        assert found.gaps() == [(121, 124, 128)]
        assert (found.reach, found.moved, found.appeared) == ([124 * PAGE], [], 1)


def test_a_step_farther_away_than_the_smaller_segment_is_long_is_another_step() -> None:
    """The island is 64 pages long; the step at 48 is 76 away from its beginning, at 124."""
    points = [*row(0, 128, MISS), *row(128, 192, HIT), *row(192, 320, MISS)]
    found = fit(points, before=[Step(48, 48, 49)], end=320)
    assert (found.place[0], found.moved, found.appeared) == (124 * PAGE, [], 2)
    assert found.reach[0] == found.place[1] - found.place[0]


def test_of_two_steps_in_a_gap_the_one_of_the_same_direction_goes_on() -> None:
    found = one_step(Step(122, 122, 123, height=-1.0), Step(126, 125, 127))
    assert found.gaps() == [(124, 126, 128)]


def test_both_steps_of_an_island_stay() -> None:
    """64 pages of hits: they drift by 1/64 of what is between the farthest places of their neighbours."""
    points = [*row(0, 128, MISS), *row(128, 192, HIT), *row(192, 320, MISS)]
    before = [Step(124, 124, 126), Step(190, 188, 190, height=-1.0)]
    found = fit(points, before=before, end=320, drift=1 / 71)  # of [121, 192)
    assert found.gaps() == [(123, 124, 127), (187, 190, 191)]
    assert found.reach == [0, 0]


def in_time(before: int, number: int, after: int, *ages: int) -> list[Point]:
    """`number` answers `before` of age 3, then one answer `after` of each of `ages`."""
    old = [Point(2 * page * PAGE, before, 3) for page in range(number)]
    return sorted([*old, *(Point((2 * i + 1) * PAGE, after, age) for i, age in enumerate(ages))])


def test_a_segment_has_its_rate_since_its_points_speak_for_it() -> None:
    """One level costs 6 surprises; two of them, 14 * 0.1: 17.4 better. Old points count no longer."""
    points = in_time(MISS, 6, HIT, 1, 1, 1, 1, 1, 1, 1, 0)
    for change, since, seen, hits in ((17.3, 2, 8, 8), (17.5, 0, 14, 8)):
        found = fit(points, end=20, change=change)
        assert (found.state, found.since) == ([HOT], [since])
        assert found.seen == [seen]
        assert found.rate == pytest.approx([(hits + 2 * 0.9) / (seen + 2)])


@pytest.mark.parametrize("youngest", [0, 1, 2])
def test_the_change_is_where_it_explains_most(youngest: int) -> None:
    found = fit(in_time(MISS, 6, HIT, 2, 2, 2, 2, 2, 2, 2, youngest), end=20, change=9, least_change=0.7)
    assert (found.state, found.since, found.seen) == ([HOT], [3], [8])


def test_a_change_that_is_no_larger_than_the_least_is_none() -> None:
    """From 0.1 to 0.9 in the angle asin(sqrt(rate)): from 0.322 to 1.249."""
    points = in_time(MISS, 6, HIT, 1, 1, 1, 1, 1, 1, 1, 1)
    assert fit(points, end=20, change=9, least_change=0.92).since == [2]
    assert fit(points, end=20, change=9, least_change=0.93).since == [0]


def test_recent_accesses_are_a_change_only_where_the_segment_is_accessed() -> None:
    """Ten old answers and two others: the segment is what the ten say. Cold memory with two accesses was asked
    around them; hot memory with two misses cooled."""
    assert fit(in_time(MISS, 10, HIT, 1, 1), end=20, change=5).since == [0]
    cooled = fit(in_time(HIT, 10, MISS, 1, 1), end=20, change=5)
    assert (cooled.state, cooled.since, cooled.rate, cooled.seen) == ([HOT], [2], [0], [2])


def test_what_was_always_alike_never_changed() -> None:
    assert fit(in_time(HIT, 9, HIT, 1, 0), end=20, change=-99).since == [0]
    assert fit([Point(0, MISS, 5), Point(PAGE, HIT, 5)], end=20, change=5).since == [0]


def outliers(
    points: list[Point], surprise: float = 2.5, outlier_age: int = 1, room: int = 0
) -> list[tuple[float, ...]]:
    """In pages; `room`, too."""
    found = fit(points, end=100, surprise=surprise, outlier_age=outlier_age, outlier_room=room * PAGE)
    return [tuple(place / PAGE for place in suspect) for suspect in found.outliers]


def test_an_answer_that_its_segment_does_not_explain_is_a_suspect() -> None:
    points = [*row(0, 16, MISS), Point(16 * PAGE, HIT), *row(24, 48, MISS)]
    assert outliers(points) == [(9, 16, 17, 24)], (
        "from the end of the point before to the start of the one after"
    )
    assert outliers(points, surprise=3.5) == []
    assert outliers([points[2], *points[3:]]) == [(16, 16, 17, 24)], "the first point has none before it"
    assert outliers(points[:3]) == [(9, 16, 17, 17)], "and the last none after it"


def test_a_suspect_whose_neighbours_are_near_is_one_if_it_said_so_often() -> None:
    cold = row(0, 16, MISS), row(18, 48, MISS)
    once, thrice = [Point(16 * PAGE, HIT)], [Point(16 * PAGE, HIT, age) for age in (2, 1, 0)]
    unsure = [Point(16 * PAGE, MISS, 1), Point(16 * PAGE, HIT)]
    found = [(9, 16, 17, 18)]

    def suspects(middle: list[Point], room: int) -> list[tuple[float, ...]]:
        return outliers([*cold[0], *middle, *cold[1]], room=room)

    assert [suspects(middle, 9) for middle in (once, thrice, unsure)] == [found, found, []]
    assert [suspects(middle, 10) for middle in (once, thrice, unsure)] == [[], found, []]


def test_a_huge_page_that_surprises_is_one_suspect() -> None:
    huge = [Point(512 * PAGE, HIT, age, 512) for age in (1, 0)]
    points = [*[Point(0, MISS, 1, 512)] * 9, *huge, *[Point(1024 * PAGE, MISS, 1, 512)] * 9]
    assert outliers(points, surprise=1.0, room=1 << 20) == [(512, 512, 1024, 1024)]


def test_an_old_answer_is_no_suspect() -> None:
    cold = [row(0, 16, MISS, age=2), row(24, 48, MISS, age=2)]
    points = [*cold[0], Point(16 * PAGE, HIT, 2), *cold[1], Point(64 * PAGE, HIT, 1)]
    assert outliers(points) == [(41, 64, 65, 65)]
    assert outliers(points, outlier_age=2) == [(9, 16, 17, 24), (41, 64, 65, 65)]
    assert outliers(points, outlier_age=0) == []


def test_a_hole_is_no_suspect() -> None:
    assert outliers([*row(0, 16, HIT), Point(16 * PAGE, HOLE, 0, 8), *row(24, 48, HIT)]) == []


def test_a_settled_point_answers_for_the_level_that_its_segment_had() -> None:
    """Twenty pages were cold to the last fit, and are hot now: old points of any age say so."""
    old = [Point(page * PAGE, MISS, 30) for page in range(0, 20, 2)]
    new = [Point(page * PAGE, HIT) for page in range(1, 20, 2)]
    points = sorted(old + new)
    assert fit(points, end=20, settled=16).state == [WARMED]
    assert fit(points, end=20, settled=16, levels=[HOT]).state != [WARMED], "it was hot before, too"


def test_a_change_ends_where_a_segment_ended() -> None:
    """Both halves became hot; one by one, for settled points know of the step between them."""
    points = sorted(
        [Point(page * PAGE, MISS, 30) for page in range(0, 20, 2)]
        + [Point(page * PAGE, HIT) for page in range(1, 20, 2)]
    )
    before = [Step(10, 10, 10)]
    assert fit(points, before=before, end=20, settled=16, levels=[COLD, COLD]).state == [WARMED, WARMED]
    assert fit(points, before=before, end=20, levels=[COLD, COLD]).state == [WARMED]


def test_points_that_make_no_sense_are_refused() -> None:
    good = [Point(0), Point(PAGE, HOLE), Point(PAGE)]
    assert len(fit(good, end=2).state) == 3
    for wrong in ([Point(PAGE), Point(0)], [Point(0, kind=5)], [Point(0, kind=255)], [Point(0, pages=0)]):
        with pytest.raises(ValueError, match="unsorted, empty, or of an unknown kind"):
            fit(wrong, end=2)


def test_new_answers_say_that_more_is_touched_than_older_ones_did() -> None:
    """As after aggregations became longer: of 200 older spanning checks 40 were accesses, of 100 new ones 80, where a
    fifth was expected, as of all bytes. If pages are alike, nearly all of them are touched."""
    old = [Point(page * PAGE, HIT * (page % 5 == 0), 1) for page in range(200)]
    spanning = [Point(page * PAGE, WHOLE + HIT * (page % 5 == 1), 1) for page in range(200)]
    new = [Point(page * PAGE, WHOLE + HIT * (page % 5 < 4), 0) for page in range(0, 200, 2)]
    tables = by_hand()._replace(enter=[-50.0, -50.0, -1e9, -1e9])
    found = fit(sorted([*old, *spanning, *new]), tables, end=200, shares=[0.2], old_share=0.2)
    fitted, off = 120 / 300, 0.2 - 0.8
    lagging = fitted - (0.2 + 0.8 - 0.2)
    chance = (2 * (0.2 * 0.8 / 100) ** 0.5) ** 2
    assert off < lagging < 0
    assert found.touched[0] == pytest.approx(fitted - lagging * (1 - chance / lagging**2), abs=0.02)


def test_a_fit_that_became_better_is_not_held_to_be_as_wrong_as_those_before() -> None:
    """Nine tenths were expected of 100 checks before, and two fifths came; this fit has two fifths by itself."""
    points = [Point(page * PAGE, WHOLE + HIT * (page % 5 < 2), page % 2) for page in range(200)]
    points += [Point(page * PAGE, HIT * (page % 10 == 0), 1) for page in range(200)]
    tables = by_hand()._replace(enter=[-50.0, -50.0, -1e9, -1e9])
    before = Judged(200.0, 80.0, 180.0, 100.0, 180.0)
    found = fit(sorted(points), tables, end=200, shares=[0.9], judged=before, old_share=0.9)
    assert found.touched[0] == pytest.approx(0.4, abs=0.02)


def test_checks_are_judged_by_the_fit_before() -> None:
    """Ten new checks lie where a share of 0.2 was expected, and four where 0.7 was; three and three are accesses. Half
    of the sums before is left."""
    old = [Point(page * PAGE, WHOLE, 1) for page in (5, 95)]
    new = [Point(page * PAGE, WHOLE + HIT * (page < 3), 0) for page in range(10)]
    new += [Point(page * PAGE, WHOLE + HIT * (page != 60), 0) for page in range(60, 64)]
    before = Judged(8.0, 2.0, 4.0, 3.0, 6.0)
    steps = [Step(50, 50, 50)]
    found = fit(sorted([*old, *new]), before=steps, end=100, shares=[0.2, 0.7], judged=before, old_share=0.45)
    squares = 3 * 0.8**2 + 7 * 0.2**2 + 3 * 0.3**2 + 0.7**2
    assert found.judged[:5] == pytest.approx((4 + 14, 1 + 6, 2 + 2 + 2.8, 1.5 + squares, 3 + 14 * 0.45))


def test_checks_that_were_judged_are_not_judged_again() -> None:
    points = [Point(5 * PAGE, WHOLE, 1), Point(9 * PAGE, WHOLE + HIT, 0)]
    before = Judged(8.0, 2.0, 4.0, 3.0, 6.0, 5.0, 1.0)
    found = fit(points, end=100, shares=[0.2], judged=before, old_share=0.45, judge=False)
    assert found.judged == pytest.approx((4.0, 1.0, 2.0, 1.5, 3.0, 2.5, 0.5))


def test_first_checks_are_judged_by_their_mean() -> None:
    """The fit before had none, so what it expected is of one-tick checks. Two of eight are accesses: 8 · ¼ · ¾."""
    points = [Point(page * PAGE, WHOLE + HIT * (page < 2), 0) for page in range(8)]
    found = fit(points, end=100, shares=[0.9], old_share=0.9)
    assert found.judged[:5] == pytest.approx((8, 2, 2, 1.5, 2))


def log_beta(misses: float, hits: float) -> float:
    """The logarithm of the chance of such answers in this order, under a uniform prior of the share."""
    return lgamma(misses + 1) + lgamma(hits + 1) - lgamma(misses + hits + 2)


@pytest.mark.parametrize(("since_hits", "share"), [(0, 0.9), (0, 0.5), (3, 0.9), (4, 0.99), (2, 0.1)])
def test_what_spanned_before_memory_changed_counts_with_the_chance_that_it_did_not_here(
    since_hits: int, share: float
) -> None:
    """Of ten checks before nine were accesses. Under the hypothesis of no change all 14 have one share, else both
    have shares of their own: the posterior chance of the first."""
    old = [Point(page * PAGE, WHOLE + HIT * (page > 0), 3) for page in range(10)]
    new = [Point((20 + page) * PAGE, WHOLE + HIT * (page < since_hits), page) for page in range(4)]
    ticks = [Point(page * PAGE, HIT * (page % 10 == 0), 1) for page in range(40)]
    tables = by_hand()._replace(enter=[-50.0, -50.0, -1e9, -1e9])
    points = sorted([*old, *(one._replace(age=min(one.age, 2)) for one in new), *ticks])
    found = fit(points, tables, end=40, moved=3, moved_share=share, judge=False)
    same = log_beta(5 - since_hits, 9 + since_hits)
    other = log_beta(1, 9) + log_beta(4 - since_hits, since_hits)
    chance = (1 - share) / (1 - share + share * exp(other - same))
    assert found.unmoved == pytest.approx([chance])
    hits, checks = since_hits + 9 * chance, 4 + 10 * chance
    again = fit([one for one in points if one.kind & WHOLE == 0], tables, end=40, judge=False)
    assert found.rate == pytest.approx([again.rate[0]], abs=0.02)
    assert found.touched[0] == pytest.approx(hits / checks, abs=0.5 * 2 / (checks + 2))


def test_outdated_checks_say_nothing_of_what_is_touched_and_still_of_steps() -> None:
    """Half of the memory was touched in all aggregations before, and is not since."""
    before = [Point(page * PAGE, WHOLE + HIT * (page < 20), 3, outdated=1) for page in range(0, 40, 2)]
    new = [Point(page * PAGE, WHOLE, 0) for page in range(1, 40, 2)]
    ticks = [Point(page * PAGE, HIT * (page < 20 and page % 4 == 0), 2) for page in range(40)]
    tables = by_hand()._replace(enter=[-1.0, -1.0, -1e9, -1e9])

    def fitted(*points: Point) -> Fit:
        return fit(sorted([*points, *new, *ticks]), tables, end=40, judge=False)

    counted = fitted(*(one._replace(outdated=0) for one in before))
    found, without = fitted(*before), fitted()
    assert found.place == counted.place != without.place
    assert found.touched[-1] < 0.05 < 0.2 < counted.touched[-1]


def spanned(old: int, old_hits: int, new: int, new_hits: int, outdated: int = 0) -> list[Point]:
    """Checks of 40 pages that spanned the aggregation, 5 aggregations ago and 2; accesses among them lie everywhere."""

    def checks(number: int, hits: int, age: int, outdated: int = 0) -> list[Point]:
        return [
            Point(i % 40 * PAGE, WHOLE + HIT * (i * 37 % number < hits), age, outdated=outdated)
            for i in range(number)
        ]

    return sorted([*checks(old, old_hits, 5, outdated), *checks(new, new_hits, 2)])


def rested(points: list[Point], change: float, rest: float = 1e9, moved: int = AGES) -> list[int]:
    tables = by_hand()._replace(enter=[-50.0, -50.0, -1e9, -1e9])
    return fit(
        points, tables, end=40, change=change, rest=rest, moved=moved, least_change=9.0, judge=False
    ).rested


def test_since_when_a_segment_rests() -> None:
    """Half of 60 checks were accesses, and none of 30 is: two shares explain that better than one by 12.5 nats."""
    points = spanned(60, 30, 30, 0)
    gain = log_beta(30, 30) + log_beta(30, 0) - log_beta(60, 30)
    assert gain == pytest.approx(12.5, abs=0.1)
    assert rested(points, gain - 0.1) == [3]
    assert rested(points, gain + 0.1) == [0]
    assert rested(spanned(30, 0, 60, 30), gain - 0.1) == [3], "and since when it does no more"


def test_a_segment_that_is_touched_less_does_not_rest() -> None:
    """A tenth of it still is, which is more than `used`."""
    assert rested(spanned(100, 90, 100, 10), 1.0) == [0]


def test_less_evidence_is_enough_since_memory_changed() -> None:
    """It did three aggregations ago, and these answers are of two and five ago."""
    points = spanned(20, 10, 8, 0)
    assert rested(points, 9.0, 2.0, moved=3) == [3]
    assert rested(points, 9.0, 2.0, moved=2) == [0]
    assert rested(points, 9.0, 3.0, moved=3) == [0]


def test_where_a_segment_rests_is_where_it_was_touched() -> None:
    """Of 400 pages 21 were touched, by six of six checks: from the first to the last, and a fifth of it beyond.
    What was quiet before stays so."""
    island = [Point(page * PAGE, WHOLE + HIT, 5) for page in range(100, 124, 4)]
    quiet = [Point(page * PAGE, WHOLE, 2) for page in range(400) for _ in range(2)]
    tables = by_hand()._replace(enter=[-500.0, -500.0, -1e9, -1e9])
    found = fit(sorted([*island, *quiet]), tables, end=400, change=5.0, least_change=9.0, judge=False)
    assert found.rested == [3]
    assert found.rested_at == [(100 * PAGE - 21 * PAGE // 5, 121 * PAGE + 21 * PAGE // 5)]


def test_what_is_known_to_rest_is_not_found_again() -> None:
    assert rested(spanned(60, 30, 30, 0, outdated=1 << MOVED), 9.0) == [3]
    assert rested(spanned(60, 30, 30, 0, outdated=1 << RESTED), 9.0) == [0]


ISLANDS = (100, 500)
"""Where two islands of 4 pages are, among 1000 pages of which every tenth has a check that spanned the aggregation."""


def with_islands(met: float, known: float) -> Fit:
    """A fit that knows both. Of 100 checks before, `met` saw accesses in quiet memory, and `known` is the sum of the
    shares that were known; twice that is handed in, of which half is left."""
    spanning = [Point(page * PAGE, WHOLE + HIT * (page in ISLANDS), 1) for page in range(0, 1000, 10)]
    ticks = [Point(page * PAGE, HIT, 1) for first in ISLANDS for page in range(first, first + 4)]
    around = [Point(page * PAGE, MISS, 1) for first in ISLANDS for page in (first - 1, first + 4)]
    judged = Judged(200.0, 4.0, 4.0, 4.0, 4.0, 2 * known, 2 * met)
    found = fit(sorted([*spanning, *ticks, *around]), end=1000, judged=judged, judge=False)
    assert found.state == [COLD, HOT, COLD, HOT, COLD]
    assert found.known == pytest.approx(0.008, rel=0.05)
    return found


def test_what_checks_met_and_was_not_known_is_put_into_quiet_memory() -> None:
    """0.03 were met and not known. When they were, 0.4 of 100 checks' shares were known, 0.004; now it is 0.008."""
    found = with_islands(met=3.0, known=0.4)
    assert found.share == pytest.approx(found.known + 0.03 - (found.known - 0.004))
    assert found.touched[0] == found.touched[2] == found.touched[4] > 0


def test_what_was_not_known_is_kept_near_to_what_islands_have_now() -> None:
    """Two of the 100 checks met islands: 0.02, and a standard error of it is 0.014."""
    found = with_islands(met=5.0, known=0.8)
    assert found.share == pytest.approx(0.02 + 2**0.5 / 100)


def test_what_was_not_known_and_is_no_more_than_chance_is_none() -> None:
    """0.5 of 100 checks; their standard error is 0.7."""
    found = with_islands(met=0.5, known=0.8)
    assert (found.share, found.touched[0]) == (found.known, 0)


def test_less_that_is_known_now_makes_nothing_of_what_was_met() -> None:
    """Twice as much was known: what is gone since was no error."""
    found = with_islands(met=2.5, known=1.6)
    assert found.share == pytest.approx(found.known + 0.025)


def test_checks_that_met_what_was_not_known() -> None:
    """New hits: three in what becomes an island, one that is none yet, three in what was hot before, and six in what
    becomes a large segment. Four count. A share of 0.3 was known at each of the 13 checks."""
    hits = [10, 11, 12, 30, 60, 61, 62, *range(80, 98, 3)]
    new = [Point(page * PAGE, WHOLE + HIT, 0) for page in hits]
    new += [Point(page * PAGE, MISS, 0) for page in (5, 8, 9, 13, 14, 20, 25, 28, 32, 36, 40, 50, 70, 73, 76)]
    hot = [Point(page * PAGE, HIT, 1) for page in (58, 63, 64)]
    steps = [Step(57, 57, 57), Step(66, 66, 66, -1.0)]
    found = fit(sorted([*new, *hot]), before=steps, end=100, levels=[COLD, HOT, COLD], old_known=0.3)
    assert [state == COLD for state in found.state] == [True, False, True, False, True, False]
    assert found.judged[5:] == pytest.approx((13 * 0.3, 4))


def test_the_touched_share_is_of_all_bytes_but_holes() -> None:
    points = [Point(page * PAGE, WHOLE + HIT * (page < 50), 0) for page in range(0, 100, 2)]
    hole = Point(100 * PAGE, HOLE, pages=100)
    found = fit([*points, hole], end=200)
    assert found.share == pytest.approx(0.5, abs=0.05)


def call(buffers: list[bytes | array[int] | array[float]], unchanged: int = 2) -> int:
    """How many segments come out."""
    found = steps_fit(
        **named("steps_fit", buffers), unchanged=unchanged, begin=0, end=100 * PAGE, ticks=20, prior=2.0, drift=0.0,
        change=9.0, rest=9.0, used=0.05, least_change=0.2, surprise=2.5, outlier_age=1, outlier_room=0, settled=255,
        reach_keep=0.5, quiet=0.02, near=0, density=1.0, judge=True, judged_checks=9.0, judged_hits=3.0,
        judged_expected=8.0, judged_shares=3.0, judged_known=2.5, judged_met=1.0, judged_errors=2.0, moved=2,
        moved_share=0.5,
    )  # fmt: skip
    return len(found.state)


@pytest.mark.parametrize("which", range(1, 6))
def test_tables_of_a_wrong_size_are_refused(which: int) -> None:
    buffers = fit_buffers(pack([Point(0)]), by_hand())
    assert call(buffers) == 1
    for wrong in (buffers[which][:-1], array("d"), array("d", [-1.0] * 10_000)):
        buffers[which] = wrong
        with pytest.raises(ValueError, match=r"do not fit together|must have|must fit"):
            call(buffers)


@pytest.mark.parametrize("which", range(1, 5))
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf"), 1e39, -1e39])
def test_tables_of_no_numbers_are_refused(which: int, wrong: float) -> None:
    """No state would be the most probable."""
    buffers = fit_buffers(pack([Point(0), Point(PAGE)]), by_hand())
    table = buffers[which]
    assert isinstance(table, array)
    buffers[which] = array("d", [*table[:-1], wrong])
    with pytest.raises(ValueError, match=r"do not fit together|must have|must fit"):
        call(buffers)


def test_more_states_than_there_is_room_for_are_refused() -> None:
    tables = by_hand()
    for states in (16, 17):
        many = tables._replace(answers=[-1.0] * 10 * states, enter=[-1.0] * states, rate=[0.5] * states)
        buffers = fit_buffers(pack([Point(0)]), many)
        if states == 16:
            assert call(buffers) == 1
        else:
            with pytest.raises(ValueError, match=r"do not fit together|must have|must fit"):
                call(buffers)


@pytest.mark.parametrize("unchanged", [5, 17, 2**32])
def test_more_unchanged_states_than_states_are_refused(unchanged: int) -> None:
    buffers = fit_buffers(pack([Point(0), Point(PAGE, HIT)]), by_hand())
    with pytest.raises(ValueError, match=r"do not fit together|must have|must fit"):
        call(buffers, unchanged)


@pytest.mark.parametrize("longer", range(6, 13))
def test_steps_before_of_different_lengths_are_refused(longer: int) -> None:
    buffers = fit_buffers(pack([Point(0)]), by_hand(), [Step(1, 1, 1)])
    column = buffers[longer]
    assert isinstance(column, array)
    column.append(1)
    with pytest.raises(ValueError, match="must have"):
        call(buffers)


def test_a_part_of_a_point_is_no_point() -> None:
    with pytest.raises(ValueError, match="points must have whole records of 16 bytes, not 24 bytes"):
        call(fit_buffers(pack([Point(0), Point(PAGE)])[: LAYOUT.size + 8], by_hand()))


def test_an_island_in_quiet_memory_is_told_where_nothing_was_before() -> None:
    points = [*row(0, 128, MISS), *row(128, 192, HIT), *row(192, 320, MISS)]
    found = fit(points, end=320)
    assert [page // PAGE for page in found.islands] == [(found.place[0] + found.place[1]) // 2 // PAGE]
    assert (found.appeared, found.accessed) == (2, 1)
    assert fit(points, end=320, rates=[0.5]).islands == [], "it was not quiet there"
    assert fit(points, end=320, before=[Step(300, 300, 301)], rates=[0.0, 0.5]).islands == found.islands
    assert fit(points, end=320, before=[Step(100, 99, 101)], rates=[0.0, 0.5]).islands == []
    beside = [*row(0, 128, MISS), *row(128, 192, HIT)]
    assert fit(beside, end=192).islands == [], "it goes on to the end"
