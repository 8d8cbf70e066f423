"""Watch a process and write down where it touches memory."""

from __future__ import annotations

import argparse
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

from udamon import console
from udamon.arguments import named
from udamon.assembly.build import Built
from udamon.assembly.child import OWN_FAILURE, Child
from udamon.assembly.follow import follow
from udamon.availability.others import reclaimed
from udamon.availability.tlb import Tlb, sentence
from udamon.cli import json_lines, monitor, sites
from udamon.cli.numbers import some_time, whole
from udamon.cli.progress import Progress
from udamon.cli.progress_line import ProgressLine
from udamon.cli.running import parse_duration, require_windows, run_to_end, run_watching, signals
from udamon.cli.targets import check
from udamon.errors import CannotError, PauseTooLong, UsageError
from udamon.files import place
from udamon.files.names import STANDARD_OUTPUT, Identity, descriptor_of, identities, shown
from udamon.files.rotation import RotatedFile
from udamon.linux import cpu_time
from udamon.model import ASKED_FOR, WRITES_ONLY, Event, Snapshot
from udamon.record.metadata import WARMUP
from udamon.record.monitored import PageCacheOf, ReclaimProbe, cost_of, metadata_of
from udamon.record.writer import MIN_MAX_SIZE, Writer
from udamon.sites.collector import Collector
from udamon.targets.coverage import line
from udamon.units import format_length, format_size, format_time, parse_size
from udamon.workload.shapes import find

FLUSH_S = 0.9  # a killed recorder loses less than a second; each flush costs about a millisecond

DEFAULT_FILE = "recording.udamon"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("the recording")
    group.add_argument(
        "-o",
        "--output",
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"the recording (default {DEFAULT_FILE}); - is standard output",
    )
    group.add_argument("--force", action="store_true", help="replace FILE")
    group.add_argument(
        "--duration", metavar="TIME", help="end after this time (default: when the target ends)"
    )
    group.add_argument(
        "--windows",
        metavar="N",
        type=whole,
        help="end after N windows (aggregations) in which a target was watched",
    )
    group.add_argument(
        "--warmup",
        metavar="TIME",
        help="mark the first TIME, which is recorded, and left out by reports and check (default none)",
    )
    group.add_argument("--max-size", metavar="SIZE", help="keep only the latest SIZE, in FILE and FILE.1")
    group.add_argument("--anonymize", action="store_true", help="leave out names, paths and command lines")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    json_lines.configure(group)
    sites.configure(parser)
    monitor.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Record until the target, the duration or the user ends it; passes a COMMAND's status on."""
    check(args)
    json_lines.check(args)
    monitor.validate(args)
    mean = sites.mean_of(args)
    duration = parse_duration(args.duration)
    if args.windows is not None and args.windows < 1:
        raise UsageError(f"--windows {args.windows} records nothing; give at least 1.")
    warm_ns = warmed_up(args.warmup, duration)
    max_size_of(args)
    try:
        _check_output(args)  # a COMMAND is not started for nothing
    except CannotError as error:
        if args.command is not None:
            error.status = OWN_FAILURE
        raise
    with signals() as stopped, sites.collecting(mean) as collector:
        environment = None if collector is None else collector.environment
        return run_watching(
            args, lambda child: watch(args, child, duration, stopped, warm_ns, collector), environment
        )


def _check_output(args: argparse.Namespace) -> None:
    if args.command is not None and descriptor_of(args.output) == STANDARD_OUTPUT:
        raise UsageError(
            "standard output is the COMMAND's, so it cannot be the recording's as well; "
            "give the name of a file, or /dev/fd/N of another descriptor."
        )
    if args.json_lines and descriptor_of(args.output) == STANDARD_OUTPUT:
        raise UsageError("standard output cannot have both -o and --json-lines; give -o the name of a file.")
    check_place = place.check if args.max_size is None else RotatedFile.check_place
    check_place(args.output, force=args.force, inputs=inputs(args))


