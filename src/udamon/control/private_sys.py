"""A /sys of one's own, in which DAMON's files are udamon's and no path leads to the kernel's
(docs/damon.md#sysfs, #debugfs).

A tmpfs takes the place of /sys. What is not on the way to the hidden directories is bound back whole; directories
on the way are made anew and their other children bound back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from udamon.errors import CannotError
from udamon.linux.mounts import MountInfo
from udamon.linux.namespaces import bind, mount_tmpfs, move

SYSFS, DEBUGFS = "kernel/mm/damon", "kernel/debug/damon"
"""Below /sys: where the trees are."""
HIDDEN = {"sysfs": "/kernel/mm/damon", "debugfs": "/damon"}
"""Where the kernel's own are within their file systems."""


class Step(NamedTuple):
    """`what`: "directory" makes one, "bind" shows the old one's content, "link" copies a symbolic link."""

    what: str
    path: str


class Listed(NamedTuple):
    """An entry of a directory below /sys."""

    name: str
    kind: str
    """ "directory", "file" or "link"."""


Listing = Callable[[str], Iterable[Listed]]
"""What a directory below /sys has; "" is /sys itself. Raises OSError."""


def plan(listing: Listing, trees: Sequence[str], hidden: Sequence[str]) -> list[Step]:
    """The steps that make a /sys with empty directories at `trees` and without anything at `hidden`."""
    steps: list[Step] = []
    _rebuild("", listing, set(trees), {*trees, *hidden}, steps)
    made = {step.path for step in steps}
    for tree in trees:  # what the real one lacks: a kernel without debugfs, or without DAMON
        for directory in [*map(str, reversed(Path(tree).parents)), tree][1:]:
            if directory not in made:
                made.add(directory)
                steps.append(Step("directory", directory))
    return steps


def _rebuild(path: str, listing: Listing, trees: set[str], cut: set[str], steps: list[Step]) -> None:
    for child in sorted(listing(path)):
        below = f"{path}/{child.name}".lstrip("/")
        if below in cut:
            if below in trees:
                steps.append(Step("directory", below))
        elif any(each.startswith(f"{below}/") for each in cut):
            steps.append(Step("directory", below))
            _rebuild(below, listing, trees, cut, steps)
        elif child.kind == "link":
            steps.append(Step("link", below))
        else:
            steps.append(Step("directory" if child.kind == "directory" else "file", below))
            steps.append(Step("bind", below))


def listing_of(sys: Path) -> Listing:
    """Of a real /sys."""

    def kind(entry: os.DirEntry[str]) -> str:
        if entry.is_symlink():
            return "link"
        return "directory" if entry.is_dir(follow_symlinks=False) else "file"

    def listing(path: str) -> list[Listed]:
        with os.scandir(sys / path) as entries:
            return [Listed(entry.name, kind(entry)) for entry in entries]

    return listing


def build(steps: Sequence[Step], sys: Path, staging: Path) -> None:
    """Carry `steps` out on a tmpfs at `staging`, and move it over `sys`. Only in a private mount namespace.

    Raises CannotError.
    """
    try:
        mount_tmpfs(staging)
        for what, path in steps:
            target = staging / path
            if what == "directory":
                target.mkdir()
            elif what == "file":
                target.touch()
            elif what == "link":
                target.symlink_to(os.readlink(sys / path))
            else:
                bind(sys / path, target)
        move(staging, sys)
    except OSError as error:
        raise CannotError(
            f"a /sys of its own could not be made: {error.strerror} at {error.filename}; nothing was run."
        ) from error


def leaks(mounts: Sequence[MountInfo], device_of: Callable[[str], int | None]) -> list[str]:
    """Paths of this namespace that lead to the kernel's own trees.

    `device_of` tells the device of what a path leads to, None where it leads nowhere. A mount that another one
    covers is found covered: its path has the other's device.
    """
    found = []
    for mount in mounts:
        hidden = HIDDEN.get(mount.kind)
        path = None if hidden is None else _shown_at(mount, hidden)
        if path is not None and device_of(path) == mount.device:
            found.append(path)
    return found


def _shown_at(mount: MountInfo, hidden: str) -> str | None:
    root = mount.root.rstrip("/")
    if hidden == root or hidden.startswith(f"{root}/"):
        return f"{mount.point.rstrip('/')}{hidden[len(root) :]}"
    return mount.point if root.startswith(f"{hidden}/") else None


def device_of(path: str) -> int | None:
    """The number of the device that a path lies on; None where there is no telling."""
    try:
        return os.stat(path).st_dev
    except OSError:
        return None


def open_directories(descriptors: Iterable[int], mounts: Sequence[MountInfo]) -> list[int]:
    """Those of `descriptors` that are directories of the kernel's file systems: a path by another name."""
    devices = {mount.device for mount in mounts if mount.kind in HIDDEN}
    found = []
    for fd in descriptors:
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_dev in devices:
            found.append(fd)
    return found
