"""What actions do to real programs here: the same answers, the same exit status, and how fast they answer.

python -m bench.acting.programs [--write]: `udamon schemes --apply` with one action at a time on all memory of Redis
and PostgreSQL, once a second, in pairs of runs with and without it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench import machine
from bench.figures import Figure, as_markdown, as_text, interval95, put
from tests.integration.servers import Postgres, Redis, postgres, redis
from udamon.units import format_size

ACTIONS = ("cold", "willneed", "collapse", "pageout")
PAIRS, SECONDS = 5, 8
KEYS, VALUE, SCALE, BUFFERS = 100_000, 1000, 10, "256MB"
STARTED_S = 2.0
"""After so long the command is at work; starting it is not what is measured."""
HEAD = (
    "program", "action", "advised", "moved", "answers", "exit status", "median ratio", "mean ratio", "95 % interval",
)  # fmt: skip


@contextmanager
def acting(action: str, pid: int) -> Iterator[list[dict[str, Any]]]:
    """One action on everything, as long as the context lasts; the list gets the command's document then."""
    with tempfile.TemporaryDirectory() as place:
        said = Path(place, "said")
        words = [
            "schemes",
            "--apply",
            "--action",
            action,
            "--min-size",
            "4KiB",
            "--no-quota",
            "--apply-interval",
            "1s",
        ]
        words += [
            "--via",
            "refs",
            "--aggr",
            "1s",
            "--max-psi",
            "off",
            "--max-major-faults",
            "off",
            "--json",
            "-q",
        ]
        words += ["-p", str(pid), "--children"]
        found: list[dict[str, Any]] = []
        with said.open("wb") as output:
            process = subprocess.Popen([sys.executable, "-m", "udamon", *words], stdout=output)
            try:
                time.sleep(STARTED_S)
                yield found
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)
        found.append(json.loads(said.read_text()))


def rows(name: str, server: Redis | Postgres, throughput: Callable[[], float]) -> Iterator[list[str]]:
    before = server.answers()
    for action in ACTIONS:
        ratios, documents = [], []
        for pair in range(PAIRS):
            rates: dict[bool, float] = {}
            for acted in (False, True) if pair % 2 else (True, False):
                if acted:
                    with acting(action, server.pid) as found:
                        rates[True] = throughput()
                    documents += found
                else:
                    rates[False] = throughput()
            ratios.append(rates[True] / rates[False])
            print(f"{name} {action} {pair + 1}: {ratios[-1]:.3f}", file=sys.stderr, flush=True)
        low, high = interval95(ratios)
        same = "the same" if server.answers() == before else "DIFFERENT"
        advised, moved = (_total(documents, key) for key in ("advised_bytes", "moved_bytes"))
        yield [
            name, action, advised, moved, same, "", f"{median(ratios):.3f}", f"{mean(ratios):.3f}",
            f"{low:.3f} to {high:.3f}",
        ]  # fmt: skip


def _total(documents: Sequence[dict[str, Any]], key: str) -> str:
    values = [document.get(key) for document in documents]
    return format_size(round(mean(value for value in values if value is not None))) if any(values) else "0 B"


def measure() -> Figure:
    found: list[list[str]] = []
    with redis() as store:
        store.fill(KEYS, VALUE)
        requests = int(store.throughput(100_000, KEYS) * SECONDS)
        of_redis = list(rows("Redis", store, lambda: store.throughput(requests, KEYS)))
        store.process.send_signal(signal.SIGTERM)
        found += _ended(of_redis, store.process.wait(60))
    with postgres(SCALE, BUFFERS) as base:
        base.throughput(SECONDS)
        of_postgres = list(rows("PostgreSQL", base, lambda: base.throughput(SECONDS)))
        base.process.send_signal(signal.SIGINT)
        found += _ended(of_postgres, base.process.wait(60))
    note = (
        "`udamon schemes --apply --action … --min-size 4KiB --no-quota --apply-interval 1s --via refs --aggr 1s "
        f"--children` on all memory of a redis-server ({KEYS:,} keys of {VALUE} bytes, random GETs) and a PostgreSQL "
        f"(pgbench select-only, scale {SCALE}), without governor: {PAIRS} pairs of runs of {SECONDS} s with and "
        "without it, in alternating order. Bytes are means of a run. The interval is that of the mean ratio by the t "
        f"distribution. No swap: only what files back could move. {machine.describe()}, load "
        f"{machine.load():.1f} at the end."
    )
    return Figure("Actions on programs", HEAD, found, note)


def _ended(found: Sequence[list[str]], status: int) -> list[list[str]]:
    return [[*row[:5], str(status), *row[6:]] for row in found]


def main(arguments: Sequence[str]) -> int:
    machine.favour_us()
    figure = measure()
    print(as_text(figure))
    if "--write" in arguments:
        put("acting programs", as_markdown(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
