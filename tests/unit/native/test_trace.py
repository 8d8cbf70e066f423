"""Trace lines of DAMON as columns, against the expressions that read what is not in the usual form."""

from __future__ import annotations

import tempfile
from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.native._native import TraceLines, trace_scan
from udamon.record import perf_script

AGGREGATED, BEFORE_APPLY = 0, 1
LINE = (
    b"kdamond.0  4452 [000] 82877.315633: damon:damon_aggregated: target_id=7 nr_regions=2 4096-8192: 3 864\n"
)
NEXT = (
    b"kdamond.0  4452 [001] 82877.315634: damon:damon_aggregated: target_id=7 nr_regions=2 8192-9000: 0 5\n"
)
THREAD = b"kdamond.0  4452"


def columns(found: TraceLines) -> list[list[int]]:
    return [column.tolist() for column in found[3:]]


def test_lines_that_belong_together() -> None:
    """Whatever processor they were on."""
    text = LINE + NEXT
    assert trace_scan(text=text, event=AGGREGATED)[:3] == (len(text), 2, [(THREAD, 2, 2, (7, 0, 0))])
    assert columns(trace_scan(text=text, event=AGGREGATED)) == [
        [82877_315_633_000, 82877_315_634_000], [4096, 8192], [8192, 9000], [3, 0], [864, 5], [4096, 0]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        (b"kdamond.0", b"kdamond.1"), (b"target_id=7", b"target_id=8"), (b"nr_regions=2", b"nr_regions=3"),
        (b"8192-9000", b"8191-9000"),
    ],
)  # fmt: skip
def test_lines_that_do_not(change: tuple[bytes, bytes]) -> None:
    """Of another thread, another target, another snapshot, or going back."""
    assert [run[1] for run in trace_scan(text=LINE + NEXT.replace(*change), event=AGGREGATED)[2]] == [1, 1]


def test_the_other_event() -> None:
    text = (
        b"kdamond.0 1 [000] 1.000000: damon:damos_before_apply: ctx_idx=1 scheme_idx=2 target_idx=3 "
        b"nr_regions=4 0-4096: 0 864\n"
    )
    assert trace_scan(text=LINE + text, event=BEFORE_APPLY)[2] == [(b"kdamond.0 1", 1, 4, (1, 2, 3))]


def test_other_lines_are_passed_over_and_counted() -> None:
    done, lines, runs, *_ = trace_scan(
        text=b"# head\n\n" + LINE + b"swapper 0 [000] 1.0: sched\n" + NEXT, event=AGGREGATED
    )
    assert (lines, runs) == (5, [(THREAD, 2, 2, (7, 0, 0))])
    assert done > 0


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b"4096-8192", b"8192-8192"),
        LINE.replace(b"8192:", b"18446744073709551616:"),
        LINE.replace(b": 3 864", b": 4294967296 864"),
        LINE.replace(b": 3 864", b": 3 4294967296"),
        LINE.replace(b": 3 864", b": 3x"),
        LINE.replace(b": 3 864", b": 3 864 1"),
        LINE.replace(b": 3 864", b":3"),
        LINE.replace(b"target_id=7", b"target_id=-7"),
        LINE.replace(b"target_id=7", b"target_id="),
        LINE.replace(b".315633:", b".31563:"),
        LINE.replace(b".315633:", b".3156330000:"),
        LINE.replace(b" 82877.", b" ."),
        LINE.replace(b" 82877.", b"82877."),
        LINE.replace(b" 82877.", b" 99999999999."),
        LINE.replace(b"kdamond.0  4452 [000]", b""),
        LINE[LINE.index(b"damon_aggregated") :],
        b"kdamond.0 1 [000] 1.000000: damon:damon_monitor_intervals_tune: sample_us=5000\n",
    ],
)
def test_what_is_not_usual_is_handed_back(line: bytes) -> None:
    """With its number, and it ends a run."""
    assert trace_scan(text=LINE + line + NEXT, event=AGGREGATED)[2] == [
        (THREAD, 1, 2, (7, 0, 0)), (line[:-1], 0, 2, (0, 0, 0)), (THREAD, 1, 2, (7, 0, 0))
    ]  # fmt: skip