def max_size_of(args: argparse.Namespace) -> int | None:
    """Bytes; None where that is not limited. Raises UsageError."""
    if args.max_size is None:
        return None
    size = named("--max-size", parse_size, args.max_size)
    if size < MIN_MAX_SIZE:
        raise UsageError(f"--max-size {args.max_size} is too small; give at least 64KiB.")
    return size


def inputs(args: argparse.Namespace) -> set[Identity]:
    """The files that are read."""
    return set() if args.sim is None else identities([find(args.sim)])


def watch(
    args: argparse.Namespace,
    child: Child | None,
    duration: float | None,
    stopped: threading.Event,
    warm_ns: int | None = None,
    collector: Collector | None = None,
    *,
    summary: bool = True,
    required: bool = False,
) -> str:
    """Record into `args.output`, and say what that gave unless `summary` is False; returns what ended it. Raises
    CannotError where nothing was watched; of a COMMAND only where that is `required`."""
    max_size = max_size_of(args)
    built = monitor.build(args, None if child is None else child.pid)
    built.settle()
    engine, first = built.engine, _Kept(quiet=args.quiet)
    bus = engine.bus
    bus.subscribe(first)
    if collector is not None:
        bus.subscribe(sites.Followed(collector))
    with closing(engine), json_lines.printed(built, stopped, wanted=args.json_lines) as check_lines:
        engine.open()  # a target that cannot be watched leaves no file, and an older one as it is
        tlb = built.tlb()
        for text in (*built.notes, *_hidden(tlb)):
            bus.emit("note", {"text": text})
        metadata = _metadata(args, built, tlb)
        if warm_ns is not None:
            metadata[WARMUP] = warm_ns
        with Writer(
            args.output,
            metadata,
            force=args.force,
            max_size=max_size,
            anonymize=args.anonymize,
            inputs=inputs(args),
        ) as writer:
            if not args.quiet:
                _tell_way(built)
                first.tell()  # now that nothing can refuse it: an error is one sentence
            if built.sees == WRITES_ONLY:  # which the summary says
                text = f"{built.via} sees {built.sees}: memory that is only read looks untouched."
                bus.emit("note", {"text": text})
            first.hand_over(writer)
            bus.subscribe(writer)
            progress = Progress(kdamond_cpu_ns=lambda: engine.kdamond_cpu_ns or 0, duration=duration)
            bus.subscribe(progress)
            cached = None if args.cgroup is None else PageCacheOf(args.cgroup)
            reclaim = ReclaimProbe(built.via)
            recorder = _Recorder(built, writer, progress, child, cached, reclaim, collector, quiet=args.quiet)
            ended_by, refused = recorder.run(duration, stopped, args.windows, check_lines, warm_ns or 0)
            if collector is not None:
                sites.finish(collector, writer, quiet=args.quiet)
    if summary and not args.quiet:
        console.err(recorder.summary(shown(args.output)))
        if text := line(progress.coverage_document()):
            console.say(text)
    require_windows(progress, engine, child, ended_by, refused, quiet=args.quiet, required=required)
    return ended_by


def warmed_up(text: str | None, duration: float | None) -> int | None:
    """When the warm-up that begins now is over, ns on CLOCK_MONOTONIC; None without one. Raises UsageError."""
    if text is None:
        return None
    warmup = some_time("--warmup", text)
    if duration is not None and warmup >= duration * 1e9:
        raise UsageError(
            f"--warmup {text} leaves nothing of --duration {format_time(duration)}; make it shorter, or record longer."
        )
    return time.monotonic_ns() + warmup


