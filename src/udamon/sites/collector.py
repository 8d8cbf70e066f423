"""Takes rings from the processes of a command and makes events of what is in them. Used by one thread.

A process connects to a socket in a private directory, whose name only the command and what it starts know, and sends
its ring. The kernel says which process that is (SO_PEERCRED).
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from udamon.closing import Closing
from udamon.errors import NotSupported, OutOfFiles
from udamon.files.temporary import TemporaryDirectory
from udamon.linux.open_files import room
from udamon.model import Event
from udamon.sites.ring import Allocated, BrokenRing, Freed, Losses, Module, PythonCall, Ring, Stack
from udamon.sites.stacks import PYTHON, Code, Frames, StackNumbers
from udamon.sites.unseen import Unseen

MEAN = 512 << 10
"""The mean gap between samples, bytes."""

MOST_RINGS = 4096
MOST_NOTES = 100
"""The note about rings that are not read: a process may send any number of them."""
_ROWS = 4096
"""Of one event, at most."""
_WAIT_LIMIT_S = 0.1
"""For what a process sends when it connects: the library does so at once."""

Publish = Callable[[Event], None]


def library() -> Path:
    """The preload library. Raises NotSupported where this udamon was built without it, or the C library is too old."""
    import udamon.native

    found = sorted(Path(udamon.native.__file__).parent.glob("_sites.*so"))
    if not found or not _finds_code():
        raise NotSupported("--sites needs 64-bit Linux with glibc 2.35 or later; record without it here.")
    return found[0]


def _finds_code() -> bool:
    """Whether glibc has _dl_find_object, which the library calls."""
    try:
        ctypes.CDLL(None)._dl_find_object  # noqa: B018
    except AttributeError:
        return False
    return True


class _Process:
    """A ring with the process that sent it."""

    def __init__(self, image: int, pid: int, ring: Ring, parent: int | None, table: StackNumbers) -> None:
        self.image, self.pid, self.ring, self.parent = image, pid, ring, parent
        self.code = Code(table)
        self.told = False
        self.losses: Losses | None = None


class Collector(Closing):
    """Listens from the start; `environment` is for the command, then `poll` some times a second, and `finish`.

    `mean` is the mean gap between samples, bytes. Raises NotSupported, OutputError.
    """

    def __init__(self, mean: int = MEAN) -> None:
        self.mean = mean
        preload = library()
        self._directory = TemporaryDirectory("sites")
        with ExitStack() as made:
            made.callback(self._directory.close)
            path = self._directory.path / secrets.token_hex(12)
            try:
                # Any process that knows the name may connect, so that programs that change their user can, too.
                os.chmod(self._directory.path, 0o711)
                self._preload = _reachable(preload, self._directory.path)
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                made.callback(self._socket.close)
                self._socket.bind(str(path))
                os.chmod(path, 0o666)
                self._socket.listen(1024)
                self._socket.setblocking(False)
            except OSError as error:
                raise NotSupported(
                    f"--sites cannot listen at {path}: {error.strerror or error}; set TMPDIR to a directory with a "
                    "short name."
                ) from error
            made.pop_all()
        self._settings = f"{mean}:{path}"
        self._processes: list[_Process] = []
        self._images = 0
        self._by_ring: dict[int, int] = {}
        self._table = StackNumbers()
        self.modules: dict[int, tuple[str, bytes]] = {}
        self.addresses: dict[int, set[int]] = {}
        """Addresses of stacks by module."""
        self.notes: list[str] = []
        self.unseen = Unseen(str(self._preload))
        self._seen: set[int] = set()

    def environment(self, before: str | None = None) -> Mapping[str, str]:
        """What the command's environment gets; `before` is the LD_PRELOAD that it has already."""
        preload = str(self._preload)
        return {"LD_PRELOAD": f"{preload}:{before}" if before else preload, "UDAMON_SITES": self._settings}

    def poll(self, publish: Publish) -> None:
        """Take in what processes have sent since the last time."""
        self._accept()
        # In the order in which they were made: parents before their forks.
        for process in list(self._processes):
            alive = os.path.exists(f"/proc/{process.pid}")
            self._drain(process, publish)
            if not alive and process in self._processes:
                process.ring.close()
                self._processes.remove(process)
        self.unseen.look()

    def finish(self, publish: Publish) -> None:
        """The last time: what is left, and the processes of which nothing was seen."""
        self.poll(publish)
        now = time.monotonic_ns()
        for pid, comm, why in self.unseen.reasons(self._seen, self.mean):
            publish(Event(now, "allocations_unseen", {"pid": pid, "comm": comm, "why": why}))

    def close(self) -> None:
        """Idempotent."""
        for process in self._processes:
            process.ring.close()
        self._processes.clear()
        self._socket.close()
        self._directory.close()

    def _accept(self) -> None:
        begin = time.monotonic()
        while time.monotonic() < begin + _WAIT_LIMIT_S:  # so long may clients delay others
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                raise OutOfFiles(f"--sites cannot take another process in: {error.strerror}.") from error
            with connection:
                self._take_in(connection)

    def _take_in(self, connection: socket.socket) -> None:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = struct.unpack("=iII", credentials)[0]
        connection.settimeout(_WAIT_LIMIT_S)
        try:
            _, descriptors, _, _ = socket.recv_fds(connection, 1, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return
        for extra in descriptors[1:]:
            os.close(extra)
        if not descriptors:
            return
        try:
            ring = Ring(descriptors[0])
        except BrokenRing as error:
            os.close(descriptors[0])
            self._note(f"What process {pid} sent about its allocations is not read: {error}.")
            return
        if len(self._processes) >= MOST_RINGS or pid <= 0 or not room():
            ring.close()
            self._note(
                f"Allocations of process {pid} are not recorded: {len(self._processes)} processes are, already."
            )
            return
        parent = self._by_ring.get(ring.parent) if ring.parent else None
        self._processes.append(_Process(self._images, pid, ring, parent, self._table))
        self._by_ring[ring.id] = self._images
        self._images += 1
        self._seen.add(pid)
        if ring.python and not ring.python_told:
            major, minor = ring.python >> 24 & 0xFF, ring.python >> 16 & 0xFF
            version = f"Python {major}.{minor}" if major else "a Python before 3.11"
            self._note(
                f"Python calls of process {pid} are not told, only those of the interpreter: it is {version}; "
                "those of releases of CPython 3.11 to 3.13 with the global lock are."
            )

    def _note(self, text: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text)

    def _drain(self, process: _Process, publish: Publish) -> None:
        rows: list[list[int]] = []
        try:
            for record in process.ring.take():
                match record:
                    case Allocated():
                        number = process.code.number(record.stack)
                        rows.append([record.time_ns, record.address, record.size, record.requested, number])
                    case Freed():
                        rows.append(list(record))
                    case Module():
                        process.code.add_module(record)
                    case PythonCall():
                        process.code.add_python(record)
                    case Stack():
                        process.code.add_stack(record)
            losses = process.ring.losses
        except BrokenRing as error:
            self._note(f"Allocations of process {process.pid} are read no further: {error}.")
            losses = process.losses or Losses(0, 0, 0)
            process.ring.close()
            self._processes.remove(process)
        self._publish_stacks(publish)
        now = time.monotonic_ns()
        parts = [rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS)]
        if not parts and (not process.told or losses != process.losses):
            parts = [[]]
        for part in parts:
            publish(Event(now, "allocations", self._about(process, losses) | {"rows": part}))
            process.told, process.losses = True, losses

    def _about(self, process: _Process, losses: Losses) -> dict[str, object]:
        ring = process.ring
        return {
            "image": process.image,
            "pid": process.pid,
            "mean": ring.mean,
            "begin": ring.begin_ns,
            "parent": process.parent,
            "parent_ns": None if process.parent is None else ring.parent_ns,
            "lost_allocated": losses.allocated,
            "lost_bytes": losses.size,
            "lost_freed": losses.freed,
        }

    def _publish_stacks(self, publish: Publish) -> None:
        table = self._table
        if not table.new_stacks and not table.new_modules:
            return
        modules = [[number, path, build_id.hex()] for number, path, build_id in table.new_modules]
        stacks = [
            [number, [part for frame in frames for part in frame]] for number, frames in table.new_stacks
        ]
        self._to_find(table.new_modules, table.new_stacks)
        calls = [[number, [_frame(call)]] for number, call in table.new_python]
        table.new_modules, table.new_stacks, table.new_python = [], [], []
        now = time.monotonic_ns()
        for at in range(0, len(calls), _ROWS):
            data = {"module": table.module(PYTHON, b""), "symbols": calls[at : at + _ROWS]}
            publish(Event(now, "symbols", data))
        for at in range(0, max(1, len(stacks)), _ROWS):
            data = {"modules": modules if at == 0 else [], "stacks": stacks[at : at + _ROWS]}
            publish(Event(now, "allocation_stacks", data))

    def _to_find(
        self, modules: Iterable[tuple[int, str, bytes]], stacks: Iterable[tuple[int, Frames]]
    ) -> None:
        """Note what has names in files of code; those of calls of Python are told."""
        self.modules |= {number: (path, build_id) for number, path, build_id in modules if path != PYTHON}
        for _, frames in stacks:
            for module, address in frames:
                if module in self.modules:
                    self.addresses.setdefault(module, set()).add(address)


def _frame(call: PythonCall) -> list[object]:
    """Function, file and line, as `symbols` events have them."""
    return [call.function, call.file or None, call.line or None]


def _reachable(preload: Path, directory: Path) -> Path:
    """The library where every user can load it, by a name that the loader takes: as it is installed, or a copy. Raises
    OSError, NotSupported."""
    path = preload.resolve()
    open_to_all = (
        all(one.stat().st_mode & stat.S_IXOTH for one in path.parents) and path.stat().st_mode & stat.S_IROTH
    )
    if not (open_to_all and _can_be_named(path)) and not os.statvfs(directory).f_flag & os.ST_NOEXEC:
        path = directory / path.name
        shutil.copyfile(preload, path)
        os.chmod(path, 0o755)
    if not _can_be_named(path):
        raise NotSupported(
            f"the loader cannot be given the name {path}: it has a colon or a blank; set TMPDIR to a directory without "
            "either, on which programs may be executed."
        )
    return path


def _can_be_named(path: Path) -> bool:
    """In LD_PRELOAD, whose names end with these."""
    return not any(letter in str(path) for letter in ": ;\n\t")
