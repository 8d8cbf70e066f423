"""Groups that share memory, watched by refs: what they touch together, known, lies within the bounds."""

from __future__ import annotations

import contextlib
import mmap
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.forking import Word
from tests.integration.programs import MIB
from tests.integration.recorder import report, udamon
from udamon.linux import features

pytestmark = pytest.mark.needs("clear_refs")

SLACK = 8 * MIB
"""What the interpreters and libraries of the group touch beside the memory that is known."""


@contextlib.contextmanager
def prefork(
    workers: int, shared_hot: int, cow_hot: int, own_hot: int, apart: bool
) -> Iterator[tuple[list[int], int]]:
    """The pids of tests/integration/prefork.py's workers, and how much is resident of their parent."""
    words = [str(int(number)) for number in (workers, shared_hot, cow_hot, own_hot, apart)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.prefork", *words],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        try:
            assert parent.stdout is not None
            pids = [int(word) for word in parent.stdout.readline().split()]
            statm = Path(f"/proc/{parent.pid}/statm").read_text()
            yield pids, int(statm.split()[1]) * mmap.PAGESIZE
        finally:
            assert parent.stdin is not None
            parent.stdin.close()


def record(path: Path, pids: list[int], seconds: float = 2.0) -> None:
    words: list[Word] = ["-o", path, "--force", "--via", "refs"]
    words += ["--sample", "25ms", "--aggr", "500ms", "--duration", f"{seconds}s"]
    done = udamon("record", *words, *(word for pid in pids for word in ("-p", pid)))
    assert done.status == 0, done.stderr


def check_group(path: Path, workers: int, *, apart: bool, shared: int, cow: int, own: int) -> None:
    with prefork(workers, shared, cow, own, apart) as (pids, loaded):
        time.sleep(0.5)  # they have filled what is their own
        record(path, pids)
    step = mmap.PAGESIZE * workers
    truth = workers * own + (sum(size // step * step for size in (shared, cow)) if apart else shared + cow)
    found = report("wss", path)
    assert found["bytes"] is None
    group = found["group"]
    assert group["low"]["mean"] <= truth + SLACK
    assert truth <= group["high"]["max"]
    # What nobody shares, and what fork left shared and one of them touched, is certain.
    assert group["low"]["mean"] >= workers * own + (cow // workers if apart else cow) - MIB
    assert group["high"]["mean"] <= sum(one["bytes"]["mean"] for one in found["targets"]) + MIB
    size = report("right-size", path, "--serve", "100%")
    assert size["group"]["low"] <= truth + SLACK
    assert truth <= size["group"]["high"]
    if features.frame_numbers():
        # Of shared memory fork maps nothing in a child: its cold half is the parent's alone, which nobody watches.
        there = (shared // step * step if apart else shared) + 2 * (cow + workers * own)
        assert group["frames_seen"]
        # The parent's other memory is there, too: its interpreter, what the tests loaded, and what workers wrote of it.
        assert there <= group["resident"]["max"] <= there + loaded + workers * SLACK
        # What other programs touch of the same libraries counts, too.
        lines = report("wss", path, "--by", "mapping")["targets"]
        files = sum(line["bytes"]["mean"] for line in lines if line["kind"] in ("file", "library"))
        assert group["high"]["mean"] <= workers * own + 2 * (shared + cow) + files + workers * SLACK


@pytest.mark.parametrize(("workers", "apart"), [(2, False), (5, True)])
def test_prefork_workers(tmp_path: Path, workers: int, apart: bool) -> None:
    """Shared memory, memory shared by fork, and memory of their own."""
    check_group(tmp_path / "a", workers, apart=apart, shared=6 * MIB, cow=10 * MIB, own=4 * MIB)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 8, 16, 32])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("sizes", [(16, 4, 4), (4, 32, 1), (1, 1, 8)])
def test_many_prefork_groups(tmp_path: Path, workers: int, apart: bool, sizes: tuple[int, int, int]) -> None:
    shared, cow, own = (size * MIB for size in sizes)
    check_group(tmp_path / "a", workers, apart=apart, shared=shared, cow=cow, own=own)


SPACE = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#define SIZE (16 << 20)
static char *memory;
static int rest(void *unused)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
}
int main(int count, char **words)
{
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, SIZE, MADV_NOHUGEPAGE);
    memset(memory, 1, SIZE);
    char *stack = malloc(65536);
    int child = clone(rest, stack + 65536, CLONE_VM | SIGCHLD, NULL);
    printf("%d\n", child);
    fflush(stdout);
    for (;;) {
        memset(memory, 2, SIZE);
        usleep(50000);
    }
}
"""


def test_two_processes_in_one_address_space(tmp_path: Path) -> None:
    """Made by CLONE_VM: each of the two has all of it, and together they have it once."""
    (tmp_path / "space.c").write_text(SPACE)
    subprocess.run(["gcc", "-O1", "-o", str(tmp_path / "space"), str(tmp_path / "space.c")], check=True)
    with subprocess.Popen([tmp_path / "space"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            record(tmp_path / "a", [process.pid, child], 2.0)
        finally:
            process.kill()
    found = report("wss", tmp_path / "a")
    for target in found["targets"]:
        assert 16 * MIB <= target["bytes"]["max"] <= 18 * MIB
    assert 16 * MIB <= found["group"]["low"]["max"] <= found["group"]["high"]["max"] <= 18 * MIB
    assert 16 * MIB <= found["group"]["resident"]["max"] <= 20 * MIB


TWICE = """
import mmap, os, sys, time
size = 8 << 20
with open(sys.argv[1], "w+b") as file:
    file.truncate(size)
    areas = [mmap.mmap(file.fileno(), size) for _ in range(3)]
print(1, flush=True)
while True:
    for area in areas:
        for page in range(0, size, 4096):
            area[page] = 1
    time.sleep(0.05)
"""


def test_one_file_mapped_three_times(tmp_path: Path) -> None:
    """The process touches 8 MiB through three mappings: no sum of 24 MiB is given for what it touches."""
    command = [sys.executable, "-c", TWICE, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.5)
            record(tmp_path / "a", [process.pid])
        finally:
            process.kill()
    found = report("wss", tmp_path / "a")
    assert found["targets"][0]["bytes"]["mean"] >= 24 * MIB
    assert found["bytes"] is None
    assert found["group"]["low"]["mean"] <= 8 * MIB <= found["group"]["high"]["mean"] <= 8 * MIB + SLACK
