"""Limits and requests worked out by hand: what must stay, what was accessed of files, page cache, and the buffer."""

from __future__ import annotations

from array import array
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.test_size import MIB, S, census, named
from tests.unit.snapshots import recorded, snap
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.record.values import check_event
from udamon.report import recommend, right_size
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource

NAMES = named(0, (100, "[heap]"), (300, "/data/table"), (500, "/memfd:shared (deleted)"))


def shot(seq: int, heap: int, file: int) -> Snapshot:
    """100 MiB of a file are there, `file` touched; `heap` MiB are there, one touched; 5 of shared memory, untouched."""
    found = census(seq, [(100, heap, 1), (300, 100, file), (500, 5, 0)])
    assert found.sharing is not None
    anonymous = array(
        "Q", [heap * MIB, 2 * MIB, 0]
    )  # two pages of the file's mapping were written: no page cache
    return replace(found, sharing=replace(found.sharing, anonymous=anonymous))


def found(
    recording: Recording, *, swap: bool = False, filters: Filters | None = None
) -> recommend.Recommendation:
    with RecordingSource(recording, filters) as source:
        return recommend.measure(source, right_size.measure(source), swap=swap)


def with_buffer(mib: float) -> int:
    return ceil(mib * 1.15) * MIB


def test_the_largest_number_of_a_target(tmp_path: Path) -> None:
    """Whatever number a file gives its target: what lies beside the mappings with a name counts on from it."""
    last = (1 << 31) - 1
    one = found(recorded(tmp_path / "a", [replace(shot(0, 40, 1), target=last)], via="refs"))
    assert one.peak == (40 + 100 + 5) * MIB
    assert any(doubt.startswith("145.0 MiB were in no known mapping") for doubt in one.doubts)
    named_ones = found(recorded(tmp_path / "b", [NAMES, shot(0, 40, 1)], via="refs"))
    assert not any("no known mapping" in doubt for doubt in named_ones.doubts)


@pytest.mark.parametrize(("windows", "swap", "said"), [(5, False, True), (6, False, False), (5, True, False)])
def test_less_was_watched_than_the_time_in_which_files_are_used_again(
    tmp_path: Path, windows: int, swap: bool, said: bool
) -> None:
    """Windows of 10 s, and files that are used again within a minute: of 50 s the number is none of a minute."""
    shots = [shot(seq, 40, 1) for seq in range(windows)]
    one = found(recorded(tmp_path / "a", [NAMES, *shots], via="refs"), swap=swap)
    assert (
        any(
            doubt.startswith("50 s were watched, and files may be used again within 1 m")
            for doubt in one.doubts
        )
        == said
    )


def test_without_swap(tmp_path: Path) -> None:
    """20 windows, in the last of which the heap has 60 MiB and 40 before. Kept are 47 and 67; the 90th percentile of
    the windows is 47. Of the file at most 4 * 1 + 3 MiB were accessed in the last minute, 6 in others."""
    shots: list[Snapshot | Event] = [
        NAMES,
        *(shot(seq, 60 if seq == 19 else 40, 3 if seq == 19 else 1) for seq in range(20)),
    ]
    one = found(recorded(tmp_path / "a", shots, via="refs"))
    assert (one.peak, one.usual, one.files) == (67 * MIB, 47 * MIB, 7 * MIB)
    assert one.limit == with_buffer(67 + 7)
    assert one.request == with_buffer(47 + 7)
    document = recommend.document(one)
    assert (document["limit_bytes"], document["request_bytes"]) == (86 * MIB, 63 * MIB)
    assert document["high_bytes"] == 84 * MIB  # 63 + 0.9 * 23 = 83.7
    assert document["page_cache"]["included"] is False
    assert "--cgroup" in document["page_cache"]["why"]
    text = recommend.render(one, 80)
    assert "      memory: 63Mi\n    limits:\n      memory: 86Mi\n" in text
    assert text.endswith("  MemoryHigh=84M\n  MemoryMax=86M")
    assert max(map(len, text.splitlines())) <= 80


