"""How well the reports answer, against the truth of a made-up fleet.

python -m bench.fleet.judging LOCATION TRUTH [--engine duckdb|spark] [--master URL] [--days N] [--deploys N]

Prints one JSON document: errors of cold bytes, precision and recall of can-shrink, and what `after` found of all
deploys, with the seconds that each report took.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from udamon.fleet.store import open_store
from udamon.report.fleet.engines import FleetEngine, open_engine
from udamon.report.fleet.reports import Asked, measure


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet.judging", description=__doc__.split("\n")[0])
    parser.add_argument("location")
    parser.add_argument("truth")
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb")
    parser.add_argument("--master")
    parser.add_argument(
        "--days", type=int, default=4, help="that `after` compares on each side; 0 leaves it out"
    )
    parser.add_argument("--deploys", type=int, help="so many deploys, not all")
    args = parser.parse_args(argv)
    truth = json.loads(Path(args.truth).read_text())
    store = open_store(args.location)
    with open_engine(args.engine, store, master=args.master) as engine:
        found: dict[str, Any] = {"engine": args.engine, "rows": truth["rows"]}
        for name, judge in (("cold", cold), ("can-shrink", can_shrink)):
            begin = time.monotonic()
            rows = measure(Asked(name), store, engine).rows
            found[name] = judge(rows, truth["services"]) | {"seconds": round(time.monotonic() - begin, 1)}
        if args.days:
            found["after"] = after(engine, store, truth, args.days, args.deploys)
    found["max_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found, indent=1))
    return 0


def cold(rows: list[dict[str, Any]], truth: dict[str, Any]) -> dict[str, Any]:
    """Relative errors of the fleet's total and of services."""
    errors = [row["cold_bytes"] / truth[row["service"]]["cold_bytes"] - 1 for row in rows]
    total = sum(each["cold_bytes"] for each in truth.values())
    return {
        "services": len(rows),
        "total_error": sum(row["cold_bytes"] for row in rows) / total - 1,
        "worst_error": max(errors, key=abs),
    }


def can_shrink(rows: list[dict[str, Any]], truth: dict[str, Any]) -> dict[str, Any]:
    """Precision and recall of the services that can shrink."""
    said = {row["service"] for row in rows if row["can_shrink"]}
    true = {name for name, each in truth.items() if each["can_shrink"]}
    return {
        "said": len(said), "true": len(true),
        "precision": len(said & true) / len(said) if said else None,
        "recall": len(said & true) / len(true) if true else None,
    }  # fmt: skip


def after(
    engine: FleetEngine, store: Any, truth: dict[str, Any], days: int, most: int | None
) -> dict[str, Any]:
    """Over all deploys: planted changes that were found, and services that were found without one."""
    begin, found, wrong, tested, errors = time.monotonic(), 0, 0, 0, []
    judged = list(truth["deploys"].items())[:most]
    for deploy, planted in judged:
        rows = measure(Asked("after", deploy=deploy, days=days), store, engine).rows
        rows = [row for row in rows if row["figure"] == "resident_bytes"]
        tested += sum(row["changed"] is not None for row in rows)
        changed = {row["service"] for row in rows if row["changed"]}
        found += planted["service"] in changed
        wrong += len(changed - {planted["service"]})
        errors += [row["change"] - planted["effect"] for row in rows if row["service"] == planted["service"]]
    return {
        "deploys": len(judged), "found": found, "found_wrongly": wrong, "services_tested": tested,
        "false_discovery_share": wrong / (found + wrong) if found + wrong else 0.0,
        "worst_error_of_change": max(errors, key=abs, default=None),
        "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
