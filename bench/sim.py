"""How fast a monitor runs in simulated time, and with what it is scored by."""

from __future__ import annotations

import time

from bench.figures import Figure, Sample
from bench.shapes import SHAPES, simulated, truth_of
from udamon.core.attrs import Attrs
from udamon.evaluation.run import evaluate

AGGREGATIONS, RUNS = 200, 3


def measure() -> list[Figure]:
    attrs = Attrs()
    duration_ns = AGGREGATIONS * attrs.aggr_us * 1000
    rows = []
    for shape in SHAPES:
        truth = truth_of(shape)
        alone, scored, regions = Sample(), Sample(), 0.0
        for seed in range(1, RUNS + 1):
            begin = time.process_time()
            snapshots = simulated(truth, AGGREGATIONS, seed=seed)
            alone.values.append(time.process_time() - begin)
            begin = time.process_time()
            evaluate(truth, "damon", seed, attrs, duration_ns)
            scored.values.append(time.process_time() - begin)
            regions = sum(map(len, snapshots)) / len(snapshots)
        rate = f"{AGGREGATIONS / alone.median:.0f}"
        rows.append([shape, f"{regions:.0f}", alone.text(2), rate, scored.text(2), _share(alone, scored)])
    head = ("shape", "regions", "monitor, s", "aggregations/s", "eval, s", "monitor/eval")
    note = (
        f"{AGGREGATIONS} aggregations of 5 ms / 100 ms with policy damon, CPU seconds of one core, medians of "
        f"{RUNS} seeds (smallest–largest). 8 GiB each; sparse is 1 TiB. `eval` scores every snapshot as well."
    )
    return [Figure("Simulated monitoring", head, rows, note)]


def _share(part: Sample, whole: Sample) -> str:
    return f"{part.median / whole.median:.2f}"
