"""The directories of a hierarchy of control groups, kept up to date by inotify.

Each directory is watched before it is listed, so what is made in between is seen at least once. An event says only
where to look: what is there now decides, so that events that come late, twice or in a row for one name do no harm. A
directory that replaced another one at the same path has another watch (the kernel uses no number twice); where it
cannot be watched it has another inode.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from udamon.agent.discovery.paths import ROOT
from udamon.errors import OutOfFiles
from udamon.linux.inotify import Inotify
from udamon.linux.open_files import refuse_if_full

MOST_GROUPS = 50_000
"""Directories that are kept, some 20 MiB: a user who may make control groups could make them without end."""

_MOST_READS = 64
"""Of events in one update, 64 KiB each, so that it ends though groups come and go all the time."""


class Group:
    """A directory. `watch`: None where it is not watched; `inode`: only then."""

    __slots__ = ("children", "inode", "key", "watch")

    def __init__(self, key: str, watch: int | None, inode: int) -> None:
        self.key = key
        self.watch = watch
        self.inode = inode
        self.children: dict[str, Group] = {}


class GroupTree:
    """All groups below the directory `root`, itself included."""

    def __init__(self, root: Path, inotify: Inotify | None, most: int = MOST_GROUPS) -> None:
        self.root = root
        self.rereads = 0
        """How often all directories were read because events had been lost."""
        self._inotify = inotify
        self._most = most
        self._top: Group | None = None
        self._top_inode: int | None = None
        self._by_watch: dict[int, Group] = {}
        self._unwatched: dict[str, Group] = {}
        self._count = 0
        self._stale = False  # events were lost: all must be read
        self._too_many = False
        self._full = False  # no further watch is allowed, in this update
        self._changes: list[tuple[str, bool]] = []

    def update(self) -> list[tuple[str, bool]]:
        """Keys of groups that have come (True) and gone (False) since the last call, in order.

        Raises OutOfFiles; the next call then tells all.
        """
        self._full = False
        try:
            self._read_events()
            # The kernel tells the removal of a control group to who watches its parent, not to who watches itself.
            if self._top is not None and _inode(str(self.root)) != self._top_inode:
                self._look_again(self._top)
            if self._top is None:
                self._look_for_root()
            elif self._stale or (self._too_many and self._count < self._most * 7 // 8):
                self.rereads += self._stale
                self._stale = self._too_many = False
                self._read_below(self._top, again=True)
            for group in list(self._unwatched.values()):
                if self._unwatched.get(group.key) is group:  # not removed meanwhile
                    self._look_again(group)
        except OutOfFiles:
            self._stale = True
            raise
        changes, self._changes = self._changes, []
        return changes

    def group(self, key: str) -> Group | None:
        group = self._top
        for name in key.split("/") if key != ROOT else ():
            group = group and group.children.get(name)
        return group

    @property
    def there(self) -> bool:
        """False where there is no such directory as the root now."""
        return self._top is not None

    @property
    def unwatched(self) -> int:
        """Groups that are read again in each update, because they cannot be watched."""
        return len(self._unwatched)

    @property
    def too_many(self) -> bool:
        """There are more groups than are kept, and some are missing."""
        return self._too_many

    def _look_for_root(self) -> None:
        self._top_inode = _inode(str(self.root))  # first: one that is replaced meanwhile is looked at again
        found = self._identify(str(self.root), None)
        if found is not None:
            self._top = self._add(ROOT, *found)
            self._read_below(self._top)

    def _read_events(self) -> None:
        inotify = self._inotify
        for _ in range(_MOST_READS if inotify else 0):
            assert inotify is not None
            events = inotify.read()
            if not events:
                return
            for event in dict.fromkeys(events):  # one look answers all that was told of a name before it
                if event.overflow:
                    self._stale = True
                elif (group := self._by_watch.get(event.watch)) is None:
                    continue  # removed meanwhile
                elif event.ignored:
                    del self._by_watch[event.watch]
                    self._look_again(group)
                elif (child := self._look(group, event.name)) is not None:
                    self._read_below(child)

    def _look_again(self, group: Group) -> None:
        """At one that is not watched, or not any more: it may be gone, replaced, or may be watched by now."""
        if group is self._top:
            found = self._identify(str(self.root), group)
            if found is None or not self._same(group, *found):
                self._remove(group)
                self._top = None
                return
        else:
            above, _, name = group.key.rpartition("/")
            parent = self.group(above or ROOT)
            if parent is None:
                return
            new = self._look(parent, name) or parent.children.get(name)
            if new is None:
                return
            group = new
        self._read_below(group)

    def _read_below(self, top: Group, again: bool = False) -> None:
        """Lists the groups in `top`, and in those that were not known; with `again`, in all."""
        left = [top]
        while left:
            group = left.pop()
            names = self._names(group.key)
            for name in group.children.keys() - names:
                self._look(group, name)
            for name in sorted(names if again else names - group.children.keys()):
                child = self._look(group, name) or (group.children.get(name) if again else None)
                if child is not None:
                    left.append(child)

    def _names(self, key: str) -> set[str]:
        try:
            with os.scandir(self._path(key)) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError as error:
            refuse_if_full(error)
            return set()  # removed meanwhile

    def _look(self, above: Group, name: str) -> Group | None:
        """What is at that name now; answers the group when it was not known."""
        key = name if above.key == ROOT else f"{above.key}/{name}"
        known = above.children.get(name)
        found = self._identify(self._path(key), known)
        if known is not None:
            if found is not None and self._same(known, *found):
                return None
            self._remove(known)
            del above.children[name]
        if found is None:
            return None
        if self._count >= self._most:
            self._too_many = True
            if self._inotify is not None and found[0] is not None:
                self._inotify.forget(found[0])
            return None
        above.children[name] = self._add(key, *found)
        return above.children[name]

    def _identify(self, path: str, known: Group | None) -> tuple[int | None, int] | None:
        """The watch of the directory at `path`, or its inode where it cannot be watched; None where there is none.

        A directory that is watched already has its watch whatever the limit.
        """
        if self._inotify is not None and not (self._full and (known is None or known.watch is None)):
            try:
                return self._inotify.watch(path), 0
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    return None
                self._full = self._full or error.errno == errno.ENOSPC
        inode = _inode(path)
        return None if inode is None else (None, inode)

    def _same(self, group: Group, watch: int | None, inode: int) -> bool:
        """Whether it is the directory that was identified so; one that was not watched and can be is from now on."""
        if group.watch is not None:
            return group.watch == watch
        if watch is None:
            return group.inode == inode
        if group.inode != _inode(self._path(group.key)):
            return False
        del self._unwatched[group.key]
        group.watch = watch
        self._by_watch[watch] = group
        return True

    def _add(self, key: str, watch: int | None, inode: int) -> Group:
        group = Group(key, watch, inode)
        if watch is None:
            self._unwatched[key] = group
        else:
            self._by_watch[watch] = group
        self._count += 1
        self._changes.append((key, True))
        return group

    def _remove(self, top: Group) -> None:
        for group in reversed(list(below(top))):
            if group.watch is None:
                self._unwatched.pop(group.key, None)
            elif self._by_watch.get(group.watch) is group:
                del self._by_watch[group.watch]
                if self._inotify is not None:
                    self._inotify.forget(group.watch)  # it may still be there, at another name
            self._count -= 1
            self._changes.append((group.key, False))

    def _path(self, key: str) -> str:
        return str(self.root) if key == ROOT else f"{self.root}/{key}"


def _inode(path: str) -> int | None:
    """Of a directory; None where there is none."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino if stat.S_ISDIR(found.st_mode) else None


def below(top: Group) -> Iterator[Group]:
    """The group and all below it, parents first."""
    left = [top]
    while left:
        group = left.pop()
        yield group
        left.extend(group.children.values())
