"""control exec in a private mount namespace, events as real tracepoints, and the kernel's own selftests (long)."""

from __future__ import annotations

import importlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.damon import KDAMONDS, put
from tests.guest.memory import memory
from tests.integration.forking import UDAMON, Done, forked, to_its_end

pytestmark = [
    pytest.mark.guest_boot(smp=2, mem=1024, append="numa=fake=2"),
    pytest.mark.needs("fuse", "idle_bitmap"),
]

EXEC = ["control", "exec", "--via", "idle"]
IMPORTED = [
    "udamon.acting.paddr",
    "udamon.acting.vaddr",
    "udamon.assembly.child",
    "udamon.cli.control",
    "udamon.control.assembly",
    "udamon.control.debugfs_files",
    "udamon.control.event_stream",
    "udamon.control.executing",
    "udamon.control.files",
    "udamon.control.user_tracepoints",
    "udamon.ops.idle",
]
TRACING = Path("/sys/kernel/tracing")
WAIT_LIMIT_S = 100


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What each forked command would import anew otherwise."""
    for name in IMPORTED:
        importlib.import_module(name)


def execute(script: str, *options: str, cwd: str = "/") -> Done:
    return to_its_end(forked([*EXEC, *options, "--", "sh", "-c", script], cwd=Path(cwd)), WAIT_LIMIT_S)


@pytest.mark.guest_612
@pytest.mark.needs("damon_free")
def test_a_command_sees_our_tree_and_the_kernels_stays_as_it_was() -> None:
    """As a user starts it; the other tests fork it, without the start of an interpreter."""
    script = (
        "echo 3 > /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds; cd /sys/kernel/mm/damon/admin/kdamonds; ls; "
        "grep CapBnd /proc/self/status; cat /sys/kernel/mm/page_idle/bitmap | head -c 8 | wc -c; exit 7"
    )
    command = [*UDAMON, *EXEC, "--", "sh", "-c", script]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=WAIT_LIMIT_S)
    assert done.returncode == 7, done.stderr
    lines = done.stdout.split()
    assert lines[:4] == ["0", "1", "2", "nr_kdamonds"]
    bounding = int(lines[5], 16)
    assert [bool(bounding >> number & 1) for number in (18, 19, 21)] == [False, False, False]
    assert lines[6] == "8"
    assert (KDAMONDS / "nr_kdamonds").read_text() == "0\n"
    assert "fuse" not in Path("/proc/mounts").read_text()


def test_a_directory_of_the_old_sys_is_left() -> None:
    """The command begins where it was started, by name: its own tree, not the kernel's."""
    done = execute("ls; stat -f -c %T .", cwd=str(KDAMONDS.parent))
    assert done.stdout.split() == ["kdamonds", "fuseblk"], done.stderr


def test_nothing_is_run_where_another_way_leads_to_the_kernels_tree(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "sysfs", "again", str(tmp_path)], check=True)
    try:
        done = execute("echo ran")
        assert done.status == 125
        assert done.stdout == ""
        assert f"{tmp_path}/kernel/mm/damon would still lead to the kernel's DAMON" in done.stderr
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_older_tree_is_where_tools_look_for_it() -> None:
    done = execute("cat /sys/kernel/debug/damon/target_ids /sys/kernel/debug/damon/kdamond_pid", "--debugfs")
    assert done.stdout == "\nnone\n", done.stderr


def test_capabilities_can_be_kept() -> None:
    done = execute("grep CapBnd /proc/self/status", "--keep-caps")
    assert int(done.stdout.split()[1], 16) >> 21 & 1


@contextmanager
def served(directory: Path) -> Iterator[Path]:
    """A tree for kdamonds that look via idle; yields its `kdamonds`."""
    with forked(["control", "mount", directory, "--via", "idle"]) as server:
        try:
            assert server.stderr is not None
            assert "serving" in server.stderr.readline()
            yield directory / "admin/kdamonds"
        finally:
            server.terminate()
            server.communicate()


