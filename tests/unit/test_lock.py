"""The lock per target: one monitor each, across users and directories, and no lock left behind."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.programs import become_nobody
from udamon import lock as lock_module
from udamon.errors import OutOfFiles, TargetBusy
from udamon.linux.roots import Roots
from udamon.lock import FILE, LISTED, held_locks, lock_holder, take_lock

HOLD = """
import sys; from pathlib import Path
from udamon.linux.roots import Roots; from udamon.lock import take_lock
lock = take_lock("5-9", "it", Roots(locks=tuple(map(Path, sys.argv[1:]))))
print(lock.real, flush=True); sys.stdin.read()
"""


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(locks=(tmp_path / "first", tmp_path / "second"))


def test_a_lock_without_a_descriptor_is_neither_held_nor_free(roots: Roots) -> None:
    """Where none is left, and at each of the descriptors that locking takes; nothing stays open or locked."""
    before = os.listdir("/proc/self/fd")
    failed = []
    for left in range(12):
        with left_descriptors(left):
            try:
                lock = take_lock("5-9", "process 5 (x)", roots)
            except OutOfFiles as error:
                failed.append(str(error))
                with pytest.raises(OutOfFiles) if left == 0 else nullcontext():
                    assert lock_holder("5-9", roots) == ""
            else:
                assert lock.real
                lock.release()
        assert (lock_holder("5-9", roots), held_locks(roots).holders) == ("", {})
    assert 0 < len(failed) < 12
    assert all("ulimit -n" in one for one in failed)
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def left_descriptors(number: int) -> Iterator[None]:
    """So many may be opened within."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(number)]  # the numbers that are free, in order
    end = (taken[-1] if taken else -1) + 1
    for fd in taken:
        os.close(fd)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(end, spare) if number else spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_holder_at_a_time(roots: Roots) -> None:
    """The second is refused with the holder's pid; after release it is free."""
    lock = take_lock("5-9", "process 5 (x)", roots)
    assert lock.real
    with pytest.raises(TargetBusy, match=rf"process 5 \(x\) is already watched .*process {os.getpid()}\b"):
        take_lock("5-9", "process 5 (x)", roots)
    assert held_locks(roots).holders == {"5-9": f"process {os.getpid()}"}
    other = take_lock("6-9", "process 6", roots)
    lock.release()
    lock.release()
    assert list(held_locks(roots).holders) == ["6-9"]
    take_lock("5-9", "process 5 (x)", roots).release()
    other.release()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["python", "-m", "udamon", "agent", "--socket", "x"],
            r"by the agent \(process \d+\); name its socket in UDAMON_",
        ),
        (["udamon", "agent", "watch", "web", "--for", "1m"], "by another monitor"),
        (["ssh-agent", "udamon"], "by another monitor"),
    ],
)
def test_an_agent_that_listens_somewhere_else(
    roots: Roots, tmp_path: Path, command: list[str], said: str
) -> None:
    """It would hand over what it has, if it were asked."""
    (tmp_path / str(os.getpid())).mkdir()
    (tmp_path / str(os.getpid()) / "cmdline").write_text("\0".join([*command, ""]))
    lock = take_lock("5-9", "it", roots)
    with pytest.raises(TargetBusy, match=f"it is already watched {said}"):
        take_lock("5-9", "it", replace(roots, proc=tmp_path))
    lock.release()


@pytest.mark.parametrize(("mode", "then"), [(0o700, 0o1777), (0o755, 0o755), (0o1777, 0o1777)])
def test_a_directory_that_was_left_half_made_is_completed(roots: Roots, mode: int, then: int) -> None:
    """By a monitor that was killed; one that an administrator made otherwise stays as it is."""
    roots.locks[0].mkdir()
    roots.locks[0].chmod(mode)
    lock = take_lock("5-9", "it", roots)
    assert roots.locks[0].stat().st_mode & 0o7777 == then
    lock.release()


def test_shared_by_all_users(roots: Roots) -> None:
    """Anyone may make the lock file, and lock in the one another user made, whatever the umask."""
    old = os.umask(0o077)
    try:
        lock = take_lock("5-9", "it", roots)
    finally:
        os.umask(old)
    assert roots.locks[0].stat().st_mode & 0o7777 == 0o1777
    assert (roots.locks[0] / FILE).stat().st_mode & 0o777 == 0o666
    assert os.listdir(roots.locks[0]) == [FILE]
    lock.release()


