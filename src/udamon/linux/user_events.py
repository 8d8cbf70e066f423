"""Tracepoints of user space: events that perf, ftrace and bpftrace read like the kernel's, in the group user_events.

The kernel sets a bit in our memory while somebody listens, and takes what is written only then.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from udamon.errors import NotPermitted, NotSupported

FILE = "user_events_data"
_REGISTER, _UNREGISTER = 0xC008_2A00, 0x4008_2A02  # _IOWR and _IOW of '*', with a pointer
_REG = struct.Struct(
    "=IBBHQQI"
)  # size, bit, bytes of the flag, flags, its address, the declaration, index (out)
_UNREG = struct.Struct("=IBBHQ")


class UserEvent:
    """One event of u64 fields. `enabled` while somebody listens."""

    def __init__(self, fd: int, name: str, fields: Sequence[str]) -> None:
        """Raises OSError."""
        self._fd = fd
        self._flag = ctypes.c_uint32(0)
        declaration = ctypes.create_string_buffer(declared(name, fields).encode())
        request = bytearray(
            _REG.pack(_REG.size, 0, 4, 0, ctypes.addressof(self._flag), ctypes.addressof(declaration), 0)
        )
        fcntl.ioctl(fd, _REGISTER, request)
        self._row = struct.Struct(f"=I{len(fields)}Q")
        self._index = int(_REG.unpack(request)[-1])

    @property
    def enabled(self) -> bool:
        return bool(self._flag.value)

    def write(self, row: Sequence[int]) -> None:
        """Raises OSError; EBADF when nobody listens any more."""
        os.write(self._fd, self._row.pack(self._index, *row))

    def unregister(self) -> None:
        """The kernel lets go of our memory. Raises OSError."""
        request = _UNREG.pack(_UNREG.size, 0, 0, 0, ctypes.addressof(self._flag))
        fcntl.ioctl(self._fd, _UNREGISTER, request)


def declared(name: str, fields: Sequence[str]) -> str:
    """An event as the kernel wants it declared."""
    return f"{name} {'; '.join(f'u64 {field}' for field in fields)}"


def open_user_events(tracefs: Path) -> int:
    """A descriptor to register events on. Raises NotSupported or NotPermitted."""
    path = tracefs / FILE
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotSupported(f"there is no {path}; boot a kernel built with CONFIG_USER_EVENTS=y.") from None
    except OSError as error:
        raise NotPermitted(f"{path} may not be opened: {error.strerror}; run as root.") from None
