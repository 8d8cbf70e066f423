"""Page tables out of a made-up kcore file: the walk, its entries, hostile headers, and changes meanwhile."""

from __future__ import annotations

import os
import random
import struct
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_kcore import (
    ACCESSED,
    ARM,
    DATA_AT,
    DIRTY,
    LEAF,
    PAGE,
    RAM_AT,
    SPECIAL,
    USER,
    VALID,
    FakeKcore,
)
from udamon.errors import NotSupported
from udamon.linux.bpf import direct_map_bases, program, words_program
from udamon.linux.kernel_memory import BadMemory, Kcore
from udamon.linux.page_tables import PageTables, Shape, shapes_of
from udamon.model import Range
from udamon.native._native import (
    INTERFACES,
    PAGE_GIANT,
    PAGE_HUGE,
    PAGE_MAPPED,
    PAGE_NOT_COUNTED,
    PAGE_UNKNOWN,
    btf_members,
    page_runs,
    page_tables_look,
)

MASK = 0x000F_FFFF_FFFF_F000
OWN = VALID | USER | 2
pytestmark = pytest.mark.needs("pages_of_4k")  # the only tables that are known: others are refused

GIB, BLOCK = 1 << 30, 2 << 20
SEEN = PAGE_MAPPED


def states(tables: PageTables, root: int, start: int, end: int) -> dict[int, int]:
    """address → byte of each page that is anything."""
    return {
        looked.first + i * PAGE: state
        for looked in tables.look(root, start, end)
        for i, state in enumerate(looked.states)
        if state
    }


@pytest.fixture
def fake(tmp_path: Path) -> FakeKcore:
    return FakeKcore(tmp_path / "kcore")


def opened(fake: FakeKcore, mask: int = MASK) -> PageTables:
    machine = 1 if fake.machine == ARM else 0
    return PageTables(Kcore(fake.path), Shape(machine, fake.levels, mask))


