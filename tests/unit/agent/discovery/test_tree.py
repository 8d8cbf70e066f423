"""The tree of groups, followed by inotify in plain directories: races, losses and limits."""

from __future__ import annotations

import errno
import gc
import os
import random
import select
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udamon.agent.discovery.paths import ROOT
from udamon.agent.discovery.tree import Group, GroupTree, below
from udamon.errors import OutOfFiles
from udamon.linux.inotify import Inotify, InotifyEvent


class Followed:
    """What somebody knows who listens to the changes alone."""

    def __init__(self, root: Path, inotify: Inotify | None, most: int = 10_000) -> None:
        self.tree = GroupTree(root, inotify, most)
        self.keys: set[str] = set()
        self.inotify = inotify

    def update(self) -> list[tuple[str, bool]]:
        changes = self.tree.update()
        for key, came in changes:
            assert (key in self.keys) is not came, f"{key} {'comes twice' if came else 'goes twice'}"
            (self.keys.add if came else self.keys.remove)(key)
        return changes

    def settle(self) -> set[str]:
        while self.update():
            pass
        assert self.keys == self._kept()
        return self.keys

    def _kept(self) -> set[str]:
        top = self.tree.group(ROOT)
        return {group.key for group in below(top)} if top else set()


class Losing(Inotify):
    """Loses every event from time to time, and says so at once, as a queue that is full does."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self._share, self._random = share, random.Random(seed)

    def read(self) -> list[InotifyEvent]:
        kept: list[InotifyEvent] = []
        for event in super().read():
            kept.append(event if self._random.random() > self._share else InotifyEvent(-1, overflow=True))
        return kept


class Limited(Inotify):
    """As where a user may have so many watches only."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.watched = most, set[int]()

    def watch(self, directory: str) -> int:
        number = super().watch(directory)
        if number not in self.watched and len(self.watched) >= self.most:
            super().forget(number)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.watched.add(number)
        return number

    def forget(self, watch: int) -> None:
        self.watched.discard(watch)
        super().forget(watch)

    def read(self) -> list[InotifyEvent]:
        events = super().read()
        self.watched -= {event.watch for event in events if event.ignored}
        return events


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    made = Inotify()
    yield made
    made.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "cgroup"
    (path / "a/b/c").mkdir(parents=True)
    (path / "d").mkdir()
    (path / "cgroup.procs").touch()
    return path


def directories(root: Path) -> set[str]:
    """A full read."""
    return {os.path.relpath(found, root) for found, _, _ in os.walk(root)}


def test_what_is_there_comes_and_goes(root: Path, inotify: Inotify) -> None:
    followed = Followed(root, inotify)
    assert followed.settle() == {ROOT, "a", "a/b", "a/b/c", "d"}
    (root / "e/f/g").mkdir(parents=True)
    (root / "d").rmdir()
    assert followed.settle() == {ROOT, "a", "a/b", "a/b/c", "e", "e/f", "e/f/g"}
    shutil.rmtree(root / "a")
    (root / "e/file").touch()
    assert followed.update() == [("a/b/c", False), ("a/b", False), ("a", False)]
    assert followed.update() == []


@pytest.mark.parametrize("watched", [True, False])
def test_another_directory_at_the_same_path(root: Path, inotify: Inotify, watched: bool) -> None:
    followed = Followed(root, inotify if watched else None)
    followed.settle()
    kept = os.open(root / "a/b/c", os.O_RDONLY)  # as control groups, whose numbers are not given again
    (root / "a/b/c").rmdir()
    (root / "a/b/c/x").mkdir(parents=True)
    assert ("a/b/c", False) in followed.update()
    os.close(kept)
    assert followed.settle() == directories(root)


def test_a_directory_that_was_replaced_is_told_as_two(root: Path, inotify: Inotify) -> None:
    followed = Followed(root, inotify)
    followed.settle()
    (root / "d").rmdir()
    (root / "d").mkdir()
    assert followed.update() == [("d", False), ("d", True)]


