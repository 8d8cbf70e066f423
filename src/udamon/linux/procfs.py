"""One process as /proc shows it: stat, status, command line, children.

Readers raise the OSError they met; failure.process_errors turns it into a sentence. Where the limit of open files is
reached they raise OutOfFiles.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal, NamedTuple

from udamon.linux.open_files import list_directory, open_file
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE

_PF_KTHREAD = 0x0020_0000


class ProcessId(NamedTuple):
    """A process for good: its pid, and when it started (ticks since boot), which tells a reused pid."""

    pid: int
    start_time: int


class Stat(NamedTuple):
    """/proc/PID/stat; times in clock ticks. start_code and start_stack are 0 or 1 if withheld."""

    pid: int
    comm: str
    state: str
    ppid: int
    kernel_thread: bool
    utime: int
    stime: int
    num_threads: int
    start_time: int
    start_code: int
    start_stack: int
    faults: int
    """Page faults of its own, minor and major."""
    child_faults: int
    """And those of children it has waited for, with theirs."""
    major_faults: int
    """Of its own those for which it waited until a page had been read in."""

    @property
    def id(self) -> ProcessId:
        return ProcessId(self.pid, self.start_time)

    @property
    def main_ended(self) -> bool:
        """True where the main thread has ended: where others go on, memory, program and command line show at these."""
        return self.state in "ZXx"

    @property
    def ended(self) -> bool:
        """True for a zombie: it exists, but its memory is gone."""
        return self.main_ended and self.num_threads <= 1


class Status(NamedTuple):
    """/proc/PID/status: thread group (the process), effective user, effective capabilities (a bit set)."""

    tgid: int
    uid: int
    cap_eff: int


def read_bytes(path: str | Path) -> bytes:
    """The whole file, however short the kernel's reads are."""
    fd = open_file(path, os.O_RDONLY)
    try:
        return read_fd(fd)
    finally:
        os.close(fd)


def read_fd(fd: int) -> bytes:
    """What is left to read of an open file."""
    chunks = []
    while chunk := os.read(fd, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def read_stat(pid: int, root: Path = PROC) -> Stat:
    """Raises OSError; FileNotFoundError or ProcessLookupError when there is no such process."""
    data = read_bytes(f"{root}/{pid}/stat")
    # comm may hold anything, parentheses and blanks too: the last ")" ends it
    comm = os.fsdecode(data[data.index(b"(") + 1 : data.rindex(b")")])
    f = data[data.rindex(b")") + 2 :].split()
    return Stat(
        pid, comm, f[0].decode(), int(f[1]), bool(int(f[6]) & _PF_KTHREAD),
        int(f[11]), int(f[12]), int(f[17]), int(f[19]), int(f[23]), int(f[25]),
        int(f[7]) + int(f[9]), int(f[8]) + int(f[10]), int(f[9]),
    )  # fmt: skip


def stat_of(process: ProcessId, root: Path = PROC) -> Stat:
    """That of exactly this process. Raises OSError; ProcessLookupError where its pid is another's."""
    stat = read_stat(process.pid, root)
    if stat.start_time != process.start_time:
        raise _no_such_process()
    return stat


def resident_bytes(pid: int | Literal["self"], root: Path = PROC) -> int:
    """What a process has in memory, shared pages included; 0 where it is gone. Raises OutOfFiles."""
    try:
        size = _resident_in(f"{root}/{pid}")
        return size if size or pid == "self" else _resident_in(_shown_at(read_stat(pid, root), root))
    except (OSError, IndexError, ValueError):
        return 0


def _resident_in(directory: str) -> int:
    return int(read_bytes(f"{directory}/statm").split()[1]) * PAGE_SIZE


def thread_ids(pid: int, root: Path = PROC) -> list[int]:
    """The threads of a process. Raises OSError when it is gone."""
    return [int(name) for name in list_directory(f"{root}/{pid}/task")]


def last_cpus(pid: int, root: Path = PROC) -> set[int]:
    """The processors that the process's threads ran on last. Raises OSError when it is gone."""
    found = set()
    for tid in thread_ids(pid, root):
        try:
            data = read_bytes(f"{root}/{pid}/task/{tid}/stat")
        except OSError:
            continue  # it ended
        found.add(int(data[data.rindex(b")") + 2 :].split()[36]))
    return found


def allowed_cpus(pid: int, root: Path = PROC) -> set[int]:
    """The active processors that some thread of the process may run on. Raises OSError when it is gone."""
    found: set[int] = set()
    for tid in thread_ids(pid, root):
        try:
            found |= os.sched_getaffinity(tid)
        except ProcessLookupError:
            continue  # it ended
    return found


def cpu_ns(process: ProcessId, root: Path = PROC) -> int:
    """CPU time that a process or kernel thread has taken: to the nanosecond where the kernel counts so, else to
    the clock tick. Raises OSError; ProcessLookupError when it is gone."""
    stat = stat_of(process, root)
    ticks = (stat.utime + stat.stime) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    try:
        # Of the first thread alone: right for kernel threads, never more than the whole for others.
        return max(int(read_bytes(f"{root}/{process.pid}/schedstat").split()[0]), ticks)
    except (OSError, IndexError, ValueError):
        return ticks


def read_status(pid: int | str = "self", root: Path = PROC) -> Status:
    """Raises OSError."""
    fields = dict(
        line.split(b":", 1) for line in read_bytes(f"{root}/{pid}/status").splitlines() if b":" in line
    )
    return Status(int(fields[b"Tgid"]), int(fields[b"Uid"].split()[1]), int(fields.get(b"CapEff", b"0"), 16))


def rss_bytes(process: ProcessId, root: Path = PROC) -> int:
    """What of the process is in memory, without hugetlb; without looking at any page. Raises OSError."""
    for line in read_bytes(f"{memory_directory(process, root)}/status").splitlines():
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) << 10
    return 0  # a kernel thread


