"""`udamon report … --html, --svg, --png`: pictures of a recording, as files."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from udamon import console
from udamon.cli import reading
from udamon.errors import UsageError
from udamon.files import place
from udamon.files.names import Identity, descriptor_of, identities, shown
from udamon.files.output import whole_file
from udamon.units import format_size

if TYPE_CHECKING:
    from udamon.report.catalog import Catalog
    from udamon.report.charts.shapes import Drawing
    from udamon.report.source import RecordingSource

CHARTS = ("heatmap", "wss", "access")
"""The reports that have a chart of their own."""

ROWS, COLUMNS = 96, 800
"""Cells of a heatmap in a picture, unless --resol says more or less."""


KINDS = ("html", "svg", "png")

PAGES = (*CHARTS, "info", "mappings", "holistic", "size", "right-size", "phases", "ages", "sites", "diff")
"""The reports whose --html makes the page; that of `diff` is one of two recordings."""

_OPENS_AT = {
    "wss": "curve-title", "access": "rate-title", "info": "facts-title", "mappings": "mappings-title",
    "phases": "phases-title", "ages": "ages-title", "sites": "sites-title",
}  # fmt: skip
"""What of the page such a report is about: there it opens. What the others are about stands at its top."""

_FILTERS = ("time", "target", "address", "size", "rate", "age", "mapping")
_USED = {
    *_FILTERS,
    *reading.FLAGS,
    "after",
    *("file", "report", "plain", "html", "svg", "png", "resol", "pictured", "run", "command", "force"),
}
"""What pictures make use of; all other flags of reports are for text."""


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the flags of pictures to the report `name`; those that it has not say which reports have them."""
    missing = (*(("html",) if name not in PAGES else ()), *(("svg", "png") if name not in CHARTS else ()))
    for kind in missing:
        parser.add_argument(f"--{kind}", type=partial(_cannot, name, kind), help=argparse.SUPPRESS)
    if name not in PAGES:
        return
    parser.set_defaults(pictured=parser)
    group = parser.add_argument_group(
        "pictures, instead of text", "Files that only you may read; OUT may be - for standard output."
    )
    group.add_argument(
        "--html", metavar="OUT", help="a page with everything, for a browser; it needs no network"
    )
    if name in CHARTS:
        what = "memory by rate and age" if name == "access" else "this report"
        group.add_argument("--svg", metavar="OUT", help=f"{what} as a picture in SVG")
        group.add_argument("--png", metavar="OUT", help="the same in PNG (needs the extra `png`)")
    group.add_argument("--force", action="store_true", help="replace files that exist")


def _cannot(name: str, kind: str, out: str) -> NoReturn:
    """Raises UsageError: what is asked for is another report's."""
    what, able = ("page", PAGES) if kind == "html" else ("chart", CHARTS)
    raise UsageError(f"report {name} makes no {what}; --{kind} goes with {', '.join(able)}.")


def wanted(args: argparse.Namespace) -> bool:
    """True when a picture was asked for, after looking whether it can be written.

    Raises UsageError when flags of text were given with it, and OutputError.
    """
    outs = _outs(args)
    for name, value in vars(args).items() if outs else ():
        used = name in _USED or (name == "definition" and args.report == "diff")
        if not used and value != args.pictured.get_default(name):
            flag = "--" + name.replace("_", "-")
            what = "is a file of its own" if name in ("pprof", "flame") else "is for text"
            raise UsageError(f"{flag} {what}, and a picture was asked for; leave one of them out.")
    if (
        hasattr(args, "pictured") and args.force and not outs and args.report != "sites"
    ):  # has files of its own
        raise UsageError(
            "--force is for files, and none is written; give --html, --svg or --png, or leave it out."
        )
    refuse_one_for_two(outs)
    for out in outs:
        place.check(out, force=args.force, inputs=identities(_files(args)))
    return bool(outs)


def _outs(args: argparse.Namespace) -> list[str]:
    return [out for kind in KINDS if (out := getattr(args, kind, None)) is not None]


def refuse_one_for_two(outs: list[str]) -> None:
    """Raises UsageError where two of the files are one."""
    if len({_same_for_same(out) for out in outs}) < len(outs):
        raise UsageError("two outputs go to one file; give each a name of its own.")


