"""Many machines: reports over the tables that their agents write, and moving and merging these."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udamon import console
from udamon.arguments import named
from udamon.cli import fleet_deploy
from udamon.cli.numbers import decimal, require_shown, whole

if TYPE_CHECKING:
    from udamon.files.names import Identity
    from udamon.fleet.compaction import Compacted
    from udamon.fleet.iceberg import TableChange
    from udamon.fleet.listing import DamagedObject
    from udamon.fleet.store import Store
    from udamon.report.fleet.reports import Asked

LOCATION = "a directory, or a URL with s3://, gs:// or az://"
SPOOL = "/var/lib/udamon/spool"
_SOME = 5
"""Files that are named where many cannot be read."""

REPORTS = {
    "cold": "memory that was not touched for an age, by service",
    "can-shrink": "which services can lose how much of their memory limit",
    "after": "what changed at a deploy, and how sure that is",
    "percentiles": "resident and cold bytes of services, as percentiles over hosts",
    "outliers": "hosts on which a service differs from its other hosts",
    "coverage": "what was not seen",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon fleet`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    report = actions.add_parser(
        "report", help="questions about all machines", description="Questions about a fleet."
    )
    kinds = report.add_subparsers(dest="report", required=True, metavar="REPORT")
    for name, about in REPORTS.items():
        _configure_report(kinds.add_parser(name, help=about, description=about), name)
    _configure_moves(actions)


def _configure_report(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "after":
        parser.add_argument("deploy", metavar="DEPLOY", help="its name in the table deploys")
    parser.add_argument("location", metavar="LOCATION", help=LOCATION)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document")
    form.add_argument("--html", metavar="OUT",
                      help="a page with a chart, for a browser (- for standard output)")  # fmt: skip
    form.add_argument("--sql", metavar="DIALECT",
                      help="print the query for another engine (spark, trino, …), and read nothing")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace OUT where it exists")
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb",
                        help="what runs the query (default duckdb)")  # fmt: skip
    parser.add_argument(
        "--master", metavar="URL", help="Spark's master, e.g. spark://HOST:7077 (default local[*])"
    )
    parser.add_argument(
        "--max-memory", metavar="SIZE", help="what DuckDB may use, e.g. 4GiB (default 80%% of memory)"
    )
    parser.add_argument(
        "--from", dest="first", metavar="DATE", help="the first day that is read, e.g. 2026-11-01"
    )
    parser.add_argument("--to", dest="last", metavar="DATE", help="the last day that is read")
    parser.add_argument(
        "--top", metavar="N", type=whole, default=20, help="number of rows in the text (default 20)"
    )
    if name != "can-shrink":  # which is about all ages
        parser.add_argument("--age", metavar="TIME", default="120s",
                            help="cold is what was not touched for TIME (default 120s)")  # fmt: skip
    if name == "cold":
        parser.add_argument("--price-gib-month", metavar="PRICE", type=decimal,
                            help="what a GiB costs a month: cold memory in money")  # fmt: skip
    if name == "can-shrink":
        parser.add_argument("--least", metavar="SHARE", default="10%",
                            help="of its limit that a service must be able to lose (default 10%%)")  # fmt: skip
    if name == "after":
        parser.add_argument("--days", metavar="N", type=whole, default=4,
                            help="days before and after that are compared (default 4, at least 2)")  # fmt: skip
        parser.add_argument("--fdr", metavar="SHARE", default="1%",
                            help="false discovery rate that is kept (default 1%%)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """0, or 1 where objects could not be uploaded. Raises UdamonError."""
    kinds = {"report": _report, "upload": _upload, "compact": _compact, "deploy": fleet_deploy.run}
    return kinds[args.action](args)


def _configure_moves(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "bring the objects of a node's spool to LOCATION, each once"
    upload = actions.add_parser("upload", help=about, description=about)
    upload.add_argument("--spool", metavar="DIR", default=SPOOL, help=f"where they are (default {SPOOL})")
    upload.add_argument("--for", dest="patience", metavar="TIME", default="10m",
                        help="for how long what fails is tried again (default 10m)")  # fmt: skip
    fleet_deploy.configure(
        actions.add_parser("deploy", help=fleet_deploy.ABOUT, description=fleet_deploy.ABOUT), LOCATION
    )
    about = "merge the objects of closed days into few large ones"
    compact = actions.add_parser("compact", help=about, description=about)
    compact.add_argument("--closed", metavar="TIME", default="6h",
                         help="a day is closed so long after its end (default 6h)")  # fmt: skip
    compact.add_argument("--grace", metavar="TIME", default="1h",
                         help="objects that were merged stay for so long, for who reads them (default 1h)")  # fmt: skip
    compact.add_argument("--max-memory", metavar="SIZE", help="what DuckDB may use (default 80%% of memory)")
    compact.add_argument("--iceberg", metavar="CATALOG", help="write closed days to the Iceberg tables of a catalog "
                         "that pyiceberg is configured for, NAME or NAME.NAMESPACE (default NAME.udamon)")  # fmt: skip
    for parser in (upload, compact):
        parser.add_argument("location", metavar="LOCATION", help=LOCATION)
        parser.add_argument("--json", action="store_true", help="one JSON document")


def _upload(args: argparse.Namespace) -> int:
    import os

    from udamon.errors import UsageError
    from udamon.fleet.store import open_store
    from udamon.fleet.uploading import upload
    from udamon.units import counted, format_size, parse_duration_ns

    patience = named("--for", parse_duration_ns, args.patience) / 1e9
    if not os.path.isdir(args.spool):
        raise UsageError(f"{args.spool} is no directory; give the agent's spool with --spool.")
    done = upload(args.spool, open_store(args.location), patience)
    if args.json:
        console.document({
            "schema": 1, "objects": done.objects, "bytes": done.bytes, "left": done.left, "tries": done.tries,
            "why": done.failure, "damaged": [each.document for each in done.damaged],
        })  # fmt: skip
    else:
        left = f"; {done.left} are left" if done.left else ""
        console.out(f"{counted(done.objects, 'object')} uploaded, {format_size(done.bytes)}{left}")
        if done.failure:
            console.say(done.failure)
        for each in done.damaged:
            console.say(f"{each.object} {each.why}.")
    return 1 if done.left else 0


def _compact(args: argparse.Namespace) -> int:
    import os
    from pathlib import Path
    from time import time

    from udamon.errors import CannotError
    from udamon.files.ending import removing
    from udamon.files.temporary import TemporaryDirectory
    from udamon.fleet import tables
    from udamon.fleet.compaction import OBJECT_BYTES, compact
    from udamon.fleet.iceberg import IcebergCatalog
    from udamon.fleet.listing import ListedObjects
    from udamon.fleet.store import Directory, open_store
    from udamon.report.fleet.engines import DuckEngine
    from udamon.units import parse_duration_ns

    grace, closed = (
        named(f"--{name}", parse_duration_ns, getattr(args, name)) / 1e9 for name in ("grace", "closed")
    )
    store, now = open_store(args.location), time()
    if isinstance(store, Directory) and not os.path.isdir(store.root):
        raise CannotError(
            f"{store.location} is no directory; give the location that udamon fleet upload fills."
        )
    lake = None if args.iceberg is None else IcebergCatalog(args.iceberg)
    done: dict[str, Compacted] = {}
    written: dict[str, TableChange] = {}
    with removing(), DuckEngine(store, _memory(args)) as engine, _telling_passed_over(store):
        for table in (tables.SERVICES, tables.NODES, tables.REGIONS):
            work = TemporaryDirectory("compact")

            def merge(objects: ListedObjects, place: Path, table: tables.Table = table) -> list[Path]:
                return engine.merge(table, objects, place, OBJECT_BYTES)

            try:
                done[table.name] = compact(
                    store, table, merge, work.path, now=now, grace_s=grace, closed_s=closed
                )
            finally:
                work.close()
            if lake is not None:
                written[table.name] = lake.write(
                    store, table, engine.stream, now=now, closed_s=closed,
                    damaged=list(done[table.name].damaged.values()),
                )  # fmt: skip
    _say_compacted(done, written, passed_over=len(store.passed_over), json=args.json)
    return 0


def _say_compacted(
    done: Mapping[str, Compacted], written: Mapping[str, TableChange], *, passed_over: int, json: bool
) -> None:
    """What was done to each table; `written` are those of Iceberg, which has none without --iceberg."""
    from udamon.units import counted, format_size

    damaged: dict[str, DamagedObject] = {}
    for found in [*(each.damaged for each in done.values()), *(each.damaged for each in written.values())]:
        damaged |= found
    if json:
        iceberg = {} if not written else {"iceberg": {name: _figures(each) for name, each in written.items()}}
        console.document({
            "schema": 1, "tables": {name: _figures(each) for name, each in done.items()}, **iceberg,
            "damaged": [each.document for _, each in sorted(damaged.items())], "passed_over": passed_over,
        })  # fmt: skip
    else:
        for name, each in done.items():
            merged = f"{counted(each.merged_objects, 'object')} of {counted(each.days, 'day')}"
            became = f"{each.made_objects} ({format_size(each.bytes)})"
            console.out(f"{name}: {merged} became {became}; {each.removed} removed")
        for name, days in written.items():
            new = f"{counted(days.days, 'day')} written ({counted(days.rows, 'row')})"
            console.out(f"Iceberg, {name}: {new}, {days.unchanged} unchanged")
        for path, object_ in sorted(damaged.items()):
            console.say(f"{path} {object_.why}.")
        if damaged:
            console.say("Nothing of these objects is merged or removed.")


def _figures(change: Compacted | TableChange) -> dict[str, int]:
    """The counts of what was done, for JSON."""
    from dataclasses import asdict

    return {name: value for name, value in asdict(change).items() if name != "damaged"}


def _memory(args: argparse.Namespace) -> str | None:
    """As DuckDB writes it. Raises UsageError."""
    from udamon.errors import UsageError
    from udamon.units import GIB, MIB, parse_size

    if args.max_memory is None:
        return None
    memory = named("--max-memory", parse_size, args.max_memory)
    if not 64 * MIB <= memory <= 1024 * 1024 * GIB:
        raise UsageError(f"--max-memory {args.max_memory} is no memory of a query; give 64MiB to 1024TiB.")
    return f"{memory}B"


def _report(args: argparse.Namespace) -> int:
    from udamon.errors import UsageError
    from udamon.files import place
    from udamon.files.ending import removing
    from udamon.files.names import shown
    from udamon.files.output import whole_file
    from udamon.fleet.store import open_store
    from udamon.report.fleet import page, render, reports
    from udamon.report.fleet.engines import open_engine
    from udamon.report.fleet.spark_submit import separate_standard_error
    from udamon.report.page import html
    from udamon.report.terminal import Terminal
    from udamon.units import format_size

    asked = _asked(args)
    require_shown("--top", args.top)
    if args.force and args.html is None:
        raise UsageError("--force is for files, and none is written; give --html, or leave it out.")
    if args.sql is not None:
        _print_sql(asked, args.sql)
        return 0
    if args.engine == "spark":
        separate_standard_error()
    store = open_store(args.location)
    if args.html is not None:
        place.check(args.html, force=args.force, inputs=_objects(store))
    with (
        removing(),
        open_engine(args.engine, store, master=args.master, memory=_memory(args)) as engine,
        _telling_passed_over(store),
    ):
        report = reports.measure(asked, store, engine)
    if args.json:
        console.document(report.document())
    elif args.html is not None:
        page_html = html.fleet(page.document(report)).encode()
        with whole_file(args.html, force=args.force, inputs=_objects(store)) as file:
            file.write(page_html)
        console.err(f"{shown(args.html)}: {format_size(len(page_html))}")
    else:
        console.out(render.render(report, Terminal.of_stdout(), args.top), wrap=True)
    return 0


@contextmanager
def _telling_passed_over(store: Store) -> Iterator[None]:
    """At the end say on stderr what the location's listings could not look into, also where the block raises."""
    try:
        yield
    finally:
        for path, why in sorted(store.passed_over.items())[:_SOME]:
            console.say(f"{store.location}/{path} is left out: {why}.")
        if (more := len(store.passed_over) - _SOME) > 0:
            console.say(f"{more} more files and directories of {store.location} are left out.")


