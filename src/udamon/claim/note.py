"""The note in /run/udamon that says what of in-kernel DAMON a run of udamon has set up; see claim.damon."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from udamon import plain_json
from udamon.errors import CannotError
from udamon.files.fresh import NewFile, remove_left
from udamon.files.output import write_all
from udamon.linux.damon_tree import Setting
from udamon.linux.procfs import ProcessId, read_bytes, read_stat
from udamon.linux.roots import Roots

NAME = "kernel-damon.json"


class ClaimNote:
    """What is noted, each change saved before it is acted on.

    `allowed` has, for each file of the tree, the values that may be found in it.
    """

    def __init__(self, path: Path, boot: str, owner: ProcessId) -> None:
        self.path = path
        self.boot_id = boot
        self.owner = owner
        self.node: int | None = None
        self.kdamond: ProcessId | None = None
        self.starting: int | None = None  # clock ticks since boot
        self.instance: str | None = None
        self.allowed: dict[str, list[str]] = {}

    @classmethod
    def write_first(cls, roots: Roots) -> ClaimNote:
        """A new note, saved. Raises CannotError where it cannot be."""
        pid = os.getpid()
        note = cls(roots.run / NAME, boot_id(roots), read_stat(pid, roots.proc).id)
        note.save()
        return note

    @classmethod
    def read(cls, roots: Roots) -> ClaimNote | None:
        """The note that a run left; None where there is none, or none that can be trusted."""
        path = roots.run / NAME
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            data = plain_json.read_object(read_bytes(path))
            note = cls(path, str(data["boot_id"]), ProcessId(*map(int, data["owner"])))
            note.node = None if data["node"] is None else int(data["node"])
            note.kdamond = None if data["kdamond"] is None else ProcessId(*map(int, data["kdamond"]))
            note.starting = None if data["starting"] is None else int(data["starting"])
            note.instance = _plain_name(data["instance"])
            note.allowed = {str(k): [str(v) for v in values] for k, values in data["allowed"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return note

    def save(self) -> None:
        """Replace the note on the disk, which always has a whole one. Raises CannotError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace()
        except OSError as error:
            raise CannotError(
                f"what udamon does to in-kernel DAMON cannot be noted in {self.path.parent}: {error.strerror}; make it "
                "a directory that root can write to, with room: without that note nothing cleans up after a killed run."
            ) from error

    def _replace(self) -> None:
        data = {
            "boot_id": self.boot_id,
            "owner": self.owner,
            "node": self.node,
            "kdamond": self.kdamond,
            "starting": self.starting,
            "instance": self.instance,
            "allowed": self.allowed,
        }
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            remove_left(directory)  # of runs that were killed while they saved
            new = NewFile(directory)
            try:
                write_all(new.fd, json.dumps(data).encode())
                new.give(self.path.name, replace=True)
            finally:
                new.discard()
        finally:
            os.close(directory)

    def allow(self, settings: Iterable[Setting]) -> None:
        """Announce values that are about to be written. Those before stay: the writing may be cut short."""
        for path, value in settings:
            values = self.allowed.setdefault(path, [])
            if value not in values:
                values.append(value)
        self.save()

    def settle(self, settings: Iterable[Setting]) -> None:
        """These values were written: what the same files had before need not be allowed any more."""
        for path, value in settings:
            self.allowed[path] = [value]

    def announce_start(self) -> None:
        """The kdamond is about to be started."""
        self.kdamond = None
        self.starting = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        self.save()

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()


def _plain_name(value: object) -> str | None:
    if value is None:
        return None
    name = str(value)
    if "/" in name or not name.startswith("udamon-"):
        raise ValueError(name)
    return name


def boot_id(roots: Roots) -> str:
    """What tells this boot of the machine from all others; "" where that is not told."""
    try:
        return read_bytes(roots.proc / "sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return ""
