"""The kernel's process events (the proc connector): every fork of the machine, in the order it happened.

Needs CAP_NET_ADMIN in the initial user, pid and network namespace, and CONFIG_PROC_EVENTS. Only forks are asked for;
kernels before 6.6 send every kind of event, and what is not a fork is passed over.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
import time
from typing import NamedTuple

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN, _IGNORE, _FORK = 1, 2, 1
_NLMSG_DONE = 3
_HEADS = struct.Struct("=IHHII IIII HH")  # struct nlmsghdr, struct cn_msg
_WHAT = struct.Struct("=I")
_CHILD = struct.Struct("=IIII")  # parent: thread, process; child: thread, process
_AT_WHAT = _HEADS.size
_AT_CHILD = _AT_WHAT + 16  # behind what, cpu and timestamp_ns
_BUFFER = 8 << 20
"""Bytes of kernel memory for events that wait: about 10 000 forks."""
_SO_RCVBUFFORCE = 33
_PROOF_S = 0.5


class Fork(NamedTuple):
    """A process was made (never a thread): its parent's pid and its own."""

    parent: int
    child: int


class ForkEvents:
    """Forks since it was made, or since `take` was called last. Raises OSError when made without the privilege."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_CONNECTOR)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._socket.bind((0, _CN_IDX_PROC))
            self._ask(struct.pack("=I", _LISTEN))
            self._ask(struct.pack("=II", _LISTEN, _FORK))  # Linux 6.6; others ignore what has this length
            self._prove()
        except BaseException:
            self._socket.close()
            raise

    def take(self, most: int) -> list[Fork] | None:
        """In order; None when some were lost, or there were more than `most` events, and so nothing is known.

        Raises OSError.
        """
        found: list[Fork] = []
        for _ in range(most):
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            fork = _fork(data)
            if fork is not None and fork[2] == fork[3]:
                found.append(Fork(fork[1], fork[3]))
        return None

    def close(self) -> None:
        """Idempotent."""
        if self._socket.fileno() >= 0:
            try:
                self._ask(struct.pack("=I", _IGNORE))  # kernels before 6.6 go on making events else
            except OSError:
                pass  # then it is the kernel that will not listen
            self._socket.close()

    def _ask(self, data: bytes) -> None:
        size = _HEADS.size + len(data)
        own = os.getpid()
        heads = _HEADS.pack(size, _NLMSG_DONE, 0, 0, own, _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(data), 0)
        self._socket.sendto(heads + data, (0, 0))

    def _prove(self) -> None:
        """A thread of our own is made, and must be told of: a kernel that refuses does so without a word."""
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        end = time.monotonic() + _PROOF_S
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        while (left := end - time.monotonic()) > 0 and waiting.poll(left * 1_000):
            fork = _fork(self._socket.recv(4096))
            if fork is not None and fork[3] == os.getpid():
                return
        raise OSError(errno.EPERM, "the kernel tells of no process events")


def _fork(data: bytes) -> tuple[int, int, int, int] | None:
    """Thread and process of parent and child; None for another event."""
    if len(data) < _AT_CHILD + _CHILD.size or _WHAT.unpack_from(data, _AT_WHAT)[0] != _FORK:
        return None
    parent_thread, parent, child_thread, child = _CHILD.unpack_from(data, _AT_CHILD)
    return parent_thread, parent, child_thread, child