def test_a_killed_monitor_leaves_no_lock(roots: Roots) -> None:
    """The lock is gone, and nothing of its own stays in the directory."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, roots.locks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"True\n"
    with pytest.raises(TargetBusy, match=f"process {child.pid}"):
        take_lock("5-9", "it", roots)
    child.kill()
    child.communicate()
    assert held_locks(roots).holders == {}
    lock = take_lock("5-9", "it", roots)
    lock.release()
    assert [(p.name, p.stat().st_size) for p in roots.locks[0].iterdir()] == [(FILE, 0)]


def test_a_lock_in_the_other_directory_counts(roots: Roots) -> None:
    """Monitors that had to fall back to the second directory are seen from the first."""
    second = take_lock("5-9", "it", Roots(locks=roots.locks[1:]))
    with pytest.raises(TargetBusy):
        take_lock("5-9", "it", roots)
    second.release()
    assert held_locks(roots).holders == {}
    take_lock("5-9", "it", roots).release()


def test_a_planted_symlink_leads_nowhere(roots: Roots, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    roots.locks[0].mkdir()
    (roots.locks[0] / FILE).symlink_to(victim)
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
    (roots.locks[0] / FILE).hardlink_to(victim)
    lock = take_lock("5-9", "it", roots)
    assert lock.real  # in the second directory
    if (child := os.fork()) == 0:  # a process does not refuse itself
        with victim.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    lock.release()
    assert (victim.read_text(), victim.stat().st_mode & 0o777, victim.stat().st_nlink) == ("17\n", 0o600, 2)


def test_a_swapped_directory_leads_nowhere(roots: Roots, tmp_path: Path) -> None:
    """Whoever owns the directory can put a link in its place: no file is made where it leads."""
    trap = tmp_path / "trap"
    trap.mkdir()
    roots.locks[0].symlink_to(trap)
    lock = take_lock("5-9", "it", roots)
    assert lock.real  # in the second directory
    lock.release()
    assert list(trap.iterdir()) == []


def test_no_directory_no_lock(tmp_path: Path) -> None:
    """Where nothing can be written monitoring goes on without, and the caller can tell."""
    (tmp_path / "file").write_text("")
    lock = take_lock("5-9", "it", Roots(locks=(tmp_path / "file" / "locks",)))
    assert not lock.real
    lock.release()


def test_a_removed_file_is_not_locked(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removed the file between our open and our lock: a new one is made, so that others see it."""
    roots.locks[0].mkdir()
    path = roots.locks[0] / FILE
    path.write_text("")
    real, calls = fcntl.lockf, list[int]()

    def lockf(fd: int, operation: int, length: int, start: int) -> None:
        if not calls:
            path.unlink()
        calls.append(fd)
        real(fd, operation, length, start)

    monkeypatch.setattr(fcntl, "lockf", lockf)
    lock = take_lock("5-9", "it", roots)
    monkeypatch.undo()
    assert path.exists()
    assert _seen_by_another_process(roots) == {"5-9": f"process {os.getpid()}"}
    lock.release()


@pytest.mark.parametrize("plant", ["fifo", "directory", "link to itself"])
def test_a_planted_name_is_no_lock_file(roots: Roots, plant: str) -> None:
    """Nothing waits and nothing is written; the second directory serves."""
    roots.locks[0].mkdir()
    path = roots.locks[0] / FILE
    if plant == "fifo":
        os.mkfifo(path)
    elif plant == "directory":
        path.mkdir()
    else:
        path.symlink_to(path)
    lock = take_lock("5-9", "it", roots)
    assert lock.real
    assert (roots.locks[1] / FILE).is_file()
    lock.release()


def test_many_locks_need_one_descriptor(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither taking, nor asking who holds what, nor releasing some gives up any of the others."""
    monkeypatch.setattr(lock_module, "LISTED", 3000)
    before = len(os.listdir("/proc/self/fd"))
    locks = {f"{pid}-{pid * 7}": take_lock(f"{pid}-{pid * 7}", "it", roots) for pid in range(1, 3000)}
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert held_locks(roots).holders.keys() == locks.keys()
    for name in list(locks)[::2]:
        locks.pop(name).release()
    with pytest.raises(TargetBusy):
        take_lock("2-14", "it", roots)
    assert _seen_by_another_process(roots) == dict.fromkeys(locks, f"process {os.getpid()}")
    for lock in locks.values():
        lock.release()
    assert len(os.listdir("/proc/self/fd")) == before
    assert _seen_by_another_process(roots) == {}


def test_a_child_has_no_locks_and_releases_none(roots: Roots) -> None:
    """A process that was forked off the holder is another one."""
    lock = take_lock("5-9", "it", roots)
    if (child := os.fork()) == 0:
        lock.release()
        try:
            take_lock("5-9", "it", roots)
        except TargetBusy as error:
            os._exit(0 if f"process {os.getppid()}" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert _seen_by_another_process(roots) == {"5-9": f"process {os.getpid()}"}
    lock.release()


@pytest.mark.needs("second_user")
def test_another_users_file(roots: Roots) -> None:
    """nobody locks in the file that root made, and root is refused, with nobody's pid, meanwhile."""
    take_lock("7-7", "it", roots).release()
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


def _seen_by_another_process(roots: Roots) -> dict[str, str]:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with open(writing, "w") as answer:
            json.dump(held_locks(roots).holders, answer)
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        found: dict[str, str] = json.load(answer)
    os.waitpid(child, 0)
    return found


def test_any_number_of_locks_of_another_process_costs_little(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel goes through all locks of the file for each question: there are few questions."""
    taken = take_lock("5-9", "it", roots)  # makes the file
    ready = os.pipe()
    if (child := os.fork()) == 0:
        with (roots.locks[0] / FILE).open("r+") as file:
            for pid in range(10, 10 + 3 * LISTED):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lock_module._offset(f"{pid}-1"))
            os.write(ready[1], b".")
            signal.pause()
    os.read(ready[0], 1)
    try:
        asked: list[int] = []
        ask = fcntl.fcntl

        def counted(fd: int, command: int, argument: bytes) -> bytes:
            asked.append(command)
            return ask(fd, command, argument)

        monkeypatch.setattr(fcntl, "fcntl", counted)
        found = held_locks(roots)
        assert found.more
        assert len(found.holders) == LISTED + 1
        assert found.holders["5-9"] == f"process {os.getpid()}"
        assert len(asked) <= 3 * LISTED
        asked.clear()
        assert lock_holder("11-1", roots) == f"process {child}"
        assert lock_holder("9-1", roots) == ""
        assert len(asked) <= 6
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not held_locks(roots).more
    taken.release()
    for end in ready:
        os.close(end)