def _objects(store: Store) -> set[Identity]:
    """The files below a directory that the report may read; none of a bucket."""
    from udamon.files.names import identities
    from udamon.fleet.objects import directory
    from udamon.fleet.store import Directory
    from udamon.fleet.tables import TABLES

    if not isinstance(store, Directory):
        return set()
    return identities(
        store.root / each.path for table in TABLES.values() for each in store.list(directory(table))
    )


def _asked(args: argparse.Namespace) -> Asked:
    from udamon.errors import UsageError
    from udamon.fleet.tables import AGES, place_of
    from udamon.report.fleet.reports import Asked
    from udamon.units import parse_duration_ns, parse_share

    more: dict[str, object] = {}
    if args.report == "cold" and args.price_gib_month is not None:
        if not 0 <= args.price_gib_month < float("inf"):
            raise UsageError(
                f"--price-gib-month {args.price_gib_month} is no price; give a number from 0 on."
            )
        more["price"] = args.price_gib_month
    if args.report == "can-shrink":
        more["least"] = named("--least", parse_share, args.least)
    if args.report == "after":
        if not 2 <= args.days <= 366:
            raise UsageError(
                f"--days {args.days} cannot be compared; a trend needs 2 days to 366 on each side."
            )
        more |= {
            "deploy": args.deploy,
            "days": args.days,
            "false_discoveries": named("--fdr", parse_share, args.fdr),
        }
    age = AGES[place_of(named("--age", parse_duration_ns, getattr(args, "age", "120s")) / 1e9)]
    dates = _date(args.first, "--from"), _date(args.last, "--to")
    if dates[0] and dates[1] and dates[0] > dates[1]:
        raise UsageError(f"--from {dates[0]} is after --to {dates[1]}; swap them.")
    return Asked(args.report, age_seconds=age, dates=dates, **more)  # type: ignore[arg-type]


def _date(text: str | None, flag: str) -> str | None:
    from datetime import date

    from udamon.errors import UsageError

    if text is None:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{flag} {text[:40]!r} is no date; write it like 2026-11-01.") from None


def _print_sql(asked: Asked, dialect: str) -> None:
    """The views and the query. The views read TABLE_once and TABLE_repeated, which are the caller's."""
    from udamon.errors import UsageError
    from udamon.fleet.tables import DEPLOYS, SERVICES
    from udamon.report.fleet.queries import view
    from udamon.report.fleet.reports import sql_of
    from udamon.report.translate import translate
    from udamon.text import lines

    tables = (SERVICES, DEPLOYS) if asked.report == "after" else (SERVICES,)
    # Which hosts share a name is asked of the table nodes, by another query: here they count as one host.
    statements = [f"CREATE VIEW {table.name} AS {view(table, ())}" for table in tables] + [sql_of(asked)]
    try:
        told = [translate(each, dialect, pretty=True) for each in statements]
    except ValueError:
        raise UsageError(f"SQLGlot knows no dialect {dialect[:40]!r}; spark and trino are tested.") from None
    console.out(lines(line for each in told for line in [*each.split("\n"), ";"]))
