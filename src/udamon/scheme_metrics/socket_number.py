"""A number that is sent to a socket: whoever knows something of an application tells it, when it changes."""

from __future__ import annotations

import socket
from pathlib import Path

from udamon.errors import CannotError
from udamon.files.sockets import SocketName
from udamon.scheme_metrics.command_number import number_in

_LARGEST = 4096


class SocketNumber:
    """The number in the datagram that was sent last to the Unix socket at `path`; reading it never waits.

    The socket is made here, for its user alone (0600), and removed by `close`. One that a killed process left is
    replaced. Raises CannotError where something else lies at the path, somebody listens there, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.last: int | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._name = SocketName(
                self._socket, path, f"somebody listens at {path} already; name another path."
            )
        except CannotError:
            self._socket.close()
            raise
        except OSError as error:
            self._socket.close()
            raise CannotError(
                f"no socket can be made at {path}: {error.strerror or error}; name another path."
            ) from error

    def value(self) -> int | None:
        """None while nothing was sent. What is no number is passed over."""
        while True:
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return self.last
            for line in data.split(b"\n"):
                found = number_in(line)
                self.last = self.last if found is None else found

    def close(self) -> None:
        """Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        self._name.remove()