def test_a_directory_that_is_renamed(root: Path, inotify: Inotify) -> None:
    """As hierarchies of version 1 allow."""
    followed = Followed(root, inotify)
    followed.settle()
    (root / "a").rename(root / "z")
    assert followed.settle() == directories(root) == {ROOT, "z", "z/b", "z/b/c", "d"}
    (root / "z/b/new").mkdir()
    assert "z/b/new" in followed.settle()


def test_nothing_is_watched_that_is_not_followed(root: Path, inotify: Inotify) -> None:
    """Also where a directory was not removed, but renamed to a place outside, or there are too many."""
    followed = Followed(root, inotify, most=6)
    followed.settle()
    (root / "a").rename(root.parent / "elsewhere")
    for number in range(9):
        (root / f"{number}").mkdir()
    followed.settle()
    watched = Path(f"/proc/self/fdinfo/{inotify.fileno()}").read_text().count("inotify wd:")
    assert watched == len(followed.settle()) == 6


def test_a_link_is_no_group(root: Path, inotify: Inotify) -> None:
    (root / "link").symlink_to(root / "a")
    followed = Followed(root, inotify)
    followed.settle()
    (root / "d/link").symlink_to(root / "a")
    assert followed.settle() == {ROOT, "a", "a/b", "a/b/c", "d"}


@pytest.mark.parametrize("watched", [True, False])
def test_the_root_goes_and_comes_back(root: Path, inotify: Inotify, watched: bool) -> None:
    followed = Followed(root, inotify if watched else None)
    followed.settle()
    shutil.rmtree(root)
    assert followed.settle() == set()
    assert not followed.tree.there
    (root / "n").mkdir(parents=True)
    assert followed.settle() == {ROOT, "n"}
    assert followed.tree.there


STEPS = st.lists(
    st.tuples(st.sampled_from(["make", "remove", "rename", "update"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=60,
)


def apply(root: Path, step: str, here: int, there: int) -> None:
    names = ["a", "b", "a/b", "a/a", "b/a/b", "a/b/c"]
    one, other = root / names[here], root / names[there]
    try:
        match step:
            case "make":
                one.mkdir()
            case "remove":
                one.rmdir()
            case "rename" if one.parent == other.parent and not other.exists():
                one.rename(other)
    except OSError:
        pass


@settings(max_examples=60, deadline=None)
@given(
    steps=STEPS, share=st.sampled_from([0, 0.3, 1]), seed=st.integers(0, 99), most=st.sampled_from([0, 2, 99])
)
def test_it_ends_with_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]], share: float, seed: int, most: int
) -> None:  # fmt: skip
    """Whatever happens in whatever order, with events that are lost and watches that are refused."""
    root = tmp_path_factory.mktemp("root")
    inotify: Inotify = Limited(most) if seed % 2 else Losing(share, seed)
    try:
        followed = Followed(root, inotify)
        for step in steps:
            if step[0] == "update":
                followed.update()
            else:
                apply(root, *step)
        assert followed.settle() == directories(root)
    finally:
        inotify.close()


class Storm(threading.Thread):
    """Makes services with a group inside each, and removes most of them."""

    def __init__(self, root: Path, services: int, seed: int) -> None:
        super().__init__()
        self._root, self._services, self._random = root, services, random.Random(seed)
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            alive: list[Path] = []
            for number in range(self._services):
                path = self._root / self._random.choice(["system.slice", "a/b", "."]) / f"s{number}.service"
                (path / "inner").mkdir(parents=True)
                alive.append(path)
                if self._random.random() < 0.97:
                    gone = alive.pop(self._random.randrange(len(alive)))
                    (gone / "inner").rmdir()
                    gone.rmdir()
        except BaseException as error:
            self.failed = error


