"""What the steps of the policy damon cost at 1000 regions."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable
from random import Random
from statistics import quantiles

from bench.figures import Figure, Sample
from udamon.core.attrs import Attrs
from udamon.core.damon import DamonPolicy
from udamon.core.merge import age, merge_similar
from udamon.core.policy import Answers
from udamon.core.regions import Region
from udamon.core.split import enforce_limit, split_randomly
from udamon.core.target import Target
from udamon.model import PAGE_SIZE, Range

COUNT, TICKS, RUNS = 1000, 20, 200
SIZE = 256 * PAGE_SIZE

Step = Callable[[list[Region]], object]


def regions(count: int = COUNT, seed: int = 1) -> list[Region]:
    """Adjacent regions with counts that differ, so that few of them merge."""
    random = Random(seed)
    made = [Region(i * SIZE, (i + 1) * SIZE) for i in range(count)]
    for r in made:
        r.nr_accesses = random.randrange(TICKS + 1)
        r.last_nr_accesses = random.randrange(TICKS + 1)
    return made


def measure() -> list[Figure]:
    steps: dict[str, tuple[int, Step]] = {
        "age": (COUNT, lambda rs: age(rs, 2)),
        "merge": (COUNT, lambda rs: merge_similar(rs, 2, 1 << 60)),
        "split, 500 to 1000": (COUNT // 2, lambda rs: split_randomly(rs, 2, PAGE_SIZE, Random(2))),
        "enforce the minimum": (COUNT, lambda rs: enforce_limit(rs, SIZE)),
        **_policy_steps(),
    }
    samples = {name: _time(count, step) for name, (count, step) in steps.items()}
    goal = ("age", "merge", "split, 500 to 1000")
    rows = [[name, f"{s.median:.0f}", _quartiles(s)] for name, s in samples.items()]
    rows.append(["age + merge + split", f"{sum(samples[name].median for name in goal):.0f}", ""])
    rows.append(["all steps of an aggregation", f"{sum(s.median for s in samples.values()):.0f}", ""])
    note = f"CPU time, medians of {RUNS} runs on fresh regions of random counts, and the middle half of them."
    return [Figure(f"Operations on {COUNT} regions, µs", ("step", "median", "quartiles"), rows, note)]


def _policy_steps() -> dict[str, tuple[int, Step]]:
    policy = DamonPolicy(Random(3))
    # Attributes only: the targets come with each call.
    policy.start([], Attrs(max_nr_regions=COUNT))

    def target(rs: list[Region]) -> list[Target]:
        found = Target(0, ranges=[Range(rs[0].start, rs[-1].end)])
        found.regions = rs
        return [found]

    slots = policy.plan(target(regions()), TICKS)
    none = array("I")
    answers = Answers(
        TICKS, array("I", [7] * COUNT), array("I", [0] * COUNT), none, array("Q"), none, b"", b"",
        array("q", [0] * TICKS),
    )  # fmt: skip
    return {
        "plan": (COUNT, lambda rs: policy.plan(target(rs), TICKS)),
        "fold": (COUNT, lambda rs: policy.fold(target(rs), slots, answers)),
        "reset": (COUNT, lambda rs: policy.reset(target(rs))),
    }


def _time(count: int, step: Step) -> Sample:
    sample = Sample()
    gc.disable()
    try:
        for seed in range(RUNS):
            fresh = regions(count, seed)
            begin = time.thread_time_ns()
            step(fresh)
            sample.values.append((time.thread_time_ns() - begin) / 1000)
    finally:
        gc.enable()
    return sample


def _quartiles(sample: Sample) -> str:
    low, _, high = quantiles(sample.values, n=4)
    return f"{low:.0f}–{high:.0f}"
