"""The tree as a value: directories that come and go with their counts, files that take and refuse. No FUSE here.

Directories and values exist only once somebody looks or writes, so that a tree of thousands of schemes costs
nothing until it is used. One try-lock guards the structure, as in the kernel: who meets another one at work
there is refused with EBUSY. Plain settings need no lock.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from udamon.control.kinds import Keyword, TextKind, Value, refused, shown, text_of
from udamon.control.nodes import BASELINE, OPERATIONS, Node, NodeShape, shape_at, state_words
from udamon.core.scheme_fields import Version
from udamon.errors import UsageError
from udamon.units import whole_number

MOST_CHILDREN = 512 << 10
"""The kernel keeps its children in one array of pointers, and gives no more than 4 MiB for it: ENOMEM above."""
WRITE_BYTES = 4096
"""The kernel takes no more of one write."""


class TreeDirectory:
    """A directory: what was written to its files, and its children by name and by number."""

    __slots__ = ("count", "fixed", "numbered", "parent", "removed", "shape", "values")

    def __init__(self, shape: NodeShape, parent: TreeDirectory | None = None) -> None:
        self.shape = shape
        self.parent = parent
        self.values: dict[str, Value] = {}
        self.fixed: dict[str, TreeDirectory] = {}
        self.numbered: dict[int, TreeDirectory] = {}
        self.count = 0
        self.removed = False

    def child(self, name: str) -> TreeDirectory | None:
        """The directory called `name`; None when there is none."""
        shape = self.shape.directories.get(name)
        if shape is not None:
            found = self.fixed.get(name)
            return found if found is not None else self.fixed.setdefault(name, TreeDirectory(shape, self))
        if self.count and (name == "0" or name[:1] not in ("0", "-")):
            number = whole_number(name)
            if number is not None and number < self.count:
                return self.nth(number)
        return None

    def at(self, path: str) -> TreeDirectory:
        """The fixed directory at `path` below this one. KeyError when the kernel of this tree has none."""
        place = self
        for name in path.split("/"):
            found = place.child(name)
            if found is None:
                raise KeyError(path)
            place = found
        return place

    def nth(self, number: int) -> TreeDirectory:
        """The directory called `number`, which there must be."""
        assert self.shape.each is not None
        found = self.numbered.get(number)
        return (
            found
            if found is not None
            else self.numbered.setdefault(number, TreeDirectory(self.shape.each, self))
        )

    def children(self) -> Iterator[TreeDirectory]:
        """Those with numbers, in their order."""
        return (self.nth(number) for number in range(self.count))

    def __getitem__(self, path: str) -> Value:
        """The value of the file at `path`. KeyError when the kernel of this tree has no such file."""
        directory, _, name = path.rpartition("/")
        place = self.at(directory) if directory else self
        value = place.values.get(name)
        return place.shape.files[name].default if value is None else value

    def get(self, path: str, default: Value) -> Value:
        """Likewise; `default` where that kernel has no such file."""
        try:
            return self[path]
        except KeyError:
            return default

    def put(self, path: str, value: Value) -> None:
        """Set the file at `path`, if the kernel of this tree has it. Raises UsageError for a word it does not know."""
        directory, _, name = path.rpartition("/")
        try:
            place = self.at(directory) if directory else self
        except KeyError:
            return
        node = place.shape.files.get(name)
        if node is None:
            return
        if isinstance(node.kind, Keyword) and value not in node.kind.words:
            raise UsageError(f"{name}: this tree does not know {value!r}; use one of {node.kind.word}.")
        place.values[name] = value

    def resize(self, count: int) -> None:
        """Destroy the numbered directories and make `count` new ones."""
        for old in self.numbered.values():
            old.removed = True
        self.numbered, self.count = {}, count

    def fill(self, results: Sequence[Mapping[str, Value]]) -> None:
        """One numbered directory for each of `results`, with these values."""
        self.resize(len(results))
        for number, values in enumerate(results):
            directory = self.nth(number)
            for path, value in values.items():
                directory.put(path, value)

    @property
    def gone(self) -> bool:
        place: TreeDirectory | None = self
        while place is not None:
            if place.removed:
                return True
            place = place.parent
        return False

    def names(self) -> list[str]:
        return [*self.shape.files, *self.shape.directories, *map(str, range(self.count))]


class Commands(Protocol):
    """What stands behind `state` and `pid`: see commands.py."""

    def running(self, kdamond: TreeDirectory) -> bool: ...

    def pid(self, kdamond: TreeDirectory) -> int:
        """−1 while it is off."""

    def command(self, kdamond: TreeDirectory, keyword: str) -> None:
        """Raises OSError with the kernel's error number."""

    def forget(self, kdamond: TreeDirectory) -> None:
        """The directory is about to go; it does not run."""


