"""Writes what a Monitor sees to a recording. It may start at any time, so it first writes the events that still
hold."""

from __future__ import annotations

import time
from contextlib import suppress
from os import PathLike
from threading import Lock

from udamon.assembly.build import Built
from udamon.errors import CannotError, UdamonError
from udamon.model import Event, Snapshot
from udamon.record.monitored import ReclaimProbe, cost_of, metadata_of
from udamon.record.state import ValidEvents
from udamon.record.writer import Writer

FLUSH_S = 0.9  # a process that is killed loses less than a second; each flush costs about a millisecond


class Recorder:
    """A subscriber of the monitor `built`, with or without a file to write to."""

    def __init__(self, built: Built) -> None:
        self._built = built
        self._lock = Lock()
        self._valid = ValidEvents()
        self._writer: Writer | None = None
        self._next_flush = 0.0
        self._snapshots = 0
        self._reclaim = ReclaimProbe(built.via)
        attrs = {**built.engine.attrs.as_dict(), "why": "start"}
        self._valid.add(Event(time.monotonic_ns(), "attrs", attrs))

    def snapshot(self, snapshot: Snapshot, /) -> None:
        with self._lock:
            self._snapshots += 1
            if self._writer is not None:
                self._writer.snapshot(snapshot)

    def event(self, event: Event, /) -> None:
        with self._lock:
            self._valid.add(event)
            if self._writer is not None:
                self._writer.event(event)

    def begin(self, path: str | PathLike[str], *, force: bool) -> None:
        """Raises OutputError, and CannotError where there is a file already."""
        # What a TLB hides is left out: measuring it takes a process of its own.
        built = self._built
        with self._lock:
            if self._writer is not None:
                raise CannotError("this monitor is recorded already; end it, or make another monitor.")
            writer = Writer(path, metadata_of(built), force=force)
            try:
                for event in self._valid:
                    writer.event(event)
                for text in built.notes:
                    writer.event(Event(time.monotonic_ns(), "note", {"text": text}))
                writer.flush()
            except BaseException:
                with suppress(UdamonError):  # it says again what is raised here
                    writer.close()
                raise
            self._writer = writer

    def keep_up(self) -> None:
        """Called some times a second: flushes. Raises OutputError when writing failed."""
        if time.monotonic() < self._next_flush:
            return
        self._next_flush = time.monotonic() + FLUSH_S
        with self._lock:
            if self._writer is not None:
                self._writer.event(self._cost())
                self._writer.flush()

    def close(self) -> None:
        """Finish the file. Idempotent. Raises OutputError when writing failed."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                with writer:
                    writer.event(self._cost())

    def _cost(self) -> Event:
        # The process is the caller's own, too: what it takes beside the monitor is counted as well.
        return cost_of(self._built.engine, self._snapshots, self._reclaim)
