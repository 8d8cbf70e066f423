"""Watch a process and show where it touches memory while it does; without a target, offer those that are large."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from udamon.cli import monitor, targets
from udamon.cli.child import Child
from udamon.errors import MissingExtra, UsageError
from udamon.linux.pid_namespace import require_own

if TYPE_CHECKING:
    from udamon.cli.monitor import Monitor
    from udamon.live.session import Session, WatchRequest
    from udamon.live.state import LiveState


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon live`."""
    parser.add_argument("--count", type=int, default=20, metavar="N",
                        help="without a target: offer the N largest processes of this user (default 20)")  # fmt: skip
    monitor.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Show the view until the user leaves it. Raises UdamonError."""
    given = any((args.pid, args.cgroup, args.paddr, args.sim, args.command is not None, args.children))
    _check(args, given)
    try:
        import textual  # noqa: F401 (told here what is missing, before anything is started)
    except ImportError:
        raise MissingExtra(
            "the live view needs Textual, which is not installed; run: pip install 'udamon[live]'"
        ) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the live view needs a terminal; without one, use udamon record and udamon report.")
    child = Child(args.command, args.user) if args.command is not None else None
    try:
        _show(args, child, given=given)
    finally:
        if child is not None:
            child.end()
    return 0


def _check(args: argparse.Namespace, given: bool) -> None:
    from udamon.live.session import WatchRequest

    if given:
        targets.check(args)
    else:
        require_own()  # none could be chosen
        # The flags have to fit any process that may be chosen.
        targets.check(_as_wished(args, WatchRequest(pid=os.getpid())))
    if args.count < 1:
        raise UsageError(f"--count {args.count} lists nothing; give at least 1.")
    monitor.validate(args)


def _show(args: argparse.Namespace, child: Child | None, *, given: bool) -> None:
    from udamon.live.app import LiveApp
    from udamon.live.largest import largest
    from udamon.live.state import LiveState

    session = session_of(args, LiveState(), None if child is None else child.pid)
    several = bool(args.children or args.cgroup or len(targets.pids(args.pid or [])) > 1)
    try:
        if given:
            session.start(session.watch_request, None if several else 0)
            LiveApp(session.state, session, several=several).run()
        else:
            LiveApp(session.state, session, offer=lambda: largest(args.count)).run()
    finally:
        session.stop()


def session_of(args: argparse.Namespace, state: LiveState, command_pid: int | None) -> Session:
    """The session that `args` describe."""
    from udamon.engine.kdamond import Kdamond
    from udamon.live.session import Session

    def build(watch_request: WatchRequest) -> Monitor:
        built = monitor.build(_as_wished(args, watch_request), command_pid)
        if isinstance(built.engine, Kdamond):
            # What the screen takes is not the monitor's: else a budget would pay for the picture.
            built.engine.charge(time.thread_time_ns)
        return built

    return Session(build, state)


def _as_wished(args: argparse.Namespace, watch_request: WatchRequest) -> argparse.Namespace:
    """The arguments with what was changed inside."""
    wanted = argparse.Namespace(**vars(args))
    if watch_request.pid is not None:
        wanted.pid = [str(watch_request.pid)]
    if watch_request.aggr is not None:
        wanted.aggr, wanted.sample, wanted.overhead, wanted.intervals_goal = (
            watch_request.aggr,
            None,
            None,
            None,
        )
    if watch_request.overhead is not None:
        wanted.overhead, wanted.sample, wanted.aggr, wanted.intervals_goal = (
            watch_request.overhead,
            None,
            None,
            None,
        )
    return wanted