def test_schemes_of_paddr_act(tmp_path: Path) -> None:
    """On frames that processes map; `cold` asks for no swap."""
    with memory() as program, served(tmp_path) as kdamonds:
        program.map("area", 16 << 20, "small")
        put(kdamonds / "nr_kdamonds", "1")
        put(kdamonds / "0/contexts/nr_contexts", "1")
        context = kdamonds / "0/contexts/0"
        put(context / "operations", "paddr")
        put(context / "monitoring_attrs/intervals/sample_us", "100000")
        put(context / "monitoring_attrs/intervals/aggr_us", "1000000")
        put(context / "targets/nr_targets", "1")
        put(context / "schemes/nr_schemes", "1")
        scheme = context / "schemes/0"
        put(scheme / "action", "cold")
        for name in ("sz", "nr_accesses", "age"):
            put(scheme / f"access_pattern/{name}/max", str(2**64 - 1))
        put(kdamonds / "0/state", "on")
        applied, end = 0, time.monotonic() + WAIT_LIMIT_S
        while not applied and time.monotonic() < end:
            put(kdamonds / "0/state", "update_schemes_stats")
            applied = int((scheme / "stats/sz_applied").read_text())
            time.sleep(0.5)
        put(kdamonds / "0/state", "off")
    assert applied > 0


def test_events_are_tracepoints_that_ftrace_reads(tmp_path: Path) -> None:
    if not (TRACING / "user_events_data").exists():
        pytest.skip("this kernel has no user_events")
    with memory() as program, served(tmp_path) as kdamonds:
        put(kdamonds / "nr_kdamonds", "1")
        put(kdamonds / "0/contexts/nr_contexts", "1")
        context = kdamonds / "0/contexts/0"
        put(context / "monitoring_attrs/intervals/sample_us", "50000")
        put(context / "monitoring_attrs/intervals/aggr_us", "500000")
        put(context / "targets/nr_targets", "1")
        put(context / "targets/0/pid_target", str(program.pid))
        put(kdamonds / "0/state", "on")
        event = TRACING / "events/user_events/damon_aggregated"
        put(event / "enable", "1")
        try:
            found = first_line("damon_aggregated")
            pid = (kdamonds / "0/pid").read_text().strip()
        finally:
            put(event / "enable", "0")
            put(kdamonds / "0/state", "off")
    # ftrace does not know the name of every thread.
    assert found.split()[0] in (f"kdamond.0-{pid}", f"<...>-{pid}")
    for field in ("target_id=", "nr_regions=", "start=", "end=", "nr_accesses=", "age="):
        assert field in found


def first_line(word: str) -> str:
    """The first line of the trace with this word in it."""
    end = time.monotonic() + WAIT_LIMIT_S
    lines: list[str] = []

    def read() -> None:
        with open(TRACING / "trace_pipe") as pipe:
            for line in pipe:
                if word in line:
                    lines.append(line)
                    return

    threading.Thread(target=read, daemon=True).start()
    while not lines:
        assert time.monotonic() < end, f"no {word} was traced"
        time.sleep(0.1)
    return lines[0]


SELFTESTS = Path(os.environ.get("UDAMON_SELFTESTS", os.path.expanduser("~/.cache/udamon/selftests")))
"""Where `python -m bench.selftests --fetch` puts them: VERSION/damon."""


@pytest.mark.guest_long
@pytest.mark.parametrize(
    "name",
    [
        "sysfs_update_removed_scheme_dir.sh",
        "sysfs_update_schemes_tried_regions_hang.py",
        "damos_quota_goal.py",
        "damos_quota.py",
    ],
)
def test_the_kernels_selftests(name: str) -> None:
    """Unmodified. The others take minutes under emulation: bench/selftests.py has the whole table."""
    directory = SELFTESTS / "7.2/damon"
    if not (directory / "access_memory").exists():
        pytest.skip(f"no selftests in {directory}: python -m bench.selftests --fetch")
    done = subprocess.run([*UDAMON, *EXEC, "--", f"./{name}"], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
