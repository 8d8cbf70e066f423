"""What people try first, on kernels and processors of every kind: doctor, record, report and stat, against the truth.

The truth is a process that writes its hot mapping again and again, and leaves its cold one alone. On a processor that
sets no accessed bits (cortex-a72) the first access of a page after a look is a fault, in which the kernel sets the bit.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.pages import MIB, PAGE, Pages, entries, pages
from tests.integration.recorder import forked_udamon, report
from udamon.acting.refaults import Refaults
from udamon.acting.vaddr import VaddrActor
from udamon.core.scheme import Action, ActionRequest
from udamon.model import Range
from udamon.record.reader import Recording

pytestmark = [
    pytest.mark.guest_arm64,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "clear_refs"),
]

HOT, COLD = 4 * MIB, 12 * MIB
IDLE_BITMAP, KERNEL_DAMON = Path("/sys/kernel/mm/page_idle/bitmap"), Path("/sys/kernel/mm/damon/admin")
ARM = platform.machine() == "aarch64"


@pytest.fixture(scope="module")
def program() -> Iterator[Pages]:
    with pages() as started:
        for name, size in (("hot", HOT), ("cold", COLD)):
            started.map(name, size)
            started.write(name, 0, size // PAGE)
        yield started


@pytest.fixture(scope="module")
def areas(program: Pages) -> dict[str, Range]:
    """Where these two are, with more that tests map themselves."""
    starts = {name: int(program.tell("where", name)) for name in ("hot", "cold")}
    return {name: Range(start, start + (HOT if name == "hot" else COLD)) for name, start in starts.items()}


@contextlib.contextmanager
def looping(program: Pages) -> Iterator[None]:
    """The hot mapping is written, all of it 20 times a second."""
    program.tell("loop", "hot", 0, HOT // PAGE, 50)
    yield
    program.read("hot", 0, 1)


def doctor() -> dict[str, Any]:
    return dict(json.loads(forked_udamon("doctor", "--json").stdout))


def within(regions: list[dict[str, Any]], area: Range) -> tuple[int, int]:
    """(resident, touched) bytes that a report has between the ends of an area."""
    found = [one for one in regions if one["start"] < area.end and area.start < one["end"]]
    assert found
    assert all(area.start <= one["start"] and one["end"] <= area.end for one in found)
    return sum(one["resident_bytes"] for one in found), sum(one["touched_bytes"] for one in found)


@pytest.mark.guest_smoke
def test_by_refs_figures_are_the_truth(program: Pages, areas: dict[str, Range], tmp_path: Path) -> None:
    file = tmp_path / "r.udamon"
    with looping(program):
        done = forked_udamon(
            "record", "-p", program.pid, "--via", "refs", "--aggr", "1s", "--windows", "4", "-o", file
        )
    assert done.status == 0, done.stderr
    recording = Recording(file)
    assert recording.metadata["page_size"] == mmap.PAGESIZE == PAGE
    assert recording.metadata["machine"] == platform.machine()
    assert (recording.metadata["via"], recording.metadata["sees"]) == ("refs", "reads and writes")
    begin = report("access", file)["time"]
    for back in range(4):  # seconds, and windows
        found = (
            report("access", file, "--at", f"{begin - back}s")["regions"]
            if back
            else report("access", file)["regions"]
        )
        assert within(found, areas["hot"]) == (HOT, HOT)
        assert within(found, areas["cold"]) == (COLD, 0)
    whole = sum(one["resident_bytes"] for one in found)
    sizes = report("wss", file)["bytes"]
    assert HOT <= sizes["min"] <= sizes["max"] <= whole - COLD
    named = {one["start"]: one for one in report("mappings", file)["mappings"]}
    assert named[areas["hot"].start]["rate"] == 1
    assert named[areas["cold"].start]["rate"] == 0
    assert "4.0 MiB" in forked_udamon("report", "access", file).stdout


def test_by_refs_nothing_is_hot_in_a_process_at_rest(
    program: Pages, areas: dict[str, Range], tmp_path: Path
) -> None:
    file = tmp_path / "r.udamon"
    done = forked_udamon(
        "record", "-p", program.pid, "--via", "refs", "--aggr", "500ms", "--windows", "2", "-o", file
    )
    assert done.status == 0, done.stderr
    found = report("access", file)["regions"]
    assert [within(found, area) for area in areas.values()] == [(HOT, 0), (COLD, 0)]
    assert report("wss", file)["bytes"]["max"] < MIB


def test_stat_by_refs(program: Pages) -> None:
    """Of 16 MiB and what Python has, the hot quarter was accessed in each window, and the cold rest in none."""
    words = (
        "stat",
        "-p",
        program.pid,
        "--via",
        "refs",
        "--aggr",
        "500ms",
        "--duration",
        "4s",
        "--json",
        "-q",
    )
    with looping(program):
        done = forked_udamon(*words)
    assert done.status == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["bytes"] >= HOT + COLD
    idle = document["memory_idle_ms_percentiles"]
    share = HOT / document["bytes"]
    assert idle[int(100 * share / 2)] < 0, "the hot part was accessed"
    assert idle[90] >= 2_000, "the cold part was not, for as long as was watched"
    assert document["ages"]["resident_bytes"] >= HOT + COLD
    per_second = HOT * 2  # each window touches it once for sure, however often it was written
    assert document["memory_bandwidth_low"] is None or document["memory_bandwidth_low"] <= 20 * per_second


@pytest.mark.guest_smoke
def test_doctor_says_what_this_kernel_has() -> None:
    """Each against a sign of the kernel that is not udamon's."""
    found = doctor()
    can = {name: one["usable"] for name, one in found["primitives"].items()}
    why = {name: one["why"] for name, one in found["primitives"].items()}
    assert can["refs"]
    assert can["idle"] == IDLE_BITMAP.exists()
    assert can["kernel"] == KERNEL_DAMON.exists() == found["kernel_damon"]["present"]
    if ARM:
        assert not can["softdirty"], "Linux has no soft-dirty bits for arm64"
        assert "arm64" in found["primitives"]["softdirty"]["fix"]
    if PAGE == 4096:
        assert can["pte"] or why["pte"].startswith("Kernel memory")
    else:
        assert not can["pte"]
        assert f"{PAGE >> 10} KiB" in why["pte"]
    assert found["auto"] == next(name for name in ("idle", "kernel", "refs") if can[name])


