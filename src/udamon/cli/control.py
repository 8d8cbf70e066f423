"""udamon control: DAMON's own files, served by udamon, for DAMON's own tools."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from udamon import console
from udamon.availability.choice import choose
from udamon.availability.primitives import probe
from udamon.control.kdamonds import Kdamonds
from udamon.control.mounting import ServedPaths
from udamon.control.nodes import parse_version, shape_at
from udamon.control.tree import Tree
from udamon.core.policies import POLICIES
from udamon.errors import CannotError, NotSupported, UsageError
from udamon.linux.cgroup.groups import find_cgroup
from udamon.linux.open_files import raise_limit
from udamon.model import names_of

if TYPE_CHECKING:
    from udamon.control.assembly import Assembly
    from udamon.control.tracepoints import Listener

DEFAULT_SIM = "demo"
SWITCH_S = 0.0005
"""The switch interval of threads, in seconds: how long a reader of a file waits for a computing kdamond. With Python's
5 ms each read would be noticeably slow."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    commands = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    about = "serve the files of /sys/kernel/mm/damon at a directory"
    mount = commands.add_parser("mount", help=about, description=about)
    mount.add_argument("directory", metavar="DIR", help="where they appear; an empty directory")
    mount.add_argument(
        "--debugfs", metavar="DIR", help="serve the older files of /sys/kernel/debug/damon there, too"
    )
    mount.add_argument(
        "--events",
        metavar="PATH",
        help="tell tracepoints there, as lines: a FIFO (made if there is nothing) or a file",
    )
    _kdamonds_of(mount)
    about = "run a command whose /sys has these files (as root)"
    execute = commands.add_parser(
        "exec",
        help=about,
        description=about,
        usage="udamon control exec [options] -- COMMAND [ARG…]",
    )
    execute.add_argument(
        "--debugfs", action="store_true", help="with the older files at /sys/kernel/debug/damon, too"
    )
    execute.add_argument(
        "--keep-caps",
        action="store_true",
        help="leave the command the capabilities it could leave its /sys with",
    )
    _kdamonds_of(execute)


def _kdamonds_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--via",
        choices=("auto", *names_of(lambda one: one.control)),
        default="auto",
        help="access-check primitive of kdamonds",
    )
    parser.add_argument(
        "--sim",
        metavar="CONFIG",
        help="with --via sim: the workload to simulate (default: demo)",
        default=None,
    )
    parser.add_argument("--policy", choices=POLICIES, default="damon", help="region policy (default damon)")
    parser.add_argument(
        "--same-cpu", action="store_true", help="with idle: visit the processor where the target runs"
    )
    parser.add_argument(
        "--no-act", action="store_true", help="schemes only count: their actions leave all memory alone"
    )
    parser.add_argument(
        "--compat", metavar="VERSION", default="7.2", help="the kernel whose files these are (5.18 to 7.2)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit status. Raises UdamonError."""
    return _exec(args) if args.what == "exec" else _mount(args)


def _mount(args: argparse.Namespace) -> int:
    if args.command is not None:
        raise UsageError("control mount runs no command; use control exec -- COMMAND.")
    point = _absolute(args.directory)
    events = None if args.events is None else _absolute(args.events)
    old = None if args.debugfs is None else _absolute(args.debugfs)
    if old is not None:
        _check_apart(point, old)
    _serve(
        args,
        ServedPaths(point, old, events),
        lambda: console.say(f"serving {args.directory}; Ctrl-C ends it."),
    )
    return 0


def _absolute(name: str) -> Path:
    """libfuse goes to / with the first mount: what is named from here would be looked for there. Raises CannotError."""
    try:
        return Path(os.path.abspath(name))
    except OSError as error:
        raise CannotError(
            f"the working directory cannot be had: {error.strerror}; give {name} from / on."
        ) from error


def _check_apart(new: Path, old: Path) -> None:
    """Raises UsageError for one directory, or one inside of the other: one tree would hide the other."""
    one, other = (Path(os.path.realpath(path)) for path in (new, old))
    if one == other or one in other.parents or other in one.parents:
        raise UsageError(
            "DIR and the directory of --debugfs are one, or one is inside of the other; give two apart."
        )


def _exec(args: argparse.Namespace) -> int:
    from udamon.assembly.child import OWN_FAILURE, Child, ChildError
    from udamon.control.executing import drop_capabilities, private_damon

    if not args.command:
        raise UsageError(
            "control exec runs a command; put it behind --, as in: udamon control exec -- damo report."
        )
    _check(args)

    try:
        with private_damon(partial(_serve, args), debugfs=args.debugfs) as env:
            child = Child(args.command, env=env, before_exec=None if args.keep_caps else drop_capabilities)
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)  # the terminal sends them to the command, too
            signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
            return child.wait()
    except ChildError:
        raise
    except CannotError as error:
        raise ChildError(str(error), OWN_FAILURE) from error


