"""The seam between trees and whoever serves them: directories with names, files that are read and written whole."""

from __future__ import annotations

import errno
from typing import Protocol

from udamon.control.kinds import refused
from udamon.control.tree import File, Tree, TreeDirectory


class OpenedFile(Protocol):
    """An open file."""

    mode: int
    """Its permission bits."""

    def read(self) -> str:
        """All of it, as it is now. Raises OSError."""

    def write(self, data: bytes, offset: int) -> int:
        """How many bytes were taken. Raises OSError."""


class Files(Protocol):
    """A tree of files. Paths are absolute, "/" is its top. Everything raises OSError."""

    def mode(self, path: str) -> int:
        """The permission bits of a file; −1 for a directory."""

    def entries(self, path: str) -> list[tuple[str, bool]]:
        """What is in a directory: names, and whether each is one itself."""

    def open(self, path: str) -> OpenedFile: ...


class AdminFiles:
    """/sys/kernel/mm/damon: `admin`, and the tree below it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def mode(self, path: str) -> int:
        if path == "/":
            return -1
        found = self._tree.find(_below_admin(path))
        return -1 if isinstance(found, TreeDirectory) else found.node.mode

    def entries(self, path: str) -> list[tuple[str, bool]]:
        if path == "/":
            return [("admin", True)]
        below = _below_admin(path)
        found = self._tree.find(below)
        if not isinstance(found, TreeDirectory):
            raise refused(errno.ENOTDIR)
        return [(name, name not in found.shape.files) for name in found.names()]

    def open(self, path: str) -> OpenedFile:
        if path == "/":
            raise refused(errno.EISDIR)
        return _SysfsHandle(self._tree.file(_below_admin(path)))


class _SysfsHandle:
    """A file of sysfs: where in it is written makes no difference."""

    __slots__ = ("_file", "mode")

    def __init__(self, file: File) -> None:
        self._file = file
        self.mode = file.node.mode

    def read(self) -> str:
        return self._file.read()

    def write(self, data: bytes, offset: int) -> int:
        return self._file.write(data)


def _below_admin(path: str) -> str:
    first, _, rest = path.lstrip("/").partition("/")
    if first != "admin":
        raise refused(errno.ENOENT)
    return rest