@pytest.mark.parametrize("levels", [4, 5])
def test_random_pages_are_found_to_the_bit(tmp_path: Path, levels: int) -> None:
    """All over the address space, small and huge, in any range that is asked for."""
    fake, rng = FakeKcore(tmp_path / "kcore", levels=levels), random.Random(levels)
    root, truth, taken = fake.frame(), dict[int, int](), set[int]()
    for _ in range(300):
        top = rng.choice([0, 5, 127 if levels == 4 else 1 << 15]) << 40
        address = top + rng.randrange(3) * GIB + rng.randrange(40) * 7 * BLOCK + rng.randrange(512) * PAGE
        bits = rng.choice([0, ACCESSED]) | rng.choice([0, DIRTY])
        if address // BLOCK in taken:
            continue
        taken.add(address // BLOCK)
        state = SEEN | (2 if bits & ACCESSED else 0) | (4 if bits & DIRTY else 0)
        if rng.random() < 0.2:
            head = address // BLOCK * BLOCK
            fake.map(root, head, BLOCK | OWN | LEAF | bits, 1)
            truth |= {head + i * PAGE: state | PAGE_HUGE for i in range(512)}
        else:
            fake.map(root, address, fake.frame() | OWN | bits)
            truth[address] = state
    tables = opened(fake)
    most = 1 << (47 if levels == 4 else 56)
    assert states(tables, root, 0, most) == truth
    for _ in range(30):
        start = rng.choice(list(truth)) - rng.randrange(3 * 512) * PAGE
        start = max(0, start)
        end = start + rng.randrange(1, 900_000) * PAGE
        expected = {a: s for a, s in truth.items() if start <= a < end}
        assert states(tables, root, start, min(end, most)) == expected
    assert tables.unknown == 0


def test_what_entries_mean(fake: FakeKcore) -> None:
    """PROT_NONE inverts frames; the zero page and devices are told; swapped pages are not there; a GiB in one page."""
    root, frame = fake.frame(), fake.frame()
    inaccessible = (~frame & MASK) | 0x100
    entries = {
        0: (frame | OWN | ACCESSED, SEEN | 2),
        1: (inaccessible | ACCESSED, SEEN | 2),
        2: (frame | OWN | SPECIAL | ACCESSED, SEEN | 2 | PAGE_NOT_COUNTED),
        3: (1 << 40 | OWN | ACCESSED, SEEN | 2 | PAGE_NOT_COUNTED),  # no RAM
        4: (0x1234_0000_0000_0000 & ~0x101, 0),  # swapped out
        5: (frame | VALID | 2, PAGE_UNKNOWN),  # of the kernel: this is no table of a process
    }
    for page, (entry, _) in entries.items():
        fake.map(root, page * PAGE, entry)
    fake.map(root, GIB, OWN | LEAF | ACCESSED, 2)
    found = states(opened(fake), root, 0, 2 * GIB)
    assert [found.get(page * PAGE, 0) for page in entries] == [state for _, state in entries.values()]
    # The giant page begins below the RAM of this file.
    assert {state for a, state in found.items() if a >= GIB} == {SEEN | 2 | PAGE_GIANT | PAGE_NOT_COUNTED}
    assert sum(a >= GIB for a in found) == GIB // PAGE


def test_frames(fake: FakeKcore) -> None:
    """As the page map would tell them: of a page, of the middle of a huge page, of an inaccessible one."""
    root, frame = fake.frame(), fake.frame()
    fake.map(root, 0, frame | OWN)
    fake.map(root, BLOCK, BLOCK | OWN | LEAF | 1 << 12, 1)  # bit 12 of a huge page is no address
    fake.map(root, PAGE, (~frame & MASK) | 0x100)
    tables = opened(fake)
    assert tables.page(root, 0)[1] == frame // PAGE
    assert tables.page(root, PAGE)[1] == frame // PAGE
    assert tables.page(root, BLOCK + 5 * PAGE) == (SEEN | PAGE_HUGE, BLOCK // PAGE + 5)
    assert tables.page(root, 9 * PAGE) == (0, 0)


def test_encrypted_memory(fake: FakeKcore) -> None:
    """The mark of encryption in an entry is no part of the address."""
    mark = 1 << 47
    root, frame = fake.frame(), fake.frame()
    at = fake.place(root, 0)
    for address in range(root, at, PAGE):
        for i in range(512):
            if entry := fake.word(address + 8 * i):
                fake.put_word(address + 8 * i, entry | mark)
    fake.put_word(at, frame | OWN | mark)
    fake.facts = "NUMBER(sme_mask)=0x800000000000\n"
    fake.write_headers()
    memory = Kcore(fake.path)
    assert states(PageTables(memory, *shapes_of(memory, "x86_64", PAGE)), root, 0, BLOCK) == {0: SEEN}
    assert states(opened(fake), root, 0, BLOCK) != {0: SEEN}


def test_arm(tmp_path: Path) -> None:
    """The access flag, blocks, and groups of 16 entries that share one flag."""
    fake = FakeKcore(tmp_path / "kcore", machine=ARM)
    root, af, group = fake.frame(), 1 << 10, 1 << 52
    fake.map(root, 0, fake.frame() | 3 | af)
    fake.map(root, PAGE, fake.frame() | 3)
    fake.map(root, 2 * PAGE, fake.frame() | 1)  # reserved at this level
    for i in range(32, 64):
        fake.map(root, i * PAGE, fake.frame() | 3 | group | (af if i == 37 else 0))
    fake.map(root, BLOCK, RAM_AT // BLOCK * BLOCK | 1 | af, 1)
    found = states(opened(fake, 0xFFFF_FFFF_F000), root, 0, GIB)
    assert found[0] == SEEN | 2
    assert found[PAGE] == SEEN
    assert 2 * PAGE not in found
    assert [found[i * PAGE] for i in range(32, 64)] == [SEEN | 2] * 16 + [SEEN] * 16
    assert found[BLOCK + 511 * PAGE] & (SEEN | 2 | PAGE_HUGE) == SEEN | 2 | PAGE_HUGE


def test_arm_with_addresses_of_52_bits(tmp_path: Path) -> None:
    """The topmost table is 16 entries within a page, beside those of others, which are not taken for its own."""
    fake = FakeKcore(tmp_path / "kcore", machine=ARM, levels=5)
    page = fake.frame()
    root, rng, truth = page + 128 * 5, random.Random(5), dict[int, int]()
    for other in (root - 128, root + 128):
        fake.map(other, 0, fake.frame() | 3 | 1 << 10)
    for _ in range(200):
        address = rng.randrange(16) << 48 | rng.randrange(4) << 30 | rng.randrange(1 << 18) * PAGE
        accessed = rng.random() < 0.5
        fake.map(root, address, fake.frame() | 3 | (1 << 10 if accessed else 0))
        truth[address] = SEEN | (2 if accessed else 0)
    tables = opened(fake, 0x3_FFFF_FFFF_F000)
    assert states(tables, root, 0, 1 << 52) == truth
    for address in rng.sample(sorted(truth), 20):
        assert states(tables, root, address, address + PAGE) == {address: truth[address]}
    for start, end in ((root + 8, PAGE), (root, (1 << 52) + PAGE)):
        with pytest.raises(ValueError, match="cannot be looked at"):
            states(tables, start, 0, end)


Put = Callable[[int, bytes], None]
"""Writes bytes at a physical address."""


@contextmanager
def changed_by(step: Callable[[Put], None], fake: FakeKcore) -> Iterator[None]:
    """Another thread does `step` again and again, which changes memory."""
    stop = threading.Event()

    def run() -> None:
        with fake.path.open("r+b", buffering=0) as file:

            def put(at: int, data: bytes) -> None:
                os.pwrite(file.fileno(), data, DATA_AT + at - RAM_AT)

            while not stop.is_set():
                step(put)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_tables_that_come_and_go(fake: FakeKcore) -> None:
    """Frames of tables are used anew while they are read: not one page is told that was never mapped so."""
    root = fake.frame()
    blocks, frames = 64, 32
    places = [fake.place(root, i * BLOCK, 1) for i in range(blocks)]
    good, bad = [deque(fake.frame() for _ in range(frames)) for _ in range(blocks)], fake.frame()
    for place, own in zip(places, good, strict=True):
        for table in own:
            fake.put(table, struct.pack("<512Q", *[RAM_AT | OWN | ACCESSED] * 512))
        fake.put_word(place, own[0] | TABLE_BITS)
    rng = random.Random(1)

    def replace_one(put: Put) -> None:
        i = rng.randrange(blocks)
        old = good[i][0]
        put(places[i], bytes(8))  # as munmap: unhung first,
        put(old, struct.pack("<512Q", *[bad | OWN] * 512))  # then used for something else.
        good[i].rotate(-1)
        put(places[i], struct.pack("<Q", good[i][0] | TABLE_BITS))  # Another frame is the table now,
        put(old, struct.pack("<512Q", *[RAM_AT | OWN | ACCESSED] * 512))  # and this one will be again.

    with changed_by(replace_one, fake):
        tables, wrong = opened(fake), 0
        for _ in range(2000):
            looks = tables.look(root, 0, blocks * BLOCK)
            wrong += sum(bytes(looked.states).count(SEEN) for looked in looks)
    assert tables.changed > 0, "nothing changed meanwhile; nothing is proved"
    assert tables.read >= 2000 * blocks / 2
    # A frame that became the same table again between the two readings, after 31 others, cannot be told.
    assert wrong <= 1e-3 * tables.read * 512


TABLE_BITS = VALID | USER | 2 | ACCESSED


@pytest.mark.parametrize("told", [False, True], ids=["states", "entries"])
def test_a_frame_that_comes_back_as_the_same_table(fake: FakeKcore, told: bool) -> None:
    """Between two readings it held something else: entries of frames that are no RAM, which no driver mapped. Such a
    table is read three times at most, and told as it is, not counted, where it was so each time. Read once, it was 5 %
    of those that changed."""
    root, blocks = fake.frame(), 64
    places, tables_at = (
        [fake.place(root, i * BLOCK, 1) for i in range(blocks)],
        [fake.frame() for _ in range(blocks)],
    )
    page = struct.pack("<512Q", *[RAM_AT | OWN | ACCESSED] * 512)
    for place, table in zip(places, tables_at, strict=True):
        fake.put(table, page)
        fake.put_word(place, table | TABLE_BITS)
    rng = random.Random(1)

    def replace_one(put: Put) -> None:
        i = rng.randrange(blocks)
        for at, data in ((places[i], bytes(8)), (tables_at[i], b"\x25" * PAGE), (tables_at[i], page),
                         (places[i], struct.pack("<Q", tables_at[i] | TABLE_BITS))):  # fmt: skip
            put(at, data)

    entries = array("Q", bytes(8 * blocks * 512)) if told else None
    with changed_by(replace_one, fake):
        tables, odd = opened(fake), 0
        for _ in range(20_000):
            if tables.changed >= 500:
                break
            for looked in tables.look(root, 0, blocks * BLOCK, entries):
                odd += sum(state & PAGE_NOT_COUNTED != 0 for state in looked.states[::512])
    assert tables.changed > 0, "nothing changed meanwhile; nothing is proved"
    assert odd <= tables.changed / 100


def test_a_page_of_a_gib_is_in_a_table_that_is_there(fake: FakeKcore) -> None:
    """The table was unhung before it was read, and its frame holds something else: no page of 1 GiB is told."""
    root, tables_at = fake.frame(), deque(fake.frame() for _ in range(32))

    def replace_one(put: Put) -> None:
        tables_at.rotate()
        for at, word in ((tables_at[0], 0), (root, tables_at[0] | TABLE_BITS), (root, 0),
                         (tables_at[0], RAM_AT | OWN | LEAF)):  # fmt: skip
            put(at, struct.pack("<Q", word))

    with changed_by(replace_one, fake):
        tables = opened(fake)
        for _ in range(200_000):
            told = [set(looked.states) for looked in tables.look(root, 0, BLOCK)]
            assert told in ([], [{PAGE_UNKNOWN}])
            if tables.changed >= 100:
                break
    assert tables.changed > 0, "nothing changed meanwhile; nothing is proved"


def test_what_is_unknown_counts_once(fake: FakeKcore) -> None:
    """Where all of a GiB is read again, for a table above it changed, what was unknown before counts no more."""
    root, blocks = fake.frame(), 512
    for i in range(blocks):
        fake.map(root, i * BLOCK, 1 << 45 | TABLE_BITS, 1)  # not in RAM
    entry = fake.word(root)

    def change(put: Put) -> None:
        for word in (entry + PAGE, entry):
            put(root, struct.pack("<Q", word))

    with changed_by(change, fake):
        tables = opened(fake)
        for _ in range(20_000):
            before = tables.unknown
            told = sum(bytes(looked.states).count(PAGE_UNKNOWN) for looked in tables.look(root, 0, 1 << 30))
            assert tables.unknown - before == told
            if tables.changed >= 2000:
                break
    assert tables.changed > 0, "nothing changed meanwhile; nothing is proved"


def test_a_device_stays_in_its_table(fake: FakeKcore) -> None:
    """Entries of frames that are no RAM and stay are told as they are: not counted, and the others beside them too."""
    root = fake.frame()
    beyond = 1 << 45
    fake.map(root, 0, beyond | OWN)
    fake.map(root, PAGE, RAM_AT | OWN | ACCESSED)
    found = states(opened(fake), root, 0, BLOCK)
    assert found[0] & PAGE_NOT_COUNTED
    assert not found[0] & PAGE_UNKNOWN
    assert not found[PAGE] & (PAGE_NOT_COUNTED | PAGE_UNKNOWN)


def test_a_table_outside_of_ram_is_not_read(fake: FakeKcore) -> None:
    """Entries that lead anywhere are no pages, and lead to no reading there."""
    root = fake.frame()
    fake.put_word(fake.place(root, 0, 1), 1 << 45 | TABLE_BITS)
    fake.put_word(root + 8, 1 << 44 | TABLE_BITS)
    tables = opened(fake)
    assert set(states(tables, root, 0, BLOCK).values()) == {PAGE_UNKNOWN}
    assert set(states(tables, root, 1 << 39, (1 << 39) + BLOCK).values()) == {PAGE_UNKNOWN}


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.write_headers(loads=[(f.base, 0, 1 << 20, 0), (f.base + (1 << 20), 0, 1 << 20, 0)]),
        lambda f: f.write_headers(loads=[(f.base + 5, 5, 1 << 20, 0)]),
        lambda f: f.write_headers(loads=[(f.base, (1 << 64) - 1, 1 << 20, 0)]),
        lambda f: f.write_headers(loads=[((1 << 64) - PAGE, 0, 1 << 20, 0)]),
        lambda f: f.path.write_bytes(b""),
        lambda f: f.path.write_bytes(b"\x7fELF" + bytes(60)),
        lambda f: os.truncate(f.path, 100),
    ],
)
def test_a_kcore_that_makes_no_sense(fake: FakeKcore, change: Callable[[FakeKcore], object]) -> None:
    change(fake)
    with pytest.raises(BadMemory):
        Kcore(fake.path)


@given(st.binary(min_size=0, max_size=400), st.integers(0, 399))
def test_any_headers_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("k") / "kcore"
    fake = FakeKcore(path, frames=4)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    try:
        memory = Kcore(path)
        memory.facts()
        memory.read(fake.base + RAM_AT, 8)
        memory.own_task()
    except BadMemory:
        pass


def test_addresses(fake: FakeKcore) -> None:
    fake.task = b"task" * 40
    fake.write_headers()
    memory = Kcore(fake.path)
    assert memory.own_task() == b"task" * 40
    assert memory.physical(fake.base + RAM_AT + 5000) == RAM_AT + 5000
    assert memory.physical(fake.base) is None
    with pytest.raises(BadMemory):
        memory.read(fake.base, 8)
    memory.close()
    memory.close()


def test_shapes(fake: FakeKcore) -> None:
    memory = Kcore(fake.path)
    assert shapes_of(memory, "x86_64", PAGE) == [(0, 4, MASK)]
    assert [shape[:2] for shape in shapes_of(memory, "aarch64", PAGE)] == [(1, 4), (1, 3), (1, 5)]
    with pytest.raises(NotSupported, match="pages of 16 KiB"):
        shapes_of(memory, "aarch64", 16384)
    with pytest.raises(NotSupported, match="riscv64"):
        shapes_of(memory, "riscv64", PAGE)


@pytest.mark.parametrize(
    ("facts", "levels"),
    [
        ("NUMBER(VA_BITS)=39", 3),
        ("NUMBER(VA_BITS)=52", 5),
        ("NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10", 4),  # of a processor that has 48
        ("NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0xc", 5),
    ],
)
def test_shapes_of_arm(fake: FakeKcore, facts: str, levels: int) -> None:
    fake.facts = f"{facts}\n"
    fake.write_headers()
    assert [shape[:2] for shape in shapes_of(Kcore(fake.path), "aarch64", PAGE)] == [(1, levels)]


def test_bits_that_are_not_known(fake: FakeKcore) -> None:
    fake.facts = "NUMBER(VA_BITS)=42\n"
    fake.write_headers()
    with pytest.raises(NotSupported, match="42 bits"):
        shapes_of(Kcore(fake.path), "aarch64", PAGE)


NAMES = [name for name, *_ in INTERFACES["page_tables_look"][0]]


def test_senseless_arguments_are_refused(fake: FakeKcore) -> None:
    memory = Kcore(fake.path)
    good: list[Any] = [
        memory.fd,
        False,
        memory.window,
        memory.segments,
        0,
        4,
        MASK,
        RAM_AT,
        0,
        PAGE,
        bytearray(1),
        None,
    ]
    page_tables_look(**dict(zip(NAMES, good, strict=True)))
    for at, value in (
        (2, bytearray(100)), (3, array("Q")), (3, array("Q", [0])), (3, array("Q", [0, PAGE, 0, 0, PAGE, 0])),
        (4, 2), (5, 9), (6, 0),        (7, 1), (8, PAGE), (9, 1 << 60), (10, bytearray()), (11, array("Q")),
    ):  # fmt: skip
        changed: list[Any] = [*good[:at], value, *good[at + 1 :]]
        with pytest.raises(ValueError, match=r"cannot be looked at|whole records"):
            page_tables_look(**dict(zip(NAMES, changed, strict=True)))


@pytest.mark.parametrize(("made", "rounds"), [(program(7), 512), (words_program(7), 1024)])
def test_the_bpf_programs(made: bytes, rounds: int) -> None:
    """Whole instructions, jumps within them, and loops that end."""
    code = list(struct.iter_unpack("<BBhi", made))
    assert code[0] == (0x18, 6 | 2 << 4, 0, 7)
    assert code[-1][0] == 0x95
    for at, (operation, _, offset, _) in enumerate(code):
        if operation in (0x05, 0x15, 0x35):
            assert 0 < at + 1 + offset < len(code) - 1
    assert sum(operation == 0x35 and number == rounds for operation, _, _, number in code) == 1


def test_the_direct_map_of_bpf_has_room_for_all_ram() -> None:
    """For each GiB of RAM that an address may lie in, except where RAM would end beyond all addresses."""
    gib = 1 << 30
    ram = [Range(PAGE, 2 * gib), Range(4 * gib, 5 * gib)]
    somewhere = 0xFFFF_8880_0000_0000 + 4 * gib + 5 * PAGE
    bases = [0xFFFF_8880_0000_0000 + n * gib for n in (4, 3, 0)]
    assert list(direct_map_bases(ram, somewhere)) == bases
    image = 0xFFFF_FFFF_8100_0000
    assert list(direct_map_bases(ram, image)) == [image // gib * gib - 4 * gib]


# --- BTF ------------------------------------------------------------------------------------------------------------


class Types:
    """Builds BTF."""

    def __init__(self) -> None:
        self.strings, self.types, self.number = bytearray(b"\0"), bytearray(), 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(
        self, name: str, kind: int, size: int, members: tuple[tuple[str, int, int], ...] = (), flag: int = 0
    ) -> int:
        self.types += struct.pack("<III", self.name(name), kind << 24 | len(members) | flag << 31, size)
        for member, type_id, bits in members:
            self.types += struct.pack("<III", self.name(member), type_id, bits)
        self.number += 1
        return self.number

    def data(self) -> bytes:
        head = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return head + bytes(self.types) + bytes(self.strings)


def kernel_types() -> bytes:
    t = Types()
    t.types += struct.pack("<IIII", t.name("int"), 1 << 24, 4, 32)
    t.number += 1
    inner = t.add("", 4, 16, (("deep", 1, 64),))
    t.add("mm_struct", 4, 64, (("", inner, 128), ("pgd", 1, 320)))
    t.add("task_struct", 4, 99, (("pid", 1, 96), ("bits", 1, 3 << 24 | 160)), flag=1)
    return t.data()


def test_btf() -> None:
    names = (
        ("mm_struct", "pgd"), ("mm_struct", "deep"), ("task_struct", "pid"), ("task_struct", "bits"),
        ("mm_struct", ""), ("mm_struct", "none"), ("none", "pgd"),
    )  # fmt: skip
    assert btf_members(kernel_types(), names) == (40, 24, 12, 20, 64, -1, -1)


def test_a_structure_within_itself_ends() -> None:
    t = Types()
    t.add("a", 4, 8, (("", 1, 0), ("", 1, 0)))
    assert btf_members(t.data(), (("a", "x"),)) == (-1,)


@given(st.data())
def test_hostile_btf(data: st.DataObject) -> None:
    """Any bytes: offsets or a refusal, and never a step outside."""
    good = bytearray(kernel_types())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for each in (bytes(good), bytes(good[:cut])):
        try:
            assert len(btf_members(each, (("mm_struct", "deep"), ("task_struct", "bits")))) == 2
        except ValueError:
            pass


# --- Runs -----------------------------------------------------------------------------------------------------------

KINDS = bytes([0, 1, 3]) + bytes(253)


def parts(
    states: bytes, first: int, pieces: list[tuple[int, int]], grain: int = PAGE
) -> list[tuple[int, ...]]:
    ends = array("Q", [end for piece in pieces for end in piece])
    return list(
        zip(*page_runs(states=states, first=first, kinds=KINDS, pieces=ends, grain=grain), strict=True)
    )


@given(
    st.lists(st.integers(0, 2), max_size=60),
    st.lists(st.integers(0, 70), max_size=8),
    st.sampled_from([1, 2, 16]),
)
def test_runs_of_pages(pages: list[int], cuts: list[int], grain: int) -> None:
    """No byte is lost or told twice, nothing outside of pieces; at the grain of a page every run is exact."""
    first = 5 * PAGE
    ends = sorted({cut * PAGE for cut in cuts})
    pieces = list(zip(ends[::2], ends[1::2], strict=False))
    found = parts(bytes(pages), first, pieces, grain * PAGE)
    resident, touched = dict[int, int](), dict[int, int]()
    for number, (start, end) in enumerate(pieces):
        inside = [pages[a // PAGE - 5] for a in range(start, end, PAGE) if 0 <= a // PAGE - 5 < len(pages)]
        resident[number] = sum(kind > 0 for kind in inside) * PAGE
        touched[number] = sum(kind == 2 for kind in inside) * PAGE
    for number, (start, end) in enumerate(pieces):
        own = [part for part in found if part[0] == number]
        assert all(start <= part[1] < part[2] <= end for part in own)
        assert sum(part[3] for part in own) == resident[number]
        assert sum(part[4] for part in own) == touched[number]
    assert [part[1] for part in found] == sorted(part[1] for part in found)
    if grain == 1:
        assert all(part[3] == part[2] - part[1] and part[4] in {0, part[3]} for part in found)


def test_small_parts_of_a_block_become_one() -> None:
    """Long ones keep their exact ends."""
    states = bytes([2, 1, 2, 0, 1, 1, 2, 1] + [2] * 20 + [1, 2, 1])
    assert parts(states, 0, [(0, 40 * PAGE)], 8 * PAGE) == [
        (0, 0, 8 * PAGE, 7 * PAGE, 3 * PAGE),
        (0, 8 * PAGE, 28 * PAGE, 20 * PAGE, 20 * PAGE),
        (0, 28 * PAGE, 31 * PAGE, 3 * PAGE, PAGE),
    ]


@pytest.mark.parametrize(
    ("first", "kinds", "pieces", "grain"),
    [
        (1, KINDS, [0, PAGE], PAGE),
        ((1 << 64) - PAGE, KINDS, [0, PAGE], PAGE),
        (0, KINDS[1:], [0, PAGE], PAGE),
        (0, KINDS, [PAGE, 0], PAGE),
        (0, KINDS, [0], PAGE),
        (0, KINDS, [0, 5], PAGE),
        (0, KINDS, [0, PAGE], 0),
        (0, KINDS, [0, PAGE], 100),
    ],
)
def test_runs_of_nonsense(first: int, kinds: bytes, pieces: list[int], grain: int) -> None:
    with pytest.raises(ValueError, match=r"make no sense|must have 256"):
        page_runs(states=bytes(2), first=first, kinds=kinds, pieces=array("Q", pieces), grain=grain)
