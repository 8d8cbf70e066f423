"""The sysfs tree of in-kernel DAMON, below /sys/kernel/mm/damon/admin/kdamonds: read, written, compared.

One kdamond with one context is all that is used of it. Paths are relative to `kdamonds/0`. A number written to
an `nr_…` file makes that many directories anew, and destroys those that were there. Whatever the kernel answers
with an error is raised as the OSError it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from udamon.linux.procfs import read_bytes
from udamon.linux.roots import Roots

Setting = tuple[str, str]
"""A file of the tree, and what to write to it."""

CONTEXT = "contexts/0"
INTERVALS = f"{CONTEXT}/monitoring_attrs/intervals"
GOAL = f"{INTERVALS}/intervals_goal"
SCHEME = f"{CONTEXT}/schemes/0"
TRIED = f"{SCHEME}/tried_regions"

_NO_SETTINGS = {"state", "pid", "avail_operations"}
_RESULTS = {"tried_regions", "stats"}
_TEXTS = {
    "operations": {"vaddr"}, "action": {"stat"}, "type": {"anon"}, "metric": {"none"},
    "sample_us": {"5000"}, "aggr_us": {"100000"}, "update_us": {"60000000"}, "addr_unit": {"1"},
    "target_metric": {"user_input"}, "goal_tuner": {"consist"}, "target_nid": {"-1"},
}  # fmt: skip
_NR_REGIONS = {"min": {"10"}, "max": {"1000"}}
_ZERO = {"0", "N", ""}


def untouched(path: str) -> set[str]:
    """What the kernel puts into a setting when it makes it."""
    parent, _, name = path.rpartition("/")
    if parent.endswith("/nr_regions"):
        return _NR_REGIONS.get(name, _ZERO)
    return _TEXTS.get(name, _ZERO)


class DamonTree:
    """The tree, present or not. Before writing, a caller must claim it: see claim.damon."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self.admin = roots.sys / "kernel/mm/damon/admin/kdamonds"
        self.root = self.admin / "0"

    @property
    def present(self) -> bool:
        return self.admin.is_dir()

    def create(self) -> int:
        """Make the one kdamond's directory anew; returns what tells it from every other (see `node`)."""
        self._write(self.admin / "nr_kdamonds", "1")
        return os.stat(self.root).st_ino

    def remove(self) -> None:
        """Leave the tree as it is after booting. The kdamond must be off."""
        self._write(self.admin / "nr_kdamonds", "0")

    def count(self) -> int:
        """The number of kdamonds that are set up, running or not."""
        return int(read_bytes(self.admin / "nr_kdamonds"))

    def node(self) -> int | None:
        """The inode number of the kdamond's directory, which never returns while the machine is up."""
        try:
            return os.stat(self.root).st_ino
        except OSError:
            return None

    def has(self, path: str) -> bool:
        """True where the kernel has this file or directory."""
        return (self.root / path).exists()

    def read(self, path: str) -> str:
        return read_bytes(self.root / path).decode(errors="surrogateescape").strip()

    def write(self, path: str, value: str) -> None:
        self._write(self.root / path, value)

    def apply(self, settings: Iterable[Setting]) -> None:
        """Write settings in their order and read each again: OSError where another value is found then."""
        for path, value in settings:
            self.write(path, value)
            found = self.read(path)
            if found != value:
                raise OSError(f"{path} says {found} where {value} was just written")

    @property
    def on(self) -> bool:
        """True while the kdamond runs."""
        try:
            return self.read("state") == "on"
        except OSError:
            return False

    @property
    def pid(self) -> int | None:
        """The kdamond's pid, None while it is off."""
        try:
            pid = int(self.read("pid"))
        except (OSError, ValueError):
            return None
        return pid if pid > 0 else None

    def command(self, keyword: str) -> None:
        """Give a command; returns when the kernel has done it, which may take an aggregation."""
        self.write("state", keyword)

    def turn_off(self) -> None:
        """End the kdamond if it runs."""
        if self.on:
            try:
                self.command("off")
            except PermissionError:
                pass  # EPERM: it ended by itself, its last target being gone

    def settings(self) -> dict[str, str]:
        """All settings: no commands, and no results. Empty where nothing is set up."""
        return dict(self._settings(self.root, ""))

    def _settings(self, directory: Path, prefix: str) -> Iterator[Setting]:
        with suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _RESULTS:
                        yield from self._settings(directory / entry.name, path + "/")
                elif entry.name not in _NO_SETTINGS:
                    yield path, self.read(path)

    def tried_regions(self, path: str = TRIED) -> list[tuple[int, int, int, int, int]]:
        """(start, end, nr_accesses, age, sz_filter_passed) of what the last command found, in the kernel's order.

        `path` is a scheme's tried_regions. Kernels before 6.14 count nothing as passed.
        """
        numbers = sorted(int(name) for name in os.listdir(self.root / path) if name.isdigit())
        passed = bool(numbers) and self.has(f"{path}/{numbers[0]}/sz_filter_passed")
        found = []
        for number in numbers:
            names = ("start", "end", "nr_accesses", "age")
            start, end, nr_accesses, age = (int(self.read(f"{path}/{number}/{name}")) for name in names)
            size = int(self.read(f"{path}/{number}/sz_filter_passed")) if passed else 0
            found.append((start, end, nr_accesses, age, size))
        return found

    @staticmethod
    def _write(path: Path, value: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode(errors="surrogateescape"))
        except OSError as error:
            error.filename = str(path)
            raise
        finally:
            os.close(fd)
