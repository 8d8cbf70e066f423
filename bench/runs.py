"""Simulated runs of policies on shapes, several seeds at once, on at most two processes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from random import Random
from typing import NamedTuple

from bench.shapes import truth_of
from udamon.core.adaptive import Parameters
from udamon.core.attrs import Attrs
from udamon.core.policies import POLICIES, make_policy
from udamon.core.policy import RegionPolicy
from udamon.evaluation.results import Evaluation
from udamon.evaluation.run import evaluate_made
from udamon.workload.truth import Truth

ATTRS = Attrs()
"""5 ms / 100 ms, 10 to 1000 regions."""


class Run(NamedTuple):
    """A policy on a shape for `seconds`; `checks` per aggregation and `parameters` where the policy has such.
    `bound`: with what F1 could be at most."""

    shape: str
    policy: str
    checks: int | None = None
    seconds: float = 60
    parameters: Parameters | None = None
    bound: bool = False


def configure(parser: argparse.ArgumentParser, seeds: str) -> None:
    """The flags that say how often and how much at once; see Lab.of."""
    parser.add_argument("--seeds", default=seeds, metavar="A-B", help=f"default {seeds}")
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="processes at once, at most (default 2)"
    )


class Lab:
    """Makes each run once for every seed. Use as a context."""

    def __init__(self, seeds: Sequence[int], jobs: int = 2) -> None:
        self.seeds = seeds
        self._pool = ProcessPoolExecutor(max(1, min(jobs, os.cpu_count() or 1)))
        self._started: dict[Run, list[Future[Evaluation]]] = {}

    @classmethod
    def of(cls, args: argparse.Namespace) -> Lab:
        """What the flags of `configure` ask for."""
        first, _, last = args.seeds.partition("-")
        return cls(range(int(first), int(last or first) + 1), args.jobs)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, runs: Iterable[Run]) -> None:
        """Begin `runs`, so that they are there when they are asked for. Policies that do not exist are left out."""
        for run in runs:
            if run not in self._started and run.policy in POLICIES:
                self._started[run] = [self._pool.submit(_evaluate, run, seed) for seed in self.seeds]

    def results(self, run: Run) -> list[Evaluation] | None:
        """One evaluation a seed, in their order; None where there is no such policy."""
        self.start([run])
        return [future.result() for future in self._started[run]] if run in self._started else None


@lru_cache(maxsize=4)
def _truth(shape: str) -> Truth:
    return truth_of(shape)


def _evaluate(run: Run, seed: int) -> Evaluation:
    def make(random: Random) -> RegionPolicy:
        return make_policy(run.policy, random, checks=run.checks, parameters=run.parameters)

    return evaluate_made(
        _truth(run.shape), make, seed, ATTRS, round(run.seconds * 1e9), run.checks, bound=run.bound
    )
