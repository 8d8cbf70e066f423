"""A tracing instance of one's own: events of the kernel as binary pages, without touching anyone else's tracing."""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from udamon.linux.ring_buffer import Field, PageLayout, fields_of, page_layout, parse_page
from udamon.linux.roots import Roots

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
CLOCK = "mono"
"""CLOCK_MONOTONIC, which the rest of udamon uses."""


def tracefs_root(roots: Roots = Roots()) -> Path | None:  # noqa: B008 (immutable)
    """Where tracefs is mounted and instances can be made; None where tracing is not to be had."""
    for place in ("kernel/tracing", "kernel/debug/tracing"):
        root = roots.sys / place
        if os.access(root / "instances", os.W_OK):
            return root
    return None


class TraceEvent(NamedTuple):
    """One event: when (ns on CLOCK_MONOTONIC), which, and the values of the fields that were asked for."""

    time_ns: int
    name: str
    values: tuple[int, ...]


def unpacker(fields: Sequence[Field], names: Sequence[str]) -> struct.Struct:
    """Unpacks the named fields, which must be unsigned numbers in the order of their places. Raises ValueError."""
    known = {field.name: field for field in fields}
    code, at = "=", 0
    for name in names:
        field = known.get(name)
        if field is None or field.size not in _CODES or field.offset < at:
            raise ValueError(f"this kernel's event has no usable field {name!r}")
        code += f"{field.offset - at}x{_CODES[field.size]}"
        at = field.offset + field.size
    return struct.Struct(code)


class TraceInstance:
    """Events from the moment they are enabled until `close`, which leaves nothing behind.

    Raises OSError where tracefs refuses, ValueError where the formats are not understood.
    """

    def __init__(self, root: Path, name: str, buffer_kb: int) -> None:
        """`buffer_kb` is the size of the buffer of each processor, in KiB."""
        self.path = root / "instances" / name
        self.lost = 0
        self._events: dict[int, tuple[str, struct.Struct]] = {}
        self._pipes: dict[int, int] = {}  # file descriptor → itself; poll answers with descriptors
        self._poll = select.poll()
        self._held: list[TraceEvent] = []
        os.mkdir(self.path)
        try:
            self._layout: PageLayout = page_layout((root / "events/header_page").read_text())
            self._write("trace_clock", CLOCK)
            if f"[{CLOCK}]" not in (self.path / "trace_clock").read_text():
                raise ValueError(f"this kernel's tracing has no clock {CLOCK!r}")
            self._write("buffer_size_kb", str(buffer_kb))
            self._write("buffer_percent", "0")  # so that polling tells of any event
            self._open_pipes()
        except BaseException:
            self.close()
            raise

    def enable(self, group: str, name: str, fields: Sequence[str]) -> bool:
        """Have an event written down from now on; False where the kernel has none of that name."""
        directory = self.path / "events" / group / name
        if not directory.is_dir():
            return False
        text = (directory / "format").read_text()
        number = next(int(line[3:]) for line in text.splitlines() if line.startswith("ID:"))
        self._events[number] = name, unpacker(fields_of(text), fields)
        self._write(f"events/{group}/{name}/enable", "1")
        return True

    def drain(self) -> list[TraceEvent]:
        """Everything that happened before this call and was not read yet, in the order of time.

        What happens while the buffers of several processors are read one after the other waits for the
        next call: only so is no event overtaken by a later one.
        """
        until = time.monotonic_ns()
        found, self._held = self._held, []
        for fd, _ in self._poll.poll(0):
            self._read(fd, found)
        found.sort()
        first_held = next((i for i, event in enumerate(found) if event.time_ns >= until), len(found))
        self._held = found[first_held:]
        return found[:first_held]

    def _read(self, fd: int, found: list[TraceEvent]) -> None:
        while True:
            try:
                page = os.read(fd, self._layout.size)
            except BlockingIOError:
                return
            if not page:
                return
            events, lost = parse_page(page, self._layout)
            if lost:
                self.lost += max(lost, 1)
            for time_ns, begin, end in events:
                known = self._events.get(int.from_bytes(page[begin : begin + 2], "little"))
                if known is not None and end - begin >= known[1].size:
                    found.append(TraceEvent(time_ns, known[0], known[1].unpack_from(page, begin)))

    def _open_pipes(self) -> None:
        for cpu in (self.path / "per_cpu").glob("cpu*"):
            fd = os.open(cpu / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._pipes[fd] = fd
            self._poll.register(fd, select.POLLIN)

    def _write(self, name: str, value: str) -> None:
        fd = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def close(self) -> None:
        """Remove the instance. Idempotent."""
        for fd in list(self._pipes):
            self._poll.unregister(fd)
            os.close(fd)
            del self._pipes[fd]
        remove_instance(self.path)


def remove_instance(path: Path) -> None:
    """Remove a tracing instance, which must be one's own; nothing where it is gone. Raises OSError when busy."""
    with suppress(FileNotFoundError):
        os.rmdir(path)
