"""Recordings under arbitrary content and arbitrary ends."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer

U32, PAGE = st.integers(0, 2**32 - 1), st.integers(0, 2**52 - 1)
NS = st.integers(0, 2**60)


@st.composite
def snapshots(draw: st.DrawFn, seq: int, begin: int) -> Snapshot:
    """Any snapshot that a monitor may make, from the time `begin` on."""
    bounds = sorted(4096 * page for page in draw(st.sets(PAGE, max_size=6)))
    spans = list(zip(bounds[::2], bounds[1::2], strict=False))
    ticks = draw(st.integers(1, 2**32 - 1))

    def column(code: str, most: Sequence[int]) -> array[int]:
        return array(code, [draw(st.integers(0, top)) for top in most])

    sizes = [end - start for start, end in spans]
    low = high = None
    if len(spans) and draw(st.booleans()):
        low, high = sorted(draw(st.integers(0, 2**64 - 1)) for _ in range(2))
    hits = checks = idle = mixed = None
    if len(spans) and draw(st.booleans()):
        hits, checks = sorted(draw(st.integers(0, 2**32 - 1)) for _ in range(2))
        idle, mixed = (draw(st.integers(0, 2**64 - 1)) for _ in range(2))
    return Snapshot(
        target=draw(st.integers(0, 3)), pid=draw(st.none() | st.integers(1, 2**22)), seq=seq,
        begin_ns=begin, end_ns=begin + draw(st.integers(0, 2**40)),
        sample_ns=draw(st.integers(1, 2**61 // ticks)), ticks=ticks,
        starts=array("Q", [start for start, _ in spans]), ends=array("Q", [end for _, end in spans]),
        nr_accesses=column("I", [ticks] * len(spans)), ages=column("I", [2**32 - 1] * len(spans)),
        touched=column("Q", sizes), resident=column("Q", sizes) if len(spans) and draw(st.booleans()) else None,
        touched_low=low, touched_high=high, idle_checks=checks, idle_hits=hits,
        idle_bytes=idle, idle_mixed=mixed,
    )  # fmt: skip


BYTES = [chr(0xDC00 + byte) for byte in range(0x80, 0x100)]
"""What stands in a name for bytes that are not UTF-8 (os.fsdecode)."""
texts = st.text(st.characters(codec="utf-8") | st.sampled_from(BYTES))
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**129), 2**129)
    | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
events = st.builds(Event, NS, st.text(st.characters(codec="utf-8"), min_size=1), st.dictionaries(texts, json))
FLUSH = "flush"


@st.composite
def scripts(draw: st.DrawFn) -> list[Snapshot | Event | str]:
    """What a monitor might hand to a writer, flushes in between."""
    size = draw(st.integers(0, 8))
    return [draw(snapshots(seq, seq * 2**41) | events | st.just(FLUSH)) for seq in range(size)]


def play(path: Path, script: list[Snapshot | Event | str]) -> None:
    with Writer(path, {"via": "sim"}) as writer:
        for step in script:
            if isinstance(step, Snapshot):
                writer.snapshot(step)
            elif isinstance(step, Event):
                writer.event(step)
            else:
                writer.flush()


@given(st.text(), st.text())
@example("\ud800", "a\udd00\ud83d")
@settings(deadline=None)
def test_no_text_loses_an_event(key: str, value: str) -> None:
    """Half of a UTF-16 pair, which no name has, does not come back, and all the rest does."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a"
        play(path, [Event(1, "a", {key: [value]}), Event(2, "b", {})])
        first, second = Recording(path).events()

    def without_halves(text: str) -> str:
        return "".join(c if c in BYTES or not "\ud800" <= c <= "\udfff" else "\ufffd" for c in text)

    assert first == Event(1, "a", {without_halves(key): [without_halves(value)]})
    assert second == Event(2, "b", {})


@given(scripts())
@settings(deadline=None)
def test_round_trip(script: list[Snapshot | Event | str]) -> None:
    """Any snapshots and events come back equal, each kind in its order, none lost."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a"
        play(path, script)
        recording = Recording(path)
        assert list(recording.snapshots()) == [step for step in script if isinstance(step, Snapshot)]
        assert list(recording.events()) == [step for step in script if isinstance(step, Event)]
        assert not recording.truncated


def _shot(seq: int, regions: int) -> Snapshot:
    numbers = range(seq, seq + regions)
    starts = array("Q", (n * 4096 for n in numbers))
    ends = array("Q", (n * 4096 + 4096 for n in numbers))
    counts = array("I", (n * 7919 % 21 for n in numbers))
    touched = array("Q", (n * 104729 % 4097 for n in numbers))
    return Snapshot(0, 1, seq, seq, seq + 1, 5, 20, starts, ends, counts, counts, touched)


def _flushed(path: Path, flushes: int, regions: int) -> list[int]:
    """Write one snapshot and one event per flush; the file's size after each, the head's size first."""
    writer = Writer(path, {})
    sizes = [path.stat().st_size]
    for seq in range(flushes):
        writer.snapshot(_shot(seq, regions))
        writer.event(Event(seq, "cost", {"checks": seq}))
        writer.flush()
        sizes.append(path.stat().st_size)
    writer.close()
    return sizes


def _check_cut(whole: bytes, cut: int, sizes: list[int], path: Path) -> None:
    """A file of `cut` bytes reads to the last whole flush, or ends inside its head: one sentence."""
    path.unlink(missing_ok=True)  # ext4 waits for the disk when a file that was emptied is closed
    path.write_bytes(whole[:cut])
    if cut < sizes[0]:
        with pytest.raises(RecordingError, match="ends inside its head" if cut else "is empty"):
            Recording(path)
        return
    recording = Recording(path)
    expected = sum(size <= cut for size in sizes[1:])
    seqs = [shot.seq for shot in recording.snapshots()]
    assert seqs == list(range(expected)), cut
    # The event of a flush is written before its snapshots: it may have come through alone.
    assert len(list(recording.events())) in (expected, expected + 1)
    assert recording.truncated == (cut < len(whole))


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_truncated_anywhere(tmp_path: Path, step: int) -> None:
    """Cut at every byte, or at every thirteenth and around each flush's end: never more than one sentence, and never
    less than the last whole flush."""
    sizes = _flushed(tmp_path / "whole", flushes=2, regions=2)
    whole = (tmp_path / "whole").read_bytes()
    near = {size + off for size in sizes for off in range(-9, 10)}
    for cut in sorted(near | set(range(0, len(whole) + 1, step))):
        if not 0 <= cut <= len(whole):
            continue
        _check_cut(whole, cut, sizes, tmp_path / "cut")


@pytest.mark.parametrize("step", [12007, pytest.param(3989, marks=pytest.mark.slow)])
def test_truncated_large(tmp_path: Path, step: int) -> None:
    """The same at many positions of a file with compressed buffers of many pages."""
    sizes = _flushed(tmp_path / "whole", flushes=20, regions=2000)
    whole = (tmp_path / "whole").read_bytes()
    near = {size + off for size in sizes for off in (-9, -8, -1, 0, 1, 4, 8, 9)}
    for cut in sorted(near | set(range(0, len(whole), step))):
        if 0 <= cut <= len(whole):
            _check_cut(whole, cut, sizes, tmp_path / "cut")
