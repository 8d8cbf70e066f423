"""Times of DuckDB and Spark as a fleet's data grow, and where Spark begins to pay.

python -m bench.fleet.engines [--factors 1,4,16] [--nodes N] [--services N] [--days N] [--reports LIST]
                              [--master URL] [--write] -o DIR

A fleet of `nodes` is made in DIR and merged day by day; for each factor its hosts are repeated under other names. Then
each report runs once on each engine, in a process of its own: seconds by the clock, seconds of CPU of all its
processes, and the memory of the largest one. Each result is kept in DIR and not measured again, so that several short
runs make one table; `--write` puts it into docs/fleet.md. PySpark must be there (extra `spark`).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from bench import machine
from bench.figures import as_markdown, as_text, put
from bench.fleet.paying import Cost, costs, paying
from udamon.fleet.listing import Manifest, manifest_path, visible
from udamon.fleet.objects import compacted_path, digest_of
from udamon.fleet.store import Directory
from udamon.fleet.tables import NODES, SERVICES, Table
from udamon.report.fleet.engines import ENGINES

PR_SET_CHILD_SUBREAPER = 36
NAME = "fleet.engines"
DRIVER_MEMORY = "1g"
"""Of Spark's Java process."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is run: the report on an engine, over `factor` times the fleet."""

    report: str
    factor: int
    engine: str


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet.engines", description=__doc__.split("\n")[0])
    parser.add_argument("--factors", default="1,4,16")
    parser.add_argument("--nodes", type=int, default=8, help="at factor 1")
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--reports", default="cold,can-shrink")
    parser.add_argument("--master", default="local[2]", help="of Spark")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/fleet.md")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a directory")
    args = parser.parse_args(argv)
    # Spark's Java process outlives its parent. As a subreaper this process adopts it, so that its CPU time is counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wanted = [
        Wanted(report, factor, engine)
        for report in args.reports.split(",")
        for factor in map(int, args.factors.split(","))
        for engine in ENGINES
    ]
    sizes = f"{args.nodes}x{args.services}x{args.days}"
    found = [_kept(args, args.output / sizes, each) for each in wanted]
    figures = costs(found), paying(found)
    print("\n\n".join(map(as_text, figures)))
    if args.write:
        put(NAME, "\n\n".join(map(as_markdown, figures)))
    return 0


def _kept(args: argparse.Namespace, base: Path, wanted: Wanted) -> Cost:
    file = base / "results" / f"{wanted.report}-{wanted.factor}-{wanted.engine}.json"
    if not file.exists():
        made = base / "x1"
        if not made.exists():
            make(made, args.nodes, args.services, args.days)
        place = base / f"x{wanted.factor}"
        if not place.exists():
            # In a process of its own: a child's largest memory is at least what its parent had before.
            made_by = multiprocessing.get_context("spawn").Process(
                target=repeat, args=(made, place, wanted.factor)
            )
            made_by.start()
            made_by.join()
        more = ["--master", args.master] if wanted.engine == "spark" else []
        words = ["fleet", "report", wanted.report, str(place), "--engine", wanted.engine, *more, "--json"]
        rows, size = _size(place)
        cost = Cost(**asdict(wanted), rows=rows, bytes=size, machine=machine.describe(), **run(words))
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(cost)))
    return Cost(**json.loads(file.read_text()))


def make(place: Path, nodes: int, services: int, days: int) -> None:
    """Every service on every node, in objects of a day each."""
    truth, begun = place.with_suffix(".json"), place.with_suffix(".begun")
    place.parent.mkdir(parents=True, exist_ok=True)
    sizes = ["--nodes", str(nodes), "--services", str(services), "--days", str(days), "--density", "100%"]
    command = [sys.executable, "-m", "bench.fleet", *sizes, "-o", str(begun), "--truth", str(truth)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    merge = [sys.executable, "-m", "udamon", "fleet", "compact", str(begun), "--grace", "0s"]
    for _ in range(2):  # the second removes what was merged
        subprocess.run(merge, check=True, stdout=subprocess.DEVNULL)
    begun.rename(place)


def repeat(source: Path, place: Path, factor: int) -> None:
    """The same fleet with `factor` times the hosts: each has copies under other names. Their bytes differ by up to 10 %
    from row to row, or copies would compress as no hosts do."""
    begun = place.with_suffix(".begun")
    for table in (SERVICES, NODES):
        for path in visible(Directory(source), table).all:
            _repeat(table, source / path, begun, path.split("date=")[1][:10], factor)
    begun.rename(place)


def _repeat(table: Table, source: Path, place: Path, date: str, factor: int) -> None:
    file = place.with_suffix(".parquet")
    ((key, value),) = table.metadata().items()
    other = "CASE copy WHEN 0 THEN 1 ELSE 1 + hash(host, copy, window_begin) % 1000 / 10000.0e0 END"
    changed = ["CASE copy WHEN 0 THEN host ELSE host || '-' || copy END AS host"]
    if table is SERVICES:
        changed += [
            f"CAST({name} * ({other}) AS BIGINT) AS {name}" for name in ("resident_bytes", "accessed_bytes")
        ]
        changed += [
            f"list_transform({name}, lambda x: CAST(x * ({other}) AS BIGINT)) AS {name}"
            for name in ("cold_bytes", "promoted_bytes")
        ]
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT rows.* REPLACE ({', '.join(changed)}) "
            f"FROM read_parquet('{source}', hive_partitioning = false) AS rows, range({factor}) AS copies(copy) "
            f"ORDER BY {', '.join(table.order)}) TO '{file}' "
            f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{key}: '{value}'}})"
        )
    data = file.read_bytes()
    path = compacted_path(table, date, digest_of(data))
    store = Directory(place)
    assert store.create(path, data)
    assert store.create(manifest_path(table, date, 1), Manifest(date, 1, (path,)).data)
    file.unlink()


def _size(place: Path) -> tuple[int, int]:
    """Rows and bytes of `services`."""
    paths = visible(Directory(place), SERVICES).all
    files = ", ".join(f"'{place / path}'" for path in paths)
    with duckdb.connect() as db:
        found = db.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata([{files}])").fetchone()
    assert found is not None
    return int(found[0]), sum((place / path).stat().st_size for path in paths)


def run(words: list[str]) -> dict[str, Any]:
    """One report, and all processes that it leaves behind."""
    load, begin = os.getloadavg()[0], time.monotonic()
    running = subprocess.Popen(
        [sys.executable, "-m", "udamon", *words],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SPARK_DRIVER_MEMORY": DRIVER_MEMORY, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    seconds, cpu, memory, failed = 0.0, 0.0, 0, False
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        if pid == running.pid:
            seconds, failed = time.monotonic() - begin, status != 0
            running.returncode = os.waitstatus_to_exitcode(status)
        cpu += used.ru_utime + used.ru_stime
        memory = max(memory, used.ru_maxrss)
    if failed:
        raise SystemExit(f"udamon {' '.join(words)} failed")
    return {
        "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 2), "largest_process_mib": memory // 1024,
        "load": round(load, 1),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
