"""udamon control: DAMON's own files, served by udamon, for DAMON's own tools."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from udamon.core.policies import POLICIES
from udamon.errors import CannotError, NotSupported, UsageError
from udamon.linux.cgroup import find_cgroup
from udamon.ops.available import choose, probe

if TYPE_CHECKING:
    from udamon.control.assembly import Assembly
    from udamon.control.kdamonds import Kdamonds
    from udamon.control.tree import Tree
    from udamon.workload.truth import Truth

PRIMITIVES = ("auto", "idle", "refs", "softdirty", "sim")
DEFAULT_SIM = "demo"


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="WHAT", required=True, dest="what")
    mount = commands.add_parser("mount", help="serve the files of /sys/kernel/mm/damon at a directory")
    mount.add_argument("directory", metavar="DIR", help="where they appear; an empty directory")
    _kdamonds_of(mount)


def _kdamonds_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--via", choices=PRIMITIVES, default="auto", help="access-check primitive of kdamonds"
    )
    parser.add_argument(
        "--sim",
        metavar="CONFIG",
        help="with --via sim: the workload to simulate (default: demo)",
        default=None,
    )
    parser.add_argument("--policy", choices=POLICIES, default="damon", help="region policy (default damon)")
    parser.add_argument("--same-cpu", action="store_true", help="with idle: look where the target runs")
    parser.add_argument(
        "--no-act", action="store_true", help="schemes only count: their actions leave all memory alone"
    )
    parser.add_argument(
        "--compat", metavar="VERSION", default="7.2", help="the kernel whose files these are (5.18 to 7.2)"
    )


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(format="udamon: %(message)s", level=logging.WARNING, stream=sys.stderr)
    return _mount(args)


def _mount(args: argparse.Namespace) -> int:
    from udamon.control.files import AdminFiles
    from udamon.control.mounting import Mount, serve

    if args.command is not None:
        raise UsageError("control mount runs no command; use control exec -- COMMAND.")
    point = Path(args.directory)
    kdamonds, tree = make_tree(args)
    try:
        serve([Mount(point, AdminFiles(tree))], lambda: _say(f"serving {point}; Ctrl-C ends it."))
    finally:
        kdamonds.close()
    return 0


def make_tree(args: argparse.Namespace) -> tuple[Kdamonds, Tree]:
    """The tree that `args` describe, and what stands behind it. Raises UdamonError."""
    from udamon.control.kdamonds import Kdamonds
    from udamon.control.nodes import parse_version
    from udamon.control.tree import Tree

    version = parse_version(args.compat)
    assembly = _assembly(args)
    kdamonds = Kdamonds(assembly, _cgroup_exists, time.monotonic_ns)
    kdamonds.tree = Tree(kdamonds, version, assembly.operations)
    return kdamonds, kdamonds.tree


def _assembly(args: argparse.Namespace) -> Assembly:
    from udamon.control.assembly import Assembly

    via = _via(args)
    if args.same_cpu and via != "idle":
        raise UsageError(f"--same-cpu is of use with idle alone, and this looks via {via}; leave it out.")
    truth = _truth(args.sim or DEFAULT_SIM) if via == "sim" else None
    return Assembly(via, policy=args.policy, same_cpu=args.same_cpu, act=not args.no_act, truth=truth)


def _via(args: argparse.Namespace) -> str:
    if args.sim is not None and args.via not in ("auto", "sim"):
        raise UsageError(f"--sim goes with --via sim, not with {args.via}; leave one of them out.")
    if args.sim is not None or args.via == "sim":
        return "sim"
    if args.via != "auto":
        return choose(args.via)
    # Not by choose("auto"), which may find in-kernel DAMON: that one has files of its own.
    usable = [via for via in ("idle", "refs") if probe(via).usable]
    if not usable:
        raise NotSupported(
            "neither idle nor refs can be used here; udamon doctor says why, --via sim works anywhere."
        )
    return usable[0]


def _truth(config: str) -> Truth:
    from udamon.workload import shapes
    from udamon.workload.config import load
    from udamon.workload.layout import place
    from udamon.workload.truth import Truth

    workload = load(shapes.find(config))
    return Truth(workload, place(workload))


def _cgroup_exists(path: str) -> bool:
    try:
        find_cgroup(path)
    except CannotError:
        return False
    return bool(path)


def _say(text: str) -> None:
    print(f"udamon: {text}", file=sys.stderr, flush=True)
