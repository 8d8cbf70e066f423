"""Whatever a recording holds comes back from every format, as far as that format can hold it."""

from __future__ import annotations

import json
import tempfile
import zlib
from array import array
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from arro3.io import read_csv, read_parquet
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.snapshots import MS, damo_record, damo_region, damo_snapshot, recorded
from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.native._native import damo_scan
from udamon.record.converting import convert
from udamon.record.opening import open_recording
from udamon.record.reader import Recording
from udamon.record.schema import SCHEMA

U32 = st.integers(0, 2**32 - 1)
PAGE = st.integers(0, 2**52 - 1)


@st.composite
def snapshots(draw: st.DrawFn, target: int, begin: int, *, empty: bool) -> Snapshot:
    """Any snapshot that a monitor may make: sorted disjoint regions, times that move on."""
    bounds = sorted(4096 * page for page in draw(st.sets(PAGE, min_size=0 if empty else 2, max_size=8)))
    spans = [span for index, span in enumerate(pairwise(bounds)) if index % 2 == 0 or draw(st.booleans())]
    ticks = draw(st.sampled_from((1, 20, 20, 20, 100)))
    counts = draw(st.lists(st.integers(0, ticks), min_size=len(spans), max_size=len(spans)))
    ages = draw(st.lists(U32, min_size=len(spans), max_size=len(spans)))
    return Snapshot(
        target=target, pid=None, seq=0, begin_ns=begin, end_ns=begin + draw(st.integers(1, 10**12)),
        sample_ns=draw(st.integers(1, 10**6)) * 1000, ticks=ticks,
        starts=array("Q", [low for low, _ in spans]), ends=array("Q", [high for _, high in spans]),
        nr_accesses=array("I", counts), ages=array("I", ages),
        touched=array("Q", [high - low if nr else 0 for (low, high), nr in zip(spans, counts, strict=True)]),
    )  # fmt: skip


@st.composite
def recordings(draw: st.DrawFn, *, empty: bool = True) -> list[Snapshot]:
    """Snapshots of some targets, in the order of their aggregations."""
    now = dict.fromkeys(draw(st.sets(st.integers(0, 5), min_size=1, max_size=3)), 0)
    found: list[Snapshot] = []
    for seq in range(draw(st.integers(0, 6))):
        for target in now:
            made = draw(snapshots(target, now[target], empty=empty))
            found.append(replace(made, seq=seq))
            now[target] = made.end_ns
    return found


def through(items: list[Snapshot], to: str, *, compress: bool = False) -> Recording:
    """The recording that another format was written from and read as; it keeps what it needs."""
    with tempfile.TemporaryDirectory() as place:
        convert(recorded(Path(place, "own"), items), Path(place, "other"), to, compress=compress)
        return open_recording(Path(place, "other"))


def by_target(items: list[Snapshot]) -> dict[int, list[Snapshot]]:
    """Without the numbers of aggregations, which damo's formats do not have."""
    found: dict[int, list[Snapshot]] = {}
    for item in items:
        found.setdefault(item.target, []).append(replace(item, seq=0))
    return found


@given(recordings(), st.booleans())
def test_damo_json(items: list[Snapshot], compress: bool) -> None:
    """Everything but the number of the aggregation and what is no part of it: pid, touched, resident, events."""
    found = list(through(items, "damo-json", compress=compress).snapshots())
    assert by_target(found) == by_target(items)


@given(recordings(empty=False).filter(bool))
def test_perf_script(items: list[Snapshot]) -> None:
    """Regions, counts, ages and ends; a begin is the end before, and a tick is told in us."""
    found = by_target(list(through(items, "perf-script").snapshots()))
    wanted = by_target(items)
    assert found.keys() == wanted.keys()
    for target, mine in found.items():
        for index, (one, other) in enumerate(zip(mine, wanted[target], strict=True)):
            begin = one.begin_ns if index == 0 else other.begin_ns
            assert one == replace(other, begin_ns=begin, ticks=one.ticks)


