"""Targets as they come and go on the real machine: exec, fork, thread ids, control groups."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.programs import MIB, as_nobody, forked, remove_group, running, started
from tests.waiting import WAIT_LIMIT_S, until
from udamon.core.target import Target
from udamon.errors import NotPermitted, TargetBusy, UsageError
from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.roots import Roots
from udamon.ops.opening import open_ops
from udamon.ops.paddr import Paddr
from udamon.ops.vaddr import Vaddr
from udamon.targets.processes import ProcessSource, process_source


class Monitor:
    """An operations set, updated by hand, and the events it emitted."""

    def __init__(self, source: ProcessSource, locks: Path) -> None:
        self.ops = Vaddr(source, Roots(locks=(locks,)))
        self.targets: list[Target] = []
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def update(self) -> list[str]:
        """The names of the events of one update."""
        before = len(self.events)
        self.ops.update(self.targets, lambda name, data: self.events.append((name, data)))
        return [name for name, _ in self.events[before:]]

    def update_until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_LIMIT_S
        while not done():
            assert time.monotonic() < end, self.events[-5:]
            self.update()
            time.sleep(0.01)

    def pids(self) -> list[int | None]:
        return [target.pid for target in self.targets]


def test_three_regions_of_a_real_process(tmp_path: Path) -> None:
    """Both areas lie in the regions, which are a small part of the 47 bits around them."""
    with running(MIB, "rest") as watched:
        monitor = Monitor(process_source([watched.pid]), tmp_path)
        assert monitor.update() == ["target_start", "mappings"]
        (target,) = monitor.targets
        assert len(target.ranges) == 3
        for address in (watched.a, watched.b + watched.size - 1):
            assert any(r.start <= address < r.end for r in target.ranges)
        assert sum(r.size for r in target.ranges) < 1 << 44
        assert monitor.ops.valid(target)
        watched.process.kill()
        watched.process.wait()
        assert not monitor.ops.valid(target)
        assert monitor.update() == ["target_end", "coverage"]
        monitor.ops.close()


def test_exec_is_followed(tmp_path: Path) -> None:
    """The same process with another program: told, and its new mappings taken."""
    code = "import os, sys; print(flush=True); sys.stdin.readline(); os.execvp('sleep', ['sleep', '100'])"
    with started([sys.executable, "-c", code]) as process:
        assert process.stdout is not None
        process.stdout.readline()  # until then its own start, an exec as well, may be under way
        monitor = Monitor(process_source([process.pid]), tmp_path)
        monitor.update()
        before = monitor.targets[0].ranges
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        monitor.update_until(lambda: any(name == "target_exec" for name, _ in monitor.events))
        told = next(data for name, data in monitor.events if name == "target_exec")
        assert (told["comm"], told["cmdline"]) == ("sleep", ["sleep", "100"])
        monitor.update()
        assert monitor.targets[0].ranges != before
        assert [target.index for target in monitor.targets] == [0]
        monitor.ops.close()


def test_names_and_commands_of_an_exec_are_of_one_program(tmp_path: Path) -> None:
    """Two programs execute each other in turn while the process is updated continuously."""
    programs = {name: tmp_path / name for name in ("first", "second")}
    for path in programs.values():
        shutil.copy("/bin/sh", path)
    for name, other in (("first", "second"), ("second", "first")):
        (tmp_path / f"{name}.sh").write_text(f"exec {programs[other]} {tmp_path / other}.sh\n")
    with started([str(programs["first"]), str(tmp_path / "first.sh")]) as process:
        monitor = Monitor(process_source([process.pid]), tmp_path)
        monitor.update_until(lambda: sum(name == "target_exec" for name, _ in monitor.events) >= 150)
        monitor.ops.close()
    seen = [data for name, data in monitor.events if name == "target_exec"]
    assert {data["comm"] for data in seen} == {"first", "second"}
    for data in seen:
        assert data["cmdline"] == [str(programs[str(data["comm"])]), str(tmp_path / f"{data['comm']}.sh")]


def test_forks_are_followed(tmp_path: Path) -> None:
    """With children: the child, and later the grandchild that outlives it."""
    code = """
import os, sys
if os.fork() == 0:
    sys.stdin.readline()
    if os.fork():
        os._exit(0) if sys.stdin.readline() else None
    os.execvp("sleep", ["sleep", "100"])
