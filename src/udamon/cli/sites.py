"""`udamon record --sites`: its flags, and what it adds to a recording."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udamon import console
from udamon.arguments import named
from udamon.cli.pictures import refuse_one_for_two
from udamon.errors import UsageError
from udamon.files import place
from udamon.files.names import identities, shown
from udamon.files.output import whole_file
from udamon.model import Event, Snapshot
from udamon.record.writer import Writer
from udamon.sites import symbols
from udamon.sites.collector import MEAN, Collector
from udamon.units import format_size, parse_size

if TYPE_CHECKING:
    from udamon.report.sites import Sites
    from udamon.report.source import RecordingSource

_LEAST, _MOST = 4 << 10, 1 << 40
_AT_ONCE = 4096
"""Addresses of one event."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("allocations of COMMAND (report sites)")
    group.add_argument(
        "--sites",
        action="store_true",
        help="note by which code its memory is allocated: a library is preloaded that samples malloc, new and mmap",
    )
    group.add_argument(
        "--sites-mean",
        metavar="SIZE",
        help=f"one sample for SIZE allocated bytes on average, 4KiB to 1TiB (default {format_size(MEAN)})",
    )


def mean_of(args: argparse.Namespace) -> int | None:
    """Bytes between samples; None where allocations are not asked for. Raises UsageError."""
    if not args.sites:
        if args.sites_mean is not None:
            raise UsageError("--sites-mean goes with --sites; add that.")
        return None
    if args.command is None:
        raise UsageError(
            "--sites needs -- COMMAND: a library is preloaded when it starts, which cannot be done to a process that "
            "runs; of such a one, report mappings has heap, arenas and mappings."
        )
    if args.anonymize:
        raise UsageError("--sites tells functions and files, which --anonymize leaves out; give one of them.")
    mean = MEAN if args.sites_mean is None else named("--sites-mean", parse_size, args.sites_mean)
    if not _LEAST <= mean <= _MOST:
        raise UsageError(f"--sites-mean {args.sites_mean} is out of bounds; give 4KiB to 1TiB.")
    return mean


@contextmanager
def collecting(mean: int | None) -> Iterator[Collector | None]:
    """A collector while it runs; None where allocations are not asked for."""
    if mean is None:
        yield None
        return
    with Collector(mean) as collector:
        yield collector


class Followed:
    """Tells a collector which processes are watched."""

    def __init__(self, collector: Collector) -> None:
        self._unseen = collector.unseen

    def snapshot(self, snapshot: Snapshot) -> None:
        """Not needed."""

    def event(self, event: Event) -> None:
        pid = event.data.get("pid")
        if event.name in ("target_start", "target_exec") and isinstance(pid, int):
            self._unseen.found(pid, str(event.data.get("comm") or ""))


def finish(collector: Collector, writer: Writer, *, quiet: bool) -> None:
    """Take in the last allocations, find the functions, and write both."""
    from udamon.report.allocations import unseen_head

    said: list[str] = []

    def publish(event: Event) -> None:
        writer.event(event)
        if event.name == "allocations_unseen":
            said.append(f"{unseen_head(event.data['pid'], event.data['comm'])} {event.data['why']}.")

    collector.finish(publish)
    found = symbols.find(collector.modules, collector.addresses)
    now = time.monotonic_ns()
    for module, frames in sorted(found.frames.items()):
        rows = [[address, [list(frame) for frame in calls]] for address, calls in sorted(frames.items())]
        for at in range(0, len(rows), _AT_ONCE):
            writer.event(Event(now, "symbols", {"module": module, "symbols": rows[at : at + _AT_ONCE]}))
    notes = collector.notes + [f"Allocation sites: {one}." for one in found.missing]
    for text in notes:
        writer.event(Event(now, "note", {"text": text}))
    if not quiet:
        for text in (*said, *notes):
            console.say(text)


def write(args: argparse.Namespace, source: RecordingSource, report: Sites) -> None:
    """Write the files that `report sites` was asked for, and say on stderr what they are. Raises UdamonError."""
    outs = [out for out in (args.pprof, args.flame) if out is not None]
    if args.force and not outs:
        raise UsageError(
            "--force is for files, and none is written; give --html, --pprof or --flame, or leave it out."
        )
    refuse_one_for_two(outs)
    read = identities([args.file, *source.recording.paths])
    for out in outs:
        place.check(out, force=args.force, inputs=read)
    files: list[tuple[str, bytes]] = []
    if outs:
        from udamon.report import pprof
        from udamon.report.allocations import unseen_sentences
        from udamon.report.catalog import Catalog
        from udamon.report.charts import flame
        from udamon.report.charts.shapes import with_notes
        from udamon.report.common import common_lines, damage_lines
        from udamon.report.heatmap import span
        from udamon.report.sites import require_some
        from udamon.report.svg import svg

        require_some(report)
        if args.pprof is not None:
            end = Catalog(source.recording).wall_ns(span(source)[1] or source.start_ns)
            files.append((args.pprof, pprof.profile(report, max(0, round(end or 0)))))
        if args.flame is not None:
            unseen = unseen_sentences(report.allocations.unseen)
            notes = [*common_lines(source), *damage_lines(source), *report.notes, *unseen]
            drawing = with_notes(flame.drawing(report), notes)
            files.append((args.flame, svg(drawing).encode()))
    for out, data in files:
        with whole_file(out, force=args.force, inputs=read) as file:
            file.write(data)
        console.err(f"{shown(out)}: {format_size(len(data))}")
