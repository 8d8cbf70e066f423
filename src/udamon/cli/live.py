"""Watch a process and show where it touches memory while it does; without a target, offer those that are large."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from udamon import console, extras
from udamon.assembly import build as assembly
from udamon.assembly.child import GRACE_S, Child
from udamon.assembly.follow import follow
from udamon.assembly.spec import DEFAULT_AGGR, DEFAULT_SAMPLE
from udamon.cli import attributes, interrupts, json_lines, monitor, targets
from udamon.cli.numbers import whole
from udamon.cli.progress import Progress
from udamon.cli.running import parse_duration, require_windows, signals
from udamon.core.attrs import IntervalsGoal
from udamon.errors import TargetGone, UdamonError, UsageError
from udamon.linux import cpu_time
from udamon.linux.failure import process_errors
from udamon.linux.pid_namespace import require_own
from udamon.linux.procfs import ProcessId, stat_of
from udamon.targets.processes import named_process
from udamon.units import parse_share

if TYPE_CHECKING:
    from udamon.assembly.build import Built
    from udamon.assembly.spec import MonitorSpec, Options
    from udamon.live.session import Session, WatchRequest
    from udamon.live.state import LiveState


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon live`."""
    parser.add_argument("--count", type=whole, default=20, metavar="N",
                        help="without a target: offer the N largest processes of this user (default 20)")  # fmt: skip
    parser.add_argument(
        "--duration", metavar="TIME", help="end after this time (default: when the user ends it)"
    )
    json_lines.configure(parser)
    monitor.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Show the view until the user leaves it. Raises UdamonError."""
    given = any(
        (args.pid, args.cgroup, args.service, args.container, args.paddr, args.sim, args.command is not None,
         args.children)
    )  # fmt: skip
    _check(args, given)
    duration = parse_duration(args.duration)
    if args.json_lines:
        return _print(args, duration, given=given)
    try:
        import textual  # noqa: F401 (told here what is missing, before anything is started)
    except ImportError:
        raise extras.missing("the live view", "live") from None
    if console.is_plain():
        raise UsageError("the live view is a picture; for plain text use udamon stat, or live --json-lines.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the live view needs a terminal; without one, use udamon record and udamon report.")
    child = Child(args.command, args.user) if args.command is not None else None
    try:
        _show(args, child, duration, given=given)
    except TargetGone:
        if child is None or not child.ended(within=GRACE_S):
            raise
        console.say(f"{args.command[0]} ended before it could be watched.")
        return child.status()
    finally:
        if child is not None:
            child.end()
    return 0


def _print(args: argparse.Namespace, duration: float | None, *, given: bool) -> int:
    """Lines instead of the view, until the target, the duration or the user ends it."""
    if not given:
        raise UsageError("--json-lines needs a target: nobody could choose one; give -p PID or the like.")
    json_lines.check(args)
    with signals() as stopped:
        built = monitor.build(args, None)
        built.settle()
        progress = Progress()
        built.engine.bus.subscribe(progress)
        with closing(built.engine), json_lines.printed(built, stopped, wanted=True) as check_lines:
            built.engine.open()
            for note in built.notes:
                console.say(note)
            ended_by = follow(built.engine, None, duration, stopped, check_lines)
        require_windows(progress, built.engine, None, ended_by)
    return 0


def _check(args: argparse.Namespace, given: bool) -> None:
    if given:
        targets.check(args)
    else:
        require_own()  # none could be chosen
        # The flags have to fit any process that may be chosen.
        targets.check(argparse.Namespace(**{**vars(args), "pid": [str(os.getpid())]}))
    if args.count < 1:
        raise UsageError(f"--count {args.count} lists nothing; give at least 1.")
    monitor.validate(args)


def _show(args: argparse.Namespace, child: Child | None, duration: float | None, *, given: bool) -> None:
    from udamon.live.app import LiveApp
    from udamon.live.largest import largest
    from udamon.live.state import LiveState

    session = session_of(args, LiveState(), None if child is None else child.pid)
    several = bool(args.children or args.cgroup or len(targets.pids(args.pid or [])) > 1)
    try:
        if given:
            session.start(session.watch_request, None if several else 0)
            app = LiveApp(session.state, session, several=several, duration=duration)
        else:
            app = LiveApp(session.state, session, offer=lambda: largest(args.count), duration=duration)
        with interrupts.put_off():
            app.run()
    finally:
        session.stop()


def session_of(args: argparse.Namespace, state: LiveState, command_pid: int | None) -> Session:
    """The session that `args` describe."""
    from udamon.live.session import Session

    spec, options = monitor.spec_of(args)
    named = _NamedProcesses()

    def build(watch_request: WatchRequest) -> Built:
        asked, chosen = _with_request(spec, options, watch_request)
        # The session itself knows the one that was chosen from a list.
        pids = spec.pids if command_pid is None else (command_pid,)
        named.require(pids)
        # What the screen takes is not the monitor's: else a budget would pay for the picture.
        built = assembly.build(asked, chosen, command_pid=command_pid, cpu_ns=cpu_time.thread_ns)
        try:
            named.require(pids)
        except BaseException:
            built.engine.close()
            raise
        return built

    return Session(build, state)


class _NamedProcesses:
    """The processes that pids meant at first. Every later monitor of the view (another interval, another budget) is of
    these, and of no others that were given their pids since."""

    def __init__(self) -> None:
        self._known: dict[int, ProcessId] = {}

    def require(self, pids: Sequence[int]) -> None:
        """To be called before a monitor is made and after: what is the same both times is what it has found. Raises
        TargetGone."""
        for pid in pids:
            if pid not in self._known:
                with suppress(UdamonError):  # the monitor is going to say so
                    self._known[pid] = named_process(pid)
        for process in [self._known[pid] for pid in pids if pid in self._known]:
            with process_errors(process.pid, start_time=process.start_time):
                stat_of(process)


def _with_request(
    spec: MonitorSpec, options: Options, watch_request: WatchRequest
) -> tuple[MonitorSpec, Options]:
    """The specification of the command line, with the changes made in the live view. Raises UsageError."""
    if watch_request.pid is not None:
        spec = replace(spec, pids=(watch_request.pid,))
    if watch_request.aggr is None and watch_request.overhead is None:
        return spec, options
    free = replace(spec, sample=DEFAULT_SAMPLE, aggr=DEFAULT_AGGR, overhead=None)
    if watch_request.aggr is not None:
        free = replace(free, aggr=(attributes.interval("--aggr", watch_request.aggr) or 0) / 1e6)
    if watch_request.overhead is not None:
        free = replace(free, overhead=parse_share(watch_request.overhead))
    return free, replace(options, goal=IntervalsGoal())
