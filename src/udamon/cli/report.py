"""Show a recording: working set, heatmap, regions, or what it is.

One subcommand a report; each prints for people, or one JSON document with --json.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from udamon import console
from udamon.arguments import named
from udamon.cli import mistakes, parts, pictures, reading, report_kinds
from udamon.cli.numbers import require_shown, whole
from udamon.cli.parts import Found
from udamon.errors import UsageError
from udamon.text import Shown, escape, lines

if TYPE_CHECKING:
    from udamon.report.source import RecordingSource


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon report`."""
    reports = parser.add_subparsers(dest="report", required=True, metavar="REPORT")
    parser.usage = (
        "udamon report [REPORT] FILE [options]"  # after the above, which would take it for their names
    )
    wss = _add(reports, "wss", "working set: percentiles over all snapshots, and over time")
    report_kinds.configure_definition(wss)
    report_kinds.configure_over_time(wss)
    heatmap = _add(reports, "heatmap", "access rate by time and address")
    heatmap.add_argument(
        "--resol", metavar="ROWSxCOLS", help="size of the picture (default: fits the terminal)"
    )
    heatmap.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                         help="colours: auto is only on a terminal and without NO_COLOR")  # fmt: skip
    access = _add(reports, "access", "the regions of one moment, the last by default")
    access.add_argument("--at", metavar="TIME", help="the moment TIME after the start (e.g. 5s)")
    access.add_argument("--sort", choices=("address", "size", "rate", "age", "touched", "hot", "cold"),
                        default="address",
                        help="the largest first, or by temperature the hottest or the coldest")  # fmt: skip
    access.add_argument("--top", metavar="N", type=whole, help="only the first N regions")
    access.add_argument(
        "--style",
        choices=STYLES,
        metavar="STYLE",
        default="detailed",
        help=f"how to show it: {', '.join(STYLES)} (default detailed)",
    )
    access.add_argument("--whole", action="store_true",
                        help="histograms and percentiles of the whole recording, not of one moment")  # fmt: skip
    access.add_argument("--definition", choices=("touched", "damo"), default="touched",
                        help="histograms count resident bytes where known (default), or whole regions")  # fmt: skip
    access.add_argument("--weights", metavar="SIZE,RATE,AGE", default="0,100,100",
                        help="of temperature (default 0,100,100)")  # fmt: skip
    report_kinds.configure(partial(_add, reports))
    _add(reports, "info", "attributes, targets, length, cost of the monitor")


def _add(
    reports: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str,
    *, aliases: Sequence[str] = (), before: str = "FILE",
) -> argparse.ArgumentParser:  # fmt: skip
    parser = reports.add_parser(name, help=about, description=about, aliases=aliases)
    parser.add_argument("file", metavar=before, help="a recording; - is standard input")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    group = parser.add_argument_group("filters (MIN-MAX; one side may be left out)")
    group.add_argument("--time", metavar="MIN-MAX", help="since the start, e.g. 5s-10s")
    group.add_argument(
        "--target", metavar="N", type=whole, action="append", default=[], help="only this target"
    )
    group.add_argument("--address", metavar="MIN-MAX", help="e.g. 7f0000000000-7f0000200000")
    group.add_argument("--size", metavar="MIN-MAX", help="size of a region, e.g. 4KiB-1MiB")
    group.add_argument("--rate", metavar="MIN-MAX",
                       help="share of ticks accessed, by refs of bytes touched; e.g. 50%%-100%%")  # fmt: skip
    group.add_argument("--age", metavar="MIN-MAX", help="unchanged for, e.g. 1s-10s")
    group.add_argument(
        "--mapping", metavar="NAME", help="only memory of mappings of this name, label or kind; * and ?"
    )
    group.add_argument(
        "--include-warmup", action="store_true", help="the start that record --warmup marked, too"
    )
    reading.configure(parser)
    parts.configure(parser, name)
    pictures.configure(parser, name)
    return parser


_SWITCHES = ("--json", "--plain", "--force", "--include-warmup")
"""Flags of most reports that take no value."""


