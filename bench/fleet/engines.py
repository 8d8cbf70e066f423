"""Times of DuckDB and Spark as a fleet's data grow.

python -m bench.fleet.engines [--factors 1,4,16] [--nodes N] [--services N] [--days N] [--reports LIST] -o DIR

For each factor a fleet of so many times `nodes` is made in DIR and merged day by day; then each report runs once on
each engine, in a process of its own. Prints one JSON document: seconds by the clock, seconds of CPU of all its
processes, and the memory of the largest one. The load of the machine is in it: beside other work only CPU compares.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from udamon.report.fleet.engines import ENGINES

PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet.engines", description=__doc__.split("\n")[0])
    parser.add_argument("--factors", default="1,4,16")
    parser.add_argument("--nodes", type=int, default=2, help="at factor 1")
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--reports", default="cold,can-shrink")
    parser.add_argument("--master", default="local[2]", help="of Spark")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a directory")
    args = parser.parse_args(argv)
    # Spark's Java process outlives its parent. As a subreaper this process adopts it, so that its CPU time is counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    found = []
    for factor in map(int, args.factors.split(",")):
        place = args.output / f"x{factor}"
        rows = make(place, args.nodes * factor, args.services, args.days)
        for report in args.reports.split(","):
            for engine in ENGINES:
                more = ["--master", args.master] if engine == "spark" else []
                words = ["fleet", "report", report, str(place), "--engine", engine, *more, "--json"]
                found.append(
                    {"factor": factor, "rows": rows, "report": report, "engine": engine, **run(words)}
                )
                print(json.dumps(found[-1]), file=sys.stderr)
    print(json.dumps({"schema": 1, "processors": os.cpu_count(), "runs": found}, indent=1))
    return 0


def make(place: Path, nodes: int, services: int, days: int) -> int:
    """Rows of `services`, every service on every node, in objects of a day each."""
    truth = place.with_suffix(".json")
    sizes = ["--nodes", str(nodes), "--services", str(services), "--days", str(days), "--density", "100%"]
    command = [sys.executable, "-m", "bench.fleet", *sizes, "-o", str(place), "--truth", str(truth)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    merge = [sys.executable, "-m", "udamon", "fleet", "compact", str(place), "--grace", "0s"]
    subprocess.run(merge, check=True, stdout=subprocess.DEVNULL)
    return int(json.loads(truth.read_text())["rows"])


def run(words: list[str]) -> dict[str, Any]:
    """One report, and all processes that it leaves behind."""
    load, begin = os.getloadavg()[0], time.monotonic()
    running = subprocess.Popen([sys.executable, "-m", "udamon", *words], stdout=subprocess.DEVNULL)
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
        "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "largest_process_mib": memory // 1024,
        "load": round(load, 1),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
