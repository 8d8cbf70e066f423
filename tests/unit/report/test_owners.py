"""Whose memory is whose: names, guesses, parts of files, and how regions are shared between places."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_wss import START, Region, record, snap
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Snapshot
from udamon.record.reader import Recording
from udamon.report import hot_cold, wss
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.mappings import history_of
from udamon.report.owners import MALLOC_ARENA, THREAD_STACK, owners_of
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

KIB, MIB = 1 << 10, 1 << 20
HEAP, LIB, ANON = 0x5500_0000_0000, 0x7F00_0000_0000, 0x7F10_0000_0000
Row = tuple[int, int, str, int, str]
"""start, end, perms, offset, name."""


def mapped(*rows: Row, time: int = START, target: int = 0, remove: tuple[int, ...] = ()) -> Event:
    add = [[start, end, perms, offset, 0, name] for start, end, perms, offset, name in rows]
    return Event(time, "mappings", {"target": target, "add": add, "remove": list(remove)})


BASIC = (
    (HEAP, HEAP + MIB, "rw-p", 0, "[heap]"),
    (LIB, LIB + MIB, "r-xp", 0, "/lib/a.so"),
    (LIB + MIB, LIB + 2 * MIB, "rw-p", MIB, "/lib/a.so"),
    (LIB + 2 * MIB, LIB + 3 * MIB, "---p", 0, ""),
    (ANON, ANON + MIB, "rw-p", 0, ""),
    (ANON + MIB, ANON + 2 * MIB, "r--p", 0, ""),
    (ANON + 4 * MIB, ANON + 5 * MIB, "rw-p", 0, ""),
)


def basic(path: Path, *shots: Snapshot | Event) -> Recording:
    return record(path, [mapped(*BASIC), *shots])


def test_owners(tmp_path: Path) -> None:
    """Files by name, anonymous memory by stretches; what nobody may access is nobody's."""
    owners = owners_of(basic(tmp_path / "a"))
    assert [(owner.label, owner.size, len(owner.pieces), owner.guess) for owner in owners] == [
        ("heap", MIB, 1, None), ("a.so", 2 * MIB, 2, None), ("anonymous", 2 * MIB, 2, None), ("anonymous", MIB, 1, None)
    ]  # fmt: skip


def test_guesses(tmp_path: Path) -> None:
    """A thread's stack lies right above its guard page; an arena is aligned to 64 MiB and filled up to that."""
    base = 0x7F20_0000_0000
    rows: list[Row] = [
        (base, base + 4 * KIB, "---p", 0, ""), (base + 4 * KIB, base + 8 * MIB, "rw-p", 0, ""),  # guard inside
        (base + 9 * MIB, base + 9 * MIB + 4 * KIB, "---p", 0, ""),
        (base + 9 * MIB + 4 * KIB, base + 17 * MIB + 4 * KIB, "rw-p", 0, ""),  # guard beside
        (base + 64 * MIB, base + 64 * MIB + 132 * KIB, "rw-p", 0, ""),
        (base + 64 * MIB + 132 * KIB, base + 128 * MIB, "---p", 0, ""),
        (base + 192 * MIB, base + 193 * MIB, "rw-p", 0, ""),  # aligned, but nothing above it
        (base + 200 * MIB, base + 200 * MIB + 4 * KIB, "---p", 0, ""),
        (base + 200 * MIB + 4 * KIB, base + 201 * MIB + 12 * KIB, "rw-p", 0, ""),  # no round size
        (base + 300 * MIB, base + 300 * MIB + 4 * KIB, "---p", 0, ""),
        (base + 300 * MIB + 4 * KIB, base + 308 * MIB, "r-xp", 0, ""),  # no stack is executable and not writable
    ]  # fmt: skip
    owners = owners_of(record(tmp_path / "a", [mapped(*rows)]))
    assert [owner.guess for owner in owners] == [THREAD_STACK, THREAD_STACK, MALLOC_ARENA, None, None, None]
    assert owners[0].label == "thread stack?"


def test_later_mappings_win(tmp_path: Path) -> None:
    """Of two mappings in one place at different times, the later one has the bytes, the older one the rest."""
    recording = record(
        tmp_path / "a",
        [
            mapped((0x10000, 0x20000, "rw-p", 0, "/old")),
            mapped((0x14000, 0x18000, "rw-p", 0, "/new"), time=START + 1, remove=(0x10000,)),
        ],
    )
    assert [(m.start, m.end, m.offset, m.name) for m in history_of(recording)[0]] == [
        (0x10000, 0x14000, 0, "/old"), (0x14000, 0x18000, 0, "/new"), (0x18000, 0x20000, 0x8000, "/old")
    ]  # fmt: skip


