"""udamon.Recording: what was recorded comes back, with the names of mappings, in every form."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from udamon import Recording, Snapshot
from udamon.api.recording import Region
from udamon.errors import MissingExtra, RecordingError, UsageError
from udamon.model import Event
from udamon.record.writer import Writer

MIB = 1 << 20


def snapshot(seq: int, bounds: Sequence[int], target: int = 0, resident: int | None = 4096) -> Snapshot:
    """Regions between `bounds`, each accessed in 5 of 20 ticks."""
    number = len(bounds) - 1
    return Snapshot(
        target=target, pid=7 + target, seq=seq, begin_ns=seq * 10**8, end_ns=(seq + 1) * 10**8, sample_ns=5 * 10**6,
        ticks=20, starts=array("Q", bounds[:-1]), ends=array("Q", bounds[1:]), nr_accesses=array("I", [5] * number),
        ages=array("I", range(number)), touched=array("Q", [4096] * number),
        resident=None if resident is None else array("Q", [resident] * number),
    )  # fmt: skip


def mappings(
    time_ns: int, target: int, add: Sequence[tuple[int, int, str]], remove: Sequence[int] = ()
) -> Event:
    rows = [[start, end, "rw-p", 0, 0, name] for start, end, name in add]
    return Event(time_ns, "mappings", {"target": target, "add": rows, "remove": list(remove)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two targets. In the second window of the first one its heap makes room for a file."""
    path = tmp_path / "a.udamon"
    with Writer(path, {"via": "refs"}) as writer:
        writer.event(mappings(1, 0, [(0, MIB, "[heap]"), (MIB, 2 * MIB, "")]))
        writer.event(mappings(1, 1, [(0, 4 * MIB, "/bin/true")]))
        writer.snapshot(snapshot(0, [0, MIB, 2 * MIB, 3 * MIB]))
        writer.snapshot(snapshot(0, [0, MIB], target=1, resident=None))
        writer.flush()
        writer.event(mappings(15 * 10**7, 0, [(0, MIB, "/lib/new.so")], remove=[0]))
        writer.snapshot(snapshot(1, [0, MIB, 2 * MIB]))
    return path


def test_regions_know_their_mappings(path: Path) -> None:
    found = list(Recording(path).regions())
    assert [(one.seq, one.target, one.mapping) for one in found] == [
        (0, 0, "[heap]"),
        (0, 0, ""),
        (0, 0, None),
        (0, 1, "/bin/true"),
        (1, 0, "/lib/new.so"),
        (1, 0, ""),
    ]
    assert found[0] == Region(0.1, 0.1, 0, 0, 7, 0, MIB, 0.25, 0, 4096, 4096, "[heap]", None, None, None)
    assert found[3].resident is None


def test_snapshots_and_events(path: Path) -> None:
    recording = Recording(path)
    assert [(one.seq, len(one)) for one in recording.snapshots()] == [(0, 3), (0, 1), (1, 2)]
    assert [event.name for event in recording.events()] == ["mappings"] * 3
    assert (recording.metadata["via"], recording.truncated, recording.damaged) == ("refs", False, 0)


def test_arrow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows, in batches, in any order that they are asked for."""
    monkeypatch.setattr("udamon.api.recording._ROWS", 4)
    recording = Recording(path)
    batches = list(recording.arrow())
    assert [batch.num_rows for batch in batches] == [4, 2]
    rows = [
        Region(*row)
        for batch in batches
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]
    assert rows == list(recording.regions())


def test_duckdb(path: Path) -> None:
    """A relation is scanned as often as it is asked, also when the recording object is gone."""
    relation = Recording(path).duckdb()
    for _ in range(2):
        assert relation.aggregate("count(*), sum(touched), count(resident)").fetchall() == [(6, 6 * 4096, 5)]
    mine = duckdb.connect()
    assert Recording(path).duckdb(mine).filter("mapping = '[heap]'").fetchall() == [
        tuple(Region(0.1, 0.1, 0, 0, 7, 0, MIB, 0.25, 0, 4096, 4096, "[heap]", None, None, None))
    ]
    mine.close()


@pytest.mark.needs("pandas")
def test_pandas(path: Path) -> None:
    import pandas

    frame = Recording(path).pandas()
    assert list(frame.columns) == list(Region._fields)
    assert frame["touched"].sum() == 6 * 4096
    assert frame["start"].dtype == pandas.UInt64Dtype()
    assert list(frame["mapping"].isna()) == [False, False, True, False, False, False]
    assert list(frame["resident"].isna()) == [False, False, False, True, False, False]


def test_without_pandas(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"udamon\[pandas\]"):
        Recording(path).pandas()


@pytest.mark.parametrize("path", [None, 1, "", "a\0b", ["a"]])
def test_no_path(path: object) -> None:
    with pytest.raises(UsageError, match="is no path"):
        Recording(path)  # type: ignore[arg-type]


def test_no_recording(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is none")
    for name in ("text", "nothing"):
        with pytest.raises(RecordingError):
            Recording(tmp_path / name)


def test_without_any_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "empty.udamon"
    Writer(path, {}).close()
    recording = Recording(path)
    assert (list(recording.regions()), list(recording.arrow())) == ([], [])


def test_each_reading_begins_anew(path: Path) -> None:
    recording = Recording(path)
    readings = [list(recording.regions()) for _ in range(3)]
    assert all(one == other for one, other in pairwise(readings))
