"""refs on real processes: what is touched is seen, what is not is not, by root and by an ordinary user."""

from __future__ import annotations

import mmap
import os
import pwd
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.programs import MIB, Watched, as_nobody, forked, running
from tests.integration.recorder import report, udamon
from tests.waiting import until
from udamon.core.target import Target
from udamon.errors import NotPermitted, TargetGone
from udamon.linux import procfs
from udamon.linux.sysfs_damon import kernel_damon
from udamon.model import Range
from udamon.native._native import address_of
from udamon.ops.base import Touched
from udamon.ops.opening import open_census, open_ops
from udamon.ops.refs import Refs
from udamon.ops.tlb import way
from udamon.record.reader import Recording
from udamon.targets.processes import NamedProcesses

pytestmark = pytest.mark.needs("clear_refs")


def target_of(pid: int) -> Target:
    return Target(0, pid, procfs.read_stat(pid).start_time)


def census(refs: Refs, target: Target, seconds: float = 0.2) -> list[Touched]:
    refs.prepare(target)
    time.sleep(seconds)
    return refs.look(target)


def rests(pid: int) -> int:
    """How often it has slept: PROGRAM does after each time that it touched all of A."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def at(found: list[Touched], address: int) -> Touched:
    return next(entry for entry in found if entry.start <= address < entry.end)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with running() as watched:
        yield watched


def test_touched_and_untouched(watched: Watched) -> None:
    """All of A, nothing of B, window after window."""
    target, refs = target_of(watched.pid), Refs(tlb=way())
    for _ in range(3):
        refs.prepare(target)
        begun = rests(watched.pid)
        until(lambda begun=begun: rests(watched.pid) >= begun + 2, "all of A touched")  # type: ignore[misc]
        found = refs.look(target)
        a, b = at(found, watched.a), at(found, watched.b)
        assert (a.start, a.end) == (watched.a, watched.a + watched.size)
        assert a.touched >= 0.95 * watched.size
        assert (b.resident, b.touched) == (watched.size, 0)
    assert found == sorted(found)


def test_a_window_without_touch_is_empty(watched: Watched) -> None:
    """A stopped process touches nothing."""
    target, refs = target_of(watched.pid), Refs(tlb=way())
    os.kill(watched.pid, 19)
    try:
        time.sleep(0.05)
        assert at(census(refs, target), watched.a).touched == 0
    finally:
        os.kill(watched.pid, 18)


def test_within_ranges(watched: Watched) -> None:
    """fvaddr with refs answers for the whole mapping that a range lies in, and for no other."""
    ops = open_ops("fvaddr", NamedProcesses([watched.pid]), [Range(watched.a + 8192, watched.a + 12288)])
    targets: list[Target] = []
    ops.update(targets, lambda name, data: None)
    try:
        refs = open_census("refs", ops)
        refs.prepare(targets[0])
        (found,) = refs.look(targets[0])
    finally:
        ops.close()
    assert (found.start, found.end) == (watched.a, watched.a + watched.size)


def test_a_range_that_becomes_whole_mappings_is_told(watched: Watched, tmp_path: Path) -> None:
    """Figures of a recording are of more than was asked for."""
    file = tmp_path / "a.udamon"
    words = ("--ops", "fvaddr", "--range", f"{watched.a + 8192:#x}-{watched.a + 12288:#x}", "--aggr", "100ms")
    done = udamon("record", "--via", "refs", "-p", watched.pid, *words, "--windows", "2", "-o", file)
    assert done.status == 0
    assert "mappings that a --range lies in are watched as a whole" in done.stderr
    notes = [event.data["text"] for event in Recording(file).events() if event.name == "note"]
    assert any("watched as a whole" in str(note) for note in notes)


def test_ends_between_prepare_and_look() -> None:
    """First a zombie, then nothing: each a sentence, and prepare says it too."""
    with running(MIB) as watched:
        target, refs = target_of(watched.pid), Refs(tlb=way())
        refs.prepare(target)
        watched.process.kill()
        os.waitid(os.P_PID, watched.pid, os.WEXITED | os.WNOWAIT)
        for step in (refs.look, refs.prepare):
            with pytest.raises(TargetGone, match="has not collected|not collected it yet"):
                step(target)
        watched.process.wait()
        for step in (refs.look, refs.prepare):
            with pytest.raises(TargetGone, match="there is no process"):
                step(target)


def reads() -> int:
    """System calls of this process that read, so far."""
    return int(Path("/proc/self/io").read_text().split("syscr: ")[1].split()[0])


def test_thousands_of_mappings() -> None:
    """5000 mappings of one page each, all seen, and no read of smaps gives less than one of them."""
    count = 5000

    def work() -> None:
        area = mmap.mmap(-1, 2 * count * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for page in range(0, 2 * count, 2):
            area.madvise(mmap.MADV_DONTFORK, page * mmap.PAGESIZE, mmap.PAGESIZE)  # cuts the mapping
            area[page * mmap.PAGESIZE] = 1
        globals()["kept"] = area

    with forked(work) as pid:
        target, refs = target_of(pid), Refs(tlb=way())
        before = reads()
        found = census(refs, target, 0)
        made = reads() - before
    assert len(found) >= count
    assert found == sorted(found)
    assert 0 < made < count


def test_a_file_whose_name_is_odd(tmp_path: Path) -> None:
    """Blanks and a newline in a name, and the file removed: still one mapping with its numbers."""
    path = tmp_path / "a name\nwith Rss: 5 kB"
    path.write_bytes(bytes(8 * mmap.PAGESIZE))

    def work() -> None:
        with open(path, "r+b") as file:
            area = mmap.mmap(file.fileno(), 8 * mmap.PAGESIZE)
        assert sum(area[:: mmap.PAGESIZE]) == 0
        path.unlink()
        globals()["kept"] = area

    with forked(work) as pid:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        start = next(int(line.split("-")[0], 16) for line in lines if "with Rss" in line)
        assert at(Refs(tlb=way()).look(target_of(pid)), start) == (start, start + 32768, 32768, 32768)


@pytest.mark.needs("second_user")
def test_an_ordinary_user_watches_its_own_process() -> None:
    """No privilege is needed for that. Only its own pages are asked for: what it shares with its parent may be

    touched by that, and in-kernel DAMON of this machine may say so for both."""
    area = mmap.mmap(-1, 4 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = address_of(area)

    def work() -> None:
        area[:] = b"x" * (4 * MIB)

    with forked(work, nobody=True) as pid:

        def check() -> None:
            found = at(census(Refs(tlb=way()), target_of(pid), 0), start)
            assert found.resident >= 4 * MIB
            assert found.touched < MIB

        as_nobody(check)


@pytest.mark.needs("second_user")
def test_an_ordinary_user_and_roots_process(watched: Watched) -> None:
    """The sentence says whose it is and who may."""
    target = target_of(watched.pid)

    def check() -> None:
        for step in (Refs(tlb=way()).prepare, Refs(tlb=way()).look):
            with pytest.raises(NotPermitted, match="belongs to root and you are nobody; run udamon as root"):
                step(target)

    as_nobody(check)


@pytest.mark.needs("second_user")
def test_a_protected_process_of_ones_own() -> None:
    """Not dumpable: its files are root's although the process is not."""
    uid = pwd.getpwnam("nobody").pw_uid
    with forked(lambda: None, nobody=True, dumpable=False) as pid:
        assert procfs.read_status(pid).uid == uid
        target = target_of(pid)

        def check() -> None:
            with pytest.raises(NotPermitted, match="is yours, but it runs protected"):
                Refs(tlb=way()).look(target)

        as_nobody(check)


