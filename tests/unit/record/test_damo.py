"""damo's JSON as a recording: every way damo writes a number, what is missing, and where a file is wrong.

Expected values come from the format's description, and from the text in front of the eye.
"""

from __future__ import annotations

import json
import zlib
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.snapshots import INTERVALS, damo_file, damo_record, damo_region, damo_snapshot
from udamon.errors import RecordingError
from udamon.model import Snapshot
from udamon.record.converting import largest
from udamon.record.opening import open_recording
from udamon.record.reader import Recording

SECOND = 1_000_000_000
pytestmark = pytest.mark.native  # the scanner's, through the reader


def opened(path: Path, records: object, **how: Any) -> Recording:
    return open_recording(damo_file(path, records, **how))


def only(path: Path, region: object, **more: object) -> Snapshot:
    """The one snapshot of a file with one region."""
    record = damo_record([damo_snapshot("0", "100000000", [region])], **more)
    (found,) = opened(path, [record]).snapshots()
    return found


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("indent", [None, 0, 1, 4])
def test_everything_that_is_known(tmp_path: Path, compress: bool, indent: int | None) -> None:
    """Times, counts, ages, intervals and the damo definition of touched, whatever the layout of the text."""
    regions = [damo_region("4,096", "12,288", 7, "864"), damo_region("1,048,576", "2,097,152", 0, "3")]
    file = opened(
        tmp_path / "a",
        [damo_record([damo_snapshot("1000", "100001000", regions)])],
        compress=compress,
        indent=indent,
    )
    (found,) = file.snapshots()
    assert (found.begin_ns, found.end_ns, found.sample_ns, found.ticks) == (1000, 100_001_000, 5_000_000, 20)
    assert (list(found.starts), list(found.ends)) == ([4096, 1 << 20], [12288, 2 << 20])
    assert (list(found.nr_accesses), list(found.ages)) == ([7, 0], [864, 3])
    assert list(found.touched) == [8192, 0]
    assert (found.target, found.pid, found.seq, found.resident) == (0, None, 0, None)
    assert file.metadata["read_from"] == ("damo json_compressed" if compress else "damo json")
    assert {"ticks", "touched", "seq"} <= set(file.metadata["derived"])


@pytest.mark.parametrize(
    ("written", "value"),
    [(4096, 4096), ("4096", 4096), ("4,096", 4096), ("4 KiB", 4096), ("4KiB", 4096), ("4K", 4096), ("4096 B", 4096),
     ("1.5 MiB", 3 << 19), ("18,446,744,073,709,551,614", 2**64 - 2), ("0", 0),
     ("140,737,488,351,232", 0x7FFFFFFFF000), (4096.0, 4096), (12345678901234567890, 12345678901234567890)],
)  # fmt: skip
def test_sizes_as_damo_writes_them(tmp_path: Path, written: object, value: int) -> None:
    found = only(tmp_path / "a", damo_region(written, str(2**64 - 1)))
    assert list(found.starts) == [value]


@pytest.mark.parametrize(
    ("nr_accesses", "count"),
    [(12, 12), ("12", 12), ({"samples": 12, "percent": None}, 12), ({"samples": None, "percent": 60.0}, 12),
     ({"percent": "60", "samples": None}, 12), ({"samples": 3, "percent": 60}, 3), ({"percent": 6e1}, 12),
     ({"percent": 59.99999}, 12)],
)  # fmt: skip
def test_counts(tmp_path: Path, nr_accesses: object, count: int) -> None:
    """Samples are what was counted; a percentage is of the 20 ticks."""
    found = only(tmp_path / "a", damo_region(0, 4096) | {"nr_accesses": nr_accesses})
    assert (list(found.nr_accesses), list(found.touched)) == ([count], [4096])


@pytest.mark.parametrize(
    ("age", "aggregations"),
    [(5, 5), ("5", 5), ({"usec": None, "aggr_intervals": "1,000"}, 1000),
     ({"usec": "500000", "aggr_intervals": None}, 5),
     ({"usec": 1_000_000, "aggr_intervals": None}, 10), ({"usec": "1 m 0.500 s", "aggr_intervals": None}, 605),
     ({"usec": "700 ms"}, 7)],
)  # fmt: skip
def test_ages(tmp_path: Path, age: object, aggregations: int) -> None:
    """In aggregations of 100 ms, or as a time."""
    assert list(only(tmp_path / "a", damo_region(0, 4096) | {"age": age}).ages) == [aggregations]


