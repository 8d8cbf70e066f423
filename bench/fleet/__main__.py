"""Write the tables of a made-up fleet, and what is true of it.

python -m bench.fleet --nodes N --services N --days N --seed N -o LOCATION --truth FILE

The same numbers and seed give the same objects. The truth is a JSON document: of each service the true means, see
bench/fleet/model.py for what is drawn from what.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from bench.fleet import model
from bench.fleet.writing import START, write
from udamon.errors import UdamonError
from udamon.fleet.store import open_store
from udamon.fleet.tables import WINDOW_SECONDS
from udamon.units import parse_share


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__.split("\n")[0])
    for name, default, text in (
        ("nodes", 100, "machines"),
        ("services", 300, "services of the fleet"),
        ("days", 1, "days from 2026-11-01 on (UTC)"),
        ("seed", 1, "of all draws"),
    ):
        parser.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{text} (default {default})"
        )
    parser.add_argument(
        "--deploys",
        metavar="N",
        type=int,
        help="services that are deployed, at different times around half of the days (default 1 in 10)",
    )
    parser.add_argument("--density", metavar="SHARE", default="20%",
                        help="of the nodes that a service runs on, on average (default 20%%)")  # fmt: skip
    parser.add_argument("--effect", metavar="SHARE", default="5%",
                        help="by which a deploy raises the service's memory (default 5%%)")  # fmt: skip
    parser.add_argument("--shared", metavar="SHARE", default="0%",
                        help="spread from day to day that all hosts of a service share (default 0%%)")  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="LOCATION", required=True, help="a directory or URL, as fleet takes"
    )
    parser.add_argument("--truth", metavar="FILE", required=True, help="where the truth goes")
    args = parser.parse_args(argv)
    for name in ("nodes", "services", "days"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)} is none; give at least 1")
    try:
        shares = parse_share(args.density), parse_share(args.effect), parse_share(args.shared)
        store = open_store(args.output)
    except UdamonError as error:
        parser.error(str(error))
    begin = time.monotonic()
    deploys = max(1, args.services // 10) if args.deploys is None else args.deploys
    fleet = model.Fleet.draw(
        args.nodes, args.services, args.days, args.seed,
        density=shares[0], deploys=deploys, effect=shares[1], shared=shares[2],
    )  # fmt: skip
    told = write(fleet, store, args.seed)
    document = {
        "schema": 1,
        "nodes": args.nodes, "days": args.days, "seed": args.seed, "begin": START.isoformat(),
        "window_seconds": WINDOW_SECONDS, **told,
        "dead_hosts": [model.host_of(host) for host, end in enumerate(fleet.death) if end < fleet.windows],
        "deploys": {
            f"deploy-{number:02d}": {"service": model.name_of(service), "effect": fleet.effect}
            for number, (service, _) in enumerate(fleet.deploys)
        },
        "services": fleet.truth(args.seed),
    }  # fmt: skip
    Path(args.truth).write_text(json.dumps(document, indent=1))
    print(
        f"{told['rows']:,} rows of services in {told['objects']:,} objects, {time.monotonic() - begin:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