@given(recordings())
def test_arrow_parquet_and_csv(items: list[Snapshot]) -> None:
    """All of it: rows, order, events, nulls, metadata."""
    note = Event(1, "note", {"text": 'a "b", \n\u00e9 \udcff'})
    with tempfile.TemporaryDirectory() as place:
        own = recorded(Path(place, "own"), [*items, note], via="sim")
        rows = [row for batch in own.batches() for row in batch.to_struct_array().to_pylist()]
        for to in ("arrow", "parquet", "csv"):
            convert(own, Path(place, to), to)
        copy = Recording(Path(place, "arrow"))
        assert (list(copy.snapshots()), list(copy.events()), copy.metadata) == (items, [note], own.metadata)
        parquet = read_parquet(Path(place, "parquet"))
        assert json.loads(parquet.schema.metadata[b"udamon"]) == own.metadata
        assert [row for batch in parquet for row in batch.to_struct_array().to_pylist()] == rows
        csv = read_csv(Path(place, "csv"), SCHEMA, has_header=True)
        assert [row for batch in csv for row in batch.to_struct_array().to_pylist()][1:] == rows


regions = st.builds(
    damo_region,
    st.integers(0, 2**40).map(lambda n: f"{n:,}") | st.integers(0, 2**40),
    st.integers(2**41, 2**64 - 1).map(lambda n: f"{n:,}") | st.integers(2**41, 2**64 - 1),
    U32, U32.map(str),
)  # fmt: skip


@given(
    st.lists(st.lists(regions, max_size=6), max_size=4), st.sampled_from((None, 1, 4)), st.integers(1, 2000)
)
def test_where_a_text_is_cut_does_not_matter(
    shapes: list[list[object]], indent: int | None, step: int
) -> None:
    """A text in pieces gives what the whole text gives."""
    records = [damo_record([damo_snapshot(n, n + MS, some) for n, some in enumerate(shapes)])]
    text = json.dumps(records, indent=indent).encode()
    scan = damo_scan(text=text, inside=-1)
    assert (scan.done, scan.inside) == (len(text), -1)
    whole: list[Any] = list(scan[2:])
    rest, inside, parts = b"", -1, [column[:0] for column in whole]
    for begin in range(0, len(text), step):
        data = rest + text[begin : begin + step]
        scan = damo_scan(text=data, inside=inside)
        rest, inside = data[scan.done :], scan.inside
        parts = [part + new for part, new in zip(parts, scan[2:], strict=True)]
    assert parts == whole
    assert len(whole[1]) == sum(map(len, shapes))


@given(
    st.binary(max_size=300) | st.text('[]{}:,"\\ regions0123 \n', max_size=300).map(str.encode),
    st.integers(-1, 3),
)
def test_any_text_is_scanned_or_refused(text: bytes, inside: int) -> None:
    """Never more than there is, and never a crash."""
    try:
        done, now, skeleton, *_ = damo_scan(text=text, inside=inside)
    except ValueError as error:
        what, at = error.args
        assert what
        assert 0 <= at <= len(text)
    else:
        assert 0 <= done <= len(text)
        assert now >= -1
        assert len(skeleton) <= len(text) + 20


@given(st.integers(1, 10**6).flatmap(lambda size: st.binary(min_size=1, max_size=min(size, 1000))))
def test_damaged_zlib(noise: bytes) -> None:
    """A compressed file with a damaged middle is refused with a sentence, whatever the damage."""
    good = zlib.compress(
        json.dumps([damo_record([damo_snapshot(0, MS, [damo_region(0, 4096)] * 200)])]).encode(), 0
    )
    at = len(good) // 2
    bad = good[:at] + noise + good[at + len(noise) :]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "a")
        path.write_bytes(bad)
        try:
            open_recording(path)
        except RecordingError:
            pass
        else:
            assert bad == good