def test_numbers_with_an_exponent(tmp_path: Path) -> None:
    """JSON's own way to write them: 4e3 is not 4 EiB and 3."""
    text = GOOD.replace('"start": 0', '"start": 1e3').replace('"end": 4096', '"end": 2.5E+3')
    text = text.replace('"samples": 0', '"samples": 500e-2', 1)
    path = tmp_path / "a.json"
    path.write_text(text)
    (found,) = open_recording(path).snapshots()
    assert (found.starts[0], found.ends[0], found.nr_accesses[0]) == (1000, 2500, 5)


@pytest.mark.parametrize(
    ("sample", "ticks", "sample_ns"),
    [("2500", 20, 2_500_000), (10_000, 20, 10_000_000), ("10 ms", 20, 10_000_000)],
)
def test_a_tuned_sample_interval(tmp_path: Path, sample: object, ticks: int, sample_ns: int) -> None:
    """What damo itself drops when it reads a file; tuning keeps the ratio of the two intervals."""
    snapshot = damo_snapshot(0, ticks * sample_ns, [damo_region(0, 4096)], sample_interval_us=sample)
    (found,) = opened(tmp_path / "a", [damo_record([snapshot])]).snapshots()
    assert (found.ticks, found.sample_ns) == (ticks, sample_ns)


def test_without_intervals(tmp_path: Path) -> None:
    """Ticks are DAMON's default ratio, or more where a count is; a note says that they are derived."""
    few, many = damo_region(0, 4096, 3), damo_region(0, 4096, 50)
    snapshots = [damo_snapshot(0, 200_000_000, [few]), damo_snapshot(200_000_000, 400_000_000, [many]),
                 damo_snapshot(400_000_000, 500_000_000, [few], sample_interval_us="1000")]  # fmt: skip
    file = opened(tmp_path / "a", [damo_record(snapshots, intervals=None)])
    assert [(s.ticks, s.sample_ns) for s in file.snapshots()] == [
        (20, 10_000_000), (50, 4_000_000), (100, 1_000_000),
    ]  # fmt: skip
    assert any(
        "no intervals" in str(event.data.get("text")) for event in file.events() if event.name == "note"
    )


def test_records_keep_apart(tmp_path: Path) -> None:
    """Same target number in another kdamond or scheme is another target; snapshots of one time share a number."""

    def record(**ids: int) -> dict[str, Any]:
        snapshots = [
            damo_snapshot(t * SECOND, (t + 1) * SECOND + 7 * len(ids), [damo_region(0, 4096)])
            for t in range(3)
        ]
        return damo_record(snapshots, **ids)

    file = opened(
        tmp_path / "a",
        [record(target_id=1), record(target_id=1, kdamond_idx=1), record(target_id=0, scheme_idx=0)],
    )
    found = list(file.snapshots())
    assert [s.target for s in found] == [1, 1, 1, 0, 0, 0, 2, 2, 2]
    assert [s.seq for s in found] == [0, 1, 2] * 3
    about = [event.data for event in file.events() if event.name == "damo_record"]
    assert [(a["target"], a["target_id"], a["kdamond_idx"], a["scheme_idx"]) for a in about] == [
        (1, 1, 0, None), (0, 1, 1, None), (2, 0, 0, 0),
    ]  # fmt: skip


def test_keys_in_any_order(tmp_path: Path) -> None:
    """Nothing says that a record's intervals come before its snapshots, or a region's start before its end."""
    region = dict(reversed(damo_region("4,096", "8,192", 5, "6").items())) | {
        "more": [{"regions": [1, "]"]}, None, -1.5e3]
    }
    snapshot = dict(reversed(damo_snapshot("0", "100000000", [region]).items()))
    record = dict(
        reversed(damo_record([snapshot], intervals=INTERVALS | {"sample_us": "1000"}, target_id=7).items())
    )
    (found,) = opened(tmp_path / "a", [record]).snapshots()
    assert (found.target, found.ticks, list(found.starts), list(found.nr_accesses), list(found.ages)) == (
        7, 100, [4096], [5], [6],
    )  # fmt: skip


def test_nothing_in_it(tmp_path: Path) -> None:
    """No record, no snapshot, no region: all are read."""
    assert list(opened(tmp_path / "a", []).snapshots()) == []
    assert list(opened(tmp_path / "b", [damo_record([])]).snapshots()) == []
    (found,) = opened(tmp_path / "c", [damo_record([damo_snapshot(0, SECOND, [])])]).snapshots()
    assert len(found) == 0


