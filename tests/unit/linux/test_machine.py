"""Readers of the machine: cgroups of both versions, System RAM, in-kernel DAMON and its users."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.errors import CannotError, NotPermitted, NotSupported, OutOfFiles
from udamon.linux import features, iomem
from udamon.linux.cgroup import groups as cgroup
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import kernel_damon
from udamon.model import PAGE_SIZE, Range


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    (tmp_path / "proc").mkdir()
    return FakeProc(tmp_path / "proc")


def _mount(fake: FakeProc, *lines: str) -> None:
    (fake.root / "self/mountinfo").write_text("\n".join(lines) + "\n")


def _group(path: Path, pids: str = "") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text(pids)
    return path


def test_cgroup_v2(fake: FakeProc, tmp_path: Path) -> None:
    """A directory and a path within the hierarchy mean the same; descendants count, others' pids (0) do not."""
    top = _group(tmp_path / "cg v2")
    group = _group(top / "a", "5\n0\n")
    _group(group / "b/c", "7\n5\n")
    point = str(top).replace(" ", "\\040")
    _mount(
        fake,
        "23 1 0:5 / /proc rw - proc proc rw",
        f"31 23 0:28 / {point} rw,relatime shared:9 - cgroup2 cgroup2 rw",
    )
    for path in ("/a", "a", "a/", str(group), f"{top}/a/../a"):
        assert cgroup.find_cgroup(path, fake.root) == group
    assert cgroup.cgroup_pids(group) == [5, 7]
    with pytest.raises(CannotError, match="no cgroup '/nope'"):
        cgroup.find_cgroup("/nope", fake.root)


def test_cgroup_v1_and_hybrid(fake: FakeProc, tmp_path: Path) -> None:
    """Of several hierarchies the first that has processes there is meant: version 2, memory, then others."""
    for name in ("unified", "cpu", "memory"):
        _group(tmp_path / name / "job")
    _mount(
        fake,
        f"1 0 0:1 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu",
        f"2 0 0:2 / {tmp_path}/memory rw - cgroup cgroup rw,memory",
        f"3 0 0:3 / {tmp_path}/unified rw - cgroup2 cgroup2 rw",
    )
    assert cgroup.find_cgroup("/job", fake.root) == tmp_path / "unified/job"
    _group(tmp_path / "cpu/job", "9\n")
    assert cgroup.find_cgroup("/job", fake.root) == tmp_path / "cpu/job"
    _group(tmp_path / "memory/job", "9\n")
    assert cgroup.find_cgroup("/job", fake.root) == tmp_path / "memory/job"


def test_cgroup_of_a_container(fake: FakeProc, tmp_path: Path) -> None:
    """A mount that shows a part of the hierarchy: paths from /proc/PID/cgroup of outside still work."""
    group = _group(tmp_path / "cg/x", "9\n")
    _mount(fake, f"3 0 0:3 /docker/abc {tmp_path}/cg rw - cgroup2 cgroup2 rw")
    assert cgroup.find_cgroup("/docker/abc/x", fake.root) == group
    assert cgroup.find_cgroup("/x", fake.root) == group


def test_cgroup_that_was_removed(tmp_path: Path) -> None:
    assert cgroup.cgroup_pids(tmp_path / "gone") == []