class NoCommands:
    """A tree with nothing behind it: everything is off, and commands are refused like those of a kdamond
    that never ran."""

    def running(self, kdamond: TreeDirectory) -> bool:
        return False

    def pid(self, kdamond: TreeDirectory) -> int:
        return -1

    def command(self, kdamond: TreeDirectory, keyword: str) -> None:
        raise refused(errno.EINVAL)

    def forget(self, kdamond: TreeDirectory) -> None:
        """Nothing is known of it."""


class Tree:
    """`admin` and everything below. Paths are relative to it; "" is itself."""

    def __init__(
        self,
        commands: Commands | None = None,
        version: Version = BASELINE,
        operations: Sequence[str] = ("vaddr", "fvaddr", "paddr"),
    ) -> None:
        """`operations` are those that avail_operations names. Raises UsageError for a version without a tree."""
        self.version = version
        self.root = TreeDirectory(shape_at(version))
        self.commands: Commands = commands or NoCommands()
        self._words = state_words(version)
        self._operations = operations
        self._lock = threading.Lock()
        self._places: dict[str, TreeDirectory] = {}
        """Directories by path, as they were found last: paths are asked for again and again."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the structure. Raises OSError EBUSY when somebody does already."""
        if not self._lock.acquire(blocking=False):
            raise refused(errno.EBUSY)
        try:
            yield
        finally:
            self._lock.release()

    def find(self, path: str) -> TreeDirectory | File:
        """What is at `path`. Raises OSError ENOENT or ENOTDIR."""
        head, _, name = path.strip("/").rpartition("/")
        place = self._places.get(head)
        if place is None or place.gone:
            place = self._walk(head)
            self._places[head] = place
        if not name:
            return place
        found = place.child(name)
        if found is not None:
            return found
        if name not in place.shape.files:
            raise refused(errno.ENOENT)
        return File(self, place, name)

    def _walk(self, path: str) -> TreeDirectory:
        place = self.root
        for name in path.split("/") if path else ():
            found = place.child(name)
            if found is None:
                raise refused(errno.ENOTDIR if name in place.shape.files else errno.ENOENT)
            place = found
        return place

    def file(self, path: str) -> File:
        """The file at `path`. Raises OSError ENOENT, ENOTDIR or EISDIR."""
        found = self.find(path)
        if isinstance(found, TreeDirectory):
            raise refused(errno.EISDIR)
        return found

    def read(self, path: str) -> str:
        """The file's text, with the newline that ends it. Raises OSError."""
        return self.file(path).read()

    def write(self, path: str, text: str) -> None:
        """Raises OSError with the kernel's error number; EACCES where nothing can be written."""
        file = self.file(path)
        if not file.node.writable:
            raise refused(errno.EACCES)
        file.write(text.encode(errors="surrogateescape"))

    def names(self, path: str = "") -> list[str]:
        """Raises OSError ENOENT or ENOTDIR."""
        found = self.find(path)
        if isinstance(found, File):
            raise refused(errno.ENOTDIR)
        return found.names()

    def forget_places(self) -> None:
        """Directories are about to go: nothing need be remembered of them."""
        self._places = {}

    def operations(self) -> list[str]:
        """The names that can be written to `operations` with success in the end."""
        return [name for name in self._operations if OPERATIONS[name] <= self.version]

    def kdamonds(self) -> Iterator[TreeDirectory]:
        return self.root.at("kdamonds").children()

    def is_command(self, word: str) -> bool:
        return word in self._words


