"""Show a recording: working set, heatmap, regions, or what it is.

One subcommand a report; each prints for people, or one JSON document with --json.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from udamon.cli import pictures

if TYPE_CHECKING:
    from udamon.report.source import Source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon report`."""
    reports = parser.add_subparsers(dest="report", required=True, metavar="REPORT")
    wss = _add(reports, "wss", "working set: percentiles over all snapshots, and over time")
    wss.add_argument("--definition", choices=("touched", "damo"), default="touched",
                     help="touched: bytes accessed (default); damo: sizes of regions accessed at all")  # fmt: skip
    wss.add_argument("--over-time", action="store_true", help="every moment, not only the picture")
    heatmap = _add(reports, "heatmap", "access rate by time and address")
    heatmap.add_argument(
        "--resol", metavar="ROWSxCOLS", help="size of the picture (default: fits the terminal)"
    )
    heatmap.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                         help="colours: auto is only on a terminal and without NO_COLOR")  # fmt: skip
    access = _add(reports, "access", "the regions of one moment, the last by default")
    access.add_argument("--at", metavar="TIME", help="the moment TIME after the start (e.g. 5s)")
    access.add_argument("--sort", choices=("address", "size", "rate", "age", "touched"), default="address",
                        help="order of the regions; all but address begin with the largest")  # fmt: skip
    access.add_argument("--top", metavar="N", type=int, help="only the first N regions")
    _add(reports, "info", "attributes, targets, length, cost of the monitor")


def _add(
    reports: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    parser = reports.add_parser(name, help=about, description=about)
    parser.add_argument("file", metavar="FILE", help="a recording")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    group = parser.add_argument_group("filters (MIN-MAX; one side may be left out)")
    group.add_argument("--time", metavar="MIN-MAX", help="since the start, e.g. 5s-10s")
    group.add_argument(
        "--target", metavar="N", type=int, action="append", default=[], help="only this target"
    )
    group.add_argument("--address", metavar="MIN-MAX", help="e.g. 7f0000000000-7f0000200000")
    group.add_argument("--size", metavar="MIN-MAX", help="size of a region, e.g. 4KiB-1MiB")
    group.add_argument("--rate", metavar="MIN-MAX", help="share of ticks accessed, e.g. 50%%-100%%")
    group.add_argument("--age", metavar="MIN-MAX", help="unchanged for, e.g. 1s-10s")
    pictures.configure(parser, name)
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the report; 0. Raises UdamonError."""
    import os
    import sys

    text = _report(args)
    try:
        if text is not None:
            print(text, flush=True)
    except BrokenPipeError:
        # `| head` has what it wants; the interpreter must not complain when it flushes again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _report(args: argparse.Namespace) -> str | None:
    """The text to print; None when pictures were written instead."""
    import sys

    from udamon.cli.bar import Bar
    from udamon.ops.available import WRITES_ONLY
    from udamon.record.opening import open_recording
    from udamon.report.filters import Filters
    from udamon.report.source import Source

    filters = Filters.parse(
        time=args.time,
        address=args.address,
        size=args.size,
        rate=args.rate,
        age=args.age,
        targets=tuple(args.target),
    )
    make = {"wss": _wss, "heatmap": _heatmap, "access": _access, "info": _info}[args.report]
    drawn = pictures.wanted(args)
    with Bar(sys.stderr) as bar, Source(open_recording(args.file, bar.step), filters) as source:
        if drawn:
            pictures.write(args, source, _resolution(getattr(args, "resol", None)))
            return None
        text = make(args, source)
        if not args.json and source.recording.metadata.get("sees") == WRITES_ONLY:
            text += "\n\nWrites only: memory that was merely read counts as not accessed."
        return text


def _wss(args: argparse.Namespace, source: Source) -> str:
    from udamon.report import wss
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report = wss.measure(source, args.definition, every=args.over_time)
    catalog = Catalog(source.recording)
    if args.json:
        return _json(wss.document(report, catalog, over_time=args.over_time), source)
    return wss.render(report, catalog, Terminal.of_stdout())


def _heatmap(args: argparse.Namespace, source: Source) -> str:
    from udamon.report import heatmap
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    terminal = Terminal.of_stdout(args.color)
    rows, columns = _resolution(args.resol) or (32, max(10, terminal.width - heatmap.LABEL - 1))
    report = heatmap.measure(source, rows, columns)
    if args.json:
        return _json(heatmap.document(report), source)
    return heatmap.render(report, Catalog(source.recording), terminal)


def _resolution(text: str | None) -> tuple[int, int] | None:
    import re

    from udamon.errors import UsageError

    match = re.fullmatch(r"(\d+)[x,](\d+)", text or "")
    if text is None:
        return None
    if match is None or not (0 < int(match[1]) <= 10_000 and 0 < int(match[2]) <= 10_000):
        raise UsageError(f"{text!r} is not a size of a picture; write ROWSxCOLS, like 40x80.")
    return int(match[1]), int(match[2])


def _access(args: argparse.Namespace, source: Source) -> str:
    from udamon.errors import UsageError
    from udamon.report import access
    from udamon.report.catalog import Catalog
    from udamon.units import parse_time_ns

    if args.top is not None and args.top < 1:
        raise UsageError(f"--top {args.top} shows nothing; give at least 1.")
    report = access.measure(
        source,
        at_ns=None if args.at is None else parse_time_ns(args.at),
        sort=args.sort,
        top=args.top,
    )
    if args.json:
        return _json(access.document(report), source)
    return access.render(report, Catalog(source.recording))


def _info(args: argparse.Namespace, source: Source) -> str:
    from udamon.report import info
    from udamon.report.catalog import Catalog

    report = info.measure(source, Catalog(source.recording))
    return _json(info.document(report), source) if args.json else info.render(report)


def _json(document: dict[str, object], source: Source) -> str:
    import json

    # What counts as an access; null where an older recording does not say.
    return json.dumps(document | {"sees": source.recording.metadata.get("sees")}, allow_nan=False)