def _check(args: argparse.Namespace) -> None:
    """What can be told wrong before anything is started. Raises UdamonError."""
    shape_at(parse_version(args.compat))
    _assembly(args, None)


def _serve(args: argparse.Namespace, places: ServedPaths, ready: Callable[[], None]) -> None:
    from udamon.control.debugfs_files import DebugfsFiles
    from udamon.control.event_stream import EventStream
    from udamon.control.files import AdminFiles
    from udamon.control.mounting import Mount, serve
    from udamon.control.tracepoints import Listeners
    from udamon.control.user_tracepoints import UserTracepoints
    from udamon.linux.tracefs import tracefs_root

    raise_limit()
    version = parse_version(args.compat)
    listeners: list[Listener] = [] if places.events is None else [EventStream(places.events)]
    tracefs = tracefs_root()
    if tracefs is not None:
        with suppress(CannotError):  # a kernel without user_events, or no root
            listeners.append(UserTracepoints(tracefs))
    assembly = _assembly(args, Listeners(listeners) if listeners else None)
    kdamonds = Kdamonds(assembly, _cgroup_exists, time.monotonic_ns)
    kdamonds.tree = tree = Tree(kdamonds, version, assembly.operations)
    old = DebugfsFiles(assembly, kdamonds.any_running, version)
    kdamonds.excluded = old.any_running
    mounts = [Mount(places.new, AdminFiles(tree))]
    if places.old is not None:
        mounts.insert(0, Mount(places.old, old))
    assembly.load()
    sys.setswitchinterval(SWITCH_S)
    try:
        serve(mounts, ready)
    finally:
        kdamonds.close()
        old.close()


def _assembly(args: argparse.Namespace, listener: Listener | None) -> Assembly:
    from udamon.assembly.parts import truth_of
    from udamon.control.assembly import Assembly

    via = _via(args)
    if args.same_cpu and via != "idle":
        raise UsageError(f"--same-cpu is of use with idle alone, and this looks via {via}; leave it out.")
    truth = truth_of(args.sim or DEFAULT_SIM) if via == "sim" else None
    return Assembly(
        via,
        policy=args.policy,
        same_cpu=args.same_cpu,
        act=not args.no_act,
        truth=truth,
        listener=listener,
    )


def _via(args: argparse.Namespace) -> str:
    if args.sim is not None and args.via not in ("auto", "sim"):
        raise UsageError(f"--sim goes with --via sim, not with {args.via}; leave one of them out.")
    if args.sim is not None or args.via == "sim":
        return "sim"
    if args.via != "auto":
        return choose(args.via)
    # Not by choose("auto"), which may find in-kernel DAMON: that one has files of its own.
    found = next((via for via in ("idle", "refs") if probe(via).usable), None)
    if found is None:
        raise NotSupported(
            "neither idle nor refs can be used here; udamon doctor says why, --via sim works anywhere."
        )
    return found


def _cgroup_exists(path: str) -> bool:
    try:
        find_cgroup(path)
    except CannotError:
        return False
    return bool(path)
