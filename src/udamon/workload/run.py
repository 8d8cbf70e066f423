"""Runs a workload for real: phase after phase, each one call into C."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from udamon.native import _native
from udamon.workload.memory import Memory
from udamon.workload.spec import Pattern, Workload, WorkloadPhase
from udamon.workload.truthlog import TruthLog

_MODES = {"ro": 1, "wo": 2, "rw": 3}


class PhaseDone(NamedTuple):
    """What a phase did: accesses made, and nanoseconds it took."""

    phase: WorkloadPhase
    accesses: int
    ns: int


def run(
    workload: Workload,
    memory: Memory,
    log: TruthLog,
    *,
    repeat: int | None = 1,
    duration_ns: int | None = None,
    rate: float = 0.0,
    done: Callable[[PhaseDone], None] = lambda _: None,
) -> None:
    """Run all phases `repeat` times (None: without end), but no longer than `duration_ns`.

    `rate` limits accesses per second; 0 is as fast as the machine goes, whatever rate the workload states
    for its simulation. Patterns get their turns by weight; a stated chance or window means nothing here.
    Phases begin on time: one that ends late does not move the next.
    """
    plans = [_plan(phase, memory) for phase in workload.phases]
    cursors = array("Q", bytes(8 * len(workload.regions)))
    deadline = time.monotonic_ns()
    end = None if duration_ns is None else deadline + duration_ns
    for number, index in enumerate(_order(len(plans), repeat)):
        if end is not None and deadline >= end:
            break
        log.phase(index)
        begin = time.monotonic_ns()
        deadline += workload.phases[index].duration_ns
        until = deadline if end is None else min(deadline, end)
        counts = _native.touch(memory.buffer, plans[index], cursors, until, rate, number + 1)
        done(PhaseDone(workload.phases[index], sum(counts), time.monotonic_ns() - begin))


_Row = tuple[int, int, int, int, float, bool, int]


def _plan(phase: WorkloadPhase, memory: Memory) -> tuple[_Row, ...]:
    """The patterns of `phase` as native.touch wants them; those that reach no page are left out."""
    numbers = {region.name: number for number, region in enumerate(memory.layout.regions)}
    rows = [_row(pattern, numbers[pattern.region], memory) for pattern in phase.patterns]
    return tuple(row for row in rows if row[1])


def _row(pattern: Pattern, number: int, memory: Memory) -> _Row:
    region = memory.layout.regions[number]
    length, mode = region.resident_end - region.start, _MODES[pattern.mode]
    return memory.offset(region), length, number, pattern.stride, pattern.weight, pattern.random, mode


def _order(phases: int, repeat: int | None) -> Iterator[int]:
    rounds = itertools.count() if repeat is None else range(repeat)
    return (index for _ in rounds for index in range(phases))
