"""The readers of one process, on fake roots: what odd processes look like, and what is said of refusals."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.errors import CannotError, NotPermitted, NotSupported, TargetGone
from udamon.linux import failure, procfs
from udamon.linux.maps import parse_line
from udamon.linux.procfs import ProcessId
from udamon.targets.named import find


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


@pytest.mark.parametrize("comm", ["sleep", "a) S 1 (b", "((sd-pam))", "x y z", ") R 0"])
def test_comm_may_hold_anything(fake: FakeProc, comm: str) -> None:
    """Parentheses and blanks in a name do not shift the fields."""
    fake.process(9, comm=comm, state="R", ppid=3, start_time=555)
    stat = procfs.read_stat(9, fake.root)
    assert (stat.comm, stat.state, stat.ppid, stat.start_time) == (comm, "R", 3, 555)
    assert (stat.utime, stat.stime, stat.num_threads) == (7, 3, 1)


def test_kernel_threads_and_zombies_are_told(fake: FakeProc) -> None:
    """The flag tells a kernel thread; a dead main thread with living ones beside it is no dead process."""
    fake.process(2, flags=0x00208040)
    assert procfs.read_stat(2, fake.root).kernel_thread
    fake.process(3, state="Z")
    assert procfs.read_stat(3, fake.root).ended
    fake.process(4, state="Z", threads=2)
    assert not procfs.read_stat(4, fake.root).ended


def test_a_reused_pid_is_another_process(fake: FakeProc) -> None:
    """Start time tells; a file of the new process is never opened for the old one."""
    old = fake.process(9, start_time=100)
    assert procfs.is_alive(old, fake.root)
    fake.process(9, start_time=200)
    assert not procfs.is_alive(old, fake.root)
    with pytest.raises(ProcessLookupError):
        procfs.open_of(old, "maps", os.O_RDONLY, fake.root)


def test_memory_of_a_process_whose_main_thread_ended(fake: FakeProc) -> None:
    """The memory is read through a thread that still lives."""
    process = fake.process(9, state="Z", threads=2, maps="")
    thread = fake.root / "9/task/10"
    thread.mkdir()
    (fake.root / "9/task/9/stat").write_text("9 (x) Z 1\n")
    (thread / "stat").write_text("10 (x) S 1\n")
    (thread / "maps").write_text("here")
    fd = procfs.open_of(process, "maps", os.O_RDONLY, fake.root)
    assert procfs.read_fd(fd) == b"here"
    os.close(fd)


def test_children_of_all_threads(fake: FakeProc) -> None:
    fake.process(9)
    (fake.root / "9/task/10").mkdir()
    (fake.root / "9/task/10/children").write_text("12 ")
    fake.children(9, 11)
    assert sorted(procfs.children(9, fake.root)) == [11, 12]
    assert procfs.children(77, fake.root) == []


def test_children_of_the_threads_that_are_left(fake: FakeProc) -> None:
    """Some end between the list of threads and the look at them, wherever they are in it."""
    fake.process(9)
    for tid in range(10, 40):
        (fake.root / f"9/task/{tid}").mkdir()
        if tid % 3:
            (fake.root / f"9/task/{tid}/children").write_text(f"{100 + tid} ")
    assert sorted(procfs.children(9, fake.root)) == [100 + tid for tid in range(10, 40) if tid % 3]


def test_children_without_the_children_file(fake: FakeProc) -> None:
    """A kernel without CONFIG_PROC_CHILDREN: parents are looked up instead."""
    fake.process(9)
    (fake.root / "9/task/9/children").unlink()
    fake.process(11, ppid=9)
    fake.process(12, ppid=1)
    assert procfs.children(9, fake.root) == [11]


def test_command_lines(fake: FakeProc) -> None:
    fake.process(9)
    (fake.root / "9/cmdline").write_bytes(b"prog\0an arg\0\xff\0\0")
    assert procfs.read_cmdline(9, fake.root) == ["prog", "an arg", "\udcff"]
    (fake.root / "9/cmdline").write_bytes(b"")
    assert procfs.read_cmdline(9, fake.root) == []


def test_names_that_are_not_utf8_stay_different(fake: FakeProc) -> None:
    """Of processes and of files: they are matched with what was given, and opened again."""
    names = [b"a\xfe", b"a\xff", "zähl".encode()[:2]]
    for pid, name in enumerate(names, 20):
        fake.process(pid)
        (fake.root / str(pid) / "cmdline").write_bytes(name + b"\0-x\0")
        stat = (fake.root / str(pid) / "stat").read_bytes()
        (fake.root / str(pid) / "stat").write_bytes(stat.replace(b"(sleep)", b"(" + name + b")"))
        assert os.fsencode(procfs.read_stat(pid, fake.root).comm) == name
        mapping = parse_line(b"1000-2000 r--p 00000000 08:01 7        /tmp/" + name)
        assert os.fsencode(mapping.name) == b"/tmp/" + name
    words = [os.fsdecode(name) for name in names]
    assert [match.pids for match in find(words, fake.root)] == [(20,), (21,), (22,)]


def _failure(fake: FakeProc, code: int, pid: int, **kwargs: int) -> CannotError:
    return failure.process_failure(OSError(code, os.strerror(code)), pid, fake.root, **kwargs)


def test_gone_only_after_a_look(fake: FakeProc) -> None:
    """ESRCH while the process is plainly there is not called its end; a reused pid and a zombie are."""
    fake.process(9, start_time=100)
    assert "try again" in str(_failure(fake, errno.ESRCH, 9))
    # Memory that went while it was read, of a process that is still there: it executes another program.
    without_number = failure.process_failure(ProcessLookupError(), 9, fake.root)
    assert isinstance(without_number, TargetGone)
    assert "just started a new program" in str(without_number)
    assert "given to another" in str(_failure(fake, errno.ESRCH, 9, start_time=50))
    fake.process(9, state="Z")
    assert "not collected it yet" in str(_failure(fake, errno.ESRCH, 9))
    assert isinstance(_failure(fake, errno.ENOENT, 4_000_000), TargetGone)


def test_refusals_say_whose_and_who_may(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's process, one's own protected one, and root without the capability."""
    fake.process(9, uid=0)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert str(_failure(fake, errno.EACCES, 9)).startswith(
        "process 9 (sleep) belongs to root and you are uid 54321; run udamon as root,"
    )
    fake.process(9, uid=54321)
    assert "is yours, but it runs protected" in str(_failure(fake, errno.EACCES, 9))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    refused = _failure(fake, errno.EPERM, 9)
    assert isinstance(refused, NotPermitted)
    assert "CAP_SYS_PTRACE" in str(refused)


