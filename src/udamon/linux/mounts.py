"""Mounts: what is mounted where, and taking one off."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import NamedTuple

from udamon.linux.roots import PROC

_MNT_DETACH = 2


class MountInfo(NamedTuple):
    """One line of a mountinfo file: `root` is the directory of the file system that shows at `point`; `options` are
    those of the file system."""

    root: str
    point: str
    kind: str
    device: int
    options: frozenset[str] = frozenset()


def parse_mountinfo(text: str) -> list[MountInfo]:
    """All mounts, in the order they were made."""
    mounts = []
    for line in text.split("\n"):  # a path may have other characters that end a line for people
        left, _, right = line.partition(" - ")
        fields, words = left.split(" "), right.split(" ")
        if len(fields) >= 5:
            major, _, minor = fields[2].partition(":")
            device = os.makedev(int(major), int(minor))
            options = frozenset(words[-1].split(","))
            mounts.append(MountInfo(_unescape(fields[3]), _unescape(fields[4]), words[0], device, options))
    return mounts


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def mounts(root: Path = PROC) -> list[MountInfo]:
    """The mounts of this process's namespace. Raises OSError."""
    return parse_mountinfo((root / "self/mountinfo").read_text(errors="surrogateescape"))


def mount_points(root: Path = PROC) -> set[str]:
    """Paths at which something is mounted. Raises OSError."""
    return {mount.point for mount in mounts(root)}


def detach(point: Path) -> None:
    """Unmount, used or not. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), _MNT_DETACH):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(point))
