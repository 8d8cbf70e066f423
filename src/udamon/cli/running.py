"""What the commands that monitor share: a COMMAND whose status is passed on, signals, and waiting for the end."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from udamon import console
from udamon.assembly.child import GRACE_S, OWN_FAILURE, Child
from udamon.assembly.follow import PAUSE, SIGNAL, TARGET
from udamon.cli.numbers import some_time
from udamon.cli.progress import Progress
from udamon.engine.base import Engine
from udamon.errors import CannotError, PauseTooLong, TargetGone
from udamon.report.levels import FEWEST, SPARE
from udamon.units import counted, format_length, format_time

WATCHABLE_S = 0.03
"""A command that ended sooner has no windows in which anything can be seen."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
"""The signals a COMMAND ends by when it is the user or udamon who ends it: no failure of its own."""


def parse_duration(text: str | None) -> float | None:
    """Seconds; None where there is no end. Raises UsageError."""
    if text is None:
        return None
    return some_time("--duration", text) / 1e9


Handler = Callable[[int, FrameType | None], None]

Environment = Callable[[str | None], Mapping[str, str]]
"""What a COMMAND's environment gets besides, given the LD_PRELOAD that it has."""


def run_watching(
    args: argparse.Namespace, watch: Callable[[Child | None], str], environment: Environment | None = None
) -> int:
    """Have `watch` monitor COMMAND, or what else is the target; returns the exit status.

    `watch` returns what ended it. A COMMAND is started before and its status passed on; it is ended here when the
    monitor ended first.
    """
    if args.command is None:
        watch(None)
        return 0
    try:
        return _watch_command(args, watch, environment)
    except CannotError as error:
        # A 1 of our own could be mistaken for the command's.
        if error.status == CannotError.status:
            error.status = OWN_FAILURE
        raise


def _watch_command(
    args: argparse.Namespace, watch: Callable[[Child | None], str], environment: Environment | None
) -> int:
    child = Child(args.command, args.user, added=environment)
    ended_by_us = True
    try:
        ended_by_us = watch(child) != TARGET
    except TargetGone:
        if not child.ended(within=GRACE_S):
            raise
        if not args.quiet:
            console.say(f"{args.command[0]} ended before it could be watched.")
        return child.status()
    finally:
        # Ours to end when the monitor ended first; its own end is waited for.
        if ended_by_us:
            child.end()
    status = child.wait()
    return 0 if ended_by_us and status - 128 in ENDING else status


def run_to_end(engine: Callable[[], str]) -> tuple[str, PauseTooLong | None]:
    """What ended `engine`, and what to raise when the rest was told: where no target may be looked at any more."""
    try:
        return engine(), None
    except PauseTooLong as refused:
        return PAUSE, refused


def require_windows(
    progress: Progress, engine: Engine, child: Child | None, ended_by: str, refused: PauseTooLong | None = None,
    *, quiet: bool = False, required: bool = False,
) -> None:  # fmt: skip
    """Raises `refused`, or CannotError where nothing was watched. A COMMAND's status is its own, so of one it is only
    said, unless windows are `required`; and who ends a monitor knows it."""
    if refused is not None:
        raise refused
    if progress.snapshots or ended_by == SIGNAL:
        return
    if child is not None:
        window = format_time(engine.attrs.aggr_us / 1e6)
        able = progress.seconds >= WATCHABLE_S
        text = (
            f"nothing was watched, for the command ended before the first window of {window} was over; "
            f"{f'give shorter windows: --aggr {shorter(progress.seconds)}' if able else 'it ends too soon for any'}."
        )
        if required:
            raise CannotError(text)
        if not quiet:
            console.say(text)
        return
    skipped = engine.skipped
    of = f" (0 of {counted(skipped, 'window')})" if skipped else ""
    raise CannotError(
        f"nothing was watched in {format_length(progress.seconds)}{of}: no window of any target was complete; "
        "watch longer, or a target that lives longer."
    )


def shorter(seconds: float) -> str:
    """A length of windows, as --aggr takes it, of which `seconds` hold as many as percentiles take."""
    return f"{max(1, round(seconds * 1000 / FEWEST / SPARE))}ms"


@contextmanager
def signals(hang_up: threading.Event | None = None) -> Iterator[threading.Event]:
    """SIGINT, SIGTERM and SIGHUP set the event; a second one acts as it always would.

    With `hang_up` SIGHUP sets that instead. Without, it is left alone where it is ignored, as below nohup.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        for which, handler in handlers.items():
            if handler is stop:
                signal.signal(which, before[which])

    def again(number: int, frame: FrameType | None) -> None:
        assert hang_up is not None
        hang_up.set()

    handlers: dict[signal.Signals, Handler] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hang_up is not None:
        handlers[signal.SIGHUP] = again
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = stop
    before = {which: signal.signal(which, handler) for which, handler in handlers.items()}
    try:
        yield stopped
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