def with_kind(words: list[str]) -> list[str]:
    """Command-line words that begin with "report": where they have a file and no kind, the kind is `size`; a kind
    behind flags is put before them. Raises UsageError where there is neither."""
    plain = [word for word in words[1:] if word == "-" or not word.startswith("-")]
    if not plain and {"-h", "--help"}.isdisjoint(words):
        raise UsageError(
            "there is nothing to report on; give FILE, a recording, for an overview, or one of the reports and FILE, "
            "for example: udamon report heatmap r.udamon; see udamon report --help."
        )
    for at in range(2, len(words)) if words[1].startswith("-") else ():
        if words[at] in report_kinds.KINDS and not _takes_value(words[at - 1]):
            return ["report", words[at], *words[1:at], *words[at + 1 :]]
    # What stands where a kind would is one that is not known, unless there is such a file.
    possible = plain if words[1].startswith("-") and words[1] != "-" else plain[:1]
    if not plain or report_kinds.KINDS.intersection(possible):
        return words
    if any(word == "-" or os.path.exists(word) for word in possible):
        return ["report", "size", *words[1:]]
    if len(plain) == 1 and not _is_misspelt_kind(plain[0]):
        return ["report", "size", *words[1:]]
    return words


def _takes_value(word: str) -> bool:
    """Whether what follows may be the value of a flag."""
    return word.startswith("-") and word != "-" and "=" not in word and word not in _SWITCHES


def _is_misspelt_kind(word: str) -> bool:
    """Whether a word that names no file looks like a kind of report, and not like a file."""
    return not {".", "/"}.intersection(word) and mistakes.nearest(word, report_kinds.KINDS) is not None


def run(args: argparse.Namespace) -> int:
    """Print the report; 0. Raises UdamonError."""
    text = _report(args)
    try:
        if text is not None:
            console.out(text, wrap=not args.json)
    except BrokenPipeError:
        pass  # `| head` has what it wants
    return 0


def _report(args: argparse.Namespace) -> Shown | None:
    """The text to print; None when pictures were written instead."""
    import sys

    from udamon.cli.progress_line import ProgressLine
    from udamon.files.ending import removing
    from udamon.record.opening import open_recording
    from udamon.report.filters import Filters
    from udamon.report.source import RecordingSource

    filters = Filters.parse(
        time=args.time,
        address=args.address,
        size=args.size,
        rate=args.rate,
        age=args.age,
        targets=tuple(args.target),
        mapping=args.mapping,
        include_warmup=args.include_warmup
        or args.report == "info",  # which is about the recording as a whole
    )
    make = {"wss": _wss, "heatmap": _heatmap, "access": _access, "info": _info}.get(
        args.report, report_kinds.make
    )
    drawn, limits = pictures.wanted(args), reading.limits(args)
    by = None if drawn else parts.divided(args)
    with (
        removing(),
        ProgressLine.of_work(sys.stderr) as line,
        RecordingSource(open_recording(args.file, line.step, limits), filters) as source,
        reading.telling_damage(source.recordings),
    ):
        if drawn:
            pictures.write(args, source, _resolution(getattr(args, "resol", None)))
            return None
        document, render = make(args, source) if by is None else parts.make(args, source, by, make)
        return shown(document, render, source, as_json=args.json, told=args.report == "info")


def shown(
    document: dict[str, object],
    render: Callable[[], Shown],
    source: RecordingSource,
    *,
    as_json: bool,
    told: bool,
) -> Shown:
    """A report as it is printed, with what every report says; of coverage the text says nothing where it was `told`."""
    from udamon.report.common import common_lines, lines_of_both

    text = _json(document, source) if as_json else render()
    if as_json:
        return text
    said = common_lines(source, told=told)
    if source.compared is not None:
        said = lines_of_both(said, common_lines(source.compared))
    return lines([text, *(each for sentence in said for each in ("", sentence))])