def _same_for_same(out: str) -> int | str:
    number = descriptor_of(out)
    return os.path.realpath(out) if number is None else number


def write(args: argparse.Namespace, source: RecordingSource, resolution: tuple[int, int] | None) -> None:
    """Write the files and say on stderr what they are; heatmaps have `resolution` cells. Raises UdamonError."""
    page = None
    if args.html is not None:
        page = _comparison(args, source) if args.report == "diff" else _page(args.report, source, resolution)
    # By now it is known which parts there are, of the second recording of a comparison, too.
    read = identities([*_files(args), *(path for one in source.recordings for path in one.paths)])
    if page is not None:
        _save(args, args.html, page.encode(), read)
    svg_out, png_out = (getattr(args, kind, None) for kind in ("svg", "png"))
    if svg_out is not None or png_out is not None:
        from udamon.report.charts.shapes import with_notes
        from udamon.report.common import common_lines, damage_lines
        from udamon.report.groups import SUMMED

        drawing = _drawing(args.report, source, resolution or (ROWS, COLUMNS))
        summed = [SUMMED] if len(source.targets) > 1 and args.report in ("heatmap", "access") else []
        drawing = with_notes(drawing, [*summed, *common_lines(source), *damage_lines(source)])
        if svg_out is not None:
            from udamon.report.svg import svg

            _save(args, svg_out, svg(drawing).encode(), read)
        if png_out is not None:
            from udamon.report.png import png

            _save(args, png_out, png(drawing), read)


def _page(report: str, source: RecordingSource, resolution: tuple[int, int] | None) -> str:
    from udamon.report import sites
    from udamon.report.page import document as page
    from udamon.report.page import html as page_html

    contents = page.measure(source, *(resolution or (page.ROWS, page.COLUMNS)))
    if report == "sites" and not isinstance(contents.sites, sites.Sites):
        sites.measure(source)  # raises what the page would leave out
    return page_html.html(page.document(contents, _OPENS_AT.get(report)))


def _files(args: argparse.Namespace) -> list[str]:
    return [args.file, args.after] if args.report == "diff" else [args.file]


def _comparison(args: argparse.Namespace, before: RecordingSource) -> str:
    from udamon.record.opening import open_recording
    from udamon.report import diff
    from udamon.report.page import comparison
    from udamon.report.page import html as page_html
    from udamon.report.source import RecordingSource

    recording = open_recording(args.after, limits=reading.limits(args))
    recording.progress = before.recording.progress
    with RecordingSource(recording, before.filters, before) as after:
        before.recordings.append(after.recording)
        report = diff.measure(before, after, args.definition)
        return page_html.comparison(comparison.document(report, (before, after)))


def _drawing(report: str, source: RecordingSource, resolution: tuple[int, int]) -> Drawing:
    from udamon.report.catalog import Catalog
    from udamon.report.charts import bars as charts_bars
    from udamon.report.charts import curve as charts_curve
    from udamon.report.charts import heatmap as charts_heatmap
    from udamon.report.heatmap import span
    from udamon.report.page import cells as page_cells
    from udamon.report.page import curves as page_curves

    catalog = Catalog(source.recording)
    if report == "heatmap":
        return charts_heatmap.drawing(page_cells.measure(source, *resolution), catalog)
    begin, end = span(source)
    if begin is None or end is None:
        raise source.nothing()
    whose = _whose(source, catalog)
    if report == "access":
        return charts_bars.drawing(page_curves.histograms(source), whose, catalog)
    count = min(COLUMNS, source.moments)
    bins = page_curves.over_time(source, begin, end, count)
    since = source.start_ns
    return charts_curve.drawing(bins, count, (begin - since) / 1e9, (end - since) / 1e9, whose)


def _whose(source: RecordingSource, catalog: Catalog) -> str:
    """The target that is drawn, or how many there are."""
    shown = source.targets
    return catalog.target(shown[0]).label if len(shown) == 1 else f"{len(shown)} targets"


def _save(args: argparse.Namespace, out: str, data: bytes, read: set[Identity]) -> None:
    """The whole file or none. Paths in it are private: mode 0600."""
    with whole_file(out, force=args.force, inputs=read) as file:
        file.write(data)
    console.err(f"{shown(out)}: {format_size(len(data))}")