def test_only_whole_lines() -> None:
    assert trace_scan(text=LINE + NEXT[:-1], event=AGGREGATED)[:2] == (len(LINE), 1)
    assert trace_scan(text=b"", event=AGGREGATED)[:3] == (0, 0, [])
    assert trace_scan(text=array("B"), event=AGGREGATED)[0] == 0


def test_an_event_that_is_none() -> None:
    for event in (-1, 2):
        with pytest.raises(ValueError, match=r"no such event|without a sign"):
            trace_scan(text=LINE, event=event)


numbers = st.integers(0, 40).map(str) | st.sampled_from(
    ["4294967295", "4294967296", str(2**64), "007", "", "x"]
)
spaces = st.sampled_from([" ", "  ", "\t", ""])
usual = st.builds(
    "{}{} [00{}] {}.{}: {}damon_aggregated: target_id={} nr_regions={} {}-{}: {}{}{}".format,
    st.sampled_from(["", " ", "\t"]), st.sampled_from(["kdamond.0 1", "kdamond.1  22", "a b"]), st.integers(0, 3),
    st.integers(1, 3), st.integers(0, 999_999).map("{:06}".format), st.sampled_from(["damon:", ""]),
    st.integers(0, 1), st.integers(0, 4), st.integers(0, 9), st.integers(5, 19), st.integers(0, 20),
    st.integers(0, 9).map(" {}".format) | st.just(""), st.sampled_from(["", " ", "\r"]),
)  # fmt: skip
odd = st.builds(
    "{}{}{}{}.{}:{}damon_aggregated:{}target_id={}{}nr_regions={} {}-{}: {} {}".format,
    st.sampled_from(["kdamond.0 1", "[", "x[1", "7 8.000000: ", ""]), spaces, numbers, numbers,
    st.sampled_from(["000001", "00000", "123456789", "1234567890"]), spaces, spaces, numbers, spaces, numbers,
    numbers, numbers, numbers, numbers,
)  # fmt: skip
tuned = st.builds(
    "{} 1 [000] 1.{:06}: damon:damon_monitor_intervals_tune: sample_us={}".format,
    st.sampled_from(["kdamond.0", "kdamond.1"]), st.integers(0, 999_999), st.integers(0, 9).map(str) | numbers,
)  # fmt: skip
texts = st.lists(st.one_of(usual, usual, usual, tuned, st.just("other"), odd), max_size=12).map(
    lambda lines: "\n".join(lines).encode()
)


def one_by_one(*, text: bytes, event: int) -> SimpleNamespace:
    """As the scan, which finds nothing in the usual form."""
    *lines, rest = text.split(b"\n")
    words = (perf_script.AGGREGATED, perf_script.BEFORE_APPLY)[event], perf_script.TUNE
    found = [
        (line, 0, number, (0, 0, 0))
        for number, line in enumerate(lines, 1)
        if any(word in line for word in words)
    ]
    none = dict.fromkeys(("time", "start", "end", "nr_accesses", "age", "touched"), array("Q"))
    return SimpleNamespace(done=len(text) - len(rest), lines=len(lines), runs=found, **none)


def read(path: Path) -> list[Snapshot | Event] | str:
    try:
        return list(perf_script.read(path))
    except RecordingError as error:
        return str(error)


@given(texts)
def test_a_file_reads_as_by_expressions(text: bytes) -> None:
    """All snapshots, events and errors."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        path = Path(place, "a")
        path.write_bytes(text)
        found = read(path)
        patch.setattr(perf_script, "trace_scan", one_by_one)
        assert found == read(path)


@given(texts | st.binary(max_size=200), st.integers(0, 1), st.integers(1, 300))
def test_where_a_text_is_cut_does_not_matter(text: bytes, event: int, step: int) -> None:
    """A text in pieces gives what the whole text gives, except that runs end with a piece."""
    done, lines, runs, *whole = trace_scan(text=text, event=event)
    assert done == text.rfind(b"\n") + 1
    assert lines == text.count(b"\n")
    assert sum(run[1] for run in runs) == len(whole[0])
    rest, counted, parts = b"", 0, [column[:0] for column in whole]
    for begin in range(0, len(text), step):
        data = rest + text[begin : begin + step]
        done, lines, runs, *more = trace_scan(text=data, event=event)
        rest = data[done:]
        counted += lines
        parts = [part + new for part, new in zip(parts, more, strict=True)]
    assert (counted, parts) == (text.count(b"\n"), whole)
