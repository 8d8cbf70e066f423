"""The census pte on a fake /proc and a made-up kcore: runs, mappings, what is left out, and how it clears."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from tests.unit.fake_kcore import ACCESSED, LEAF, SPECIAL, USER, VALID, FakeKcore, FakeRoots, opened
from tests.unit.linux.test_fake import FakeProc
from udamon.core.target import Target
from udamon.errors import NotPermitted, NotSupported, OutOfFiles, PauseTooLong, TargetGone, UsageError
from udamon.linux.held import Held
from udamon.linux.pagemap import PRESENT as PAGE_PRESENT
from udamon.linux.pagemap import Run
from udamon.linux.process_madvise import COLD
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.ops import address_spaces, cold_clearing, hugetlb, idle_clearing, kernel_tables
from udamon.ops.clearing_way import SHORTAGE_HOLD_NS, Clear
from udamon.ops.cold_clearing import PIECE
from udamon.ops.hugetlb import _internal as devices
from udamon.ops.kernel_tables import SWITCH, open_tables
from udamon.ops.opening import open_census, open_ops
from udamon.ops.pte import Pte, clear_way
from udamon.targets.processes import process_source

OWN = VALID | USER | 2
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56
MAPS = (
    "1000-9000 rw-p 00000000 00:00 0 \n"
    "9000-d000 rw-p 00000000 08:01 77 /file\n"
    "10000-14000 rw-p 00000000 00:31 5 /anon_hugepage (deleted)\n"
    "200000-400000 rw-p 00000000 00:00 0 \n"
)
BITS = {
    0x1: 0,
    0x2: ACCESSED,
    0x3: ACCESSED,
    0x5: 0,
    0x6: ACCESSED | SPECIAL,
    0x9: ACCESSED,
    0xA: 0,
    0x10: ACCESSED,
}


def full(*_: object) -> int:
    """As a call that opens a file where no further one may be open."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Machine:
    """A process with page tables, and a page map that agrees with them."""

    def __init__(self, place: Path) -> None:
        (place / "proc").mkdir()
        self.fake = FakeProc(place / "proc")
        self.fake.process(9, start_time=100, maps=MAPS, smaps="")
        self.kcore = FakeKcore(place / "kcore", frames=1024)
        self.root = self.kcore.frame()
        entries = [0] * 0x401
        for page, bits in BITS.items():
            frame = self.kcore.frame()
            self.kcore.map(self.root, page * PAGE_SIZE, frame | OWN | bits)
            entries[page] = PRESENT | EXCLUSIVE | frame // PAGE_SIZE
        self.kcore.map(self.root, 0x200000, 0x200000 | OWN | LEAF | ACCESSED, 1)
        self.entries = entries
        self.write_page_map()
        self.proc = self.fake.root
        self.opened = opened(self.kcore.path, self.kcore.virtual(self.root))

    def write_page_map(self) -> None:
        (self.fake.root / "9/pagemap").write_bytes(struct.pack(f"={len(self.entries)}Q", *self.entries))

    def census(
        self,
        *,
        max_ranges: int = 100,
        only_ranges: bool = False,
        clear: Clear = "auto",
        max_pause_ns: int | None = None,
    ) -> Pte:
        roots = Roots(self.proc)
        return Pte(
            self.opened,
            roots,
            max_ranges=max_ranges,
            only_ranges=only_ranges,
            clear=clear,
            max_pause_ns=max_pause_ns,
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(hugetlb, "_internal", lambda: frozenset([b"00:31"]))
    return Machine(tmp_path)


@pytest.fixture
def target() -> Target:
    return Target(4, 9, 100)


FOUND = [
    (0x1000, 0x2000, 0x1000, 0),
    (0x2000, 0x4000, 0x2000, 0x2000),
    (0x5000, 0x6000, 0x1000, 0),
    (0x9000, 0xA000, 0x1000, 0x1000),
    (0xA000, 0xB000, 0x1000, 0),
    (0x200000, 0x400000, 0x200000, 0x200000),
]


def test_what_could_not_be_told_is_said_once(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that changed under three readings."""
    census = machine.census()
    census.begin([target])
    census.prepare(target)
    census.look(target)
    census.news()
    parts = census._parts

    def changing(*args: Any) -> Any:
        census.opened.tables.unknown += 3
        return parts(*args)

    monkeypatch.setattr(census, "_parts", changing)
    census.look(target)
    assert census.unseen == {4: 3 * 4096}
    (told,) = census.news()
    assert told.startswith("pte left out 12.0 KiB of process 9 at a look: its page tables changed")
    census.look(target)
    assert census.news() == []
    census.close()


def test_look(machine: Machine, target: Target) -> None:
    """Runs end at mappings; hugetlb, the zero page and holes are left out."""
    census = machine.census()
    census.begin([target])
    census.prepare(target)
    assert (machine.proc / "9/clear_refs").read_text() == "1"
    assert census.look(target) == FOUND
    assert census.unseen == {4: 0}
    assert [text.partition(":")[0] for text in census.news()] == [
        "process 9 uses hugetlb pages, which pte does not see"
    ]
    assert census.news() == []
    assert census.pauses.touched_pages == 3 + 512
    census.close()
    census.close()


def end_main_thread(machine: Machine) -> Path:
    """What the process shows is at its thread 11 from now on. Returns the directory there."""
    machine.fake.process(9, start_time=100, maps="", state="Z", threads=2)
    thread = machine.proc / "9/task/11"
    thread.mkdir()
    (thread / "stat").write_text("11 (x) S 1\n")
    (machine.proc / "9/task/9/stat").write_text("9 (x) Z 1\n")
    (thread / "maps").write_text(MAPS)
    (thread / "clear_refs").write_text("")
    (machine.proc / "9/pagemap").rename(thread / "pagemap")
    (machine.proc / "9/clear_refs").unlink()
    return thread


@pytest.mark.parametrize("clear", ["auto", "cold"])
def test_a_process_whose_main_thread_has_ended(machine: Machine, target: Target, clear: Clear) -> None:
    """It is seen by the tables of a thread that lives, and cleared by clear_refs: a pidfd leads to the main thread."""
    thread = end_main_thread(machine)
    census = machine.census(clear=clear)
    census.begin([target])
    census.prepare(target)
    assert (thread / "clear_refs").read_text() == "1"
    assert census.look(target) == FOUND
    roots = machine.opened.roots
    assert isinstance(roots, FakeRoots)
    assert roots.asked == [11]
    census.close()


def test_a_main_thread_that_ends_later(machine: Machine, target: Target) -> None:
    """The tables are known already; and a thread may end while they are looked for."""
    census = machine.census()
    assert census.look(target) == FOUND
    end_main_thread(machine)
    assert census.look(target) == FOUND
    census.forget(target)
    roots = machine.opened.roots
    assert isinstance(roots, FakeRoots)

    def of(number: int) -> int:
        if number == 11:
            (machine.proc / "9/task/11").rename(machine.proc / "9/task/12")
            raise ProcessLookupError
        return roots.root

    machine.opened = machine.opened._replace(
        roots=SimpleNamespace(of=of, own=roots.own, name="", threads=True)
    )
    assert machine.census().look(target) == FOUND


def test_a_thread_cannot_be_found_without_btf(machine: Machine, target: Target) -> None:
    """It is no target that has ended."""
    end_main_thread(machine)
    roots = machine.opened.roots
    assert isinstance(roots, FakeRoots)
    roots.threads = False
    with pytest.raises(NotSupported, match="the main thread of process 9 has ended .* use another --via"):
        machine.census().look(target)


def test_only_within_ranges(machine: Machine, target: Target) -> None:
    target.ranges = [Range(0x3000, 0x6000), Range(0x201000, 0x203000)]
    found = machine.census(only_ranges=True).look(target)
    assert found == [(0x3000, 0x4000, 0x1000, 0x1000), FOUND[2], (0x201000, 0x203000, 0x2000, 0x2000)]


def test_hugetlb_by_what_the_process_has_mounted(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugetlb, "_internal", frozenset)
    assert (0x10000, 0x11000, 0x1000, 0x1000) in machine.census().look(target)
    line = "30 1 0:49 / /huge rw - hugetlbfs none rw\n31 1 8:1 / / rw - ext4 /dev/sda rw\n"
    (machine.proc / "9/mountinfo").write_text(line)
    assert machine.census().look(target) == FOUND


def test_devices_of_hugetlb_are_not_kept_where_no_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    devices.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", full)
        with pytest.raises(OutOfFiles):
            devices()
    assert devices() == devices.__wrapped__()


def test_tables_that_are_not_the_process(machine: Machine, target: Target) -> None:
    """What is found must agree with the page map; without frames there nothing can be told."""
    machine.entries[1] += 1
    machine.write_page_map()
    with pytest.raises(NotSupported, match="do not agree"):
        machine.census().look(target)
    machine.entries = [entry & ~((1 << 55) - 1) for entry in machine.entries]
    machine.write_page_map()
    with pytest.raises(NotPermitted, match="kept from you"):
        machine.census().look(target)


def test_a_process_of_which_hardly_anything_is_resident(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing proves its tables while all of it is moved out; a page far behind the begin of a mapping does."""
    entries = machine.entries
    machine.entries = [0] * len(entries)
    machine.write_page_map()
    with pytest.raises(TargetGone):
        machine.census().look(target)
    machine.entries = [*machine.entries[:0x3FF], PRESENT | 0x3FF, *machine.entries[0x400:]]
    machine.write_page_map()
    found = [Run(0x3FF000, 0x400000, PAGE_PRESENT)]
    monkeypatch.setattr(address_spaces, "scan_runs", lambda *_: iter(found))
    assert machine.census().look(target) == FOUND


def test_memory_that_went(machine: Machine, target: Target) -> None:
    """Between two looks: its page map is at an end, and what the old tables say is nobody's."""
    census = machine.census()
    assert census.look(target)
    (machine.proc / "9/pagemap").write_bytes(b"")
    with pytest.raises(TargetGone):
        census.look(target)


def test_files_are_closed_when_targets_go(machine: Machine, target: Target) -> None:
    census = machine.census()
    census.look(target)
    before = len(os.listdir("/proc/self/fd"))
    census.begin([])
    assert len(os.listdir("/proc/self/fd")) == before - 1
    assert census.unseen == {}


class Advice:
    """Stands for the system call: what was advised, and what becomes of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, error: OSError | None = None) -> None:
        self.vectors: list[list[Range]] = []
        self.error = error
        monkeypatch.setattr(
            cold_clearing, "open_process", lambda process, root: os.open("/proc/self", os.O_PATH)
        )
        monkeypatch.setattr(cold_clearing, "advise", self.advise)

    def advise(self, fd: int, vectors: Sequence[Range], advice: int) -> int:
        assert advice == COLD
        if self.error is not None:
            raise self.error
        self.vectors.append(list(vectors))
        return sum(v.size for v in vectors)


def test_clearing_by_advice(machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files by clear_refs 3, anonymous memory by advice, and no visit afterwards."""
    advice, census = Advice(monkeypatch), machine.census(clear="cold")
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    exposed: list[Target] = []
    monkeypatch.setattr(census._refs, "expose", exposed.extend)
    census.prepare(target)
    census.expose([target])
    assert (machine.proc / "9/clear_refs").read_text() == "3"
    assert advice.vectors == [[Range(0x1000, 0x9000), Range(0x200000, 0x400000)]]
    assert exposed == []


def test_a_page_that_was_moved_out_meanwhile_is_not_shared(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table was read before, and said that it was accessed."""
    Advice(monkeypatch)
    census = machine.census(clear="cold")
    machine.entries[0x2] = 1 << 62
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    census.prepare(target)
    assert census._cold.refused == set()


def test_shared_pages_are_cleared_by_refs(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Advice leaves them as they are; it is not tried again."""
    advice, census = Advice(monkeypatch), machine.census(clear="cold")
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.entries[3] &= ~EXCLUSIVE
    machine.write_page_map()
    exposed: list[Target] = []
    monkeypatch.setattr(census._refs, "expose", exposed.extend)
    for _ in range(2):
        census.prepare(target)
        census.expose([target])
        assert (machine.proc / "9/clear_refs").read_text() == "1"
    assert len(advice.vectors) == 1
    assert exposed == [target, target]


def test_memory_that_is_unmapped_meanwhile_is_no_refusal(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call ends before the vector with a hole, then fails by it; those behind it are advised, too."""
    maps = MAPS + "".join(f"{at:x}000-{at:x}800 rw-p 00000000 00:00 0 \n" for at in range(0x500, 0x505))
    machine.fake.process(9, start_time=100, maps=maps, smaps="")
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    worked_off: list[Range] = []

    def advise(fd: int, vectors: Sequence[Range], advice: int) -> int:
        done = list(takewhile(lambda v: v.start != 0x502000, vectors))
        if not done:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        worked_off.extend(done)
        return sum(v.size for v in done)

    Advice(monkeypatch)
    monkeypatch.setattr(cold_clearing, "advise", advise)
    census = machine.census(clear="cold")
    census.prepare(target)
    assert (machine.proc / "9/clear_refs").read_text() == "3"
    assert census._cold.refused == set()
    starts = [0x1000, 0x200000, 0x500000, 0x501000, 0x503000, 0x504000]
    assert [one.start for one in worked_off] == starts


@pytest.mark.parametrize("number", [1, 22])
def test_where_advice_is_refused(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    Advice(monkeypatch, error=OSError(number, "refused"))
    census = machine.census(clear="cold")
    census.prepare(target)
    assert (machine.proc / "9/clear_refs").read_text() == "1"


def test_auto_advises_where_the_pause_is_too_long(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice, census = Advice(monkeypatch), machine.census(max_pause_ns=1_000_000)
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    census.prepare(target)
    assert not advice.vectors
    monkeypatch.setattr(census.pauses, "forecast_ns", lambda target: 2_000_000)
    census.prepare(target)
    assert advice.vectors
    assert census.pauses.too_long(target) is None, "it is not refused at the start"
    (told,) = census.pauses.news()
    assert "cleared by MADV_COLD" in told
    advice.vectors.clear()
    assert census.look(target)
    census.prepare(target)
    assert advice.vectors, "a short pause by pieces is not taken for one of clear_refs"
    assert census.pauses.news() == []
    by_refs = machine.census(max_pause_ns=1_000_000, clear="refs")
    monkeypatch.setattr(by_refs.pauses, "forecast_ns", lambda target: 2_000_000)
    with pytest.raises(PauseTooLong, match="pte cannot look at it by pieces") as refused:
        by_refs.prepare(target)
    assert not refused.value.temporary


def test_after_pauses_that_were_too_long_it_rests_or_advises(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = Advice(monkeypatch)
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    long = Held()
    long.longest_ns = long.total_ns = 2_000_000
    for clear in ("refs", "auto"):
        census = machine.census(max_pause_ns=1_000_000, clear=clear)
        census.pauses.cleared(target, long)
        census.pauses.window_over({target.index})
        if clear == "refs":
            with pytest.raises(PauseTooLong, match=r"a look at process 9 took longer") as refused:
                census.prepare(target)
            assert refused.value.temporary
            assert not advice.vectors
        else:
            census.prepare(target)
            assert advice.vectors


def test_auto_does_not_advise_while_memory_is_short(
    machine: Machine, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says when it does again: a minute after it was short last."""
    now = [0]
    advice, census = Advice(monkeypatch), machine.census(max_pause_ns=1_000_000)
    machine.entries[0x200:0x400] = [PRESENT | EXCLUSIVE | 0x200 + i for i in range(0x200)]
    machine.write_page_map()
    monkeypatch.setattr(census, "_now_ns", lambda: now[0])
    monkeypatch.setattr(census.pauses, "forecast_ns", lambda target: 2_000_000)
    pressure = machine.proc / "pressure/memory"
    pressure.parent.mkdir()
    pressure.write_text("some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n")
    assert "tasks wait for memory" in str(census.pauses.too_long(target))
    with pytest.raises(
        PauseTooLong, match=r"nor is MADV_COLD used while memory is short \(tasks wait for memory\)\."
    ) as refused:
        census.prepare(target)
    assert refused.value.temporary
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n")
    now[0] += SHORTAGE_HOLD_NS - 1
    with pytest.raises(PauseTooLong):
        census.prepare(target)
    assert not advice.vectors
    assert census.pauses.news() == []
    now[0] += 1
    census.prepare(target)
    assert advice.vectors
    assert "MADV_COLD" in census.pauses.news()[0]
    pressure.write_text("some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n")
    asked = machine.census(max_pause_ns=1_000_000, clear="cold")
    advice.vectors.clear()
    asked.prepare(target)
    assert advice.vectors, "who asks for it gets it"


def test_clearing_by_idle_page_tracking(
    machine: Machine, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is accessed is marked; a huge page by its head; no lock is held, so no limit is in the way."""
    bitmap = tmp_path / "sys/kernel/mm/page_idle/bitmap"
    bitmap.parent.mkdir(parents=True)
    with pytest.raises(NotSupported, match="CONFIG_IDLE_PAGE_TRACKING"):
        Pte(machine.opened, Roots(machine.proc, tmp_path / "sys"), clear="idle")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(OutOfFiles):
            Pte(machine.opened, Roots(machine.proc, tmp_path / "sys"), clear="idle")
    bitmap.write_bytes(bytes(1 << 10))
    census = Pte(machine.opened, Roots(machine.proc, tmp_path / "sys"), clear="idle", max_pause_ns=1)
    census.prepare(target)
    bits = int.from_bytes(bitmap.read_bytes(), "little")
    expected = {machine.entries[page] & (1 << 55) - 1 for page in (0x2, 0x3, 0x9)} | {0x200}
    assert {i for i in range(8 << 10) if bits >> i & 1} == expected
    assert (machine.proc / "9/clear_refs").read_text() == ""
    assert census.pauses.too_long(target) is None
    census.close()


def test_tables_are_closed_where_nothing_comes_of_them(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_tables, "open_tables", lambda **_: machine.opened)
    roots = Roots(machine.proc, tmp_path / "sys")
    ops = open_ops("vaddr", process_source([9], root=machine.proc), roots=roots)
    with pytest.raises(NotSupported, match="CONFIG_IDLE_PAGE_TRACKING"):
        open_census("pte", ops, roots, clear="idle", allowed=True)
    assert machine.opened.tables.memory.fd == -1


def bitmap_of(
    machine: Machine, sys: Path, words: dict[int, int], pwrite: Callable[[int, bytes, int], int]
) -> bytes:
    """What is in the idle bitmap after these words were written to it, by `pwrite`."""
    bitmap = sys / "kernel/mm/page_idle/bitmap"
    bitmap.parent.mkdir(parents=True)
    bitmap.write_bytes(b"")
    clearing = idle_clearing.IdleClearing(machine.opened.tables, sys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        clearing._write(words)
    clearing.close()
    return bitmap.read_bytes()


def test_all_of_a_long_stretch_of_frames_is_marked_idle(machine: Machine, tmp_path: Path) -> None:
    """The kernel takes one page of the bitmap a call, whatever is written."""
    pwrite = os.pwrite
    words = PAGE_SIZE // 8 * 2 + 3
    found = bitmap_of(
        machine, tmp_path, {word: word + 1 for word in range(7, 7 + words)},
        lambda fd, data, at: pwrite(fd, data[:PAGE_SIZE], at),
    )  # fmt: skip
    assert found == struct.pack(f"<7Q{words}Q", *[0] * 7, *range(8, 8 + words))


def test_a_word_of_the_bitmap_in_which_memory_ends_is_taken_and_not_counted(
    machine: Machine, tmp_path: Path
) -> None:
    """So the kernel answers a write of it alone with 0."""
    pwrite = os.pwrite
    found = bitmap_of(
        machine, tmp_path, {7: 1, 8: 2, 9: 3},
        lambda fd, data, at: min(pwrite(fd, data, at), max(9 * 8 - at, 0)),
    )  # fmt: skip
    assert found == struct.pack("<10Q", *[0] * 7, 1, 2, 3)


def test_calls_are_small_and_never_cut_a_huge_page() -> None:
    ranges = [Range(0x1000, 3 * PIECE + 0x5000), Range(4 * PIECE, 4 * PIECE + 0x1000)]
    ranges += [Range(i << 40, (i << 40) + PAGE_SIZE) for i in range(1, 1500)]
    calls = list(cold_clearing._calls(ranges))
    assert all(sum(v.size for v in call) <= PIECE and 0 < len(call) <= 1024 for call in calls)
    flat = [v for call in calls for v in call]
    assert sum(v.size for v in flat) == sum(r.size for r in ranges)
    ends = {end for r in ranges for end in r}
    assert all(end in ends or end % (2 << 20) == 0 for v in flat for end in v)


def test_a_back_end_that_there_is_not(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "memory")
    with pytest.raises(UsageError, match="give bpf or kcore, or unset it"):
        open_tables(allowed=True, roots=Roots(machine.proc))


def test_only_what_there_is_can_be_asked_for(machine: Machine) -> None:
    with pytest.raises(UsageError, match="no way to clear 'hot'"):
        clear_way("hot")


@pytest.fixture
def kcore_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """BPF would read this machine's memory; with roots of a test it refuses, too."""
    monkeypatch.setenv(SWITCH, "kcore")


@pytest.mark.usefixtures("kcore_only")
def test_opening_takes_consent_and_proof(machine: Machine, tmp_path: Path) -> None:
    """A kcore that is not of this kernel leads to no tables that agree with the own page map: a sentence says so."""
    roots = Roots(machine.proc, tmp_path / "sys")
    (machine.proc / "kcore").symlink_to(machine.kcore.path)
    ops = open_ops("vaddr", process_source([1]), roots=roots)
    with pytest.raises(NotPermitted, match="with consent only"):
        open_census("pte", ops, roots)
    with pytest.raises(
        NotSupported, match=r"^pte cannot be used: through kcore: roots: .*; use another --via\.$"
    ):
        open_census("pte", ops, roots, allowed=True)


def test_where_nothing_can_be_opened(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    roots = Roots(machine.proc, tmp_path / "sys")
    own = "BPF can only read the memory of the machine that udamon runs on"
    with pytest.raises(NotSupported, match=f"bpf: {own}; kcore: No such file"):
        open_tables(allowed=True, roots=roots)

    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "no")

    monkeypatch.setattr("udamon.ops.kernel_tables._open", refuse)
    with pytest.raises(
        NotPermitted,
        match=r"bpf takes CAP_BPF and CAP_PERFMON \(.*\): run udamon as root; kcore takes CAP_SYS",
    ):
        open_tables(allowed=True, roots=roots)
    (tmp_path / "sys/kernel/security").mkdir(parents=True)
    (tmp_path / "sys/kernel/security/lockdown").write_text("none integrity [confidentiality]\n")
    with pytest.raises(NotPermitted, match="refused under lockdown=confidentiality"):
        open_tables(allowed=True, roots=roots)