KINDS: dict[str, Callable[[], Inotify | None]] = {
    "watched": Inotify,
    "losing": lambda: Losing(0.05, 1),
    "limited": lambda: Limited(20),
    "unwatched": lambda: None,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_loses_no_service_and_keeps_none(root: Path, kind: str) -> None:
    """1000 services start and end while they are followed; the end is compared with a full read."""
    inotify, held_before = KINDS[kind](), held()
    followed = Followed(root, inotify)
    storms = [Storm(root / f"storm{seed}", 500, seed) for seed in (1, 2)]
    for storm in storms:
        storm.start()
    waiting = select.poll()
    if inotify:
        waiting.register(inotify, select.POLLIN)
    while any(storm.is_alive() for storm in storms):
        waiting.poll(50)
        followed.update()
    for storm in storms:
        storm.join()
        assert storm.failed is None
    assert followed.settle() == directories(root)
    assert held() - held_before == len(followed.keys), "groups that have ended are still held"
    if inotify:
        inotify.close()


def held() -> int:
    gc.collect()
    return sum(isinstance(found, Group) for found in gc.get_objects())


def test_a_queue_that_is_full(root: Path, inotify: Inotify) -> None:
    """More events than the kernel keeps, before anybody reads one."""
    followed = Followed(root, inotify)
    followed.settle()
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most // 2 + 10):
        name = root / f"{number % 2}"  # two names in turn, because equal events are kept once
        name.mkdir()
        name.rmdir()
    (root / "late").mkdir()
    assert followed.settle() == {ROOT, "a", "a/b", "a/b/c", "d", "late"}
    assert followed.tree.rereads == 1


def test_a_limit_of_watches(root: Path) -> None:
    inotify = Limited(3)
    followed = Followed(root, inotify)
    assert followed.settle() == {ROOT, "a", "a/b", "a/b/c", "d"}
    assert followed.tree.unwatched == 2
    (root / "d/e").mkdir()
    (root / "a/b/c/x").mkdir()
    assert followed.settle() == directories(root)
    inotify.most = 99  # somebody raised it
    followed.settle()
    assert followed.tree.unwatched == 0
    (root / "d/e/f").mkdir()
    assert "d/e/f" in followed.settle()
    inotify.close()


def test_a_directory_is_replaced_when_it_can_be_watched_at_last(root: Path) -> None:
    inotify = Limited(0)
    followed = Followed(root, inotify)
    followed.settle()
    (root / "d").rename(root.parent / "keeps-the-inode-from-being-used-again")
    (root / "d").mkdir()
    inotify.most = 99
    assert followed.update() == [("d", False), ("d", True)]
    inotify.close()


def test_more_groups_than_are_kept(root: Path, inotify: Inotify) -> None:
    followed = Followed(root, inotify, most=8)
    for number in range(20):
        (root / f"d/{number:02}").mkdir()
    assert len(followed.settle()) == 8
    assert followed.tree.too_many
    for number in range(18):
        (root / f"d/{number:02}").rmdir()
    assert followed.settle() == directories(root)
    assert not followed.tree.too_many


def test_no_file_may_be_opened(root: Path, inotify: Inotify, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for gone, and the next update has all."""
    followed = Followed(root, inotify)
    followed.settle()
    (root / "d/new/inner").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", _refuse)
        with pytest.raises(OutOfFiles):
            followed.update()
    assert followed.settle() == directories(root)


def _refuse(path: str) -> object:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)


class Endless(Inotify):
    """As where somebody makes and removes a group all the time."""

    def read(self) -> list[InotifyEvent]:
        return [InotifyEvent(1, "always")]


def test_an_update_ends_though_events_do_not(root: Path) -> None:
    inotify = Endless()
    followed = Followed(root, inotify)
    assert len(followed.update()) == 5
    assert followed.update() == []
    inotify.close()


def test_a_path_that_is_too_long(root: Path, inotify: Inotify) -> None:
    """Groups below 4096 characters cannot be looked at; all others are followed as ever."""
    followed = Followed(root, inotify)
    followed.settle()
    here = os.open(root, os.O_PATH)
    for _ in range(25):
        os.mkdir("x" * 200, dir_fd=here)
        below_here = os.open("x" * 200, os.O_PATH, dir_fd=here)
        os.close(here)
        here = below_here
    os.close(here)
    followed.settle()
    assert 15 < max(key.count("/") for key in followed.keys) < 24
    (root / "new").mkdir()
    assert "new" in followed.settle()
    (root / "new").rmdir()
    assert "new" not in followed.settle()