def test_text_that_is_not_ascii(tmp_path: Path) -> None:
    """Names in filters may be anything, quotes and signs of JSON included."""
    filters = [{"memcg_path": 'a"}],\\u00e9 é \\'}]
    file = opened(
        tmp_path / "a", [damo_record([damo_snapshot(0, SECOND, [])], scheme_filters=filters)], compress=True
    )
    (about,) = [event.data for event in file.events() if event.name == "damo_record"]
    assert about["scheme_filters"] == filters


GOOD = json.dumps(
    [damo_record([damo_snapshot(0, SECOND, [damo_region(0, 4096), damo_region(4096, 8192)])])], indent=4
)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"end": 4096', '"end": 0', r":\d+:\d+: a region ends where it begins"),
        ('"end": 4096', '"end": -1', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": "4 parsecs"', r":\d+:\d+: this number has a unit"),
        ('"end": 4096', '"end": 99999999999999999999999', r":\d+:\d+: a number does not fit into 64 bits"),
        ('"end": 4096', '"end": null', r":\d+:\d+: a region has no start or no end"),
        ('"end": 4096', '"end" 4096', r":\d+:\d+: a colon should be here"),
        ('"end": 4096,', '"end": 4096', r":\d+:\d+: a comma should be here"),
        ('"samples": 0', '"samples": 5000000000', r":\d+:\d+: a count does not fit into 32 bits"),
        ('"samples": 0', '"samples": null', r":\d+:\d+: a region has no nr_accesses"),
        ('"end": 4096', '"end": 4096.5', r":\d+:\d+: this is not a whole number"),
        ('"end": 4096', '"end": "4096.5"', r":\d+:\d+: this is not a whole number"),
        ('"end": 4096', '"end": 1E', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": 4k', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": 04096', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": 1e20', r":\d+:\d+: a number does not fit into 64 bits"),
        ('"end": 4096', '"end": "1 KiB 3072"', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": "4,,096"', r":\d+:\d+: this is not a number"),
        ('"end": 4096', '"end": 4096, "end": 8192', r":\d+:\d+: a region has a key twice"),
        ('"samples": 0', '"samples": 0, "samples": 1', r":\d+:\d+: a region has a key twice"),
        ('"samples": 0', '"samples": 0.5', r":\d+:\d+: this is not a whole number"),
        ('"samples": 0', '"samples": "1 KiB"', r":\d+:\d+: a count has no unit"),
        ('"percent": null', '"percent": "5 KiB"', r":\d+:\d+: a count has no unit"),
        ('"usec": null', '"usec": "1 m 5"', r":\d+:\d+: this is not a number"),
        ('"aggr_us": "100000"', '"aggr_us": "x 100 ms"', "record 0, snapshot 0: 'x 100 ms' is no time"),
        ('"aggr_us": "100000"', '"aggr_us": "100 ms 5"', "record 0, snapshot 0: '100 ms 5' is no time"),
        ('"aggr_us": "100000"', '"aggr_us": "-100 ms"', "record 0, snapshot 0: '-100 ms' is no time"),
        ('"aggr_us": "100000"', '"aggr_us": "100000.5"', "record 0, snapshot 0: '100000.5' is no"),
        ('"target_id": 0', '"target_id": "1.5"', "record 0, snapshot 0: '1.5' is no whole number"),
        ('"sample_interval_us": null', '"sample_interval_us": -5', "snapshot 0: -5 is no sampling interval"),
        ('"sample_interval_us": null', '"sample_interval_us": "0"', "snapshot 0: '0' is no sampling interval"),
        ('"probe_hits": []', '"probe_hits": ' + "[" * 40 + "]" * 40, r":\d+:\d+: values are nested too deeply"),
        ('"start_time": 0', '"start_time": "noon"', "record 0, snapshot 0: 'noon' is no time"),
        ('"start_time": 0,', "", "record 0, snapshot 0: 'start_time' is missing"),
        ('"start_time": 0', '"start_time": 0 0', "record 0, snapshot 0: Expecting"),
        ('"aggr_us": "100000"', '"aggr_us": "1 eon"', "record 0, snapshot 0: '1 eon' is no number with a unit"),
        ('"sample_us": "5000"', '"sample_us": null', "record 0, snapshot 0: None is no number"),
        ('"regions": [', '"regions": 3, "others": [', "snapshot 0: its regions are not a list"),
        ("}\n]", "}\n] []", "after its records"),
        ('"snapshots": [', '"snapshots": 7, "others": [', "record 0"),
    ],
)  # fmt: skip
def test_wrong_at_a_place(tmp_path: Path, old: str, new: str, where: str) -> None:
    """One sentence that says where; line and column for what is wrong in a region."""
    assert old in GOOD
    path = tmp_path / "bad.json"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(RecordingError, match=f"bad.json.*{where}"):
        open_recording(path)


