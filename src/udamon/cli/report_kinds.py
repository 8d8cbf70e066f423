"""The reports beyond the regions of a recording: footprints, mappings, phases, right-size and others.

Each has a function that adds its flags and one that makes its text; udamon.cli.report has what all share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from udamon.arguments import named
from udamon.cli import reading
from udamon.cli.numbers import require_shown, some_time, whole
from udamon.cli.parts import Found
from udamon.errors import UsageError
from udamon.text import Shown, lines

if TYPE_CHECKING:
    from udamon.report.source import RecordingSource

Add = Callable[..., argparse.ArgumentParser]


def configure(add: Add) -> None:
    """Add these reports' arguments; `add` makes a parser with what all reports share."""
    footprint = add("footprint", "how much memory there is: resident or monitored, as percentiles and over time",
                    aliases=("footprints",))  # fmt: skip
    footprint.add_argument("--what", choices=("auto", "resident", "monitored"), default="auto",
                           help="resident bytes (auto: where they are known), or all that is monitored")  # fmt: skip
    configure_over_time(footprint)
    configure_over_time(add("nr-regions", "how many regions a snapshot has", aliases=("nr_regions",)))
    mappings = add("mappings", "the hottest and the coldest mappings, and which offsets of files are used")
    mappings.add_argument(
        "--top", metavar="N", type=whole, default=10, help="number of mappings in each table (default 10)"
    )
    add("ages", "for how long memory lies idle, and what was touched again after that")
    times = add("times", "when it was looked: windows, and gaps between them")
    times.add_argument("--every", action="store_true", help="list every moment")
    add("phases", "when the pattern of accesses changed, and what moved")
    right_size = add("right-size", "the memory that serves a chosen share of accesses, and how sure that is")
    right_size.add_argument(
        "--serve", metavar="SHARE", default="99%", help="of accessed page-intervals (default 99%%)"
    )
    right_size.add_argument(
        "--seed", metavar="N", type=whole, default=1, help="of the draws behind the interval (default 1)"
    )
    right_size.add_argument(
        "--swap",
        action="store_true",
        help="there is swap: anonymous memory that is not accessed may leave memory",
    )
    right_size.add_argument(
        "--reuse", metavar="TIME", help="keep what is accessed of files again within TIME (default 1m)"
    )
    diff = add("diff", "what differs between two recordings, and what moved", before="BEFORE")
    diff.add_argument("after", metavar="AFTER", help="the other recording")
    configure_definition(diff)
    add("size", "how much memory is needed, on one screen; what `udamon report FILE` prints")
    sites = add("sites", "hot and cold bytes by the code that allocated them (record --sites)")
    sites.add_argument(
        "--top", metavar="N", type=whole, default=20, help="number of sites in the table (default 20)"
    )
    sites.add_argument(
        "--idle",
        metavar="TIME",
        help="cold is what was not touched for TIME (default: 1s to 60s, at most half of what was recorded)",
    )
    sites.add_argument("--pprof", metavar="OUT", help="write them in pprof's format, for other viewers")
    sites.add_argument(
        "--flame", metavar="OUT", help="write a flame graph (SVG): bytes wide, coloured by heat"
    )
    add("holistic", "everything at a glance: working set, footprint, phases, mappings, heatmap")


def configure_over_time(parser: argparse.ArgumentParser) -> None:
    """Add --over-time."""
    parser.add_argument("--over-time", action="store_true", help="every moment, not only the picture")


def configure_definition(parser: argparse.ArgumentParser) -> None:
    """Add --definition of the working set."""
    parser.add_argument("--definition", choices=("touched", "damo"), default="touched",
                        help="touched: bytes accessed (default); damo: sizes of regions accessed at all")  # fmt: skip


def make(args: argparse.Namespace, source: RecordingSource) -> Found:
    """The report that `args` ask for. Raises UdamonError."""
    return _MAKE[args.report](args, source)