def test_what_comes_back_within_a_time(tmp_path: Path) -> None:
    """The same with another time: one window of 10 s, and all of them, of which no more is there than 98 MiB."""
    shots: list[Snapshot | Event] = [NAMES, *(shot(seq, 40, 9) for seq in range(20))]
    with RecordingSource(recorded(tmp_path / "a", shots, via="refs")) as source:
        report = right_size.measure(source)
        found = [recommend.measure(source, report, reuse_s=time).files // MIB for time in (10, 60, 1000)]
    assert found == [9, 54, 98]


def test_with_swap(tmp_path: Path) -> None:
    """What is not accessed may go: of pages that are known, 10 MiB of 100 are accessed in every window."""
    rows = [(0, 10 * MIB, 20, 0), (10 * MIB, 100 * MIB, 0, 9)]
    recording = recorded(
        tmp_path / "a", [snap(seq, rows, window=S, sample=S // 20) for seq in range(20)], via="idle"
    )
    one = found(recording, swap=True)
    assert (one.peak, one.usual, one.limit) == (10 * MIB, 10 * MIB, 12 * MIB)
    assert found(recording).limit == with_buffer(100)


def test_files_by_pages(tmp_path: Path) -> None:
    """Where pages were seen, a part of a file that is touched in each of many windows counts once."""
    rows = [(300 * MIB, 304 * MIB, 20, 0), (304 * MIB, 332 * MIB, 0, 9)]
    shots: list[Snapshot | Event] = [
        named(0, (300, "/data/table")),
        *(snap(seq, rows, window=S, sample=S // 20) for seq in range(20)),
    ]
    one = found(recorded(tmp_path / "a", shots, via="idle"))
    assert (one.peak, one.files) == (0, 4 * MIB)


def test_few_windows_and_missed_processes(tmp_path: Path) -> None:
    """Of 19 windows the request is the limit, and the document says why; so do processes that were not seen."""
    data: dict[str, Any] = {"processes_seen": 1, "processes_missed": 1, "bytes_missed": 5, "exact": True}
    shots: list[Snapshot | Event] = [
        NAMES,
        *(shot(seq, 40, 0) for seq in range(19)),
        Event(200 * S, "coverage", data),
    ]
    one = found(recorded(tmp_path / "a", shots, via="refs"))
    assert one.usual is None
    assert one.request == one.limit == with_buffer(47)
    document = recommend.document(one)
    assert document["parts"]["p90_bytes"] is None
    assert document["recommendation_why"] == (
        "19 windows, so the request is for the peak, too; 1 process that was not seen"
    )


def test_page_cache(tmp_path: Path) -> None:
    """The largest of two moments, with what the kernel has for the group; not of a part of the memory."""
    told = [
        {"file_bytes": 90 * MIB, "mapped_bytes": 9 * MIB, "hot_bytes": 50 * MIB, "only_read_bytes": size * MIB,
         "kernel_bytes": 3 * MIB, "source": "memory.stat"}
        for size in (30, 20)
    ]  # fmt: skip
    shots: list[Snapshot | Event] = [NAMES, *(shot(seq, 40, 0) for seq in range(20))]
    shots += [Event(at * S, "page_cache", data) for at, data in enumerate(told)]
    recording = recorded(tmp_path / "a", shots, via="refs")
    one = found(recording)
    assert one.limit == with_buffer(47 + 30 + 3)
    cache = recommend.document(one)["page_cache"]
    assert cache["included"] is True
    assert cache["why"].startswith(
        "at most 30.0 MiB were hot and mapped by nobody, by the kernel's active list"
    )
    part = found(recording, filters=Filters(mapping="heap"))
    assert part.limit == with_buffer(40)
    assert recommend.document(part)["page_cache"]["included"] is False


def test_page_cache_of_a_part_of_the_time(tmp_path: Path) -> None:
    """Readings at 5, 15 and 25 s: of a span count those within it, and the one that still holds at its begin."""
    readings = [
        Event(
            at * S, "page_cache", {"only_read_bytes": size * MIB, "kernel_bytes": 0, "source": "memory.stat"}
        )
        for at, size in ((12, 70), (15, 10), (25, 40))
    ]
    recording = recorded(
        tmp_path / "a", [NAMES, *(shot(seq, 40, 1) for seq in range(4)), *readings], via="refs"
    )

    def cache_of(time: str | None) -> recommend.RecordedCache:
        return found(recording, filters=Filters.parse(time=time)).cache

    assert [cache_of(time).size for time in (None, "min-20s", "16s-21s", "16s-max")] == [
        70 * MIB, 70 * MIB, 10 * MIB, 40 * MIB
    ]  # fmt: skip
    early = cache_of("min-11s")
    assert (early.size, early.why) == (None, "it was first read after the time that is looked at")


def test_shared_memory_counts_once(tmp_path: Path) -> None:
    """Two processes have the same 60 MiB of page frames: no more than those are kept."""
    shots: list[Snapshot | Event] = []
    for seq in range(20):
        for target, distinct in ((0, 60), (1, 0)):
            one = census(seq, [(100, 60, 20)], target=target, private=False)
            sharing = Sharing.of([[0], [60 * MIB], [20 * MIB], [7], [None], [distinct * MIB]])
            shots.append(replace(one, sharing=sharing))
    assert found(recorded(tmp_path / "a", shots, via="refs")).peak == 60 * MIB


def test_mappings_that_the_kernel_does_not_protect(tmp_path: Path) -> None:
    """Files with MADV_RANDOM or SEQUENTIAL at any time; of the heap, which is no file, nothing is said."""
    low, high = 300 * MIB, 400 * MIB
    told = [
        Event(
            1, "advice", {"target": 0, "mappings": [[100 * MIB, 101 * MIB, "random"], [low, high, "random"]]}
        ),
        Event(2, "advice", {"target": 0, "mappings": []}),
    ]
    one = found(recorded(tmp_path / "a", [NAMES, *told, shot(0, 40, 1)], via="refs"))
    assert recommend.document(one)["advised"] == [
        {"pid": None, "mapping": "table", "bytes": 100 * MIB, "advice": "random"}
    ]
    assert "table (100.0 MiB, random)" in recommend.render(one, 200)
    none = found(recorded(tmp_path / "b", [NAMES, shot(0, 40, 1)], via="refs"))
    assert recommend.document(none)["advised"] == []
    assert "MADV" not in recommend.render(none, 200)


@pytest.mark.parametrize("mappings", [7, [[0, 1]], [[0, 1, "kept"]], [["a", 1, "random"]]])
def test_advice_that_no_recording_has(mappings: object) -> None:
    with pytest.raises(ValueError, match="advice"):
        check_event("advice", {"target": 0, "mappings": mappings})
