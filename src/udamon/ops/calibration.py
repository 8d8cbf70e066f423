"""How long a look takes for a page here, and how much longer where others want the processor: measured on a child."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

from udamon.errors import CannotError
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.held import Held
from udamon.linux.procfs import last_cpus, rss_bytes
from udamon.linux.smaps import read_smaps
from udamon.model import PAGE_SIZE
from udamon.ops.tlb import HotSet, hot_set, way
from udamon.targets.processes import process_of

PAGE_NS = 50.0
"""What a walk takes for a small page, where it was not measured."""

_SIZE = 64 << 20
_TRIES = 5
_CACHES = 16 << 20
"""As much is read before a walk: more than the caches of a processor have that it does not share with others."""

_LINE = 64
_WORK_NS = 50_000_000


@cache
def page_ns() -> float:
    """What a walk takes for a small page, undisturbed, and where everything is as when a target is looked at.

    By the slower of clear_refs and smaps, on a child of 64 MiB; takes some tenths of a second, once. The child touches
    its pages meanwhile, on another processor where there is one: so their accessed bits are set, and the page tables
    are in the caches of that processor. The caches of this one do not hold them, as after the time between two looks,
    or where a target is larger than the caches. A walk of an idle child that was walked just before takes half as long.
    """
    with suppress(OSError, CannotError), hot_set(_SIZE, _elsewhere()) as child:
        if child.access(_SIZE):
            process = process_of(child.target)
            clear = partial(clear_referenced, process, flush=way() == "flush")
            walk_ns = max(_shortest(child, clear, partial(read_smaps, process)))
            return walk_ns / (rss_bytes(process) // PAGE_SIZE)  # it has pages of this program, too
    return PAGE_NS


@cache
def contention() -> float:
    """By which factor other work on the processors slows down a walk in a preemptible thread; at least 1."""
    return slowed(partial(_read, _others()), time.monotonic_ns, time.thread_time_ns)


def slowed(work: Callable[[], None], wall_ns: Callable[[], int], cpu_ns: Callable[[], int]) -> float:
    """Wall time by CPU time of as much work as a walk of some GiB, without a break: the scheduler prefers a thread that
    has just slept, which would hide the effect."""
    begin, cpu = wall_ns(), cpu_ns()
    while (took := cpu_ns() - cpu) < _WORK_NS:
        work()
    return max(1.0, (wall_ns() - begin) / took)


def _elsewhere() -> int:
    """A processor on which no thread of this process ran last; -1 for any where there is none."""
    here: set[int] = set()
    with suppress(OSError, ValueError):
        here = last_cpus(os.getpid())
    return max(os.sched_getaffinity(0) - here, default=-1)


def _shortest(child: HotSet, *walks: Callable[..., object]) -> list[int]:
    """Nanoseconds of each walk, by the shortest of some tries in turn: the one that was disturbed least."""
    others = _others()
    took: list[list[int]] = [[] for _ in walks]
    for _ in range(_TRIES):
        for walk, found in zip(walks, took, strict=True):
            child.rounds()  # which sleeps: the walk does not begin when our time on the processor is used up
            _read(others)  # a millisecond
            held = Held()
            walk(held=held, prioritized=True)
            found.append(held.longest_ns)
    return [min(found) for found in took]


def _others() -> bytes:
    return b"\1" * _CACHES  # written: what never was is one page of zeros


def _read(others: bytes) -> None:
    len(others[::_LINE])  # copies a byte of each line
