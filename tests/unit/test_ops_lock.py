"""The lock per target: one monitor each, across users and directories, and no lock left behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import become_nobody
from udamon.errors import TargetBusy
from udamon.linux.roots import Roots
from udamon.ops.lock import held_locks, take_lock

HOLD = """
import sys; from pathlib import Path
from udamon.linux.roots import Roots; from udamon.ops.lock import take_lock
lock = take_lock("5-9", "it", Roots(locks=tuple(map(Path, sys.argv[1:]))))
print(lock.real, flush=True); sys.stdin.read()
"""


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(locks=(tmp_path / "first", tmp_path / "second"))


def test_one_holder_at_a_time(roots: Roots) -> None:
    """The second is refused with the holder's pid; after release it is free and the file is gone."""
    lock = take_lock("5-9", "process 5 (x)", roots)
    assert lock.real
    with pytest.raises(TargetBusy, match=rf"process 5 \(x\) is already watched .*process {os.getpid()}\b"):
        take_lock("5-9", "process 5 (x)", roots)
    assert held_locks(roots) == {"5-9": f"process {os.getpid()}"}
    other = take_lock("6-9", "process 6", roots)
    lock.release()
    lock.release()
    assert list(held_locks(roots)) == ["6-9"]
    assert not (roots.locks[0] / "5-9.lock").exists()
    take_lock("5-9", "process 5 (x)", roots).release()
    other.release()


def test_shared_by_all_users(roots: Roots) -> None:
    """Anyone may make lock files, and read (so lock) those of others, whatever the umask."""
    old = os.umask(0o077)
    try:
        lock = take_lock("5-9", "it", roots)
    finally:
        os.umask(old)
    assert roots.locks[0].stat().st_mode & 0o7777 == 0o1777
    assert (roots.locks[0] / "5-9.lock").stat().st_mode & 0o777 == 0o644
    lock.release()


def test_a_killed_monitor_leaves_no_lock(roots: Roots) -> None:
    """The file stays, the lock does not; the next holder's pid replaces the dead one's."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, roots.locks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"True\n"
    with pytest.raises(TargetBusy, match=f"process {child.pid}"):
        take_lock("5-9", "it", roots)
    child.kill()
    child.communicate()
    assert held_locks(roots) == {}
    lock = take_lock("5-9", "it", roots)
    assert (roots.locks[0] / "5-9.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_in_the_other_directory_counts(roots: Roots) -> None:
    """Monitors that had to fall back to the second directory are seen from the first."""
    second = take_lock("5-9", "it", Roots(locks=roots.locks[1:]))
    with pytest.raises(TargetBusy):
        take_lock("5-9", "it", roots)
    second.release()
    assert held_locks(roots) == {}
    take_lock("5-9", "it", roots).release()


def test_a_planted_symlink_leads_nowhere(roots: Roots, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    roots.locks[0].mkdir()
    (roots.locks[0] / "5-9.lock").symlink_to(victim)
    lock = take_lock("5-9", "it", roots)
    assert lock.real  # in the second directory
    assert victim.read_text() == "precious"
    lock.release()


def test_a_planted_hard_link_is_neither_locked_nor_written(roots: Roots, tmp_path: Path) -> None:
    """A second name of a file that somebody else needs: its lock stays free, its content and mode as they were."""
    victim = tmp_path / "victim"
    victim.write_text("17\n")
    victim.chmod(0o600)
    roots.locks[0].mkdir()
    (roots.locks[0] / "5-9.lock").hardlink_to(victim)
    lock = take_lock("5-9", "it", roots)
    assert lock.real  # in the second directory
    with victim.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()
    assert (victim.read_text(), victim.stat().st_mode & 0o777, victim.stat().st_nlink) == ("17\n", 0o600, 2)


def test_what_was_there_is_not_written_to(roots: Roots, tmp_path: Path) -> None:
    """A file that was moved there gives way to a new one: who has it open sees nothing of it change."""
    roots.locks[0].mkdir()
    path = roots.locks[0] / "5-9.lock"
    path.write_text("precious")
    with path.open() as file:
        lock = take_lock("5-9", "it", roots)
        assert file.read() == "precious"
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_swapped_directory_leads_nowhere(roots: Roots, tmp_path: Path) -> None:
    """Whoever owns the directory can put a link in its place: no file is made or removed where it leads."""
    trap = tmp_path / "trap"
    trap.mkdir()
    roots.locks[0].symlink_to(trap)
    lock = take_lock("5-9", "it", roots)
    assert list(trap.iterdir()) == []
    (trap / "5-9.lock").write_text("precious")
    roots.locks[1].rename(tmp_path / "moved")
    roots.locks[1].symlink_to(trap)
    lock.release()
    assert (trap / "5-9.lock").read_text() == "precious"


def test_files_of_dead_monitors_are_removed(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next monitor, whatever it watches; files that somebody holds, and what is no lock file, stay."""
    directory = roots.locks[0]
    held = take_lock("1-1", "it", roots)
    for name in ("2-2.lock", "paddr.lock"):
        (directory / name).write_text("1\n")
    (directory / "notes").touch()
    (directory / "3-3.lock").symlink_to("notes")
    monkeypatch.setattr("udamon.ops.lock._swept", set())  # as in a new process
    lock = take_lock("4-4", "it", roots)
    assert sorted(path.name for path in directory.iterdir()) == ["1-1.lock", "3-3.lock", "4-4.lock", "notes"]
    lock.release()
    held.release()


def test_no_directory_no_lock(tmp_path: Path) -> None:
    """Where nothing can be written monitoring goes on without, and the caller can tell."""
    (tmp_path / "file").write_text("")
    lock = take_lock("5-9", "it", Roots(locks=(tmp_path / "file" / "locks",)))
    assert not lock.real
    lock.release()


def test_a_removed_file_is_not_locked(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removed the file between our open and our lock: a new one is made, so that others see it."""
    roots.locks[0].mkdir()
    path = roots.locks[0] / "5-9.lock"
    path.write_text("")
    real, calls = fcntl.flock, list[int]()

    def flock(fd: int, operation: int) -> None:
        if not calls:
            path.unlink()
        calls.append(fd)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = take_lock("5-9", "it", roots)
    monkeypatch.undo()
    assert path.exists()
    assert list(held_locks(roots)) == ["5-9"]
    lock.release()


@pytest.mark.needs("second_user")
def test_another_users_left_over(roots: Roots, tmp_path: Path) -> None:
    """nobody takes over a file that root left behind, and root is refused, with nobody's pid, meanwhile."""
    roots.locks[0].mkdir()
    roots.locks[0].chmod(0o1777)
    (roots.locks[0] / "5-9.lock").write_text("1\n")
    at_directory = Roots(locks=(Path("."),))  # pytest's directories above are root's own
    ready, done = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        os.chdir(roots.locks[0])
        become_nobody()
        lock = take_lock("5-9", "it", at_directory)
        os.write(ready[1], b"1" if lock.real else b"0")
        os.read(done[0], 1)
        os._exit(0)
    assert os.read(ready[0], 1) == b"1"
    with pytest.raises(TargetBusy, match=f"process {child}\\b"):
        take_lock("5-9", "it", roots)
    os.write(done[1], b"x")
    os.waitpid(child, 0)
    take_lock("5-9", "it", roots).release()
    for fd in (*ready, *done):
        os.close(fd)
