"""What a monitor costs the programs it watches: throughput with and without it, in pairs."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from bench.figures import Figure, interval95
from tests.capabilities import missing
from tests.integration.recorder import report, running_udamon
from tests.integration.servers import cpu_seconds, postgres, redis
from tests.waiting import until
from udamon.errors import RecordingError
from udamon.record.reader import Recording
from udamon.units import MIB

PAIRS, SECONDS = 6, 20
KEYS, VALUE = 200_000, 1000
SCALE, BUFFERS = 30, "512MB"


MONITORS = ("program", "window", "CPU share", "resident", "working set, largest")

Rows = tuple[list[list[str]], list[str]]
"""Of one program: rows that compare, and the row of its monitor."""


def measure() -> list[Figure]:
    found = [_redis(), _postgres()]
    head = ("program", "what", "alone", "watched", "median ratio", "mean difference", "95 % interval")
    note = (
        f"`udamon record` at default settings (`--overhead 1%`) beside redis-benchmark (GET of random ones of "
        f"{KEYS:,} keys of {VALUE} bytes) and pgbench (select-only, scale {SCALE}, shared_buffers {BUFFERS}, "
        f"--children): {PAIRS} pairs of runs of about {SECONDS} s, in alternating order. The difference is "
        "watched/alone - 1 of each pair; its interval is that of the mean by the t distribution. CPU per request is "
        "the server's own: what else the machine does is less in it than in the throughput."
    )
    return [Figure("Watched programs", head, [row for rows, _ in found for row in rows], note),
            Figure("Their monitors", MONITORS, [row for _, row in found], "Medians over the same runs.")]  # fmt: skip


def _redis() -> Rows:
    if why := missing("redis"):
        return _absent("Redis", why)
    with redis() as server:
        server.fill(KEYS, VALUE)
        requests = int(server.throughput(200_000, KEYS) * SECONDS)
        pairs = Pairs("Redis", server.pid, ["-p", str(server.pid)])
        pairs.measure(lambda: (server.throughput(requests, KEYS), requests))
        return pairs.rows()


def _postgres() -> Rows:
    if why := missing("postgres"):
        return _absent("PostgreSQL", why)
    with postgres(SCALE, BUFFERS) as server:
        server.throughput(SECONDS)  # the tables come into the buffers
        pairs = Pairs("PostgreSQL", server.pid, ["-p", str(server.pid), "--children"])

        def run() -> tuple[float, float]:
            rate = server.throughput(SECONDS)
            return rate, rate * SECONDS

        pairs.measure(run)
        return pairs.rows()


def _absent(name: str, why: str) -> Rows:
    return [[name, f"not measured: {why}", *[""] * 5]], [name, *[""] * 4]


class Pairs:
    """Runs with and without a monitor, two and two."""

    def __init__(self, name: str, pid: int, target: list[str]) -> None:
        self._name, self._pid, self._target = name, pid, target
        self._rates: dict[bool, list[float]] = {False: [], True: []}
        self._costs: dict[bool, list[float]] = {False: [], True: []}  # µs of the server's CPU per request
        self._monitors: list[tuple[float, float, float, float]] = []

    def measure(self, run: Callable[[], tuple[float, float]]) -> None:
        """`run` returns requests per second, and requests."""
        for pair in range(PAIRS):
            # The order changes from pair to pair: a drift of the machine favours neither.
            for watched in (False, True) if pair % 2 else (True, False):
                with self._recording() if watched else nullcontext():
                    before = cpu_seconds(self._pid)
                    rate, requests = run()
                    self._rates[watched].append(rate)
                    time.sleep(0.3)  # until PostgreSQL has collected the processes that served
                    self._costs[watched].append((cpu_seconds(self._pid) - before) / requests * 1e6)
            print(f"{self._name} {pair + 1}: {self._rates[False][-1]:.0f}/s, {self._rates[True][-1]:.0f}/s watched",
                  flush=True)  # fmt: skip

    def rows(self) -> Rows:
        window, share, size, rss = map(median, zip(*self._monitors, strict=True))
        monitor = [self._name, f"{window:.2f} s", f"{share:.2%}", f"{rss:.1f} MiB", f"{size:.0f} MiB"]
        rates = _compared(self._name, "requests/s", self._rates, 0)
        return [rates, _compared(self._name, "CPU per request, µs", self._costs, 2)], monitor

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """A recorder that has chosen its interval, so that its start is not what is measured."""
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "a.udamon")
            with running_udamon(
                "record", "--via", "refs", "-q", "-o", file, *self._target, fork=False
            ) as recorder:
                until(lambda: _has_begun(file), "the interval in the recording")
                yield
                recorder.send_signal(signal.SIGINT)
                assert recorder.wait(60) == 0
            info = report("info", file)
            began = Recording(file).metadata["startup_cpu_ns"] / 1e9
            share = (info["monitor"]["cpu_seconds"] - began) / info["seconds"]
            size = report("wss", file)["bytes"]["max"] / MIB
            rss = info["monitor"]["max_rss_bytes"] / MIB
            self._monitors.append((info["attrs"]["aggr_us"] / 1e6, share, size, rss))


def _has_begun(file: Path) -> bool:
    try:
        return any(event.name == "attrs" for event in Recording(file).events())
    except RecordingError:
        return False  # it is not there yet


def _compared(name: str, what: str, values: dict[bool, list[float]], digits: int) -> list[str]:
    ratios = [watched / alone for alone, watched in zip(values[False], values[True], strict=True)]
    low, high = interval95([ratio - 1 for ratio in ratios])
    return [
        name, what, *(f"{median(values[watched]):,.{digits}f}" for watched in (False, True)),
        f"{median(ratios):.4f}", f"{sum(ratios) / len(ratios) - 1:+.2%}", f"{low:+.2%} to {high:+.2%}",
    ]  # fmt: skip
