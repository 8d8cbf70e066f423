"""Machines with larger pages (arm64 has 4, 16 and 64 KiB), on this one: sysconf tells a process another size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("compiler")

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
long sysconf(int name)
{
    long (*next)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return name == _SC_PAGESIZE ? SIZE : next(name);
}
int getpagesize(void) { return SIZE; }
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