class _Kept:
    """Keeps the events of the time before the recording was opened, and tells what is urgent, then and later."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._events: list[Event] | None = []

    def snapshot(self, snapshot: Snapshot) -> None:
        """There is none before the monitor runs."""

    def event(self, event: Event) -> None:
        if self._events is not None:
            self._events.append(event)
        if event.name == "note" and event.data.get("urgent") and not self._quiet:
            console.say(str(event.data["text"]))

    def tell(self) -> None:
        """Print the notes of that time that were not printed at once."""
        for event in self._events or ():
            if event.name == "note" and not event.data.get("urgent"):
                console.say(str(event.data["text"]))

    def hand_over(self, writer: Writer) -> None:
        """Give them to `writer`, and keep no more."""
        for event in self._events or ():
            writer.event(event)
        self._events = None


class _Recorder:
    """Runs the engine on its thread, and beside it flushes, shows progress and watches for the end."""

    def __init__(
        self, built: Built, writer: Writer, progress: Progress, child: Child | None, cached: PageCacheOf | None,
        reclaim: ReclaimProbe, collector: Collector | None, *, quiet: bool,
    ) -> None:  # fmt: skip
        self._cached = cached
        self._reclaim, self._reclaim_told = reclaim, False
        self._via, self._quiet = built.via, quiet
        self._engine = built.engine
        self._sees = built.sees
        self._writer = writer
        self._progress = progress
        self._child = child
        self._collector = collector
        # Told with each flush, and not where a COMMAND may use the terminal itself.
        self._line = ProgressLine(
            sys.stderr, quiet=quiet, shared=child is not None, terminal_only=True, every=0
        )
        self._next_flush = 0.0

    def run(
        self,
        duration: float | None,
        stopped: threading.Event,
        windows: int | None,
        check_lines: Callable[[], None],
        since_ns: int,
    ) -> tuple[str, PauseTooLong | None]:
        """As run_to_end; see `follow`. `check_lines` is called some times a second, and what it raises ends it, too."""

        def keep_up() -> None:
            self._keep_up_in_time()
            check_lines()

        with self._line:  # it goes after it was told last: what follows begins on an empty one
            ended = run_to_end(
                lambda: follow(self._engine, self._child, duration, stopped, keep_up, windows, since_ns)
            )
            self._keep_up()
        return ended

    def _keep_up_in_time(self) -> None:
        if self._collector is not None:
            self._collector.poll(self._writer.event)
        if time.monotonic() >= self._next_flush:
            self._keep_up()

    def _keep_up(self) -> None:
        for subscriber, error in self._engine.bus.failures:
            if subscriber is self._writer:
                raise error
        cost = cost_of(self._engine, self._progress.snapshots, self._reclaim)
        if cost.data.get("reclaim_pages") and not self._reclaim_told:
            self._reclaim_told = True
            self._writer.event(Event(time.monotonic_ns(), "note", {"text": reclaimed(self._via)}))
            if not self._quiet:
                self._line.say(reclaimed(self._via))
        self._writer.event(cost)
        if self._cached is not None and (event := self._cached.event()) is not None:
            self._writer.event(event)
        self._writer.flush()
        self._next_flush = time.monotonic() + FLUSH_S
        self._line.show(self._progress.line)

    def summary(self, path: str) -> str:
        progress = self._progress
        attrs = self._engine.attrs
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        only = f", {self._sees}" if self._sees == WRITES_ONLY else ""
        each = f", {progress.window(attrs.aggr_us / 1e6)}" if progress.snapshots else ""
        left = self._writer.kept_seconds
        kept = "" if left is None else f", of which the latest {format_length(left)} are kept (--max-size)"
        return (
            f"{path}: {progress.count(self._engine.skipped)} in {format_length(progress.seconds)}{each}{only}{kept}; "
            f"{progress.cost}, and {format_size(rss)}"
        )


def _tell_way(built: Built) -> None:
    """Notes about a primitive that would see more, and about the choice of `--via auto`."""
    if built.offered is not None:
        console.say(built.offered)
    if built.why != ASKED_FOR:
        console.say(f"via {built.via}: {built.why}.")


def _hidden(tlb: Tlb | None) -> list[str]:
    """What must be said of accesses that a TLB hides."""
    return [] if tlb is None or tlb.state != "stale" else [sentence(tlb)]


def _metadata(args: argparse.Namespace, built: Built, tlb: Tlb | None) -> dict[str, object]:
    return metadata_of(built, tlb) | {
        "command_line": sys.argv,
        "command": args.command,
        "startup_cpu_ns": cpu_time.process_ns(),
    }
