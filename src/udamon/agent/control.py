"""The agent's private socket: what it says of itself, and giving targets to recordings that ask for them.

A question is one line of JSON, and so is the answer. What was given on a connection is taken back when that closes.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from udamon import plain_json
from udamon.errors import CannotError, UdamonError
from udamon.files.sockets import SocketName
from udamon.handover import WAIT_LIMIT_S, peer
from udamon.plain_json import JsonError

MOST_CLIENTS = 64
LONGEST_QUESTION = 1 << 16
ACCEPT_AGAIN_S = 0.25
"""After a connection could not be accepted: it waits and can be read all the time while no descriptor is left, so to
try again at once would take a whole CPU."""

Answer = dict[str, Any]


class Control:
    """Listens on a thread of its own until `close`.

    `answer` gets a question and a list to which it appends what it gave away; `back` gets such a list. Raises
    CannotError: another agent listens there, something else is there, or the place cannot be used.
    """

    def __init__(
        self, path: Path, answer: Callable[[Answer, list[str]], Answer], back: Callable[[list[str]], None]
    ) -> None:
        self.path = path
        self._answer, self._back = answer, back
        self._listener, self._name = _listen(path)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._clients: dict[socket.socket, _Client] = {}
        self._accept_at: float | None = None
        """When to listen again (time.monotonic); None while it listens."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for connection in list(self._clients):
            self._drop(connection)
        for each in (self._listener, self._wake, self._woken):
            each.close()
        self._selector.close()
        self._name.remove()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._until_accepting()):
                where = key.fileobj
                if where is self._woken:
                    return
                assert isinstance(where, socket.socket)
                if where is self._listener:
                    self._accept()
                else:
                    self._read(where)

    def _until_accepting(self) -> float | None:
        """For how long to wait for others, s; None without a limit."""
        if self._accept_at is None:
            return None
        left = self._accept_at - time.monotonic()
        if left > 0:
            return left
        self._accept_at = None
        self._selector.register(self._listener, selectors.EVENT_READ)
        return None

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it went away, or there are no descriptors left
            self._selector.unregister(self._listener)
            self._accept_at = time.monotonic() + ACCEPT_AGAIN_S
            return
        try:
            allowed = len(self._clients) < MOST_CLIENTS and peer(connection)[1] in (0, os.geteuid())
        except OSError:
            allowed = False
        if not allowed:
            connection.close()
            return
        connection.setblocking(False)
        self._clients[connection] = _Client()
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        client = self._clients[connection]
        try:
            data = connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.data += data
        if not data or len(client.data) > LONGEST_QUESTION:
            self._drop(connection)
            return
        while b"\n" in client.data:
            line, _, client.data = client.data.partition(b"\n")
            answer = json.dumps(self._answered(line, client)).encode() + b"\n"
            try:
                connection.settimeout(WAIT_LIMIT_S)
                connection.sendall(answer)
                connection.setblocking(False)
            except OSError:
                self._drop(connection)
                return

    def _answered(self, line: bytes, client: _Client) -> Answer:
        try:
            question = plain_json.read_object(line)
        except JsonError:
            return {"error": "a question is one line with a JSON object."}
        try:
            return self._answer(question, client.given)
        except (OSError, UdamonError) as error:  # no descriptors left: others will be there again
            return {"error": f"the agent cannot answer now: {error}"}

    def _drop(self, connection: socket.socket) -> None:
        client = self._clients.pop(connection)
        self._selector.unregister(connection)
        connection.close()
        if client.given:
            self._back(client.given)


class _Client:
    def __init__(self) -> None:
        self.data = b""
        self.given: list[str] = []


def _listen(path: Path) -> tuple[socket.socket, SocketName]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.lstat(path.parent)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise CannotError(
                f"others may write to {path.parent}, where the agent's socket is; choose another one."
            )
        name = SocketName(
            listener, path,
            f"an agent runs already and listens on {path}; end that one, or choose another socket.",
        )  # fmt: skip
        listener.listen(MOST_CLIENTS)
        listener.setblocking(False)
    except CannotError:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        raise CannotError(
            f"cannot listen on {path}: {error.strerror or error}; choose another socket."
        ) from None
    return listener, name
