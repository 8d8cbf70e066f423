"""Asking the agent of this node to let a monitor have its targets: the side of who asks.

The agent (udamon.agent) watches everything, so its locks would refuse every recording. It listens on a socket that only
its own user and root may use; while a connection over which it gave something away stays open, it leaves that alone.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from udamon import plain_json
from udamon.errors import OutOfFiles
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import read_cmdline
from udamon.linux.roots import Roots

SOCKET = "agent.sock"
PLACE = "UDAMON_HANDOVER"
"""The environment variable that names the agent's socket, where it is not at its usual place."""
WAIT_LIMIT_S = 2.0
LONGEST = 64 << 20
"""Bytes of an answer."""
_CREDENTIALS = struct.Struct("@iii")


def default_socket(roots: Roots) -> Path:
    """Where the agent of this user listens."""
    if place := os.environ.get(PLACE):
        return Path(place)
    if os.geteuid() == 0:
        return roots.run / SOCKET
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}") / "udamon" / SOCKET


def peer(connection: socket.socket) -> tuple[int, int]:
    """Pid and user of the other end, as they were when it connected or began to listen. Raises OSError."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return pid, uid


def connect(path: str | os.PathLike[str]) -> socket.socket:
    """A connection to the agent there. Raises OSError; PermissionError where another user listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(WAIT_LIMIT_S)
        connection.connect(os.fspath(path))
        if peer(connection)[1] not in (0, os.geteuid()):
            raise PermissionError(f"another user listens on {path}")
    except BaseException:
        connection.close()
        raise
    return connection


def ask(connection: socket.socket, **question: Any) -> dict[str, Any]:
    """The answer to a question, within WAIT_LIMIT_S. Raises OSError; ValueError for what is no answer."""
    end = time.monotonic() + WAIT_LIMIT_S
    connection.sendall(json.dumps(question).encode() + b"\n")
    data = bytearray()
    while not data.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the agent answers too slowly")
        connection.settimeout(left)
        got = connection.recv(1 << 20)
        if not got:
            raise ConnectionResetError("the agent went away")
        data += got
        if len(data) > LONGEST:
            raise ValueError("the answer is too long")
    return plain_json.read_object(bytes(data))


def is_agent(pid: int, proc: Path) -> bool:
    """Whether the command line of a process is that of `udamon agent`, and not of `udamon agent watch`."""
    try:
        words = read_cmdline(pid, proc)
    except (OSError, OutOfFiles):
        return False
    at = words.index("agent") if "agent" in words else 0
    return at > 0 and any("udamon" in word for word in words[:at]) and "watch" not in words[at:]


def ask_for(pid: int, holder: str, roots: Roots) -> socket.socket | None:
    """Ask for process `pid`, which `holder` ("process N") has locked: the connection to keep open meanwhile where that
    is the agent and it gave the process away, else None. Raises OutOfFiles."""
    for path in dict.fromkeys((default_socket(roots), roots.run / SOCKET)):
        connection = None
        try:
            connection = connect(path)
            agent, _ = peer(connection)
            if agent != os.getpid() and holder == f"process {agent}":
                answer = ask(connection, do="give", pid=pid)
                if answer.get("given") is True:
                    given, connection = connection, None
                    return given
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                refuse_if_full(error)
            continue
        finally:
            if connection is not None:
                connection.close()
    return None
