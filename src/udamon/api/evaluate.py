"""Accuracy and cost of a region policy against a known truth."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from udamon.api.words import in_library_words
from udamon.arguments import is_number, is_whole, path_of, plain, shown
from udamon.errors import UsageError

if TYPE_CHECKING:
    from udamon.evaluation.results import Evaluation


@in_library_words()
def evaluate(
    workload: str | PathLike[str],
    policy: str = "adaptive",
    seed: int = 1,
    *,
    sample: float = 0.005,
    aggr: float = 0.1,
    min_regions: int = 10,
    max_regions: int = 1000,
    duration: float | None = None,
    checks: int | None = None,
) -> Evaluation:
    """Run a region policy on a simulated workload with known truth, in simulated time, and score each snapshot.

    `workload` is a masim configuration file, or the name of one that comes with udamon. `sample`, `aggr` and
    `duration` are seconds of simulated time; `duration` None is the workload's length. `checks` is the budget of
    access checks per aggregation, for the policy adaptive; None leaves it to the policy.

    Raises UsageError for an unknown workload or policy and for a number out of range, and ConfigError for a workload
    that does not parse. Keeps one CPU busy until it returns.
    """
    from udamon.assembly.parts import truth_of
    from udamon.assembly.spec import MonitorSpec, attrs_of
    from udamon.evaluation.run import check_duration
    from udamon.evaluation.run import evaluate as run

    spec = MonitorSpec(sample=sample, aggr=aggr, min_regions=min_regions, max_regions=max_regions)
    duration, checks, seed = plain(duration), plain(checks), plain(seed)
    if duration is not None and not (is_number(duration) and duration <= 1e9):
        raise UsageError(f"duration {shown(duration)} is no time in seconds; give a number up to 1e9.")
    if checks is not None and not (is_whole(checks) and checks >= 1):
        raise UsageError(f"checks {shown(checks)} is no budget; give at least 1 check per aggregation.")
    if not is_whole(seed):
        raise UsageError(f"seed {shown(seed)} is no seed; give a whole number.")
    if not isinstance(policy, str):
        raise UsageError(f"policy {shown(policy)} is no name; give 'adaptive' or 'damon'.")
    attrs, truth = attrs_of(spec), truth_of(path_of("workload", workload))
    duration_ns = truth.workload.duration_ns if duration is None else round(duration * 1e9)
    check_duration(duration_ns, attrs)
    return run(truth, policy, seed, attrs, duration_ns, checks)