os.wait(); os.execvp("sleep", ["sleep", "100"])
"""
    with started([sys.executable, "-u", "-c", code]) as process:
        monitor = Monitor(process_source([process.pid], with_children=True), tmp_path)
        monitor.update_until(lambda: len(monitor.targets) == 2)
        assert process.stdin is not None
        process.stdin.write(b"fork\n")
        process.stdin.flush()
        monitor.update_until(lambda: len(monitor.targets) == 3)
        child, grandchild = (target.pid for target in monitor.targets[1:])
        process.stdin.write(b"exit\n")
        process.stdin.flush()
        monitor.update_until(lambda: child not in monitor.pids())
        assert monitor.pids() == [process.pid, grandchild]
        assert [target.index for target in monitor.targets] == [0, 2]
        assert grandchild is not None
        os.kill(grandchild, 9)
        monitor.update_until(lambda: monitor.pids() == [process.pid])
        monitor.ops.close()


def test_a_thread_id_names_its_process(tmp_path: Path) -> None:
    code = "import threading, sys; threading.Thread(target=sys.stdin.read).start(); print(1, flush=True)"
    with started([sys.executable, "-c", code]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tid = max(int(name) for name in os.listdir(f"/proc/{process.pid}/task"))
        assert tid != process.pid
        assert [p.pid for p in process_source([tid]).processes()] == [process.pid]


def test_memory_outlives_the_main_thread(tmp_path: Path) -> None:
    """The main thread ended, another goes on: its mappings are still read."""
    code = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print(1, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    with started([sys.executable, "-c", code]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: ") Z " in Path(f"/proc/{process.pid}/stat").read_text())
        monitor = Monitor(process_source([process.pid]), tmp_path)
        assert monitor.update() == ["target_start", "mappings"]
        monitor.ops.close()


def test_udamon_itself_is_refused() -> None:
    with pytest.raises(UsageError, match="udamon itself"):
        process_source([os.getpid()])


def test_two_monitors_of_one_process(tmp_path: Path) -> None:
    with forked(lambda: None) as pid:
        first = Monitor(process_source([pid]), tmp_path)
        first.update()
        with pytest.raises(TargetBusy, match=f"process {os.getpid()}"):
            Monitor(process_source([pid]), tmp_path).update()
        first.ops.close()


@pytest.mark.needs("second_user")
def test_somebody_elses_process(tmp_path: Path) -> None:
    """The very first update says whose it is, and leaves no lock."""
    with forked(lambda: None) as pid:

        def check() -> None:
            monitor = Monitor(process_source([pid]), Path("/nowhere"))
            with pytest.raises(NotPermitted, match="belongs to root and you are nobody"):
                monitor.update()
            with pytest.raises(NotPermitted, match="hides the addresses; run udamon as root"):
                Paddr()

        as_nobody(check)


@pytest.mark.needs("root")
def test_physical_memory(tmp_path: Path) -> None:
    ops, targets = open_ops("paddr", roots=Roots(locks=(tmp_path,))), list[Target]()
    ops.update(targets, lambda name, data: None)
    assert sum(r.size for r in targets[0].ranges) > 64 * MIB
    ops.close()


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of our own, below the one we are in; nothing is configured."""
    for parent in _own_cgroups():
        directory = parent / f"udamon-test-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        yield directory
        _remove(directory)
        return
    pytest.skip("no cgroup can be made here")


def _own_cgroups() -> Iterator[Path]:
    """Where this process is in each hierarchy; not in cpuset, where a new group takes no processes."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path.strip("/")
    for mount in cgroup_mounts():
        for controllers, path in paths.items():
            names = set(controllers.split(",")) - {""}
            if names == {"cpuset"} or not names <= mount.controllers or (mount.version == 1) != bool(names):
                continue
            yield mount.point / path


def _remove(directory: Path) -> None:
    for path in (directory / "below", directory):
        if path.is_dir():
            remove_group(path)


@pytest.mark.needs("cgroup")
def test_a_cgroup_as_processes_come_and_go(group: Path, tmp_path: Path) -> None:
    """Empty at first; one enters, one enters below, one leaves, the other ends; then it is removed."""
    monitor = Monitor(process_source(cgroup=str(group)), tmp_path)
    monitor.update()
    assert (monitor.targets, monitor.ops.expecting()) == ([], True)
    (group / "below").mkdir()
    with forked(lambda: None) as first, started(["sleep", "100"]) as second:
        _enter(group, first)
        monitor.update()
        assert monitor.pids() == [first]
        _enter(group / "below", second.pid)
        monitor.update()
        assert monitor.pids() == [first, second.pid]
        _enter(group.parent, first)
        assert monitor.update() == ["target_end", "coverage"]
        assert monitor.events[-2][1]["why"] == "left"
        second.kill()
        second.wait()
        monitor.update()
        assert (monitor.targets, monitor.events[-2][1]["why"]) == ([], "exited")
    assert monitor.ops.expecting()
    _remove(group)
    assert not monitor.ops.expecting()


def _enter(group: Path, pid: int) -> None:
    try:
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"{group} takes no process: {error.strerror}")


def test_a_command_we_started_is_just_its_pid(tmp_path: Path) -> None:
    """From fork to exec it may still be our image: whichever was seen first, the program is told in the end."""
    process = subprocess.Popen(["sleep", "100"])
    try:
        monitor = Monitor(process_source([process.pid]), tmp_path)
        monitor.update()
        monitor.update_until(lambda: "sleep" in {data.get("comm") for _, data in monitor.events})
        monitor.ops.close()
    finally:
        process.kill()
        process.wait()