def test_hidden_processes_are_not_called_gone(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidepid=2 a missing directory means nothing; asking by signal 0 tells."""
    (fake.root / "self/mounts").write_text(f"proc {fake.root} proc rw,nosuid,hidepid=invisible 0 0\n")

    def kill(pid: int, signal: int) -> None:
        raise PermissionError if pid == 9 else ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    hidden = _failure(fake, errno.ENOENT, 9)
    assert isinstance(hidden, NotPermitted)
    assert "hidepid" in str(hidden)
    assert isinstance(_failure(fake, errno.ENOENT, 10), TargetGone)


@pytest.mark.parametrize("options", ["rw,hidepid=2", "rw,hidepid=4,gid=3", "hidepid=ptraceable"])
def test_hidepid_values_that_hide(fake: FakeProc, options: str) -> None:
    (fake.root / "self/mounts").write_text(f"proc {fake.root} proc {options} 0 0\n")
    assert failure.hides_processes(fake.root)


@pytest.mark.parametrize("options", ["rw", "rw,hidepid=1", "hidepid=off"])
def test_hidepid_values_that_do_not_hide(fake: FakeProc, options: str) -> None:
    (fake.root / "self/mounts").write_text(f"proc {fake.root} proc {options} 0 0\n")
    assert not failure.hides_processes(fake.root)


def test_proc_not_mounted(tmp_path: Path) -> None:
    error = failure.process_failure(FileNotFoundError(), 9, tmp_path)
    assert isinstance(error, NotSupported)
    assert "mount -t proc proc" in str(error)


def test_a_kernel_without_page_monitor(fake: FakeProc) -> None:
    process = fake.process(9)
    (fake.root / "9/clear_refs").unlink()
    with pytest.raises(NotSupported, match="CONFIG_PROC_PAGE_MONITOR"), failure.process_errors(9, fake.root):
        procfs.open_of(process, "clear_refs", os.O_WRONLY, fake.root)


def test_own_process() -> None:
    """The readers on the real /proc."""
    stat = procfs.read_stat(os.getpid())
    assert stat.ppid == os.getppid()
    assert procfs.is_alive(stat.id)
    assert not procfs.is_alive(ProcessId(stat.pid, stat.start_time + 1))
    assert procfs.read_status(os.getpid()).uid == os.geteuid()
    assert failure.owner(os.getpid()) == failure.user_name(os.geteuid())
