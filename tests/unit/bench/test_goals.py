"""Verdicts, changes and pictures of the benchmarks, on figures that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from xml.etree import ElementTree

import pytest

from bench import goals, sensitivity
from bench.drawing import Panel, Style, short, svg, ticks
from bench.goals import GROUPS, NEVER, Pair, least, most
from bench.runs import Lab, Run
from tests.unit.evaluation.test_compare import evaluation
from udamon.core.adaptive import Parameters
from udamon.evaluation.results import Evaluation


class Canned(Lab):
    """Answers from a table instead of running anything."""

    def __init__(self, found: dict[tuple[str, str], Evaluation]) -> None:
        self.seeds = (1,)
        self.found = found

    def start(self, runs: object) -> None:
        """All is there."""

    def results(self, run: Run) -> list[Evaluation] | None:
        there = self.found.get((run.shape, run.policy))
        return [there] if there else None


def test_the_median_decides_and_a_missing_policy_says_nothing() -> None:
    assert least("x", 0.9, None, [0.8, 0.9, 1.0]) == ("x", "≥ 0.90", "-", "0.90 (0.80–1.00)", True)
    assert least("x", 0.9, [0.1], [0.8, 0.89, 1.0]).verdict == "falls short"
    assert least("x", 0.9, [0.1], None) == ("x", "≥ 0.90", "0.10", "-", None)
    assert most("x", 2000, [6000.0], [2000.0, 2100.0, 5.0], "{:,.0f}").holds is True
    assert most("x", 5, [1], [None, None, 3], "{:.0f}") == ("x", "≤ 5", "1", "never", False)


def test_checks_to_the_same_f1_are_a_share_and_never_counts_as_ten() -> None:
    kernel = evaluation((1, 1000, 0.2), (9, 9000, 0.6), (10, 10_000, 0.7), (11, 11_000, 0.9))
    ours = evaluation((1, 500, 0.69), (2, 1500, 0.7))
    assert goals._needed(kernel, ours) == pytest.approx(0.15)
    assert goals._needed(kernel, evaluation((1, 500, 0.69))) == NEVER


def test_the_geometric_mean_is_over_shapes_on_which_the_kernels_finds_something() -> None:
    """one: a tenth; many: a thousandth; fine is not in it. Mean: a hundredth."""
    lab = Canned({
        ("one", "damon"): evaluation((10, 10_000, 1.0)), ("one", "adaptive"): evaluation((1, 1000, 0.95)),
        ("many", "damon"): evaluation((10, 1_000_000, 0.5)), ("many", "adaptive"): evaluation((1, 1000, 0.5)),
        ("fine", "damon"): evaluation((10, 10_000, 0.1)), ("fine", "adaptive"): evaluation((1, 1000, 0.0)),
    })  # fmt: skip
    lines = list(goals.checks(lab))
    means = [line for line in lines if "geometric" in line.what]
    assert [(line.ours, line.holds) for line in means] == [("0.010", True)] * 3
    assert any("fine: not in the mean" in line.what and line.kernel == "F1 0.10" for line in lines)


def test_sweep_gives_ours_as_many_checks_as_the_kernels_made() -> None:
    asked: list[Run] = []

    class Noting(Canned):
        def results(self, run: Run) -> list[Evaluation] | None:
            asked.append(run)
            return super().results(run)

    lab = Noting({("sweep", "damon"): evaluation((0.1, 600, 0.5), (0.2, 1300, 0.7))})
    lines = list(goals.sweep(lab))
    assert asked[-1] == Run("sweep", "adaptive", 650)
    assert (lines[0].kernel, lines[0].ours, lines[0].holds) == ("0.60", "-", None)


def test_every_group_says_something_of_every_policy_that_is_there() -> None:
    def all_lines() -> Iterator[str]:
        both = evaluation((0.1, 100, 0.0), (5, 5000, 0.5), (60, 60_000, 1.0))
        shapes = {run.shape for group in GROUPS.values() for run in group.runs}
        lab = Canned({(shape, policy): both for shape in shapes for policy in ("damon", "adaptive")})
        for name, group in GROUPS.items():
            if name == "sparse":
                continue  # its CPU ratio is of runs that took none
            yield from (f"{name}: {line.verdict}" for line in group.lines(lab) if line.goal)

    assert {line.split(":")[0] for line in all_lines()} == GROUPS.keys() - {"sparse"}
    assert Pair(None, [evaluation((1, 1, 1))]).of(lambda run: run.age_err) == (None, [0.0])


@pytest.mark.parametrize(
    ("value", "half", "double"),
    [(8, 4, 16), (1, 0, 2), (2.5, 1.25, 5.0), (0.2, 0.1, 0.4), (0.9, 0.95, 0.8), (3, 2, 6)],
)
def test_halved_and_doubled(value: float, half: float, double: float) -> None:
    """A share near 1 moves by its distance from 1; whole numbers stay whole."""
    assert sensitivity.scaled(value, 0.5) == pytest.approx(half)
    assert sensitivity.scaled(value, 2.0) == pytest.approx(double)
    assert isinstance(sensitivity.scaled(value, 0.5), type(value))


def test_every_parameter_is_tried_both_ways() -> None:
    tried = list(sensitivity.changes())
    assert len(tried) == 2 * len(fields(Parameters))
    assert all(change.parameters != Parameters() for change in tried)


def test_differences_are_marked_where_they_matter() -> None:
    assert sensitivity.difference((0.9, 1000), (0.904, 1010)) == "="
    assert sensitivity.difference((0.9, 1000), (0.91, 1000)) == "+0.01"
    assert sensitivity.difference((0.9, 1000), (0.8, 2000)) == "-0.10! ×2.00"


def test_a_picture_is_whole_and_its_points_lie_where_they_should() -> None:
    panel = Panel("a & b", "checks", (100, 10_000), {"x": [(100, 0), (1000, 0.5), (10_000, 1), (99_999, 1)]})
    text = svg("A <picture>", "F1", {"x": Style("#000000", "", 2, "circle")}, [panel, panel])
    root = ElementTree.fromstring(text)
    paths = [path.get("d", "") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    assert paths.count("M0.0 150.0L125.0 75.0L250.0 0.0") == 2, "what lies outside of x_range is left out"
    assert "a &amp; b" in text


def test_ticks_are_powers_of_ten() -> None:
    assert ticks(100, 1_000_000) == [100, 1000, 10_000, 100_000, 1_000_000]
    assert ticks(100, 2000) == [100, 300, 1000]
    assert [short(value) for value in (300, 1000, 10_000, 1_000_000)] == ["300", "1k", "10k", "1M"]
