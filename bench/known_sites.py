"""How well bytes of sites are estimated: ten sites of known bytes, run again and again.

A mean of 64 KiB instead of 512 KiB and an eighth of the bytes: chance is the same, for it goes by bytes / mean.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean

from bench.figures import Figure
from udamon.model import Event
from udamon.sites.collector import Collector
from udamon.sites.estimate import Bytes, bytes_of
from udamon.sites.state import Images
from udamon.units import format_size

RUNS = int(os.environ.get("UDAMON_BENCH_RUNS", "200"))
MEAN, AS_IF = 64 << 10, 8
SITES = {
    16: 2 << 20, 64: 8 << 20, 72: 24 << 20, 200: 24 << 20, 1000: 24 << 20,
    1008: 4 << 20, 8192: 8 << 20, 65536: 16 << 20, 524288: 16 << 20, 4194304: 16 << 20,
}  # fmt: skip
"""Bytes by the size of an object, as in known_sites.c."""


def measure() -> list[Figure]:
    found: dict[int, list[Bytes]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "known_sites"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-O1", "-fno-builtin", "-o", program, source], check=True)
        for _ in range(RUNS):
            for size, estimate in _run(program).items():
                found[size].append(estimate)
    rows = [_row(size, found[size]) for size in SITES]
    head = (
        "object",
        "bytes",
        "mean of estimates",
        "90 % of errors below",
        "within 10 %",
        "interval holds the truth",
    )
    note = (
        f"{RUNS} runs with a mean of {format_size(MEAN)}; object and bytes are told as they would be at "
        f"{format_size(MEAN * AS_IF)}, eight times as large. Intervals are of 95 %."
    )
    return [Figure("Bytes of ten known sites", head, rows, note)]


def _run(program: Path) -> dict[int, Bytes]:
    images = Images()

    def publish(event: Event) -> None:
        if event.name == "allocations":
            images.add(event.data)

    with Collector(MEAN) as collector:
        environment = os.environ | collector.environment()
        with subprocess.Popen([program], env=environment) as process:
            while process.poll() is None:
                collector.poll(publish)
                time.sleep(0.01)
        collector.finish(publish)
    (image,) = images.images.values()
    if image.lost != (0, 0, 0):
        raise RuntimeError("samples were lost")
    samples = defaultdict(list)
    for one in image.live.values():
        samples[one.requested].append((one.size, one.requested, image.mean))
    return {size: bytes_of(samples[size]) for size in SITES}


def _row(size: int, found: list[Bytes]) -> list[str]:
    truth = SITES[size] // size * size
    errors = sorted(abs(one.estimate / truth - 1) for one in found)
    near = sum(error <= 0.1 for error in errors) / len(errors)
    held = sum(one.low <= truth <= one.high for one in found) / len(found)
    return [
        format_size(size * AS_IF), format_size(truth * AS_IF),
        f"{mean(one.estimate for one in found) / truth - 1:+.1%}",
        f"{errors[int(0.9 * (len(errors) - 1))]:.1%}", f"{near:.1%}", f"{held:.1%}",
    ]  # fmt: skip
