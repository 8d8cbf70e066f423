"""Rates of accesses against known ones: twelve bands, bursts and sweeps; how near they are, how often intervals hold.

Pages are accessed at times that are computed, and looked at as `pte` looks: after a clear at a random moment of each
window, at growing spans. No memory is touched, so the truth is exact. Run: python -m bench.rates [--runs N] [--seed N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import exp, log1p
from random import Random
from typing import NamedTuple

from udamon.core.rates import Look, Pool, Rate, RateSample, estimate, sample

INTERVAL = 5_000_000
TICKS = 20
WINDOW = INTERVAL * TICKS
RATES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95, 0.99)
MS = 1_000_000

Next = Callable[[int, int], int]
"""When a page is accessed next at or after a time: next(page, time), ns."""


class Kind(NamedTuple):
    """Memory with a known rate: `truth` for windows anywhere, `make` gives its accesses."""

    name: str
    truth: float
    pages: int
    make: Callable[[Random], Next]


def periodic(rate: float, pages: int) -> Kind:
    """Each page once a period, at a phase of its own."""
    period = round(INTERVAL / rate)

    def make(random: Random) -> Next:
        phases = [random.randrange(period) for _ in range(pages)]
        return lambda page, time: time + (phases[page] - time) % period

    return Kind(f"periodic {rate:.2f}", min(1.0, INTERVAL / period), pages, make)


def independent(rate: float, pages: int) -> Kind:
    """Accesses of each page at random (a Poisson process), so that an interval has one with the chance `rate`."""
    mean = -INTERVAL / log1p(-rate)

    def make(random: Random) -> Next:
        due = [0] * pages

        def next_access(page: int, time: int) -> int:
            while due[page] < time:
                due[page] = time + round(random.expovariate(1 / mean))
            return due[page]

        return next_access

    return Kind(f"random {rate:.2f}", 1 - exp(-INTERVAL / mean), pages, make)


def burst(active: int, period: int, pages: int) -> Kind:
    """All pages together, all of the time for `active` ns of each `period`."""

    def make(random: Random) -> Next:
        phase = random.randrange(period)

        def next_access(page: int, time: int) -> int:
            into = (time - phase) % period
            return time if into < active else time + period - into

        return next_access

    return Kind(
        f"bursts {active // MS} of {period // MS} ms", min(1.0, (active + INTERVAL) / period), pages, make
    )


def sweep(dwell: int, period: int, pages: int, part: float) -> Kind:
    """Accesses that pass over an area once a period and stay `dwell` ns at each page; of the area, its first part."""

    def make(random: Random) -> Next:
        start = random.randrange(period)
        phases = [start + round(period * part * page / pages) for page in range(pages)]

        def next_access(page: int, time: int) -> int:
            into = (time - phases[page]) % period
            return time if into < dwell else time + period - into

        return next_access

    return Kind(
        f"sweep of {period // MS} ms, {part:.0%} of it", min(1.0, (dwell + INTERVAL) / period), pages, make
    )


def window(accesses: Next, pages: Sequence[int], begin: int, random: Random, late: float = 1.0) -> RateSample:
    """What one window tells: cleared at its begin, and again at a random moment. The first look comes `late` intervals
    after that."""
    again = random.randrange(WINDOW - round(INTERVAL * late))
    clear = begin + again
    before = {page for page in pages if accesses(page, begin) < clear}
    first = {page: accesses(page, clear) - clear for page in pages}
    looks, span = [], round(INTERVAL * late)
    while clear + span < begin + WINDOW:
        looks.append(Look(span, span, span, sum(time < span for time in first.values())))
        span *= 2
    span = begin + WINDOW - clear
    after = {page for page in pages if first[page] < span}
    looks.append(Look(span, span, span, len(after)))
    return sample(len(pages), len(before | after), (again, len(before)), looks, INTERVAL, TICKS)


def run(kind: Kind, windows: int, random: Random, late: float = 1.0) -> Rate:
    """The rate after so many windows, one after the other."""
    accesses, pool = kind.make(random), Pool()
    pages = range(kind.pages)
    rate = Rate(0.0, 0.0, 1.0)
    for at in range(windows):
        pool.add(window(accesses, pages, at * WINDOW, random, late))
        rate = estimate([(pool, kind.pages)], TICKS)[0]
    return rate


def needed(rate: float, pages: int) -> int:
    """Windows until the standard error of independent pages is a twentieth of the rate."""
    return max(1, -int(-4 * (1 - rate) / (0.01 * rate) // pages))


class Row(NamedTuple):
    """Of several runs: the mean rate, the worst relative error, how many intervals held, their mean width."""

    kind: Kind
    windows: int
    mean: float
    worst: float
    held: float
    width: float


def row(kind: Kind, windows: int, runs: int, seed: int, late: float = 1.0) -> Row:
    """The same kind of memory in so many runs."""
    found = [run(kind, windows, Random(seed * 1_000_003 + at), late) for at in range(runs)]
    return Row(
        kind,
        windows,
        sum(one.rate for one in found) / runs,
        max(abs(one.rate - kind.truth) for one in found) / kind.truth,
        sum(one.low <= kind.truth <= one.high for one in found) / runs,
        sum(one.high - one.low for one in found) / runs,
    )


def kinds() -> list[tuple[Kind, tuple[int, ...]]]:
    """What is tried, and over how many windows."""
    bands = [(make(rate, 256), (needed(rate, 256), 20)) for make in (periodic, independent) for rate in RATES]
    together = [
        burst(30 * MS, 100 * MS, 64),
        burst(30 * MS, 150 * MS, 64),
        burst(20 * MS, 400 * MS, 64),
        sweep(0, 100 * MS, 64, 1.0),
        sweep(0, 100 * MS, 64, 0.5),
        sweep(50 * MS, 1000 * MS, 64, 1.0),
        sweep(50 * MS, 1000 * MS, 64, 0.2),
        sweep(3 * MS, 70 * MS, 64, 0.3),
    ]
    return bands + [(kind, (1, 3, 5, 10, 20, 50)) for kind in together]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print("| memory | truth | windows | mean | worst error | interval holds | its width |")
    print("|---|---|---|---|---|---|---|")
    for kind, counts in kinds():
        for count in counts:
            one = row(kind, count, args.runs, args.seed)
            print(
                f"| {kind.name} | {kind.truth:.3f} | {one.windows} | {one.mean:.3f} | {one.worst:.0%} | "
                f"{one.held:.1%} | {one.width:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