def read_cmdline(pid: int, root: Path = PROC) -> list[str]:
    """The arguments; empty for zombies and kernel threads. Raises OSError."""
    data = read_bytes(f"{root}/{pid}/cmdline").rstrip(b"\0")
    return [os.fsdecode(arg) for arg in data.split(b"\0")] if data else []


def read_exe(pid: int, root: Path = PROC) -> str:
    """The path of the program, "" where it may not be known."""
    try:
        return os.readlink(f"{root}/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def list_pids(root: Path = PROC) -> list[int]:
    """All processes that can be seen, in numeric order. Raises OSError."""
    return sorted(int(name) for name in list_directory(root) if name.isdigit())


def is_alive(process: ProcessId, root: Path = PROC) -> bool:
    """True while this very process exists, as a zombie too; False once its pid was given to another."""
    try:
        return read_stat(process.pid, root).start_time == process.start_time
    except OSError:
        return False


def is_running(process: ProcessId, root: Path = PROC) -> bool:
    """As `is_alive`, but False for a zombie, too: it has let go of its memory and of everything it had open."""
    try:
        stat = read_stat(process.pid, root)
    except OSError:
        return False
    return stat.start_time == process.start_time and not stat.ended


def children(pid: int, root: Path = PROC) -> list[int]:
    """Pids of the children of all threads of `pid`; empty when it is gone.

    The kernel may leave out a child while another one exits; it is found at the next look.
    """
    found: list[int] = []
    unread = False
    try:
        for tid in list_directory(f"{root}/{pid}/task"):
            try:
                found += map(int, read_bytes(f"{root}/{pid}/task/{tid}/children").split())
            except (FileNotFoundError, ProcessLookupError):  # a thread has ended; the others have theirs
                unread = True
    except FileNotFoundError:
        unread = True
    except OSError:
        pass  # it ended, or it is not ours to see
    if unread and not found and (not os.path.exists(f"{root}/self/task") or not _has_children_file(root)):
        return _children_by_scan(pid, root)
    return found


def _has_children_file(root: Path) -> bool:
    # CONFIG_PROC_CHILDREN; /proc/thread-self is there wherever /proc/self is
    return os.path.exists(f"{root}/thread-self/children")


def _children_by_scan(pid: int, root: Path) -> list[int]:
    found = []
    for other in list_pids(root):
        try:
            if read_stat(other, root).ppid == pid:
                found.append(other)
        except OSError:
            continue
    return found


def open_of(process: ProcessId, name: str, flags: int, root: Path = PROC) -> int:
    """A descriptor of /proc/PID/`name` that surely belongs to `process`. Raises OSError.

    The start time is compared again *after* opening: a pid that was reused in between cannot slip in.
    """
    directory = memory_directory(process, root)
    fd = open_file(f"{directory}/{name}", flags)
    if not is_alive(process, root):
        os.close(fd)
        raise _no_such_process()
    return fd


def memory_directory(process: ProcessId, root: Path = PROC) -> str:
    """Where in /proc the memory of exactly this process shows now. Raises OSError."""
    return _shown_at(stat_of(process, root), root)


def memory_thread(process: ProcessId, root: Path = PROC) -> int:
    """The number of the thread that has the memory of exactly this process: its pid, or that of a living thread where
    the main thread ended before the others. Raises OSError."""
    return _thread_of(stat_of(process, root), root)


def _shown_at(stat: Stat, root: Path) -> str:
    thread = _thread_of(stat, root)
    return f"{root}/{stat.pid}" if thread == stat.pid else f"{root}/{stat.pid}/task/{thread}"


def _thread_of(stat: Stat, root: Path) -> int:
    if stat.ended:
        raise _no_such_process()
    return _live_thread(stat.pid, root) if stat.main_ended else stat.pid


def _live_thread(pid: int, root: Path) -> int:
    for tid in sorted(map(int, list_directory(f"{root}/{pid}/task"))):
        try:
            data = read_bytes(f"{root}/{pid}/task/{tid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since it was listed; others may go on
        if data[data.rindex(b")") + 2 :][:1] not in b"ZXx":
            return tid
    raise _no_such_process()


def _no_such_process() -> ProcessLookupError:
    return ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