@pytest.mark.parametrize("way", ["idle", "kernel", "softdirty", "pte"])
def test_what_it_has_not_is_refused_with_doctors_reason(program: Pages, tmp_path: Path, way: str) -> None:
    found = doctor()["primitives"][way]
    if found["usable"] or found["offered"]:
        pytest.skip(f"{way} can be used here")
    file = tmp_path / "r.udamon"
    done = forked_udamon("record", "-p", program.pid, "--via", way, "--duration", "1s", "-o", file)
    assert done.status == 1
    assert found["why"].rstrip(".").lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert not file.exists()


@pytest.mark.needs("damon_free")
def test_by_the_kernel_hot_and_cold_memory_are_told_apart(
    program: Pages, areas: dict[str, Range], tmp_path: Path
) -> None:
    """Each page of the hot mapping is written twice between any two samples, each of the cold one never. After 15
    windows a region may still have parts of both, so rates are no 1 and 0 yet: 0.5 and 0, and 0.98 and 0.1."""
    file = tmp_path / "r.udamon"
    words = ("--via", "kernel", "--sample", "100ms", "--aggr", "1s", "--windows", "15", "-o", file)
    with looping(program):
        done = forked_udamon("record", "-p", program.pid, *words)
    assert done.status == 0, done.stderr
    assert Recording(file).metadata["via"] == "kernel"
    found = report("access", file)["regions"]

    def heat(area: Range) -> float:
        parts = [(min(one["end"], area.end) - max(one["start"], area.start), one["rate"]) for one in found]
        return float(sum(size * rate for size, rate in parts if size > 0) / area.size)

    print({name: heat(area) for name, area in areas.items()})
    assert heat(areas["hot"]) > 0.2
    assert heat(areas["hot"]) > 5 * heat(areas["cold"])


@pytest.mark.needs("process_madvise", "frame_numbers")
def test_what_is_paged_out_is_as_much_as_is_said(program: Pages, swap: None) -> None:
    """By the number of the system call and in the pages of this machine. Up to 31 pages that are new may be in no list
    of the kernel yet, of which it pages out."""
    area = program.map("out", 512 * PAGE)
    program.write("out", 0, 512)
    with contextlib.closing(VaddrActor(refaults=Refaults())) as actor:
        applied = actor.apply(program.target(), *area, ActionRequest(Action.PAGEOUT))
    out = sum(entry >> 62 & 1 for entry in entries(program.pid, area)) * PAGE
    assert applied.applied == area.size
    assert applied.moved == out
    assert out >= area.size - 31 * PAGE
