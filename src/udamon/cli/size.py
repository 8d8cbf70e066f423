"""How much memory a process or a recording needs, on one screen: bounds, what is resident, what was not touched.

Of a TARGET it makes a short recording first, which `-o` keeps.
"""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack

from udamon import console
from udamon.assembly.child import OWN_FAILURE, Child
from udamon.availability.choice import choose
from udamon.cli import monitor, reading, record
from udamon.cli.running import parse_duration, run_watching, signals
from udamon.cli.targets import check
from udamon.errors import CannotError, UsageError
from udamon.files.place import OutputPlace
from udamon.files.temporary import TemporaryDirectory
from udamon.model import BY_MAPPING
from udamon.report.levels import WINDOW_S
from udamon.text import Shown
from udamon.units import format_time

DURATION_S = 20.0
"""Of watching what does not end by itself."""

OWN = {*reading.FLAGS, "file", "json", "asked", "run", "command", "quiet", "plain"}
"""What a FILE makes use of; the other flags are about watching."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon size`."""
    parser.set_defaults(asked=parser)
    parser.add_argument("file", nargs="?", metavar="FILE", help="a recording; - is standard input")
    group = parser.add_argument_group("output, and watching a target")
    group.add_argument("--json", action="store_true", help="one JSON document")
    group.add_argument(
        "--duration", metavar="TIME", help="watch a target for so long (default 20s; a COMMAND until it ends)"
    )
    group.add_argument(
        "--warmup",
        metavar="TIME",
        help="leave the first TIME out, in which a program fills its memory (default none)",
    )
    group.add_argument("-o", "--output", metavar="FILE", help="keep the recording of a target")
    group.add_argument("--force", action="store_true", help="replace what -o names")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but the result and errors")
    monitor.configure(parser)
    reading.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Print the size of a recording, or watch a target and print its size; passes a COMMAND's status on."""
    if args.file is None:
        return _of_target(args)
    for name, value in vars(args).items():
        if name not in OWN and value != args.asked.get_default(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is about watching, and {args.file} is a recording already."
            )
    if args.command is not None:
        raise UsageError(f"{args.file} is a recording, and COMMAND would be watched; give one of them.")
    console.out(_shown(args, args.file, of_file=True), wrap=not args.json)
    return 0


def _of_target(args: argparse.Namespace) -> int:
    check(args, or_file=True)
    if args.force and args.output is None:
        raise UsageError("--force is for the file of -o, and none is named; leave it out, or add -o FILE.")
    duration = parse_duration(args.duration)
    if duration is None and args.command is None:
        duration = DURATION_S
    warm_ns = record.warmed_up(args.warmup, duration)
    settle_intervals(args, duration)
    monitor.validate(args)
    reading.limits(args)  # what it is read with at the end
    with ExitStack() as stack:
        asked = args.output
        if asked is None:
            args.output = str(stack.enter_context(TemporaryDirectory("size")).path / "recording.udamon")
        args.max_size, args.windows = None, None
        args.anonymize = args.json_lines = False
        with OutputPlace(args.output, force=args.force, inputs=record.inputs(args)) as place:
            if place.as_it_is:
                raise UsageError(
                    f"{place.shown} is no regular file, and the recording is read again for its size; give the name "
                    "of a file, or udamon record."
                )
        watched = False
        with signals() as stopped:

            def watch(child: Child | None) -> str:
                nonlocal watched
                ended_by = _watch(args, child, duration, stopped, warm_ns, kept=asked is not None)
                watched = True
                return ended_by

            status = run_watching(args, watch)
        if (
            not watched
        ):  # it ended too early, which was said; a file that was there before is of something else
            unknown = CannotError("its size is not known; run something that lives for a second or longer.")
            unknown.status = OWN_FAILURE
            raise unknown
        try:
            file, args.output = args.output, asked
            text = _shown(args, file, of_file=False)
        except CannotError as error:
            if args.command is not None and error.status == CannotError.status:
                error.status = OWN_FAILURE  # a 1 of our own could be mistaken for the command's
            raise
        # A COMMAND may have used standard output, and a document is for a program.
        if args.json or args.command is None:
            console.out(text, wrap=not args.json)
        else:
            console.err(text)
        return status


def settle_intervals(args: argparse.Namespace, duration: float | None) -> None:
    """Where nothing finer than mappings is seen, windows of WINDOW_S, or two of a shorter time; a COMMAND may end at
    any time, so that the budget chooses shorter ones."""
    given = any((args.sample, args.aggr, args.overhead, args.intervals_goal))
    other = args.sim is not None or args.paddr or duration is None
    if not given and not other and choose(args.via) in BY_MAPPING:
        window = min(WINDOW_S, (duration or DURATION_S) / 2)
        args.aggr, args.sample = f"{round(window * 1e6)}us", f"{max(1, round(window * 1e6 / 20))}us"


def _watch(
    args: argparse.Namespace,
    child: Child | None,
    duration: float | None,
    stopped: threading.Event,
    warm_ns: int | None,
    *,
    kept: bool,
) -> str:
    if not args.quiet:
        how_long = "until it ends" if duration is None else f"for {format_time(duration)}"
        console.say(f"watching {how_long}; Ctrl-C shows what is known by then.")
    return record.watch(args, child, duration, stopped, warm_ns, summary=kept, required=True)


def _shown(args: argparse.Namespace, file: str, *, of_file: bool) -> Shown:
    import sys

    from udamon.cli import next_step, report
    from udamon.cli.progress_line import ProgressLine
    from udamon.files.ending import removing
    from udamon.record.opening import open_recording
    from udamon.report import size
    from udamon.report.catalog import Catalog
    from udamon.report.filters import Filters
    from udamon.report.size import WINDOWS
    from udamon.report.source import RecordingSource
    from udamon.report.terminal import Terminal

    with (
        removing(),
        ProgressLine.of_work(sys.stderr) as line,
        RecordingSource(open_recording(file, line.step, reading.limits(args)), Filters()) as source,
        reading.telling_damage(source.recordings),
    ):
        if not of_file and source.warmup_ns and not source.query(WINDOWS)[0][0]:
            raise CannotError(
                f"its size is not known: no window began after the warm-up of {args.warmup}; watch longer, or give a "
                "shorter --warmup."
            )
        found, catalog = size.measure(source), Catalog(source.recording)
        step = next_step.of_file(file, source, found) if of_file else next_step.of_target(args, found)
        return report.shown(
            size.document(found, catalog, step),
            lambda: size.render(found, catalog, Terminal.of_stdout(), step),
            source,
            as_json=args.json,
            told=False,
        )
