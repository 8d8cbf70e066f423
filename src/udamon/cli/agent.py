"""Watch all services of this node, and serve what of their memory is cold."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from udamon import console
from udamon.cli.numbers import some_time
from udamon.cli.running import signals
from udamon.errors import CannotError, UdamonError
from udamon.handover import ask, connect, default_socket
from udamon.linux import open_files
from udamon.linux.pid_namespace import require_own
from udamon.linux.roots import Roots


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon agent`."""
    parser.add_argument(
        "--config", metavar="FILE", help="settings and classes of services, in TOML (default none)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read the configuration, say what is wrong or cannot be done on this machine, and end",
    )
    parser.add_argument(
        "--act",
        action="store_true",
        help="watch nothing; take out what the agent that runs calls cold, as classes allow (a dry run unless they "
        "say apply = true)",
    )
    parser.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="where metrics are served (default 127.0.0.1:9470)"
    )
    parser.add_argument("--cgroup", metavar="PATH", help="only services at and below this control group")
    parser.add_argument(
        "--socket", metavar="FILE", help="the agent's private socket (default below the runtime directory)"
    )
    commands = parser.add_subparsers(dest="asked", metavar="COMMAND")
    watch = commands.add_parser(
        "watch",
        help="record one service; the agent leaves it alone meanwhile",
        description="Record one service.",
    )
    watch.add_argument("service", metavar="SERVICE", help="its name, or its key as agent status has it")
    watch.add_argument("--for", dest="duration", metavar="TIME", required=True, help="end after this time")
    watch.add_argument("-o", "--output", metavar="FILE", required=True, help="the recording")
    watch.add_argument("--force", action="store_true", help="replace FILE")
    status = commands.add_parser(
        "status",
        help="what it has seen, and what that cost",
        description="What the agent has seen, and what that cost.",
    )
    status.add_argument("--json", action="store_true", help="one JSON document")
    for each in (watch, status):
        each.add_argument("--socket", metavar="FILE", default=argparse.SUPPRESS, help="that of the agent")


def run(args: argparse.Namespace) -> int:
    """Watch until told to stop; or ask the agent that runs."""
    if args.asked == "watch":
        return _watch(args)
    if args.asked == "status":
        return _status(args)
    from udamon.agent.config import read_settings

    path = None if args.config is None else Path(args.config)

    def read() -> Any:
        return read_settings(path, listen=args.listen, cgroup=args.cgroup, socket=args.socket)

    settings = read()
    if args.check:
        return _check(settings, "the configuration" if path is None else str(path))
    if args.act:
        return _act(args, settings, read)
    from udamon.agent.agent import Agent
    from udamon.agent.discovery.node import NodeDiscovery
    from udamon.agent.metrics import require

    require()
    require_own(Roots().proc)
    open_files.raise_limit()
    discovery = NodeDiscovery.open(settings.cgroup)
    hang_up = threading.Event()
    with signals(hang_up) as stopped:
        agent = Agent(settings, discovery, console.say)
        try:
            console.say(f"metrics at http{'s' if settings.certificate else ''}://{agent.listen}/metrics")
            agent.run(stopped, hang_up, _rereading(settings, read))
        finally:
            agent.close()
            discovery.close()
    return 0


def _check(settings: Any, name: str) -> int:
    """0, or 1 where the kernel or what is installed lacks something that settings ask for."""
    from udamon.agent.here import LACKING, impossible

    lacking = False
    for error in impossible(settings):
        console.say(str(error))
        lacking |= isinstance(error, LACKING)
    console.out(
        f"{name} is right, but this machine lacks what it asks for" if lacking else f"{name} is right"
    )
    return 1 if lacking else 0


def _act(args: argparse.Namespace, settings: Any, read: Callable[[], Any]) -> int:
    from udamon.agent.acting.unit import ActingUnit

    path = settings.socket or default_socket(Roots())

    def status() -> Any:
        with _connected(path) as connection:
            return _asked(connection, do="status")

    unit = ActingUnit(settings, status, console.say)
    hang_up = threading.Event()
    try:
        with signals(hang_up) as stopped:
            console.say(f"acts on what the agent at {path} calls cold")
            unit.run(stopped, hang_up, _rereading(settings, read))
    finally:
        unit.close()
    return 0


def _rereading(settings: Any, read: Callable[[], Any]) -> Callable[[], Any]:
    """Reads settings again; where they are wrong, it says so and gives the last ones."""
    known = settings

    def reread() -> Any:
        nonlocal known
        try:
            known = read()
        except UdamonError as error:
            console.say(f"{error} The settings stay as they were.")
        return known

    return reread


def _status(args: argparse.Namespace) -> int:
    from udamon.agent.status import render

    with _connected(args.socket or default_socket(Roots())) as connection:
        found = _asked(connection, do="status")
    if args.json:
        console.document(found)
    else:
        console.out(render(found, console.columns()), wrap=True)
    return 0


def _watch(args: argparse.Namespace) -> int:
    from udamon.cli import record

    some_time("--for", args.duration)
    with _connected(args.socket or default_socket(Roots())) as connection:
        given = _asked(connection, do="watch", service=args.service)
        words = [
            "--cgroup",
            given["cgroup"],
            "--via",
            given["via"],
            "--duration",
            args.duration,
            "-o",
            args.output,
        ]
        parser = argparse.ArgumentParser()
        record.configure(parser)
        asked = parser.parse_args([*words, *(["--force"] if args.force else [])])
        asked.command = None
        return record.run(asked)


def _connected(path: Any) -> Any:
    try:
        return connect(path)
    except OSError as error:
        raise CannotError(
            f"no agent answers on {path}: {error.strerror or error}; start one with udamon agent, as the same user."
        ) from None


def _asked(connection: Any, **question: Any) -> dict[str, Any]:
    try:
        found = ask(connection, **question)
    except (OSError, ValueError) as error:
        raise CannotError(f"the agent gave no answer: {error}; see what it says itself.") from None
    if "error" in found:
        raise CannotError(str(found["error"]))
    return found
