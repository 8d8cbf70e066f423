"""`--json-lines`: the snapshots of a monitor on standard output while it runs, a JSON document a line."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from udamon import console
from udamon.assembly.build import Built
from udamon.errors import UsageError
from udamon.model import Event, Snapshot
from udamon.record.monitored import metadata_of
from udamon.report.access_lines import USED_EVENTS, AccessDocuments

MOST_REGIONS = 100_000
"""Of snapshots that wait for a reader: about 10 MiB."""
LAST_S = 1.0
"""How long the last lines are waited for once the user has ended the command."""


def configure(parser: argparse._ActionsContainer) -> None:
    """Add the flag."""
    parser.add_argument(
        "--json-lines",
        action="store_true",
        help="print each snapshot as it comes, a document of report access --json on one line",
    )


def check(args: argparse.Namespace) -> None:
    """Raises UsageError where something else is printed on standard output."""
    if args.json_lines and args.command is not None:
        raise UsageError(
            "standard output is the COMMAND's, so it cannot have --json-lines; watch it with -p."
        )
    if args.json_lines and getattr(args, "json", False):
        raise UsageError("--json and --json-lines both go to standard output; give one of them.")


@contextmanager
def printed(built: Built, stopped: threading.Event, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """While the monitor runs its snapshots are printed, if that is `wanted`.

    Yields what is to be called some times a second: it raises the OSError that writing has ended with
    (console.failed_by). At the end the last lines are waited for until `stopped`.
    """
    if not wanted:
        yield lambda: None
        return
    lines = JsonLines(AccessDocuments(metadata_of(built)))
    built.engine.bus.subscribe(lines)
    try:
        yield lines.check
        lines.finish(stopped)
    finally:
        lines.end()


def _as_one(before: Event, event: Event) -> Event:
    """Two events of one kind and target, the second one later, as one that says the same."""
    if event.name != "mappings":
        return event
    old: Mapping[str, Any] = before.data
    new: Mapping[str, Any] = event.data
    removed = dict.fromkeys([*old.get("remove", ()), *new.get("remove", ())])
    gone = set(new.get("remove", ()))
    added = {row[0]: row for row in old.get("add", ()) if row[0] not in gone}
    added |= {row[0]: row for row in new.get("add", ())}
    data = {"target": new["target"], "remove": list(removed), "add": list(added.values())}
    return Event(event.time_ns, event.name, data)


class JsonLines:
    """Makes and prints the lines on a thread of its own, so that a reader who is slow does not stop the monitor.

    Where more than MOST_REGIONS wait, snapshots are left out, and counted. Of the events between two snapshots that are
    printed, one of each kind and target waits, so that memory does not grow while nothing is read.
    """

    def __init__(
        self, documents: AccessDocuments, write: Callable[[bytes], None] = console.out_unbuffered
    ) -> None:
        self._documents, self._write = documents, write
        self._waiting: deque[Snapshot | Event] = deque()
        self._since: dict[tuple[str, object], Event] = {}  # the last snapshot that waits
        self._regions = 0
        self._changed = threading.Condition()
        self._ending = False
        self._failure: OSError | None = None
        self.left_out = 0
        # The process does not wait for it: it may be blocked by a reader who reads no more.
        self._thread = threading.Thread(target=self._run, name="json-lines", daemon=True)
        self._thread.start()

    def snapshot(self, snapshot: Snapshot) -> None:
        with self._changed:
            if self._regions and self._regions + len(snapshot) > MOST_REGIONS:
                self.left_out += 1
                return
            self._regions += len(snapshot)
            self._waiting.extend(self._since.values())
            self._since.clear()
            self._waiting.append(snapshot)
            self._changed.notify()

    def event(self, event: Event) -> None:
        if event.name not in USED_EVENTS:
            return
        key = event.name, event.data.get("target")
        with self._changed:
            before = self._since.pop(key, None)
            self._since[key] = event if before is None else _as_one(before, event)

    def check(self) -> None:
        """Raises the OSError that writing has ended with."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Print what waits, and no more."""
        with self._changed:
            self._ending = True
            self._changed.notify()

    def finish(self, stopped: threading.Event) -> None:
        """Wait until all is printed; LAST_S once `stopped` is set. Raises as `check`."""
        self.end()
        until = None
        while self._thread.is_alive() and (until is None or time.monotonic() < until):
            self._thread.join(0.05)
            if until is None and stopped.is_set():
                until = time.monotonic() + LAST_S
        self.check()
        if self.left_out:
            console.say(f"snapshots that were not printed, as their reader is too slow: {self.left_out}.")

    def _run(self) -> None:
        try:
            while (one := self._next()) is not None:
                if isinstance(one, Event):
                    self._documents.event(one)
                else:
                    text = json.dumps(self._documents.document(one), allow_nan=False)
                    self._write(text.encode() + b"\n")
        except OSError as error:
            self._failure = error

    def _next(self) -> Snapshot | Event | None:
        with self._changed:
            while not self._waiting and not self._ending:
                self._changed.wait()
            if not self._waiting:
                return None
            one = self._waiting.popleft()
            self._regions -= len(one) if isinstance(one, Snapshot) else 0
            return one
