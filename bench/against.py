"""A recording of a real workload against the truth log beside it: F1 of hot bytes and working-set error.

`python -m bench.against RECORDING TRUTH` prints one line. Hot bytes: those of regions hot for at least half of a
snapshot's own window; working set: those hot at any time in it. Only the workload's own regions count, since
of the rest of its process (code, libraries) there is no truth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from udamon.evaluation.score import HOT, agreement
from udamon.model import Range, Snapshot
from udamon.record.reader import Recording


@dataclass(frozen=True, slots=True)
class Phase:
    """From `begin_ns` on, until the next one, `hot` is hot."""

    begin_ns: int
    hot: frozenset[Range]


class TruthLog:
    """A truth log; `regions` is all the memory it speaks of."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.phases = [Phase(round(line["t"] * 1e9), _hot(line)) for line in lines]
        self.regions = sorted({Range(r["start"], r["end"]) for line in lines for r in line["regions"]})
        self.begin_ns = next(round(line["t"] * 1e9) for line in lines if line["kind"] == "phase")
        self.end_ns = next((round(line["t"] * 1e9) for line in lines if line["kind"] == "end"), 1 << 62)

    def shares(self, begin_ns: int, end_ns: int) -> dict[Range, float]:
        """Of each region that is hot at any time in the window, the share of the window in which it is."""
        shares: dict[Range, float] = {}
        ends = [*(phase.begin_ns for phase in self.phases[1:]), 1 << 62]
        for phase, end in zip(self.phases, ends, strict=True):
            inside = min(end, end_ns) - max(phase.begin_ns, begin_ns)
            if inside > 0:
                for region in phase.hot:
                    shares[region] = shares.get(region, 0.0) + inside / (end_ns - begin_ns)
        return shares


def _hot(line: dict[str, Any]) -> frozenset[Range]:
    return frozenset(Range(r["start"], r["end"]) for r in line["regions"] if r["hot"])


@dataclass(frozen=True, slots=True)
class Found:
    """One snapshot, `t` seconds after the first phase began."""

    t: float
    f1: float
    wss_bytes: float
    wss_truth_bytes: int

    @property
    def wss_error(self) -> float:
        if not self.wss_truth_bytes:
            return float(self.wss_bytes > 0)
        return abs(self.wss_bytes - self.wss_truth_bytes) / self.wss_truth_bytes


def compare(snapshot: Snapshot, log: TruthLog) -> Found:
    """Score `snapshot` within the workload's own regions."""
    shares = log.shares(snapshot.begin_ns, snapshot.end_ns)
    hot = [region for region, share in shares.items() if share >= HOT]
    half = snapshot.ticks * HOT
    both = predicted = 0
    wss = 0.0
    for start, end, nr, touched in zip(
        snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.touched, strict=True
    ):
        known = _shared(start, end, log.regions)
        wss += touched * known / (end - start)
        if nr >= half:
            predicted += known
            both += _shared(start, end, hot)
    _, _, f1 = agreement(both, predicted, sum(r.size for r in hot))
    t = (snapshot.end_ns - log.begin_ns) / 1e9
    return Found(t, f1, wss, sum(region.size for region in shares))


def _shared(start: int, end: int, ranges: Sequence[Range]) -> int:
    return sum(max(min(end, r.end) - max(start, r.start), 0) for r in ranges)


def found_in(recording: Path, truth: Path) -> list[Found]:
    """Every snapshot whose window lies between the first phase's begin and the end."""
    log = TruthLog(truth)
    inside = within(Recording(recording).snapshots(), log.begin_ns, log.end_ns)
    return [compare(snapshot, log) for snapshot in inside]


def within(snapshots: Iterable[Snapshot], begin_ns: int, end_ns: int) -> list[Snapshot]:
    """Those whose window lies between two times."""
    return [s for s in snapshots if begin_ns <= s.begin_ns and s.end_ns <= end_ns]


def main(argv: Sequence[str]) -> int:
    found = found_in(Path(argv[0]), Path(argv[1]))
    if not found:
        print("no snapshot lies within the truth")
        return 1
    late = found[len(found) // 2 :]
    reached = next((f"{f.t:.1f} s" for f in found if f.f1 >= 0.9), "never")
    print(
        f"{len(found)} snapshots; F1 median {median(f.f1 for f in found):.2f}, second half "
        f"{median(f.f1 for f in late):.2f}; F1 0.9 at {reached}; working-set error median "
        f"{median(f.wss_error for f in found):.1%}, second half {median(f.wss_error for f in late):.1%}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
