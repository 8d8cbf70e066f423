"""What outlives a restart of the agent: of each service, how often memory came back after an age, and what it needed.

Hours count back from when the file was written. A clock on the wall that went back, or leaps, costs hours, no more.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from udamon import plain_json
from udamon.agent.hours import HOUR_NS, HOURS
from udamon.agent.watched import WatchedService
from udamon.errors import CannotError
from udamon.files import place
from udamon.files.exclusive import Exclusive
from udamon.files.output import whole_file

FORMAT = 1
_BEGINNING = b'{"format"'
"""Of every file that this module writes, whatever the format."""

MOST_BYTES = 256 << 20
SPOOL_LOCK = "_lock"
"""Names with a _ are passed over by all that read a location."""
MOST_SERVICES = 5_000


class SavedFigures:
    """Saved figures of services, by their labels; those that have ended are kept for a day."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problem: str | None = None
        """Why nothing was taken over; None where all was, or there is no file yet."""
        self._saved: dict[str, _Saved] = {}

    def load(self, wall_ns: int, now_ns: int) -> None:
        """Read the file, if it is there. What it says is checked when a service takes it over.

        Raises CannotError for a file that no agent wrote: saving would replace it.
        """
        try:
            data = self._read()
            if data and not data.startswith(_BEGINNING):
                raise CannotError(
                    f"{self.path} is no agent's state, and would be replaced by one; give another state."
                )
            found = plain_json.read_object(data) if len(data) <= MOST_BYTES else {}
            if found.get("format") != FORMAT:
                raise ValueError("it is no state of this version")
            hours = max(0, (wall_ns - int(found["wall_ns"])) // HOUR_NS)
            for name, saved in list(found["services"].items())[:MOST_SERVICES]:
                ended_ns = now_ns - (hours + max(0, int(saved["hours"]))) * HOUR_NS
                self._saved[name] = _Saved(ended_ns, _packed(saved["figures"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._saved.clear()
            self.problem = f"{self.path} was not taken over: {error}; figures of 24 h begin anew."

    def _read(self) -> bytes:
        """Raises OSError; CannotError for what is no regular file."""
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CannotError(f"{self.path} is no regular file; give another state.")
            return file.read(MOST_BYTES + 1)

    def came(self, one: WatchedService, now_ns: int) -> None:
        """A service that came, or got its name not long after that, takes over what is known of it."""
        if one.figures.promotions.watched_ns >= HOUR_NS:
            return
        name = name_of(one.service.key, one.service.labels)
        saved = self._saved.pop(name, None)
        if saved is None or (hours := saved.hours(now_ns)) >= HOURS:
            return
        try:
            figures = saved.figures()
            promotions, needs = deepcopy(one.figures.promotions), deepcopy(one.figures.needs)
            promotions.load(figures["promotions"], now_ns, hours)
            needs.load(figures["needs"], now_ns, hours)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            self.problem = f"{self.path}: what it says of {name} was not taken over: {error}."
        else:
            one.figures.promotions, one.figures.needs = promotions, needs

    def ended(self, one: WatchedService, now_ns: int) -> None:
        """Keep the figures of a service that ended, for it may return; but not of one that was watched for less than an
        hour."""
        if one.figures.promotions.watched_ns >= HOUR_NS and len(self._saved) < MOST_SERVICES:
            name = name_of(one.service.key, one.service.labels)
            self._saved[name] = _Saved(now_ns, _packed(_figures(one)))

    def save(self, services: Iterable[WatchedService], wall_ns: int, now_ns: int) -> None:
        """Write the file anew. Raises OutputError."""
        self._saved = {name: saved for name, saved in self._saved.items() if saved.hours(now_ns) < HOURS}
        found = {
            name: {"hours": saved.hours(now_ns), "figures": saved.figures()}
            for name, saved in self._saved.items()
        }
        for one in services:
            found[name_of(one.service.key, one.service.labels)] = {"hours": 0, "figures": _figures(one)}
        document = {"format": FORMAT, "wall_ns": wall_ns, "services": found}
        with whole_file(self.path, force=True) as file:
            file.write(json.dumps(document, separators=(",", ":")).encode())

    @property
    def kept(self) -> int:
        """How many services that are not there now are remembered."""
        return len(self._saved)


class _Saved(NamedTuple):
    """Figures as of some time, packed: thousands may be kept."""

    as_of_ns: int
    packed: bytes

    def hours(self, now_ns: int) -> int:
        return max(0, (now_ns - self.as_of_ns) // HOUR_NS)

    def figures(self) -> Any:
        return plain_json.read(zlib.decompress(self.packed))


def _packed(figures: object) -> bytes:
    return zlib.compress(json.dumps(figures, separators=(",", ":")).encode(), 1)


def name_of(key: str, labels: Mapping[str, str]) -> str:
    """What stays the same over restarts: the labels, and the key where they have no more than that."""
    return " ".join(f"{name}={labels[name]}" for name in sorted(labels)) or key


def check_place(path: str) -> None:
    """Raises CannotError where the directory is not there, or no file can be written to."""
    if not os.path.isdir(Path(path).absolute().parent):
        raise CannotError(f"there is no directory for {path}; make it, or give another state.")
    place.check(path, force=True)


def check_spool(path: str) -> None:
    """Raises CannotError for a place that is no directory, and where none can be made. Nothing is made."""
    wanted = Path(path).absolute()
    there = next(each for each in (wanted, *wanted.parents) if os.path.lexists(each))
    if not os.path.isdir(there):
        raise CannotError(f"{there} is no directory, so rows cannot be kept there; give another spool.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CannotError(
            f"the spool {path} cannot be written: this user may not write to {there}; give another one."
        )


def claim_state(path: str) -> Exclusive:
    """For this process alone, as long as it lives. Raises CannotError."""
    return Exclusive(Path(f"{path}.lock"), f"the state {path}", "end that one, or give another state")


def claim_spool(path: str) -> Exclusive:
    """For this process alone, as long as it lives; the directory is made. Raises CannotError."""
    check_spool(path)
    try:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotError(f"the spool {path} cannot be made: {error.strerror}; give another one.") from error
    return Exclusive(Path(path) / SPOOL_LOCK, f"the spool {path}", "end that one, or give another spool")


def _figures(one: WatchedService) -> dict[str, Any]:
    return {"promotions": one.figures.promotions.saved(), "needs": one.figures.needs.saved()}