def _wss(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import wss, wss_text
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report = wss.measure(source, args.definition, every=args.over_time, by=args.by)
    catalog = Catalog(source.recording)
    return wss.document(report, catalog, over_time=args.over_time), lambda: wss_text.render(
        report, catalog, Terminal.of_stdout()
    )


def _heatmap(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import heatmap
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    terminal = Terminal.of_stdout(args.color)
    rows, columns = _resolution(args.resol) or (
        32 if args.by is None else 8, max(10, terminal.width - heatmap.LABEL - 1)
    )  # fmt: skip
    report = heatmap.measure(source, rows, columns)
    catalog = Catalog(source.recording)
    return heatmap.document(report, catalog), lambda: heatmap.render(report, catalog, terminal)


MOST_CELLS, MOST_ACROSS = 1_000_000, 10_000
"""Of a heatmap: more than a screen has, and few enough to be kept."""


def _resolution(text: str | None) -> tuple[int, int] | None:
    import re

    match = re.fullmatch(r"([0-9]{1,18})[x,]([0-9]{1,18})", text or "")
    if text is None:
        return None
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f"{text!r} is not a size of a picture; write ROWSxCOLS, like 40x80.")
    if max(int(match[1]), int(match[2])) > MOST_ACROSS or int(match[1]) * int(match[2]) > MOST_CELLS:
        raise UsageError(
            f"{text} are more than {MOST_CELLS:,} cells, or {MOST_ACROSS:,} of them in a row or column; give fewer "
            "rows or columns."
        )
    return int(match[1]), int(match[2])


STYLES = (
    "detailed", "simple-boxes", "temperature-sz-hist", "recency-sz-hist", "temperature-percentiles",
    "recency-percentiles", "hot", "cold",
)  # fmt: skip
"""damo's names for ways to show the regions of a moment."""


def _access(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import access
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal
    from udamon.units import parse_time_ns

    require_shown("--top", args.top)
    at = None if args.at is None else named("--at", parse_time_ns, args.at)
    if args.style.startswith(("temperature", "recency")):
        return _by_heat(args, source, at)
    if args.whole:
        raise UsageError(
            f"--whole goes with histograms and percentiles, not with --style {args.style}; leave it out."
        )
    sort = args.style if args.style in ("hot", "cold") else args.sort
    report = access.measure(source, at_ns=at, sort=sort, top=args.top, weights=_weights(args.weights))
    if args.by != "region" and parts.divided(args) is None:
        from udamon.report import access_groups

        catalog = Catalog(source.recording, until_ns=report.time_ns)
        found = access_groups.groups(report, catalog, args.by)
        return access_groups.document(report, found), lambda: access_groups.render(
            report, found, catalog, Terminal.of_stdout()
        )
    if args.style == "simple-boxes" and not console.is_plain():
        of = Catalog(source.recording).rate_of
        return access.document(report), lambda: access.boxes(report, Terminal.of_stdout(), of)
    return access.document(report), lambda: access.render(
        report, Catalog(source.recording), Terminal.of_stdout().width
    )


def _by_heat(args: argparse.Namespace, source: RecordingSource, at: int | None) -> Found:
    from udamon.report import access, temperature
    from udamon.report.terminal import Terminal

    if args.whole and at is not None:
        raise UsageError("--whole is about all moments and --at about one; leave one of them out.")
    seq = None if args.whole else access.moment(source, at)
    what, _, shape = args.style.partition("-")
    make = temperature.histogram if shape == "sz-hist" else temperature.percentiles
    report = make(source, what, seq, definition=args.definition, weights=_weights(args.weights))
    about = {"style": args.style, "definition": args.definition}
    return temperature.document(report) | about, lambda: temperature.render(report, Terminal.of_stdout())


def _weights(text: str) -> tuple[int, int, int]:
    import re

    match = re.fullmatch(r"([0-9]{1,6}),([0-9]{1,6}),([0-9]{1,6})", text)
    if match is None:
        raise UsageError(
            f"{text!r} are no weights; write three numbers, of size, rate and age, like 0,100,100."
        )
    return int(match[1]), int(match[2]), int(match[3])


def _info(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import info
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report = info.measure(source, Catalog(source.recording))
    return info.document(report), lambda: info.render(report, Terminal.of_stdout())


def _json(document: dict[str, object], source: RecordingSource) -> Shown:
    import json

    from udamon.report.common import common_keys

    after = {} if source.compared is None else {"after": common_keys(source.compared)}
    return escape(json.dumps(document | common_keys(source) | after, allow_nan=False))
