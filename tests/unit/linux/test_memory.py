"""Readers of memory figures, on texts as the kernel's documents show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from udamon.core.scheme import Goal, GoalMetric
from udamon.core.target import Target
from udamon.errors import CannotError, NotSupported
from udamon.linux.cgroup.memory import major_faults, memory_cgroup, parse_lru
from udamon.linux.faults import major_faults as process_faults
from udamon.linux.meminfo import node_memory, parse_meminfo
from udamon.linux.pressure import parse_some
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.scheme_metrics.fault_counter import FaultCounter, stalls
from udamon.scheme_metrics.machine import MachineMetrics

PRESSURE = (
    "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459\nfull avg10=0.00 avg60=0.13 avg300=0.96 total=57\n"
)
MEMINFO = "MemTotal: 1000 kB\nMemFree: 250 kB\nActive: 300 kB\nInactive: 100 kB\nActive(anon): 5 kB\n"
ZONEINFO = """Node 0, zone      DMA
  pages free     3840
        spanned  4095
        present  3998
  start_pfn:           1
Node 0, zone   Movable
        spanned  0
        present  0
Node 1, zone   Normal
        spanned  1024
  start_pfn:           8192
"""


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two nodes; in node 1 1000 KiB, of which 400 are free. A cgroup /a in version 2."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    (proc / "pressure").mkdir(parents=True)
    (proc / "self").mkdir()
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "zoneinfo").write_text(ZONEINFO)
    (proc / "pressure/memory").write_text(PRESSURE)
    cgroups = tmp_path / "cgroup"
    (proc / "self/mountinfo").write_text(f"30 23 0:26 / {cgroups} rw - cgroup2 cgroup2 rw\n")
    (cgroups / "a").mkdir(parents=True)
    (cgroups / "a/cgroup.procs").write_text("")
    (cgroups / "a/memory.pressure").write_text(PRESSURE.replace("58761459", "1200"))
    (cgroups / "a/memory.numa_stat").write_text(
        "anon N0=1 N1=2\nfile N0=3 N1=4\ninactive_anon N0=7 N1=102400\nactive_anon N0=7 N1=1024\n"
        "inactive_file N0=7 N1=0\nactive_file N0=7 N1=1024\nunevictable N0=7 N1=999\n"
    )
    (cgroups / "a/memory.stat").write_text("anon 5\npgfault 9\npgmajfault 17\n")
    for node, free in ((0, 1000), (1, 400)):
        folder = sys / f"devices/system/node/node{node}"
        folder.mkdir(parents=True)
        text = f"Node {node} MemTotal:  1000 kB\nNode {node} MemFree:  {free} kB\n"
        (folder / "meminfo").write_text(text)
    return Roots(proc, sys)


def test_the_total_of_some_is_what_pressure_is_about() -> None:
    assert parse_some(PRESSURE.encode()) == 58_761_459


def test_meminfo_of_the_system_and_of_a_node_have_the_same_names() -> None:
    assert parse_meminfo(b"MemFree:  250 kB\nActive(anon): 1 kB\n") == {
        "MemFree": 250 << 10,
        "Active(anon)": 1024,
    }
    assert parse_meminfo(b"Node 3 MemFree:  250 kB\n") == {"MemFree": 250 << 10}


def test_the_memory_of_a_node_is_what_its_zones_span(roots: Roots) -> None:
    assert node_memory(0, roots.proc) == [Range(PAGE_SIZE, 4096 * PAGE_SIZE)]
    assert node_memory(1, roots.proc) == [Range(8192 * PAGE_SIZE, 9216 * PAGE_SIZE)]
    assert node_memory(2, roots.proc) == []


def test_lru_pages_of_a_cgroup_in_both_versions() -> None:
    assert parse_lru(b"active_anon N0=10 N1=20\ninactive_file N1=5\nunevictable N1=7\n", 1) == 25
    old = b"total=9 N0=9\nfile=1 N0=1\nhierarchical_file=2 N0=2\nhierarchical_anon=3 N0=3\n"
    assert parse_lru(old, 0) == 5 * PAGE_SIZE, "version 1 counts pages"


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (GoalMetric.SOME_MEM_PSI_US, 58_761_459),
        (GoalMetric.MEMCG_SOME_MEM_PSI_US, 1200),
        (GoalMetric.NODE_MEM_USED_BP, 6000),
        (GoalMetric.NODE_MEM_FREE_BP, 4000),
        (GoalMetric.NODE_MEMCG_USED_BP, 1020),  # 102 of 1000 KiB on the lists
        (GoalMetric.NODE_MEMCG_FREE_BP, 8980),
        (GoalMetric.ACTIVE_MEM_BP, 7500),
        (GoalMetric.INACTIVE_MEM_BP, 2500),
        (GoalMetric.USER_INPUT, 77),
    ],
)
def test_every_metric_that_files_tell(roots: Roots, metric: GoalMetric, expected: int) -> None:
    metrics, goal = MachineMetrics(roots), Goal(metric, 1, current_value=77, nid=1, path="/a")
    assert metrics.missing(goal) is None
    assert metrics.value(goal) == expected


def test_a_node_or_cgroup_that_is_gone_uses_nothing_as_in_the_kernel(roots: Roots) -> None:
    metrics = MachineMetrics(roots)
    for nid, path in ((9, "/a"), (1, "/gone")):
        for metric, expected in (
            (GoalMetric.NODE_MEMCG_USED_BP, 0),
            (GoalMetric.NODE_MEMCG_FREE_BP, 10_000),
        ):
            assert metrics.value(Goal(metric, 1, nid=nid, path=path)) == expected
    assert metrics.value(Goal(GoalMetric.NODE_MEM_USED_BP, 1, nid=9)) == 0
    assert metrics.value(Goal(GoalMetric.NODE_MEM_FREE_BP, 1, nid=9)) == 10_000


def test_what_is_missing_is_said_before(roots: Roots, tmp_path: Path) -> None:
    metrics = MachineMetrics(roots)
    assert "no node 9" in (metrics.missing(Goal(GoalMetric.NODE_MEM_USED_BP, 1, nid=9)) or "")
    assert "no cgroup '/b'" in (metrics.missing(Goal(GoalMetric.NODE_MEMCG_USED_BP, 1, path="/b")) or "")
    (roots.proc / "pressure/memory").unlink()
    assert "CONFIG_PSI" in (metrics.missing(Goal(GoalMetric.SOME_MEM_PSI_US, 1)) or "")
    assert "cannot be read" in (metrics.missing(Goal(GoalMetric.FILE, 1, path=str(tmp_path / "no"))) or "")


def test_free_memory_is_permil(roots: Roots) -> None:
    assert MachineMetrics(roots).free_mem_permil() == 250


@pytest.mark.parametrize(
    ("text", "expected"), [("12\n", 12), ("1.9 ms\n", 1), ("-3", 0), ("1e3 x\nmore", 1000)]
)
def test_a_number_in_a_file(tmp_path: Path, text: str, expected: int) -> None:
    (tmp_path / "n").write_text(text)
    assert MachineMetrics().value(Goal(GoalMetric.FILE, 1, path=str(tmp_path / "n"))) == expected


def test_a_file_without_a_number_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("soon\n")
    with pytest.raises(CannotError, match="number"):
        MachineMetrics().value(Goal(GoalMetric.FILE, 1, path=str(tmp_path / "n")))


class Bytes:
    def __init__(self, target: Target, start: int, end: int) -> None:
        self.target, self.start, self.end = target, start, end


def test_how_much_of_what_matches_lies_on_a_node(roots: Roots) -> None:
    metrics, goal = MachineMetrics(roots), Goal(GoalMetric.NODE_ELIGIBLE_MEM_BP, 1, nid=1)
    memory, first = Target(0), 8192 * PAGE_SIZE
    assert metrics.eligible_bp(goal, []) == 0
    assert metrics.eligible_bp(goal, [Bytes(memory, first, first + PAGE_SIZE)]) == 10_000
    both = [Bytes(memory, PAGE_SIZE, 4 * PAGE_SIZE), Bytes(memory, first, first + PAGE_SIZE)]
    assert metrics.eligible_bp(goal, both) == 2500
    with pytest.raises(NotSupported, match="paddr"):
        metrics.eligible_bp(goal, [Bytes(Target(0, pid=1), 0, PAGE_SIZE)])


def test_major_faults_of_cgroups_and_processes(roots: Roots, tmp_path: Path) -> None:
    assert major_faults(memory_cgroup("/a", "memory.stat", roots.proc)) == 17
    me = read_stat(os.getpid())
    assert process_faults(me.id) >= 0
    with pytest.raises(ProcessLookupError):
        process_faults(ProcessId(me.pid, me.start_time + 1))


def test_targets_that_come_and_go_never_make_the_count_fall(tmp_path: Path) -> None:
    def stat(pid: int, faults: int) -> None:
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        fields = ["S", *["0"] * 8, str(faults), *["0"] * 9, "5", *["0"] * 10]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (x) {' '.join(fields)}\n")

    counter, a, b = FaultCounter(Roots(tmp_path)), Target(0, 1, 5), Target(1, 2, 5)
    stat(1, 1000)
    assert counter.count([a]) == 0, "faults from before are not ours"
    stat(1, 1010)
    stat(2, 7)
    assert counter.count([a, b]) == 10
    stat(2, 12)
    assert counter.count([b]) == 15
    stat(1, 3)
    assert counter.count([a, b]) == 15


def test_stalls_of_what_can_tell(roots: Roots, tmp_path: Path) -> None:
    directory = memory_cgroup("/a", "memory.pressure", roots.proc)
    found = stalls({"cgroup /a": directory, "cgroup /gone": tmp_path / "gone"}, roots)
    assert found == {"the system": 58_761_459, "cgroup /a": 1200}