def test_a_threaded_cgroup_that_goes_during_a_look(
    fake: FakeProc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes are those of its threads; where it was removed since, or its files are kept from us, that is told
    as of any cgroup."""
    answers: dict[str, bytes | int] = {"cgroup.procs": errno.EOPNOTSUPP, "cgroup.threads": b"9\n"}

    def read(path: str | Path) -> bytes:
        answer = answers.get(os.path.basename(path))
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return read_bytes(path) if answer is None else answer

    monkeypatch.setattr(cgroup, "read_bytes", read)
    fake.process(9)
    assert cgroup.own_pids(tmp_path, fake.root) == {9}
    answers["cgroup.threads"] = errno.ENODEV
    assert cgroup.own_pids(tmp_path, fake.root) == set()
    answers["cgroup.threads"] = errno.EACCES
    with pytest.raises(NotPermitted, match="cgroup.threads may not be read"):
        cgroup.own_pids(tmp_path, fake.root)


def test_no_cgroups_at_all(fake: FakeProc) -> None:
    _mount(fake, "23 1 0:5 / /proc rw - proc proc rw")
    with pytest.raises(NotSupported, match="no cgroup hierarchy is mounted"):
        cgroup.find_cgroup("/a", fake.root)


IOMEM = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000f0000-000fffff : System ROM
00100000-bfffffff : System RAM
  01000000-01ffffff : Kernel code
c0000000-c0000fff : System RAM
100000000-13fffffff : System RAM
"""


def test_system_ram() -> None:
    """Ends are inclusive, parts of pages are dropped, neighbours joined, nested lines are no RAM of their own."""
    first, last = -(-0x1000 // PAGE_SIZE) * PAGE_SIZE, 0x9FC00 // PAGE_SIZE * PAGE_SIZE
    assert iomem.parse_system_ram(IOMEM) == [
        Range(first, last),
        Range(0x100000, 0xC0001000 // PAGE_SIZE * PAGE_SIZE),
        Range(0x100000000, 0x140000000),
    ]


def test_ram_that_a_driver_added() -> None:
    """It stands below its device (virtio_mem, kmem)."""
    added = "140000000-3ffffffff : virtio0\n  140000000-17fffffff : System RAM (virtio_mem)\n"
    added += "  200000000-20fffffff : System RAM (virtio_mem)\n    200000000-200000fff : Kernel code\n"
    assert iomem.parse_system_ram(IOMEM + added)[-2:] == [
        Range(0x100000000, 0x180000000),
        Range(0x200000000, 0x210000000),
    ]


def test_hidden_addresses_are_a_refusal(tmp_path: Path) -> None:
    """All zeros means "not permitted", never "no memory"."""
    (tmp_path / "iomem").write_text("00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n")
    with pytest.raises(NotPermitted, match="CAP_SYS_ADMIN"):
        iomem.system_ram(tmp_path)
    (tmp_path / "iomem").write_text("00000000-00000fff : Reserved\n")
    with pytest.raises(NotSupported):
        iomem.system_ram(tmp_path)


@pytest.fixture
def roots(fake: FakeProc, tmp_path: Path) -> Roots:
    admin = tmp_path / "sys/kernel/mm/damon/admin/kdamonds"
    admin.mkdir(parents=True)
    (admin / "nr_kdamonds").write_text("0\n")
    return Roots(fake.root, tmp_path / "sys", (tmp_path / "locks",))


def test_kernel_damon_free(roots: Roots) -> None:
    (roots.proc / "config.gz").write_bytes(
        gzip.compress(b"CONFIG_DAMON_PADDR=y\n# CONFIG_DAMON_VADDR is not set\n")
    )
    found = kernel_damon(roots)
    assert (found.present, found.busy, found.ops) == (True, False, ("paddr",))


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("kernel/mm/damon/admin/kdamonds/nr_kdamonds", "2\n", "nr_kdamonds is 2"),
        ("module/damon_stat/parameters/enabled", "Y\n", "damon_stat is enabled"),
        ("module/damon_reclaim/parameters/enabled", "Y\n", "damon_reclaim is enabled"),
        ("module/damon_lru_sort/parameters/enabled", "Y\n", "damon_lru_sort is enabled"),
        ("kernel/debug/damon/monitor_on", "on\n", "debugfs"),
        ("kernel/debug/damon/monitor_on_DEPRECATED", "on\n", "debugfs"),
    ],
)
def test_kernel_damon_users(roots: Roots, path: str, text: str, says: str) -> None:
    """Each of the ways to use in-kernel DAMON is noticed."""
    file = roots.sys / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    found = kernel_damon(roots)
    assert found.busy
    assert says in found.why


def test_a_kdamond_thread_is_a_user(roots: Roots, fake: FakeProc) -> None:
    """A kernel thread of that name; a program that calls itself so is none."""
    fake.process(71, comm="kdamond.0")
    assert not kernel_damon(roots).busy
    fake.process(71, comm="kdamond.0", flags=0x00208040)
    assert "kdamond.0 runs (pid 71)" in kernel_damon(roots).why


@pytest.mark.parametrize(
    ("files", "physical"),
    [
        ({}, "no"),
        ({"kernel/mm/damon/admin/kdamonds/nr_kdamonds": "1"}, "maybe"),
        ({"nr_kdamonds": "1", "0/state": "on", "0/contexts/0/operations": "paddr"}, "yes"),
        ({"nr_kdamonds": "1", "0/state": "on", "0/contexts/0/operations": "vaddr"}, "no"),
        ({"nr_kdamonds": "1", "0/state": "off", "0/contexts/0/operations": "paddr"}, "maybe"),
        ({"nr_kdamonds": "2", "0/state": "on", "0/contexts/0/operations": "vaddr",
          "1/state": "on", "1/contexts/0/operations": "paddr"}, "yes"),
        ({"module/damon_stat/parameters/enabled": "Y"}, "yes"),
    ],
)  # fmt: skip
def test_whether_damon_watches_physical_memory(roots: Roots, files: dict[str, str], physical: str) -> None:
    """What is kept from us may be so."""
    admin = roots.sys / "kernel/mm/damon/admin/kdamonds"
    for name, text in files.items():
        file = (roots.sys if name.startswith(("kernel", "module")) else admin) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert kernel_damon(roots).physical == physical


def test_a_kdamond_that_only_shows_as_a_thread_may_watch_physical_memory(
    roots: Roots, fake: FakeProc
) -> None:
    """All that an ordinary user can see of one."""
    fake.process(71, comm="kdamond.0", flags=0x00208040)
    assert kernel_damon(roots).physical == "maybe"


def test_kernel_without_damon(fake: FakeProc, tmp_path: Path) -> None:
    found = kernel_damon(Roots(fake.root, tmp_path / "nothing"))
    assert (found.present, found.busy) == (False, False)


def test_feature_files(fake: FakeProc, tmp_path: Path) -> None:
    """What is told by files, on a fake root."""
    sys = tmp_path / "sys"
    assert features.idle_bitmap(sys) == "missing"
    (sys / "kernel/mm/page_idle").mkdir(parents=True)
    (sys / "kernel/mm/page_idle/bitmap").write_bytes(bytes(8))
    assert features.idle_bitmap(sys) == "open"
    for name in ("node0", "node2", "possible"):
        (sys / "devices/system/node" / name).mkdir(parents=True)
    assert features.nodes(sys) == [0, 2]
    (fake.root / "swaps").write_text("Filename\n/dev/zram0 partition 1 0 5\n")
    assert features.has_swap(fake.root)
    assert not features.page_monitor(fake.root)


@pytest.mark.parametrize("probe", [features.page_monitor, features.own_page_map_entries])
def test_want_of_descriptors_says_nothing_of_a_kernel(
    probe: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def full(path: str | Path, *arguments: int, **_: int) -> int:
        if os.path.basename(path) == "maps":
            return opened(path, *arguments)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OutOfFiles):
        probe()


def test_probes_answer_on_the_real_machine() -> None:
    """No probe raises, whatever the machine offers."""
    features.soft_dirty(), features.frame_numbers()
    assert features.process_madvise() in features.SystemCall
    assert features.advice_known("willneed")
    with pytest.raises(KeyError):
        features.advice_known("nonsense")