@pytest.mark.parametrize("which", [0, 2_500, -1])
def test_the_line_is_right(tmp_path: Path, which: int) -> None:
    """Line and column as an editor counts them, also in compressed text, far behind the beginning, and where more
    pieces of the file follow."""
    regions = [damo_region(n * 8192, n * 8192 + 4096) for n in range(50)]
    snapshots = [damo_snapshot(t, t + 1, regions) for t in range(100)]
    lines = json.dumps([damo_record(snapshots)], indent=4).splitlines()
    at = [row for row, line in enumerate(lines) if '"end": ' in line][which]
    lines[at] = lines[at].partition(":")[0] + ": x,"
    path = tmp_path / "bad"
    path.write_bytes(zlib.compress("\n".join(lines).encode()))
    with pytest.raises(RecordingError, match=f"bad:{at + 1}:{lines[at].index('x') + 1}: "):
        open_recording(path)


@pytest.mark.parametrize("cut", [1, 2, 30, 500, 1400])
def test_cut_off(tmp_path: Path, cut: int) -> None:
    """A copy that is not whole is told, never taken for a shorter recording."""
    for name, data in (("text", GOOD.encode()), ("zlib", zlib.compress(GOOD.encode()))):
        if cut < len(data):
            path = tmp_path / name
            path.write_bytes(data[:-cut])
            with pytest.raises(RecordingError):
                open_recording(path)


@pytest.mark.parametrize("more", [b"x", zlib.compress(GOOD.encode()), bytes(3 << 20)])
def test_more_behind_the_end(tmp_path: Path, more: bytes) -> None:
    """Of two files that were joined, the second was left out without a word."""
    path = tmp_path / "joined"
    path.write_bytes(zlib.compress(GOOD.encode()) + more)
    with pytest.raises(RecordingError, match="more behind the end"):
        open_recording(path)


@pytest.mark.parametrize(
    "data", [b"[hello]", b"[1, 2]", b'["a"]', b"{}", b"[", b"[{", b"x\x9c123", b"PAR1xx", b"PERFILE2x"]
)
def test_other_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="other"):
        open_recording(path)


def test_values_that_nobody_asked_for_are_passed_over_only_so_often(tmp_path: Path) -> None:
    """A small compressed file of millions of unknown keys is refused before it was all passed over; few are fine."""
    for number, fine in ((10_000, True), (1_000_000, False)):
        path = tmp_path / str(number)
        keys = "".join(f'"{n}":{{}},' for n in range(number))
        path.write_bytes(zlib.compress(f'[{{{keys}"snapshots":[]}}]'.encode()))
        if fine:
            assert not list(open_recording(path).snapshots())
        else:
            with pytest.raises(
                RecordingError, match="more than 16,777,216 characters of what damo does not say"
            ):
                open_recording(path)


def test_a_number_that_is_too_long_is_called_that(tmp_path: Path) -> None:
    record = damo_record([damo_snapshot("0", "1" * 4, [])]) | {"target_id": 10**400}
    with pytest.raises(RecordingError, match="a value has a number of more than 39 digits"):
        opened(tmp_path / "a", [record])


def test_the_grain_of_another_tools_file_is_not_known(tmp_path: Path) -> None:
    """It does not tell what made it: pages are not claimed."""
    from udamon.model import MIXED
    from udamon.report.grain import grain_of

    record = damo_record([damo_snapshot("0", "100000000", [damo_region("4,096", "8,192", 1, "1")])])
    assert grain_of(opened(tmp_path / "a", [record])) == MIXED


def test_converting_tells_what_the_format_cannot_hold(tmp_path: Path) -> None:
    """The sums of the window with most addresses; nothing where all of them are resident."""
    record = damo_record([damo_snapshot("0", "100000000", [damo_region("4,096", "12,288", 1, "1")])])
    recording = opened(tmp_path / "a", [record])
    (snapshot,) = recording.snapshots()

    def with_resident(size: int) -> list[Snapshot]:
        return [replace(snapshot, resident=array("Q", [size]), touched=array("Q", [min(size, 1024)]))]

    for size, found in ((4096, (8192, 4096, 1024)), (8192, None)):
        there = with_resident(size)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recording, "snapshots", there.__iter__)
            assert largest(recording) == found
    assert largest(recording) is None
