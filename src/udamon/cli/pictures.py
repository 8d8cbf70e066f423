"""`udamon report … --html, --svg, --png`: pictures of a recording, as files."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from udamon.cli import reading
from udamon.errors import CannotError, UsageError
from udamon.units import format_size

if TYPE_CHECKING:
    from udamon.report.catalog import Catalog
    from udamon.report.charts import Drawing
    from udamon.report.source import Source

CHARTS = ("heatmap", "wss", "access")
"""The reports that have a chart of their own."""

ROWS, COLUMNS = 96, 800
"""Cells of a heatmap in a picture, unless --resol says more or less."""


PAGES = (*CHARTS, "info", "mappings", "holistic")
"""The reports whose --html makes the page."""

_FILTERS = ("time", "target", "address", "size", "rate", "age", "mapping")
_USED = {
    *_FILTERS,
    *reading.FLAGS,
    *("file", "report", "html", "svg", "png", "resol", "pictured", "run", "command"),
}
"""What pictures make use of; all other flags of reports are for text."""


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the flags of pictures to the report `name`."""
    if name not in PAGES:
        return
    parser.set_defaults(pictured=parser)
    group = parser.add_argument_group("pictures, instead of text (files that only you may read)")
    group.add_argument(
        "--html", metavar="OUT", help="a page with everything, for a browser; it needs no network"
    )
    if name in CHARTS:
        what = "memory by rate and age" if name == "access" else "this report"
        group.add_argument("--svg", metavar="OUT", help=f"{what} as a picture in SVG")
        group.add_argument("--png", metavar="OUT", help="the same in PNG (needs the extra `png`)")


def wanted(args: argparse.Namespace) -> bool:
    """True when a picture was asked for. Raises UsageError when flags of text were given with it."""
    found = any(getattr(args, kind, None) for kind in ("html", "svg", "png"))
    for name, value in vars(args).items() if found else ():
        if name not in _USED and value != args.pictured.get_default(name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is for text, and a picture was asked for; leave one of them out.")
    return found


def write(args: argparse.Namespace, source: Source, resolution: tuple[int, int] | None) -> None:
    """Write the files and say on stderr what they are; heatmaps have `resolution` cells. Raises UdamonError."""
    if args.html:
        _save(args, args.html, _page(source, resolution).encode())
    if getattr(args, "svg", None) or getattr(args, "png", None):
        drawing = _drawing(args.report, source, resolution or (ROWS, COLUMNS))
        if args.svg:
            from udamon.report.svg import svg

            _save(args, args.svg, svg(drawing).encode())
        if args.png:
            from udamon.report.png import png

            _save(args, args.png, png(drawing))


def _page(source: Source, resolution: tuple[int, int] | None) -> str:
    from udamon.report import page, page_html

    return page_html.html(page.document(page.measure(source, *(resolution or (page.ROWS, page.COLUMNS)))))


def _drawing(report: str, source: Source, resolution: tuple[int, int]) -> Drawing:
    from udamon.report import charts_bars, charts_curve, charts_heatmap, page_cells, page_curves
    from udamon.report.catalog import Catalog
    from udamon.report.heatmap import span

    catalog = Catalog(source.recording)
    if report == "heatmap":
        return charts_heatmap.drawing(page_cells.measure(source, *resolution), catalog)
    begin, end = span(source)
    if begin is None or end is None:
        raise source.nothing()
    whose = _whose(catalog)
    if report == "access":
        return charts_bars.drawing(page_curves.histograms(source), whose)
    count = min(COLUMNS, source.query(page_cells.MOMENTS)[0][0])
    bins = page_curves.over_time(source, begin, end, count)
    since = source.start_ns
    return charts_curve.drawing(bins, count, (begin - since) / 1e9, (end - since) / 1e9, whose)


def _whose(catalog: Catalog) -> str:
    labels = [target.label for target in catalog.targets.values()]
    return labels[0] if len(labels) == 1 else f"{len(labels)} targets"


def _save(args: argparse.Namespace, out: str, data: bytes) -> None:
    """The whole file or none: written beside `out` and renamed. Paths in it are private: mode 0600."""
    path = Path(out)
    if path.exists() and path.samefile(args.file):
        raise UsageError(f"{out} is the recording itself; give another name for the picture.")
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
        raise CannotError(
            f"cannot write {out}: {error.strerror}; give a place that can be written."
        ) from error
    print(f"{out}: {format_size(len(data))}", file=sys.stderr)