def test_memory_of_a_mapping_that_shrank_keeps_its_name(tmp_path: Path) -> None:
    """A heap of 4 MiB that was all touched, then of 1 MiB: in the first window all 4 MiB were the heap's."""
    size, small = 4 * MIB, MIB
    recording = record(
        tmp_path / "a",
        [
            mapped((HEAP, HEAP + size, "rw-p", 0, "[heap]")),
            snap(0, [(HEAP, HEAP + size, 20, 0, size)]),
            mapped((HEAP, HEAP + small, "rw-p", 0, "[heap]"), time=START + 100_000_000, remove=(HEAP,)),
            snap(1, [(HEAP, HEAP + small, 20, 0, small)]),
        ],
    )
    with RecordingSource(recording) as source:
        by_mapping = wss.measure(source, by="mapping", every=True)
    assert [size for _, size in by_mapping.over_time] == [size, small]
    (owner,) = by_mapping.owners or []
    assert (owner.label, owner.size) == ("heap", size)


def test_every_page_has_the_latest_mapping_that_it_was_in(tmp_path: Path) -> None:
    """Mappings that come in any order and place, page by page: by the definition, and as it is computed."""
    random = Random(3)
    for number in range(60):
        steps: list[Snapshot | Event] = []
        expected: dict[int, str] = {}
        for time in range(random.randint(1, 25)):
            start, name = random.randint(0, 12), random.choice(["/a", "/b", ""])
            end = start + random.randint(1, 8)
            steps.append(mapped((start * 4096, end * 4096, "rw-p", 0, name), time=START + time))
            expected |= dict.fromkeys(range(start, end), name)
        (mappings,) = history_of(record(tmp_path / str(number), steps)).values()
        found = [(page, one.name) for one in mappings for page in range(one.start // 4096, one.end // 4096)]
        assert found == sorted(expected.items())


def test_shared_between_mappings_by_bytes(tmp_path: Path) -> None:
    """One region over heap, a gap and a library: each has the share of touched bytes that its bytes have."""
    regions: list[Region] = [(HEAP, HEAP + MIB, 20, 0, MIB // 2), (LIB + MIB, LIB + 4 * MIB, 10, 0, 3 * MIB)]
    shots = [snap(0, regions), snap(1, [(HEAP, HEAP + MIB, 0, 1, 0), (LIB, LIB + MIB, 0, 1, 0)])]
    with RecordingSource(basic(tmp_path / "a", *shots)) as source:
        report = hot_cold.measure(source)
        by_mapping = wss.measure(source, by="mapping", every=True)
    uses = {line.owner.label: line.use for line in report.lines}
    assert list(uses) == ["heap", "a.so"]
    assert (uses["heap"].size, uses["heap"].touched, uses["heap"].rate) == (MIB, MIB / 4, 0.5)
    # In the first window the library's second half: 1 MiB of the region's 3, at rate 0.5; then its first.
    assert (uses["a.so"].size, uses["a.so"].touched, uses["a.so"].rate) == (MIB, MIB / 2, 0.25)
    assert uses["heap"].last_ns == START + 100_000_000
    owners = by_mapping.owners or []
    assert {owners[one.target or 0].label: one.bytes["max"] for one in by_mapping.targets} == {
        "heap": MIB // 2, "a.so": MIB
    }  # fmt: skip
    assert [size for _, size in by_mapping.over_time] == [MIB // 2 + MIB, 0]


def test_offsets_of_files(tmp_path: Path) -> None:
    """Sixteen parts of a file: the one that was accessed is told by its offsets."""
    row = (LIB, LIB + 16 * MIB, "r--s", 32 * MIB, "/srv/data")
    shot = snap(0, [(LIB, LIB + 3 * MIB, 0, 0, 0), (LIB + 3 * MIB, LIB + 4 * MIB, 20, 0, MIB),
                    (LIB + 4 * MIB, LIB + 16 * MIB, 0, 0, 0)])  # fmt: skip
    recording = record(tmp_path / "a", [mapped(row), shot])
    with RecordingSource(recording) as source:
        report = hot_cold.measure(source)
    (line,) = report.lines
    assert len(line.offsets) == 16
    assert [(low, high) for low, high, use in line.offsets if use.heat] == [(35 * MIB, 36 * MIB)]
    document = hot_cold.document(report, Catalog(recording))["mappings"][0]
    assert document["offsets"][3] == {
        "start": 35 * MIB, "end": 36 * MIB, "bytes": MIB, "resident_bytes": MIB, "touched_bytes": MIB, "rate": 1.0,
        "last_access": (START + 100_000_000) / 1e9,
    }  # fmt: skip
    text = hot_cold.render(report, Catalog(recording), Terminal(80, 0, False))
    assert f"{35 * MIB:#x}-{36 * MIB:#x} 100%" in text
    assert text.isascii()


def test_hottest_and_coldest(tmp_path: Path) -> None:
    """By accessed bytes, and by untouched ones; of equals the less accessed first; targets are kept apart."""
    shots = [
        snap(0, [(HEAP, HEAP + MIB, 20, 0, MIB), (LIB, LIB + 2 * MIB, 0, 0, 0), (ANON, ANON + 2 * MIB, 5, 0, MIB),
                 (ANON + 4 * MIB, ANON + 5 * MIB, 0, 0, 0)]),
        snap(0, [(HEAP, HEAP + MIB, 10, 0, MIB)], target=1),
    ]  # fmt: skip
    events = [mapped(*BASIC), mapped(BASIC[0], target=1)]
    recording = record(tmp_path / "a", [*events, *shots])
    with RecordingSource(recording) as source:
        report = hot_cold.measure(source)
    hot = [(line.owner.target, line.owner.label) for line in report.hottest(10)]
    assert hot == [(0, "heap"), (0, "anonymous"), (1, "heap")]
    cold = [(line.owner.label, line.use.size) for line in report.coldest(3)]
    assert cold == [("a.so", 2 * MIB), ("anonymous", MIB), ("anonymous", 2 * MIB)]
    text = hot_cold.render(report, Catalog(recording), Terminal())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [("heap", [100, 0]), ("[[]heap]", [100, 0]), ("/lib/a.so", [200, 0]), ("a.so", [200, 0]), ("library", [200, 0]),
     ("*a*", [100 + 200 + 300, 0])],
)  # fmt: skip
def test_filter_by_mapping(tmp_path: Path, pattern: str, sizes: list[int]) -> None:
    """By name, label or kind, with signs for any letters; regions are cut, and every snapshot stays."""
    regions: list[Region] = [(HEAP, HEAP + MIB, 20, 0, 100), (LIB, LIB + 2 * MIB, 20, 0, 200),
                             (ANON, ANON + MIB, 20, 0, 300), (ANON + 8 * MIB, ANON + 9 * MIB, 20, 0, 400)]  # fmt: skip
    recording = basic(tmp_path / "a", snap(0, regions), snap(1, []))
    with RecordingSource(recording, Filters.parse(mapping=pattern)) as source:
        assert [size for _, size in wss.measure(source, every=True).over_time] == sizes


def test_nothing_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is a usage error, which leaves no temporary directory; no names at all are a sentence."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(UsageError, match="no mapping of .* is called 'x'"):
        RecordingSource(basic(tmp_path / "a", snap(0, [])), Filters.parse(mapping="x"))
    assert list(temporary.iterdir()) == []
    with RecordingSource(record(tmp_path / "b", [snap(0, [(0, 4096, 1, 0, 1)])])) as source:
        with pytest.raises(RecordingError, match="knows no mappings"):
            wss.measure(source, by="mapping")
        report = hot_cold.measure(source)
    assert "no mapping is known" in hot_cold.render(report, Catalog(source.recording), Terminal())


def test_guesses_are_explained_where_one_is_shown(tmp_path: Path) -> None:
    """A stack that is neither among the hottest nor among the coldest needs no explanation."""
    stack = ANON + 4 * KIB
    rows: list[Row] = [*BASIC[:4], (ANON, stack, "---p", 0, ""), (stack, ANON + MIB, "rw-p", 0, "")]
    shot = snap(
        0, [(HEAP, HEAP + MIB, 20, 0, MIB), (LIB, LIB + 2 * MIB, 0, 0, 0), (stack, ANON + MIB, 5, 0, 0)]
    )
    recording = record(tmp_path / "a", [mapped(*rows), shot])
    with RecordingSource(recording) as source:
        report = hot_cold.measure(source)
    explained = [
        "? a guess" in hot_cold.render(report, Catalog(recording), Terminal(), top) for top in (1, 2)
    ]
    assert explained == [False, True]
