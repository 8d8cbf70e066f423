"""`udamon fleet deploy`: tell the fleet's tables of a change, so that `fleet report after` can be asked about it."""

from __future__ import annotations

import argparse

from udamon import console

ABOUT = "tell of a change of a service, for fleet report after"


def configure(parser: argparse.ArgumentParser, location: str) -> None:
    """Add the arguments; `location` says what LOCATION may be."""
    parser.add_argument("deploy", metavar="DEPLOY", help="the name that fleet report after will be asked for")
    parser.add_argument("location", metavar="LOCATION", help=location)
    parser.add_argument(
        "--service", metavar="NAME", required=True, help="what changed, as the table services has it"
    )
    parser.add_argument("--namespace", metavar="NAME", default="", help="its namespace (default none)")
    parser.add_argument("--workload", metavar="NAME", default="", help="its workload (default none)")
    parser.add_argument("--host", metavar="NAME", action="append", default=[],
                        help="only on this host; may be given several times (default all at once)")  # fmt: skip
    parser.add_argument("--time", metavar="MOMENT",
                        help="when the new version ran there, e.g. 2026-11-29T14:05:00Z (default now)")  # fmt: skip
    parser.add_argument("--before", metavar="VERSION", help="version before")
    parser.add_argument("--after", metavar="VERSION", help="version after")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    """Write the rows; 0. Raises UdamonError."""
    from datetime import UTC, datetime
    from time import time_ns

    from udamon.fleet.deploying import Deploy, parse_moment, tell
    from udamon.fleet.store import open_store
    from udamon.units import counted

    moment = time_ns() // 1000 if args.time is None else parse_moment(args.time)
    deploy = Deploy(
        args.deploy,
        args.service,
        moment,
        args.namespace,
        args.workload,
        tuple(args.host),
        args.before,
        args.after,
    )
    path, created = tell(open_store(args.location), deploy)
    rows = len(deploy.rows())
    if args.json:
        console.document(
            {
                "schema": 1,
                "deploy": args.deploy,
                "time_us": moment,
                "rows": rows,
                "object": path,
                "created": created,
            }
        )
        return 0
    when = datetime.fromtimestamp(moment // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = "all hosts at once" if not args.host else counted(rows, "host")
    there = "" if created else "; this was told before"
    console.out(f"{args.deploy}: {args.service} changed on {where} at {when}{there}")
    return 0