class File:
    """One file, bound to its directory: when that is removed, the file answers ENODEV, as in the kernel."""

    __slots__ = ("_tree", "directory", "name", "node")

    def __init__(self, tree: Tree, directory: TreeDirectory, name: str) -> None:
        self._tree = tree
        self.directory = directory
        self.name = name
        self.node: Node = directory.shape.files[name]

    def read(self) -> str:
        """Raises OSError: ENODEV, or EBUSY where the structure must stand still for it."""
        if self.directory.gone:
            raise refused(errno.ENODEV)
        return _READERS.get(self.name, _read_value)(self._tree, self) + "\n"

    def write(self, data: bytes) -> int:
        """How many bytes were taken. Raises OSError with the kernel's error number."""
        if self.directory.gone:
            raise refused(errno.ENODEV)
        taken = data[:WRITE_BYTES]
        text = text_of(taken)
        if self.node.counts:
            self._write_count(text)
        elif self.node.kind is None:
            self._command(text)
        else:
            self._write_value(text)
        return len(taken)

    def _write_value(self, text: str) -> None:
        kind = self.node.kind_at(self._tree.version)
        assert kind is not None
        value = kind.parse(text)
        if isinstance(kind, TextKind):
            with self._tree.exclusive():
                self.directory.values[self.name] = value
        else:
            self.directory.values[self.name] = value

    def _write_count(self, text: str) -> None:
        kind = self.node.kind_at(self._tree.version)
        assert kind is not None
        number = int(kind.parse(text))
        with self._tree.exclusive():
            if self.name == "nr_kdamonds":
                self._forget_kdamonds()
            self._tree.forget_places()
            fits = number <= MOST_CHILDREN
            self.directory.resize(number if fits else 0)
            if not fits:
                raise refused(
                    errno.ENOMEM, f"{number} are too many directories; give at most {MOST_CHILDREN}."
                )

    def _forget_kdamonds(self) -> None:
        commands = self._tree.commands
        if any(commands.running(kdamond) for kdamond in self.directory.numbered.values()):
            raise refused(errno.EBUSY)
        for kdamond in self.directory.numbered.values():
            commands.forget(kdamond)

    def _command(self, text: str) -> None:
        word = text.removesuffix("\n")
        with self._tree.exclusive():
            if not self._tree.is_command(word):
                words = ", ".join(state_words(self._tree.version))
                raise refused(errno.EINVAL, f"{shown(text)} is none of {words}; give one of them.")
            if word != "off" and self.directory.at("contexts").count != 1:
                raise refused(errno.EINVAL, "there is no context; write 1 to contexts/nr_contexts first.")
            self._tree.commands.command(self.directory, word)


def _read_value(tree: Tree, file: File) -> str:
    kind = file.node.kind_at(tree.version)
    assert kind is not None
    if file.node.counts:
        return str(file.directory.count)
    if isinstance(kind, TextKind):
        with tree.exclusive():
            return kind.show(file.directory[file.name])
    return kind.show(file.directory[file.name])


def _read_state(tree: Tree, file: File) -> str:
    with tree.exclusive():
        return "on" if tree.commands.running(file.directory) else "off"


def _read_pid(tree: Tree, file: File) -> str:
    with tree.exclusive():
        return str(tree.commands.pid(file.directory))


def _read_operations(tree: Tree, file: File) -> str:
    return "\n".join(tree.operations())


_READERS: dict[str, Callable[[Tree, File], str]] = {
    "state": _read_state,
    "pid": _read_pid,
    "avail_operations": _read_operations,
}
