"""Unix sockets with a name: made for their user alone, and removed by the process that made them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from udamon.errors import CannotError


class SocketName:
    """The name of a socket that is bound here, with mode 0600 from the first moment.

    A socket that a killed process left is replaced; anything else that has the name stays as it is. Raises OSError;
    CannotError where no socket has the name, or somebody listens there (`listening` is that sentence).
    """

    def __init__(self, bound: socket.socket, path: Path, listening: str) -> None:
        self._path = path
        _clear(path, bound.type, listening)
        os.fchmod(bound.fileno(), 0o600)  # before bind: nobody else can ever open it
        bound.bind(os.fspath(path))
        self._made = os.lstat(path)

    def remove(self) -> None:
        """Unless another file has the name by now. Never raises."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self._made, os.lstat(self._path)):
                self._path.unlink()


def _clear(path: Path, kind: int, listening: str) -> None:
    """Remove a socket that nobody listens to."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotError(f"{path} is no socket; name a path where nothing is.")
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as other:
        try:
            other.connect(os.fspath(path))
        except BlockingIOError:
            pass  # more wait for it than it takes
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
            path.unlink()
            return
    raise CannotError(listening)
