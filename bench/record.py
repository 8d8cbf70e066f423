"""CPU and memory of `udamon record` at default settings, by the size of its target."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine
from bench.figures import Figure, Sample
from tests.integration.recorder import hot_and_cold, report, started_udamon
from udamon.record.reader import Recording
from udamon.units import GIB, MIB, format_size

SECONDS = {100 * MIB: 15, GIB: 25, 4 * GIB: 40}
"""Long enough for several of the windows that the size leads to."""

RUNS = 3


def measure() -> list[Figure]:
    rows = []
    for size, seconds in SECONDS.items():
        if machine.available() < size * 1.5:
            rows.append([format_size(size), "not measured: too little memory", *[""] * 5])
            continue
        with _target(size) as pid:
            rows.append(_row(size, seconds, pid))
    head = ("target", "window", "snapshots", "CPU share", "with start", "resident", "start, CPU ms")
    note = (
        f"`udamon record -p PID --duration {min(SECONDS.values())}s` and more, nothing else given, so it keeps to "
        f"`--overhead 1%`. CPU of the whole process over the recording's length, without and with its start; the "
        f"largest resident memory. Medians of {RUNS} runs (smallest–largest). Half of the target is touched all "
        "the time."
    )
    return [Figure("udamon record at default settings", head, rows, note)]


@contextmanager
def _target(size: int) -> Iterator[int]:
    """The pid of a process with `size` bytes, half of them in use."""
    with tempfile.TemporaryDirectory() as place:
        config = Path(place, "half.masim")
        config.write_text(f"used, {size // 2}\nrest, {size // 2}\n\nsame\n60000\nused, 0, 4096, 1, rw\n")
        with hot_and_cold(config, Path(place, "truth")) as process:
            yield process.pid


def _row(size: int, seconds: int, pid: int) -> list[str]:
    window, count, share, whole, rss, start = (Sample() for _ in range(6))
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "a.udamon")
            done = started_udamon(
                "record", "--via", "refs", "-p", pid, "--duration", f"{seconds}s", "-o", file
            )
            assert done.status == 0, done.stderr
            info = report("info", file)
            begun = Recording(file).metadata["startup_cpu_ns"] / 1e9
        cpu = info["monitor"]["cpu_seconds"]
        window.values.append(info["attrs"]["aggr_us"] / 1e6)
        count.values.append(info["snapshots"])
        share.values.append((cpu - begun) / seconds * 100)
        whole.values.append(cpu / seconds * 100)
        rss.values.append(info["monitor"]["max_rss_bytes"] / MIB)
        start.values.append(begun * 1000)
    return [
        format_size(size), window.text(2, " s"), count.text(0), share.text(2, " %"), whole.text(2, " %"),
        rss.text(1, " MiB"), start.text(0),
    ]  # fmt: skip