def _footprint(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report.diff import footprint_of

    return _series(args, source, footprint_of(source) if args.what == "auto" else args.what, args.by)


def _nr_regions(args: argparse.Namespace, source: RecordingSource) -> Found:
    found, render = _series(args, source, "regions", "process")
    found["regions"] = found.pop("bytes")
    for target in found["targets"]:
        target["regions"] = target.pop("bytes")
    for moment in found.get("over_time", ()):
        moment["regions"] = moment.pop("bytes")
    return found, render


def _series(args: argparse.Namespace, source: RecordingSource, definition: str, by: str) -> Found:
    from udamon.report import wss, wss_text
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report = wss.measure(source, definition, every=args.over_time, by=by)
    catalog = Catalog(source.recording)
    document = wss.document(report, catalog, over_time=args.over_time)
    return document, lambda: wss_text.render(report, catalog, Terminal.of_stdout())


def _mappings(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import hot_cold
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    require_shown("--top", args.top)
    report, catalog = hot_cold.measure(source), Catalog(source.recording)
    return hot_cold.document(report, catalog), lambda: hot_cold.render(
        report, catalog, Terminal.of_stdout(), args.top
    )


def _ages(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import ages
    from udamon.report.terminal import Terminal

    report = ages.measure(source)
    return ages.document(report), lambda: ages.render(report, Terminal.of_stdout())


def _times(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import times

    report = times.measure(source, every=args.every)
    return times.document(report), lambda: times.render(report)


def _phases(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import phases
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report, catalog = phases.measure(source), Catalog(source.recording)
    return phases.document(report, catalog), lambda: phases.render(report, catalog, Terminal.of_stdout())


def _right_size(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import recommend, right_size
    from udamon.report.terminal import Terminal
    from udamon.units import parse_share

    report = right_size.measure(source, named("--serve", parse_share, args.serve), seed=args.seed)
    reuse = recommend.REUSE_S if args.reuse is None else some_time("--reuse", args.reuse) / 1e9
    found = recommend.measure(source, report, swap=args.swap, reuse_s=reuse)

    def render() -> Shown:
        terminal = Terminal.of_stdout()
        return lines([recommend.render(found, terminal.width), "", right_size.render(report, terminal)])

    return right_size.document(report) | recommend.document(found), render


def _diff(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.record.opening import open_recording
    from udamon.report import diff, site_diff
    from udamon.report.source import RecordingSource
    from udamon.report.terminal import Terminal

    if args.by == "site" and args.definition != "touched":
        raise UsageError(
            "--definition is about working sets, and --by site about allocations; leave one of them out."
        )
    recording = open_recording(args.after, limits=reading.limits(args))
    recording.progress = source.recording.progress
    with RecordingSource(recording, source.filters, source) as after:
        source.recordings.append(after.recording)
        source.compared = after
        if args.by == "site":
            sites = site_diff.measure(source, after)
            return site_diff.document(sites), lambda: site_diff.render(sites, Terminal.of_stdout())
        report = diff.measure(source, after, args.definition)
    return diff.document(report), lambda: diff.render(report, Terminal.of_stdout())


def _size(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.cli import next_step
    from udamon.report import size
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    report, catalog = size.measure(source), Catalog(source.recording)
    step = next_step.of_file(args.file, source, report)
    return size.document(report, catalog, step), lambda: size.render(
        report, catalog, Terminal.of_stdout(), step
    )


def _holistic(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.report import heatmap, holistic
    from udamon.report.catalog import Catalog
    from udamon.report.terminal import Terminal

    terminal = Terminal.of_stdout()
    report = holistic.measure(source, max(10, terminal.width - heatmap.LABEL - 1))
    catalog = Catalog(source.recording)
    return holistic.document(report, catalog), lambda: holistic.render(report, catalog, terminal)


def _sites(args: argparse.Namespace, source: RecordingSource) -> Found:
    from udamon.cli.sites import write
    from udamon.report import sites
    from udamon.report.terminal import Terminal

    require_shown("--top", args.top)
    idle_ns = None if args.idle is None else some_time("--idle", args.idle)
    report = sites.measure(source, idle_ns)
    write(args, source, report)
    return sites.document(report), lambda: sites.render(report, Terminal.of_stdout(), args.top)


_MAKE: dict[str, Callable[[argparse.Namespace, RecordingSource], Found]] = {
    "footprint": _footprint,
    "footprints": _footprint,
    "nr-regions": _nr_regions,
    "nr_regions": _nr_regions,
    "mappings": _mappings,
    "ages": _ages,
    "times": _times,
    "phases": _phases,
    "right-size": _right_size,
    "diff": _diff,
    "size": _size,
    "holistic": _holistic,
    "sites": _sites,
}
KINDS = frozenset({"wss", "heatmap", "access", "info", *_MAKE})
