"""What a monitor costs the programs it watches: throughput with and without it, in pairs."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figures import Figure, interval95
from tests.capabilities import missing
from tests.integration.recorder import report, running_udamon, until_recorded
from tests.integration.servers import postgres, redis
from udamon.record.reader import Recording

PAIRS, SECONDS = 5, 20
KEYS, VALUE = 200_000, 1000
SCALE, BUFFERS = 30, "512MB"


def measure() -> list[Figure]:
    rows = [*_redis(), *_postgres()]
    head = ("program", "alone, /s", "watched, /s", "median ratio", "mean difference", "95 % interval", "window",
            "monitor's CPU", "working set, p50")  # fmt: skip
    note = (
        f"`udamon record` at default settings (`--overhead 1%`) beside redis-benchmark (GET of random ones of "
        f"{KEYS:,} keys of {VALUE} bytes) and pgbench (select-only, scale {SCALE}, shared_buffers {BUFFERS}, "
        f"--children): {PAIRS} pairs of runs of about {SECONDS} s, in alternating order. The difference is "
        "watched/alone - 1 of each pair; its interval is that of the mean by the t distribution."
    )
    return [Figure("Throughput of watched programs", head, rows, note)]


def _redis() -> list[list[str]]:
    if why := missing("redis"):
        return [["Redis", f"not measured: {why}", *[""] * 7]]
    with redis() as server:
        server.fill(KEYS, VALUE)
        requests = int(server.throughput(200_000, KEYS) * SECONDS)
        return [_row("Redis", lambda: server.throughput(requests, KEYS), "-p", str(server.pid))]


def _postgres() -> list[list[str]]:
    if why := missing("postgres"):
        return [["PostgreSQL", f"not measured: {why}", *[""] * 7]]
    with postgres(SCALE, BUFFERS) as server:
        server.throughput(SECONDS)  # the tables come into the buffers
        return [_row("PostgreSQL", lambda: server.throughput(SECONDS), "-p", str(server.pid), "--children")]


def _row(name: str, run: Callable[[], float], *target: str) -> list[str]:
    alone, watched = [], []
    windows, shares, sizes = [], [], []
    for pair in range(PAIRS):
        # The order changes from pair to pair: a drift of the machine favours neither.
        for with_monitor in (False, True) if pair % 2 else (True, False):
            if not with_monitor:
                alone.append(run())
                continue
            with tempfile.TemporaryDirectory() as place:
                file = Path(place, "a.udamon")
                with _recording(file, *target):
                    watched.append(run())
                info = report("info", file)
                began = Recording(file).metadata["startup_cpu_ns"] / 1e9
                shares.append((info["monitor"]["cpu_seconds"] - began) / info["seconds"])
                windows.append(info["attrs"]["aggr_us"] / 1e6)
                sizes.append(report("wss", file)["bytes"]["p50"] / (1 << 20))
        print(f"{name}: pair {pair + 1}: {alone[-1]:.0f} alone, {watched[-1]:.0f} watched", flush=True)
    differences = [w / a - 1 for w, a in zip(watched, alone, strict=True)]
    low, high = interval95(differences)
    return [
        name, f"{median(alone):,.0f}", f"{median(watched):,.0f}",
        f"{median(w / a for w, a in zip(watched, alone, strict=True)):.4f}",
        f"{sum(differences) / len(differences):+.2%}", f"{low:+.2%} to {high:+.2%}",
        f"{median(windows):.2f} s", f"{median(shares):.2%}", f"{median(sizes):.0f} MiB",
    ]  # fmt: skip


@contextmanager
def _recording(file: Path, *target: str) -> Iterator[None]:
    """A recorder that has its first snapshot, so that its start is not what is measured."""
    with running_udamon("record", "-q", "-o", file, *target) as recorder:
        until_recorded(file)
        yield
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(60) == 0
