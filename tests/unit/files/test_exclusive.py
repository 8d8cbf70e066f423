"""Places that one process uses alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.errors import CannotError
from udamon.files.exclusive import Exclusive


def lock(path: Path) -> Exclusive:
    return Exclusive(path, "the spool s", "give another one")


def test_one_at_a_time(tmp_path: Path) -> None:
    """The second is refused until the first has ended, by name or because nothing refers to it any more."""
    path = tmp_path / "lock"
    first = lock(path)
    with pytest.raises(CannotError, match="the spool s is used by another process; give another one"):
        lock(path)
    first.close()
    first.close()
    second = lock(path)
    del second
    lock(path).close()
    assert path.read_bytes() == b""


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    if (pid := os.fork()) == 0:
        kept = lock(tmp_path / "lock")
        os._exit(0 if kept else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lock(tmp_path / "lock").close()


def test_what_is_no_lock(tmp_path: Path) -> None:
    """Nothing is opened that a link leads to, or that could block; and no descriptor is left."""
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for name, why in (
        ("link", "cannot be made"),
        ("fifo", "is no regular file; remove it"),
        (".", "cannot be made"),
        ("none/lock", "cannot be made"),
    ):
        with pytest.raises(CannotError, match=why):
            lock(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before
    assert (tmp_path / "file").read_bytes() == b"kept"
