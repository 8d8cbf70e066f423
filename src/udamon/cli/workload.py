"""Touch memory as a masim configuration says, and log what is hot when."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from udamon import console
from udamon.cli.numbers import LONGEST_NS, some_time, whole
from udamon.errors import UsageError
from udamon.files import place
from udamon.files.names import identities
from udamon.units import format_size, format_time
from udamon.workload.config import load
from udamon.workload.fields import parse_rate
from udamon.workload.memory import initialise, map_memory
from udamon.workload.run import PhaseDone
from udamon.workload.run import run as run_phases
from udamon.workload.shapes import find, names
from udamon.workload.spec import Workload
from udamon.workload.truthlog import TruthLog


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon workload`."""
    parser.add_argument(
        "config", metavar="CONFIG", help="a masim configuration, or one of: " + ", ".join(names())
    )
    parser.add_argument(
        "--truth",
        metavar="FILE",
        help="log each phase and its hot regions, as JSON lines; - is standard output",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE")
    parser.add_argument(
        "--layout",
        choices=("one", "separate"),
        default="one",
        help="all regions in one mapping (default), or each a mapping of its own",
    )
    parser.add_argument("--repeat", metavar="N", type=whole, help="run all phases N times (default 1)")
    parser.add_argument(
        "--duration", metavar="TIME", help="stop after this time, repeating phases until then"
    )
    parser.add_argument(
        "--rate",
        metavar="N",
        help="accesses per second (default: as fast as it goes; a rate= in CONFIG is for sim)",
    )
    parser.add_argument("--thp", action="store_true", help="let the kernel use transparent huge pages")
    parser.add_argument("--quiet", action="store_true", help="print nothing on stderr")


def run(args: argparse.Namespace) -> int:
    """Run the workload. Returns 0, or 128 + n after signal n."""
    rate = 0.0 if args.rate is None else parse_rate(args.rate)
    duration = None if args.duration is None else some_time("--duration", args.duration)
    if args.repeat is not None and args.repeat < 1:
        raise UsageError(f"--repeat {args.repeat} must be at least 1.")
    repeat = args.repeat if args.repeat or duration is not None else 1
    config = find(args.config)
    workload = load(config)
    if repeat is not None and duration is None:
        _check_rounds(workload, repeat)
    if args.truth is not None:
        place.check(args.truth, force=args.force, inputs=identities([config]))
    elif args.force:
        raise UsageError("--force is for the log, and none is written; give --truth FILE or leave it out.")
    if args.rate is not None:
        workload = _at_rate(workload, rate)
    with _stoppable():
        try:
            return _run(args, workload, rate, repeat, duration)
        except _Stopped as stopped:
            return 128 + stopped.signal


def _run(
    args: argparse.Namespace, workload: Workload, rate: float, repeat: int | None, duration: int | None
) -> int:
    memory = map_memory(workload, args.layout, huge=args.thp)
    read = identities([find(args.config)])
    with TruthLog(args.truth, workload, memory.layout, force=args.force, inputs=read) as log:
        try:
            log.mark("init")
            if not args.quiet:
                console.err(f"filling {format_size(workload.resident_bytes)}")
            initialise(memory, workload)
            done = _nothing if args.quiet else _print_phase
            run_phases(workload, memory, log, repeat=repeat, duration_ns=duration, rate=rate, done=done)
        finally:
            log.mark("end")
    return 0


def _at_rate(workload: Workload, rate: float) -> Workload:
    """The same at one rate throughout: what is hot then follows from the rate that is really made."""
    return replace(workload, rate=rate, phases=tuple(replace(phase, rate=None) for phase in workload.phases))


def _check_rounds(workload: Workload, repeat: int) -> None:
    """Raises UsageError where the rounds together are longer than clocks go on."""
    round_ns = sum(phase.duration_ns for phase in workload.phases)
    if repeat * round_ns > LONGEST_NS:
        most = max(LONGEST_NS // max(round_ns, 1), 1)
        raise UsageError(
            f"{repeat} times all phases, of {format_time(round_ns / 1e9)} together, are more than 36 years; give "
            f"--repeat of at most {most}, or --duration."
        )


def _nothing(done: PhaseDone) -> None:
    pass


def _print_phase(done: PhaseDone) -> None:
    seconds = done.ns / 1e9 or 1.0
    rate = done.accesses / seconds / 1e6
    console.err(f"{done.phase.name}: {seconds:.1f} s, {rate:.3f} M accesses/s")


class _Stopped(BaseException):
    """Raised by a signal handler; not an Exception, so that nothing on the way handles it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise _Stopped once; the next one ends the process at once."""

    def stop(number: int, _: FrameType | None) -> None:
        for which in before:
            signal.signal(which, signal.SIG_DFL)
        raise _Stopped(number)

    before = {which: signal.signal(which, stop) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
