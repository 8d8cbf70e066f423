"""Watch a process and show where it touches memory while it does; without a target, all that are large."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from udamon.cli import attributes, monitor, targets
from udamon.cli.child import Child
from udamon.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from udamon.cli.monitor import Monitor
    from udamon.live.session import Session, Wish
    from udamon.live.state import LiveState


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon live`."""
    parser.add_argument("--count", type=int, default=20, metavar="N",
                        help="without a target: list the N largest processes of this user (default 20)")  # fmt: skip
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
    if given:
        targets.check(args)
    elif (
        args.via not in ("auto", "refs")
        or args.ops
        or args.policy
        or args.range
        or args.user
        or args.same_cpu
    ):
        raise UsageError(
            "without a target, live lists processes via refs and takes no other way of looking; give a target with it."
        )
    if args.count < 1:
        raise UsageError(f"--count {args.count} lists nothing; give at least 1.")
    monitor.validate(args)


def _show(args: argparse.Namespace, child: Child | None, *, given: bool) -> None:
    from udamon.live.app import LiveApp
    from udamon.live.state import LiveState

    session = session_of(args, LiveState(), None if child is None else child.pid, given=given)
    several = not given or bool(args.children or args.cgroup or len(targets.pids(args.pid or [])) > 1)
    try:
        session.start(session.wish, None if several else 0)
        LiveApp(session.state, session, several=several, alone=not given).run()
    finally:
        session.stop()


def session_of(
    args: argparse.Namespace, state: LiveState, command_pid: int | None, *, given: bool
) -> Session:
    """The session that `args` describe; without a target (`given`), of the largest processes."""
    from udamon.engine.kdamond import Kdamond
    from udamon.live.session import Session

    def build(wish: Wish) -> Monitor:
        wanted = _as_wished(args, wish)
        built = monitor.build(wanted, command_pid) if given or wish.pid is not None else _largest(wanted)
        if isinstance(built.engine, Kdamond):
            # What the screen takes is not the monitor's: else a budget would pay for the picture.
            built.engine.charge(time.thread_time_ns)
        return built

    return Session(build, state)


def _as_wished(args: argparse.Namespace, wish: Wish) -> argparse.Namespace:
    """The arguments with what was changed inside."""
    wanted = argparse.Namespace(**vars(args))
    if wish.pid is not None:
        wanted.pid = [str(wish.pid)]
    if wish.aggr is not None:
        wanted.aggr, wanted.sample, wanted.overhead, wanted.intervals_goal = wish.aggr, None, None, None
    if wish.overhead is not None:
        wanted.overhead, wanted.sample, wanted.aggr, wanted.intervals_goal = wish.overhead, None, None, None
    return wanted


def _largest(args: argparse.Namespace) -> Monitor:
    """A census of the largest processes of this user."""
    from udamon.core.clock import MonotonicClock
    from udamon.engine.context import Context
    from udamon.engine.kdamond import Kdamond
    from udamon.engine.tuner import CensusBudget
    from udamon.engine.watch import CensusWatch
    from udamon.live.largest import LargestProcesses
    from udamon.ops.available import choose
    from udamon.ops.opening import open_census, open_ops

    choose("refs")
    clock = MonotonicClock()
    ops = open_ops("vaddr", LargestProcesses(clock.now_ns, count=args.count))
    attrs = attributes.attrs_of(args)
    share = monitor.overhead_of(args)
    census = open_census(
        "refs", ops, max_ranges=attrs.max_nr_regions, max_pause_ns=monitor.max_pause_ns(args)
    )
    watch = CensusWatch(census, clock)
    tuner = None if share is None else CensusBudget(share)
    return monitor.Monitor(Kdamond(Context(ops, watch, attrs), clock, tuner=tuner), ops.name, "refs", None)
