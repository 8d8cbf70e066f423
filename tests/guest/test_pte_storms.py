"""pte while page tables come and go: no page is told that cannot be one, and what holds still is told right."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.pages import MIB, PAGE, pages
from tests.guest.program import Program
from tests.guest.test_pte import EXACT, HAS, pages_of
from udamon.errors import CannotError
from udamon.linux.procfs import ProcessId
from udamon.model import Range
from udamon.native._native import PAGE_MAPPED, PAGE_NOT_COUNTED, PAGE_UNKNOWN
from udamon.ops.address_spaces import AddressSpace
from udamon.ops.kernel_tables import SWITCH, open_tables
from udamon.ops.pte import Pte
from udamon.ops.tlb import way
from udamon.record.reader import Recording

pytestmark = [
    pytest.mark.guest_long,
    pytest.mark.guest_612,
    pytest.mark.guest_pte,
    pytest.mark.guest_boot(smp=1),  # the emulated TLB is too large to be displaced from another processor
    pytest.mark.needs("root"),
]

READS = 100_000
"""Tables, through each back end."""

UNMAPPED = bytes(state for state in range(256) if not state & PAGE_MAPPED)
ODD = re.compile(
    b"[" + re.escape(bytes(s for s in range(256) if s & (PAGE_NOT_COUNTED | PAGE_UNKNOWN))) + b"]"
)

# Three threads map 128 MiB each at fixed places, a page in each table and some of them full, drop, collapse and unmap
# them; the main one touches every 4th page of 8 MiB.
CHURN = r"""
import ctypes, sys, threading, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.memset.argtypes = libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
at = libc.mmap(None, 1 << 30, 0, 0x4022, -1, 0) + (2 << 20) - 1 & ~((2 << 20) - 1)
still = libc.mmap(None, 8 << 20, 3, 0x22, -1, 0)
libc.madvise(still, 8 << 20, 15)
libc.memset(still, 1, 8 << 20)

def churn(number):
    place = at + (number << 27)
    for k in range(1 << 40):
        size = (2 + k % 7) << 20
        libc.mmap(place, 1 << 27, 3, 0x32, -1, 0)
        libc.madvise(place, 1 << 27, 15)
        for far in range(0, 1 << 27, 2 << 20):
            libc.memset(place + far, 1, 1)
        libc.madvise(place, size, 14 if k % 5 == 4 else 15)
        libc.memset(place, k & 255 | 1, size)
        if k % 5 == 3:
            libc.madvise(place, size, 25)
        if k % 3 == 1:
            libc.madvise(place, 1 << 27, 4)
        if k % 2:
            libc.munmap(place, 1 << 27)

for number in range(3):
    threading.Thread(target=churn, args=(number,), daemon=True).start()
