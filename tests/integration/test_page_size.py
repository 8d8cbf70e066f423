"""Machines with larger pages (arm64 has 4, 16 and 64 KiB), on this one: sysconf tells a process another size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.snapshots import recorded, snap
from udamon.cli.report_kinds import KINDS
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.report import groups
from udamon.report.source import RecordingSource

pytestmark = pytest.mark.needs("compiler")

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int disabled;
long sysconf(int name)
{
    long (*next)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return name == _SC_PAGESIZE && !disabled ? SIZE : next(name);
}
int getpagesize(void) { return (int)sysconf(_SC_PAGESIZE); }
void disable_shim(void) { disabled = 1; }
"""

WORKLOAD = """hot, 8 MiB
cold, 56 MiB

always
60000
hot, 1, 4096, 1
"""

PROGRAM = """
import json, mmap, sys
from random import Random
from udamon.assembly import parts
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.policies import make_policy
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.native import _native
from udamon.ops.sim import SimSpace
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

assert _native.PAGE_SIZE == mmap.PAGESIZE == PAGE_SIZE
workload = parse(sys.argv[1])
truth, clock, random = Truth(workload, place(workload)), ManualClock(), Random(1)
watch = parts.sampled_watch(make_policy(sys.argv[2], random), parts.sim_sampler(truth, clock, 1), random)
kdamond = parts.kdamond(SimSpace(truth), watch, Attrs(), clock)
found = []


class Keep:
    def snapshot(self, snapshot):
        found.append([list(snapshot.starts), list(snapshot.ends), list(snapshot.nr_accesses)])
        if len(found) == 60:
            kdamond.stop()

    def event(self, event):
        pass


kdamond.bus.subscribe(Keep())
kdamond.run()
(hot, cold) = truth.layout.regions
print(json.dumps({"page": PAGE_SIZE, "huge": HUGE_PAGE_SIZE, "hot": [hot.start, hot.end], "found": found}))
"""


def with_pages(size: int, tmp_path: Path, *command: str) -> str:
    """What a command prints that is told of pages of `size` bytes."""
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", f"-DSIZE={size}", "-o", shim, source, "-ldl"], check=True)
    env = os.environ | {"LD_PRELOAD": str(shim)}
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize("policy", ["adaptive", "damon"])
@pytest.mark.parametrize(("kib", "huge_mib"), [(4, 2), (16, 32), (64, 512)])
def test_regions_are_whole_pages_and_what_is_hot_is_found(
    policy: str, kib: int, huge_mib: int, tmp_path: Path
) -> None:
    answer = json.loads(with_pages(kib << 10, tmp_path, sys.executable, "-c", PROGRAM, WORKLOAD, policy))
    assert (answer["page"], answer["huge"]) == (kib << 10, huge_mib << 20)
    for starts, ends, _ in answer["found"]:
        assert all(place % (kib << 10) == 0 for place in starts + ends)
    starts, ends, counts = answer["found"][-1]
    first, last = answer["hot"]
    hot = [(start, end) for start, end, count in zip(starts, ends, counts, strict=True) if count >= 10]
    right = sum(max(0, min(end, last) - max(start, first)) for start, end in hot)
    assert right >= 0.9 * (last - first)
    assert sum(end - start for start, end in hot) - right <= 0.1 * (last - first)


READER = """
import contextlib, ctypes, io, json, mmap, sys
from udamon.model import PAGE_SIZE
ctypes.CDLL(None).disable_shim()  # DuckDB's memory is in pages of the size that it was compiled for
from udamon.cli.main import main

found = {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(words)
    found[" ".join(words[:-1])] = [status, out.getvalue()]
print(json.dumps([PAGE_SIZE, found]))
"""
REPORTS = sorted(KINDS - {"diff", "sites"})


def made_elsewhere(path: Path, page_size: int, targets: int = 2) -> Path:
    """Of processes, on a machine with pages of that size: their heaps, and a library of which each maps two pieces
    whose offsets have one page in common, as the segments of a program have it."""
    heap, library = 1 << 30, 0x7F00_0000_0000
    items: list[Snapshot | Event] = []
    for target in range(targets):
        pieces = [
            [library, library + 8 * page_size, "r--p", 0, 7, "/lib/libm.so"],
            [library + 64 * page_size, library + 72 * page_size, "r-xp", 7 * page_size, 7, "/lib/libm.so"],
        ]
        rows = [[heap, heap + 100 * page_size, "rw-p", 0, 0, "[heap]"], *pieces]
        items.append(Event(0, "target_start", {"target": target, "pid": 100 + target, "comm": "a"}))
        items.append(Event(0, "mappings", {"target": target, "remove": [], "add": rows}))
    for seq in range(24):
        for target in range(targets):
            there = [100 * page_size, 8 * page_size, 8 * page_size]
            used = [(seq % 5 + target) * page_size, 3 * page_size, 0]
            starts = [heap, library, library + 64 * page_size]
            regions = [
                (at, at + size, int(some > 0), 0) for at, size, some in zip(starts, there, used, strict=True)
            ]
            made = snap(seq, regions, target=target, window=10**9, sample=10**9 // 2)
            sharing = Sharing.of(
                [[there[0], 0, 0], [there[0], 0, 0], [used[0], 0, 0], [7 + target, 1, 1],
                 [None, 0, 7 * page_size], [None] * 3]
            )  # fmt: skip
            more = {
                "touched": array("Q", used),
                "resident": array("Q", there),
                "sharing": sharing,
                "pid": 100 + target,
            }
            items.append(replace(made, **more))  # type: ignore[arg-type]
    recorded(path, items, via="refs", page_size=page_size, wall_ns=1, monotonic_ns=0, machine="aarch64")
    return path


@pytest.mark.parametrize("kib", [4, 16])
def test_a_recording_reads_the_same_wherever_it_was_made(kib: int, tmp_path: Path) -> None:
    """Every report, `check` and `convert`, on machines with pages of 4 and 64 KiB: to the letter."""
    file = str(made_elsewhere(tmp_path / "r.udamon", kib << 10))
    commands = [["report", kind, *more, file] for kind in REPORTS for more in ([], ["--json"])]
    commands += [
        ["report", "access", "--by", "mapping", "--json", file],
        ["check", "--max-wss", "1GiB", file],
    ]
    forms = ("csv", "damo-json", "perf-script")
    answers = {}
    for here in (4, 64):
        (tmp_path / str(here)).mkdir()
        converted = [["convert", "--to", form, "-o", f"{tmp_path}/{here}/{form}", file] for form in forms]
        page, found = json.loads(
            with_pages(
                here << 10, tmp_path, sys.executable, "-c", READER, json.dumps([*converted, *commands])
            )
        )
        assert page == here << 10
        assert {words: status for words, (status, _) in found.items() if status} == {}
        answers[here] = [(tmp_path / str(here) / form).read_text() for form in forms]
        answers[here] += [found[" ".join(words[:-1])] for words in commands]
    assert answers[4] == answers[64]


@pytest.mark.parametrize("kib", [4, 16, 64])
def test_a_page_that_two_pieces_have_in_common_is_one_page_of_that_machine(kib: int, tmp_path: Path) -> None:
    """Where offsets overlap by a page, as those of a program's segments do, sums are plain: the library is not taken
    for one that is mapped twice. Four such pages would be smaller than one of the machine with 16 KiB."""
    page = kib << 10
    with RecordingSource(Recording(made_elsewhere(tmp_path / "r.udamon", page, targets=1))) as source:
        assert not groups.needed(source)
        source.recording.metadata["page_size"] = page // 4
        assert groups.needed(source)
