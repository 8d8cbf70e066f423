"""How often the bounds of what was cold for a time contain the truth, and how far apart they are.

    python -m bench.cold_bounds [NAME…] [--draw N] [--seeds N] [--seconds N] [--checks N] [--windows N…]

As bench/working_set_bounds.py, on the same draws and traces: recordings of simulated memory by `adaptive`, of which the
bounds are asked as `udamon check --max-cold-share` does, for ages of that many windows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from bench.working_set_bounds import DRAWS, workload_of
from udamon.assembly import parts
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.policies import make_policy
from udamon.evaluation.run import StopAt
from udamon.ops.sim import SimSpace
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import sampled
from udamon.report.source import RecordingSource
from udamon.workload.layout import place
from udamon.workload.pieces import Expected
from udamon.workload.shapes import traces
from udamon.workload.spec import Workload
from udamon.workload.truth import Truth


class ColdBounds(NamedTuple):
    """Shares of memory that were not touched for some windows at the end of one: the truth, and its bounds."""

    truth: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether the bounds contain the truth, but for half a page in a million."""
        return self.low - 1e-6 <= self.truth <= self.high + 1e-6


def record(workload: Workload, path: Path, seed: int, seconds: float, checks: int, attrs: Attrs) -> Truth:
    """Record a simulation by `adaptive`."""
    truth, clock, random = Truth(workload, place(workload)), ManualClock(), Random(seed)
    watch = parts.sampled_watch(
        make_policy("adaptive", random, checks=checks), parts.sim_samplers([truth], clock, seed), random
    )
    kdamond = parts.kdamond(SimSpace(truth), watch, attrs, clock)
    with Writer(path, {"via": "sim", "policy": "adaptive"}) as writer:
        kdamond.bus.subscribe(writer)
        kdamond.bus.subscribe(StopAt(kdamond, round(seconds * 1e9)))
        kdamond.run()
    for _, error in kdamond.bus.failures:
        raise error
    return truth


def untouched(windows: Sequence[Sequence[Expected]]) -> float:
    """Bytes that were touched in none of these windows, as it is to be expected: of all that some had a chance to be
    touched."""
    left = [(piece.start, piece.end, 1.0) for piece in windows[0]]
    for window in windows:
        found, at = [], 0
        for start, end, chance in left:
            while at < len(window) and window[at].end <= start:
                at += 1
            here = at
            while start < end:
                inside = here < len(window) and window[here].start <= start
                upto = min(
                    end, window[here].end if inside else window[here].start if here < len(window) else end
                )
                found.append((start, upto, chance * (1 - window[here].touched) if inside else chance))
                start = upto
                here += inside
        left = found
    return sum((end - start) * chance for start, end, chance in left)


def bounds_of(path: Path, truth: Truth, windows: int, step: int = 7) -> list[ColdBounds]:
    """Of every `step`-th window of a recording, for an age of `windows` windows."""
    recording = Recording(path)
    shots = list(recording.snapshots())
    ns = shots[0].end_ns - shots[0].begin_ns
    with RecordingSource(recording) as source:
        rows = source.query(
            f"SELECT seq, there, low, high FROM ({sampled.spans(source, windows * ns)}) AS spans"
        )
    found = []
    there = sum(piece.size for piece in truth.resident())
    for seq, size, low, high in sorted(rows)[windows - 1 :: step]:
        at = next(number for number, shot in enumerate(shots) if shot.seq == seq)
        pieces = [
            _everywhere(truth, truth.expected(one.begin_ns, one.ticks, one.sample_ns))
            for one in shots[at + 1 - windows : at + 1]
        ]
        found.append(ColdBounds(untouched(pieces) / there, low / size, high / size))
    return found


def _everywhere(truth: Truth, pieces: Sequence[Expected]) -> list[Expected]:
    """The pieces, and between them what is there and never touched."""
    found = []
    for there in truth.resident():
        at = there.start
        for piece in pieces:
            start, end = max(piece.start, there.start), min(piece.end, there.end)
            if start >= end:
                continue
            if at < start:
                found.append(piece._replace(start=at, end=start, mean=0.0, touched=0.0))
            found.append(piece._replace(start=start, end=end))
            at = end
        if at < there.end:
            found.append(Expected(at, there.end, 0.0, 0.0))
    return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_bounds")
    parser.add_argument("--draw", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--checks", type=int, default=1000)
    parser.add_argument("--windows", type=int, nargs="+", default=[2, 10, 50])
    names = [*DRAWS, *traces()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(names):
        parser.error(f"not one of {', '.join(names)}: {', '.join(sorted(unknown))}")
    columns = [f"{number} windows: within | truth | bounds" for number in args.windows]
    print(f"| shape | {' | '.join(columns)} |\n|---|{'--:|' * (3 * len(columns))}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a"
        for name in args.names or names:
            found: dict[int, list[ColdBounds]] = {number: [] for number in args.windows}
            for draw in range(args.draw, args.draw + args.seeds):
                truth = record(workload_of(name, draw), path, draw, args.seconds, args.checks, Attrs())
                for number in args.windows:
                    found[number] += bounds_of(path, truth, number)
                path.unlink()
            row = [name]
            for each in found.values():
                row += [
                    f"{sum(one.within for one in each) / len(each):.1%}",
                    f"{median(one.truth for one in each):.1%}",
                    f"{median(one.low for one in each):.1%} to {median(one.high for one in each):.1%}",
                ]
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