area = (ctypes.c_char * (8 << 20)).from_address(still)
print(still, at, flush=True)
while True:
    for page in range(0, 2048, 4):
        area[page * 4096]
    print("round", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def churning() -> Iterator[tuple[Program, Range, Range]]:
    """The program, its memory that holds still, and the rest."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", CHURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            still, at = map(int, process.stdout.readline().split())
            assert process.stdout.readline() == "round\n"
            yield Program(process), Range(still, still + 8 * MIB), Range(at, at + 3 * 128 * MIB)
        finally:
            process.kill()


@pytest.fixture(params=["bpf", "kcore"])
def census(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pte]:
    if not HAS[request.param]:
        pytest.skip(f"this kernel has no {request.param}")
    monkeypatch.setenv(SWITCH, request.param)
    made = Pte(open_tables(allowed=True), tlb=way(), max_ranges=EXACT)
    yield made
    made.close()


@pytest.mark.guest_boot(smp=2)
def test_no_garbage(census: Pte) -> None:
    """Every entry that is told as a page is one: its user bit is set, its frame is RAM."""
    tables = census.opened.tables
    with churning() as (program, _, storm):
        target = program.target()
        space = AddressSpace(census.opened, ProcessId(target.pid or 0, target.start_time or 0))
        entries, odd, seen = array("Q", bytes(8 << 18)), 0, 0
        before, told = tables.read, False
        while tables.read - before < READS:
            told = not told  # with entries and without them pages are told by different code
            for looked in tables.look(space.root, *storm, entries if told else None):
                states = bytes(looked.states)
                seen += len(states.translate(None, UNMAPPED))
                for odd_one in ODD.finditer(states):
                    i = odd_one.start()
                    odd += bool(states[i] & PAGE_NOT_COUNTED) or (told and entries[i] != 0)
        space.close()
    print(
        f"{tables.read - before} tables read, {tables.changed} changes met, {seen} pages told, {odd} of them odd"
    )
    assert seen > 0
    assert tables.changed > 0, "nothing changed meanwhile; nothing is proved"
    assert odd == 0, f"{odd} of {seen} pages cannot be pages"


def test_what_holds_still_is_right(census: Pte) -> None:
    with churning() as (program, still, _):
        target = program.target()
        for _ in range(5):
            census.begin([target])
            census.prepare(target)
            census.expose([target])
            assert program.tell("again") == "round"
            assert pages_of(census.look(target), still) == (set(range(2048)), set(range(0, 2048, 4)))


@pytest.mark.parametrize("how", ["exec", "exit"])
def test_a_process_that_goes_on_as_another(census: Pte, how: str) -> None:
    """Between two looks and during one: what was its memory is never told as what it has now."""
    code = "import os, time; m = bytearray(64 << 20); print(flush=True); input(); "
    code += "os.execv('/bin/sleep', ['sleep', '60'])" if how == "exec" else "os._exit(0)"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        program = Program(process)
        assert process.stdout is not None
        process.stdout.readline()
        target = program.target()
        census.prepare(target)
        assert sum(piece.resident for piece in census.look(target)) > 60 * MIB
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        sizes = []
        for _ in range(200):
            try:
                sizes.append(sum(piece.resident for piece in census.look(target)))
            except CannotError:
                sizes.append(0)
            if sizes[-1] < 30 * MIB and (how == "exit" or sizes[-1] > 0):
                break
        process.send_signal(signal.SIGKILL)
    assert sizes[-1] < 30 * MIB
    assert how == "exit" or sizes[-1] > 0
    assert all(size < 30 * MIB or size > 60 * MIB for size in sizes), sizes


def test_hugetlb_is_left_out(census: Pte) -> None:
    pool = Path("/proc/sys/vm/nr_hugepages")
    if not pool.exists():
        pytest.skip("this kernel has no hugetlb")
    pool.write_text("4")
    code = (
        "import mmap, sys; m = mmap.mmap(-1, 4 << 20, flags=0x40022); m[0] = m[2 << 20] = 1\n"
        "import ctypes; print(ctypes.addressof(ctypes.c_char.from_buffer(m)), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        start = int(process.stdout.readline())
        found = census.look(Program(process).target())
        assert found
        assert pages_of(found, Range(start, start + 4 * MIB)) == (set(), set())
        process.kill()
    pool.write_text("0")


def test_a_recording(census: Pte, tmp_path: Path) -> None:
    """From the command line: the hot pages are found, to the page, in every window in which the program wrote all of
    them, and nothing else in any; reports say the grain."""
    with pages() as program:
        area = program.map("hot", 8 * MIB)
        program.write("hot", 0, 2048)
        program.tell("loop", "hot", 300, 812, 50)
        file = tmp_path / "r.udamon"
        done = subprocess.run(
            [sys.executable, "-m", "udamon", "record", "-p", str(program.pid), "--via", "pte", "-o", str(file),
             "--sample", "50ms", "--aggr", "1s", "--duration", "5s"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        recording = Recording(file)
        whole = program.whole_windows(recording)
    assert recording.metadata["sees"] == "reads and writes"
    hot: dict[int, set[int]] = {}
    for batch in recording.batches():
        rows = zip(*(batch[c].to_pylist() for c in ("seq", "start", "end", "touched")), strict=True)
        for seq, start, end, touched in rows:
            if start is not None and start < area.end and area.start < end and touched:
                pages_here = range((start - area.start) // PAGE, (end - area.start) // PAGE)
                hot.setdefault(seq, set()).update(pages_here)
    assert len(whole) >= 2
    assert all(found <= set(range(300, 812)) for found in hot.values()), hot
    assert all(hot.get(seq) == set(range(300, 812)) for seq in whole), hot
    info = subprocess.run(
        [sys.executable, "-m", "udamon", "report", "info", "--json", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(info.stdout)
    assert document["grain"] == "page"
    assert document["longest_pause_seconds"] > 0


def test_addresses_of_five_levels(census: Pte) -> None:
    """Memory far above what four levels reach: addresses of 57 bits, on arm64 of 52."""
    if census.opened.tables.shape.levels != 5:
        pytest.skip("this machine has fewer levels of tables")
    far = 55 if os.uname().machine == "x86_64" else 51
    code = (
        "import ctypes, sys; libc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p\n"
        f"far = ctypes.c_void_p(1 << {far})\n"
        "at = libc.mmap(far, ctypes.c_size_t(1 << 20), 3, 0x22, -1, ctypes.c_long(0))\n"
        "area = (ctypes.c_char * (1 << 20)).from_address(at)\n"
        "for page in range(256): area[page * 4096] = 1\n"
        "print(at, flush=True)\n"
        "while sys.stdin.readline():\n"
        "    for page in range(0, 256, 3): area[page * 4096]\n"
        "    print('done', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        program = Program(process)
        assert process.stdout is not None
        start = int(process.stdout.readline())
        assert start >= 1 << 48
        target = program.target()
        census.begin([target])
        census.prepare(target)
        census.expose([target])
        program.tell("again")
        found = pages_of(census.look(target), Range(start, start + MIB))
        process.kill()
    assert found == (set(range(256)), set(range(0, 256, 3)))


def test_hidden_symbols_do_not_matter(census: Pte) -> None:
    hide = Path("/proc/sys/kernel/kptr_restrict")
    before = hide.read_text()
    hide.write_text("2")
    try:
        opened = open_tables(allowed=True)
    finally:
        hide.write_text(before)
    assert opened.backend == census.opened.backend
    opened.close()
