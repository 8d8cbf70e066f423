"""What the policy `adaptive` goes by: every number that was chosen, with its unit and its reason.

docs/adaptive.md has the formulas that they are in, by the names here, and this table;
docs/benchmarks-policies.md#when-parameters-move how results move when each is halved and doubled
(`python -m bench sensitivity`).
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

LEVELS = (0.0005, 0.006, 0.03, 0.1, 0.25, 0.42, 0.58, 0.78, 0.96)
"""Rates, in accesses per tick of a page, among which a segment's is chosen. They lie where a few checks tell one from
the next: evenly in the angle asin(√rate), in which the error of a measured rate is the same everywhere, and closer to
zero."""

COARSE_LEVELS = (0.003, 0.35, 0.93)
"""Rates before and since a change; finer ones are told apart once the old points are gone."""


def chosen(value: Any, unit: str, why: str) -> Any:
    """A parameter's default, what it is counted in, and why it is so much."""
    return field(default=value, metadata={"unit": unit, "why": why})


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that can be tuned; what is in it by name, unit and reason comes from `table`."""

    # Points, and how likely answers are
    forgotten: float = chosen(
        0.4, "of its weight",
        "What a point has lost at the end of the memory: what drifted unseen makes old evidence worth less. What is "
        "seen to change needs no forgetting: there the old points go at once.",
    )  # fmt: skip
    memory: int = chosen(
        16, "aggregations",
        "After which a point is forgotten while much changes.",
    )  # fmt: skip
    longest_memory: int = chosen(
        64, "aggregations",
        "The same of memory that stays as it is: one more for each aggregation without a change. Errors of rates are "
        "half as large as with 16, and a fit takes up to four times as long.",
    )  # fmt: skip
    max_points: int = chosen(
        1 << 16, "points",
        "With more, they are forgotten sooner: a fit walks through all of them, which takes about 1 ms for so many.",
    )  # fmt: skip
    outlier: float = chosen(
        0.01, "share of answers",
        "That say nothing, whatever the rate: pages unlike their neighbours, lost accesses.",
    )  # fmt: skip
    prior: float = chosen(
        2.0, "checks",
        "Worth of belief in what a segment's level says of its rate, and its rate of its touched share.",
    )  # fmt: skip
    judged_errors: float = chosen(
        2.0, "standard errors",
        "By which new checks that span the aggregation may see fewer accesses than was expected of them, before "
        "touched shares become smaller; chance alone gives more than that once in 44 times.",
    )  # fmt: skip
    moved_errors: float = chosen(
        3.5, "standard errors",
        "By which accesses that spanning checks of the last 1, 2, 4, 8 or 16 looks see differ from what was expected, "
        "before memory counts as changed. With 3, chance is taken for a change so often that the bounds of memory that "
        "is accessed at random hold in 89 of 100 windows with 100 checks; with 4, smaller changes take longer.",
    )  # fmt: skip
    least_unmoved: float = chosen(
        0.05, "chance",
        "That a segment is touched as it was before memory changed: with less, older spanning checks of it are "
        "forgotten.",
    )  # fmt: skip
    bounds_errors: float = chosen(
        2.0, "standard errors",
        "From the working set to its bounds, on each side: between them are 95 of 100 that are spread normally.",
    )  # fmt: skip
    # Steps
    steps: int = chosen(
        64, "steps",
        "Expected where fewer are known: the prior of a step is their number by the bytes.",
    )  # fmt: skip
    near_steps: int = chosen(
        8, "steps",
        "On each side, by whose distance the density of steps around them is estimated: sixteen have a standard error "
        "of a quarter. With 3 and 24 mean F1 of clusters differs by less than 0.03.",
    )  # fmt: skip
    change_nats: float = chosen(
        11.0, "nats",
        "Log-odds against a change of a segment's rate since the last aggregation, while all is quiet: a false one in "
        "a minute of 100 segments. What the checks of all segments together say of changes lowers it.",
    )  # fmt: skip
    change_between: float = chosen(
        1.5, "times change_nats",
        "Log-odds against a change to a rate that is neither nearly always nor nearly never: under it single answers "
        "in a large segment are likely either way, and would soon speak of such a change where there is none. Halved "
        "and doubled, it changes no mean F1 by more than 0.01.",
    )  # fmt: skip
    least_change: float = chosen(
        0.21, "radians of asin(√rate)",
        "A smaller difference of rates is no new age: from 0.5 to 0.7, and from 0 to 0.04.",
    )  # fmt: skip
    resolution: int = chosen(
        64, "part of a segment",
        "A step is known well enough when its gap is this part of the smaller of the segments beside it.",
    )  # fmt: skip
    drift: float = chosen(
        0.06, "of that part, per aggregation",
        "What a gap grows by, so that every step is looked at again.",
    )  # fmt: skip
    reach_keep: float = chosen(
        0.5, "per fit",
        "What is left of the distance that a step may have moved by, once it was found where it was.",
    )  # fmt: skip
    # Changes of all segments together
    least_expected: int = chosen(
        8, "accesses",
        "To expect: from fewer that fail to come nothing can be told of all segments.",
    )  # fmt: skip
    chance_errors: float = chosen(
        3.0, "standard errors",
        "That are put down to chance.",
    )  # fmt: skip
    missing_rises: float = chosen(
        0.1, "per aggregation",
        "How fast the share of accesses that usually fail to come follows a larger one. While steps are still rough, "
        "some always fail to come: that is no change.",
    )  # fmt: skip
    missing_falls: float = chosen(
        0.3, "per aggregation",
        "The same of a smaller one: steps only come to be known better.",
    )  # fmt: skip
    quiet_share: float = chosen(
        0.02, "share of the accessed segments",
        "A share of changing ones below it changes nothing.",
    )  # fmt: skip
    changing_share_keep: float = chosen(
        0.8, "per aggregation",
        "What is left of the share of segments that was seen to change together.",
    )  # fmt: skip
    newcomer_looks: float = chosen(
        4.6, "looks",
        "That an island in quiet memory would have had before it was found, from which on it is new: it would have "
        "been missed once in a hundred times, e⁻⁴·⁶.",
    )  # fmt: skip
    newcomer_waits: int = chosen(
        1, "aggregations",
        "Until an island that appeared is asked so: its size must be known.",
    )  # fmt: skip
    looks_kept: int = chosen(
        256, "aggregations",
        "That it is known of how much was explored.",
    )  # fmt: skip
    # How much is looked at
    first_checks: int = chosen(
        32, "checks",
        "Of the first aggregation as long as all of them agree; twice as many in each that follows.",
    )  # fmt: skip
    turn_checks: int = chosen(
        64, "checks an aggregation",
        "Roughly what each target gets when there are too few checks for all, so that targets take turns. Planning "
        "and fitting cost the same however few checks there are.",
    )  # fmt: skip
    least_explored: int = chosen(
        16, "checks an aggregation",
        "That go on exploring, however small the budget: none at all would be blind.",
    )  # fmt: skip
    learning: int = chosen(
        5, "aggregations",
        "In which the policy learns several times, so as to know where to ask next.",
    )  # fmt: skip
    max_mixed_share: float = chosen(
        0.9, "share of the first checks",
        "Where more are answered by accesses, everything counts as accessed.",
    )  # fmt: skip
    new_steps: int = chosen(
        128, "part of all steps",
        "More than this part, and one, are new: something was found. Some steps always come and go.",
    )  # fmt: skip
    patience: int = chosen(
        10, "aggregations",
        "Without anything new before exploration becomes less.",
    )  # fmt: skip
    wss_error: float = chosen(
        0.05, "of the working set",
        "While its standard error is larger, exploration does not become less.",
    )  # fmt: skip
    find_part: int = chosen(
        1000, "part of what is resident",
        "The smallest island worth finding, where nothing else was asked for.",
    )  # fmt: skip
    find_looks: float = chosen(
        3.0, "looks",
        "At such an island, before exploration becomes less: so many are none by chance once in twenty times, e⁻³.",
    )  # fmt: skip
    explore_keep: float = chosen(
        0.85, "per aggregation",
        "What is left of exploration after each that brought nothing new.",
    )  # fmt: skip
    idle_share: float = chosen(
        0.1, "share of the budget",
        "That keeps exploring when nothing was found for long.",
    )  # fmt: skip
    whole_share: float = chosen(
        0.2, "share of exploration",
        "For checks that span the whole aggregation: they measure the working set.",
    )  # fmt: skip
    # Where is looked
    gap_share: float = chosen(
        0.35, "share of the budget",
        "At most, for the gaps of steps that are not known well enough.",
    )  # fmt: skip
    gap_checks: int = chosen(
        2, "checks",
        "In each gap, and twice as many where the step may have moved: two halve a gap, in the mean.",
    )  # fmt: skip
    outlier_share: float = chosen(
        0.25, "share of the budget",
        "At most, for answers that their segments do not explain.",
    )  # fmt: skip
    outlier_age: int = chosen(
        1, "aggregations",
        "Until when such an answer is looked after.",
    )  # fmt: skip
    surprise_nats: float = chosen(
        2.5, "nats",
        "An answer this improbable under its segment's rate is such a one.",
    )  # fmt: skip
    outlier_room: int = chosen(
        8, "part of the mean distance of points",
        "Where its neighbours are closer, its surroundings are known.",
    )  # fmt: skip
    hot_rate: float = chosen(
        0.5, "accesses per tick",
        "What people call hot: segments that may lie on either side are worth more checks than others.",
    )  # fmt: skip
    hot_share: float = chosen(
        0.15, "share of the budget",
        "At most, for those.",
    )  # fmt: skip
    hot_checks: int = chosen(
        64, "checks",
        "At most, in one of them: their standard error is 0.06.",
    )  # fmt: skip
    hot_least_rate: float = chosen(
        0.1, "accesses per tick",
        "A lower rate is not near to hot, however little is known of it.",
    )  # fmt: skip
    refresh_share: float = chosen(
        0.25, "share of the budget",
        "At most, for checks of every segment that is accessed, so that a change is noticed at once.",
    )  # fmt: skip
    refresh_checks: int = chosen(
        2, "checks",
        "In each of them.",
    )  # fmt: skip
    refresh_rate: float = chosen(
        0.02, "accesses per tick",
        "From which on a segment counts as accessed there.",
    )  # fmt: skip
    known_checks: int = chosen(
        8, "checks",
        "From which on a segment's rate is worth something, and its older points are forgotten.",
    )  # fmt: skip
    # Memory and regions
    hole_pages: int = chosen(
        64, "pages",
        "Memory that is not there is no segment of its own below it: smaller holes would be most of the points.",
    )  # fmt: skip
    hole_part: int = chosen(
        16, "part of a region of mean size",
        "The same in large memory, by the largest number of regions.",
    )  # fmt: skip
    texture_share: float = chosen(
        0.2, "share of the pages",
        "That are touched in memory whose pages are unlike, from which on it may count as hot: with fewer, most of "
        "what is called hot would not be.",
    )  # fmt: skip
    texture_errors: float = chosen(
        1.0, "standard errors",
        "By which the touched share of such memory may be larger than it is known to be: its touched pages must be hot "
        "even so.",
    )  # fmt: skip
    used_share: float = chosen(
        0.05, "share of a region's bytes",
        "That are touched in an aggregation, from which on it counts as accessed, however seldom each page is: schemes "
        "take what is not accessed away.",
    )  # fmt: skip
    cut_level: float = chosen(
        0.02, "accesses per tick",
        "Worth of a cut at a step, a byte, beside its height: also a low one is better than none.",
    )  # fmt: skip
    cut_age: float = chosen(
        0.01, "accesses per tick",
        "Worth of a cut, a byte, where ages alone differ.",
    )  # fmt: skip
    alike_ages: float = chosen(
        0.1, "share of the older age",
        "Neighbours whose ages differ by less become one.",
    )  # fmt: skip
    age_joins: int = chosen(
        10, "aggregations",
        "Between two times that neighbours are joined: it walks through all of them.",
    )  # fmt: skip
    left_over: int = chosen(
        64, "part of its neighbour",
        "A smaller age between two steps is what a step left behind when it came to be known better.",
    )  # fmt: skip


def table() -> str:
    """All parameters as a Markdown table: name, default, unit, reason."""
    rows = [
        f"| `{one.name}` | {one.default:g} | {one.metadata['unit']} | {one.metadata['why']} |"
        for one in fields(Parameters)
        if one.default is not MISSING
    ]
    return "\n".join(["| name | default | unit | why |", "|---|--:|---|---|", *rows])