def test_an_idle_mapper_beside_a_reader(tmp_path: Path) -> None:
    """What another process read()s counts as touched by who merely maps it: at most, says the report.

    The kernel marks the page itself. Without the reader nothing is touched.
    """
    path = tmp_path / "data"
    path.write_bytes(bytes(4 * MIB))

    def work() -> None:
        with open(path, "rb") as file:
            area = mmap.mmap(file.fileno(), 4 * MIB, access=mmap.ACCESS_READ)
        assert sum(area[:: mmap.PAGESIZE]) == 0
        globals()["kept"] = area

    with forked(work) as pid:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        start = next(int(line.split("-")[0], 16) for line in lines if line.endswith(str(path)))
        target, refs = target_of(pid), Refs(tlb=way())
        refs.prepare(target)
        assert at(refs.look(target), start)[2:] == (4 * MIB, 0)
        refs.prepare(target)
        path.read_bytes()
        assert at(refs.look(target), start)[2:] == (4 * MIB, 4 * MIB)
        file = tmp_path / "a.udamon"
        done = threading.Event()
        with ThreadPoolExecutor(1) as other:
            reading = other.submit(lambda: [path.read_bytes() and None for _ in iter(done.is_set, True)])
            words = ("-p", pid, "--via", "refs", "--aggr", "50ms", "--windows", "3", "-o", file)
            recorded = udamon("record", *words)
            done.set()
            reading.result()
        assert recorded.status == 0, recorded.stderr
    regions = report("access", file)["regions"]
    kinds = {region["kind"]: region["upper_bound"] for region in regions}
    assert next(region for region in regions if region["mapping"] == str(path))["upper_bound"] is True
    assert (kinds["file"], kinds["stack"]) == (True, False)
    wss = report("wss", file)
    assert wss["targets"][0]["bounds"] == wss["bounds"]
    assert wss["bytes"]["max"] == wss["bounds"]["high"]["max"] >= wss["bounds"]["low"]["max"] + 4 * MIB
    by_mapping = report("wss", file, "--by", "mapping")["targets"]
    assert next(line["bounds"] for line in by_mapping if line["mapping"] == str(path))["low"]["max"] == 0
    assert all(line["bounds"] is None for line in by_mapping if line["kind"] in ("stack", "heap"))
    mappings = report("mappings", file)["mappings"]
    assert {line["kind"]: line["upper_bound"] for line in mappings}["file"] is True
    assert "≤ at most: what other processes did" in udamon("report", "mappings", file).stdout


def test_in_kernel_damon_is_told(watched: Watched, tmp_path: Path) -> None:
    """By the command, in the recording, and by every report."""
    file = tmp_path / "a.udamon"
    physical = kernel_damon().physical
    words = ("-p", watched.pid, "--via", "refs", "--aggr", "50ms", "--windows", "3", "-o", file)
    done = udamon("record", *words)
    found = report("info", file)
    assert found["marked_by_others"] == physical
    told = [note for note in found["notes"] if "upper bound" in note]
    assert len(told) == (physical != "no")
    assert all(note in done.stderr for note in told)
    assert ("upper bounds" in udamon("report", "wss", file).stdout) == (physical != "no")
