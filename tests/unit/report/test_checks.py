"""udamon check: each limit on both sides of what a recording has, exit statuses, and one line each."""

from __future__ import annotations

import argparse
import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_wss import START, record, snap
from tests.unit.snapshots import recorded
from udamon.cli import check
from udamon.errors import CannotError, UsageError
from udamon.model import Event, Rates, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import hot_cold, right_size, verdicts
from udamon.report.catalog import Catalog
from udamon.report.source import RecordingSource

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twenty windows: a heap of 1 MiB that is hot in every other one, and 3 MiB that are cold from the start."""
    add = [[0, MIB, "rw-p", 0, 0, "[heap]"], [MIB, 4 * MIB, "r--p", 0, 0, "/lib/a.so"]]
    shots = [
        snap(seq, [(0, MIB, 20 * (seq % 2), 0, MIB * (seq % 2)), (MIB, 4 * MIB, 0, seq, 0)])
        for seq in range(20)
    ]
    rates = Rates.of([[1.0, None]] * 3)
    shots = [replace(shot, rates=rates if shot.nr_accesses[0] else None) for shot in shots]
    event = Event(START, "mappings", {"target": 0, "add": add, "remove": []})
    record(tmp_path / "a", [event, *shots], via="pte", policy=None)
    return tmp_path / "a"


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    check.configure(parser)
    return check.run(parser.parse_args([str(word) for word in argv]))


@pytest.mark.parametrize(
    ("limit", "holds", "breaks"),
    [
        (("--max-wss",), "1MiB", "1023KiB"),
        (("--level", "p50", "--max-wss"), "512KiB", "511KiB"),
        (("--level", "p90", "--min-wss"), "1MiB", "1025KiB"),
        (("--max-footprint",), "4MiB", "4095KiB"),
        # The last 11 of 20 windows end a second or more after the beginning, and find 3 of 4 MiB idle for as long.
        (("--cold-age", "1s", "--max-cold-share"), "75%", "74.9%"),
        (("--cold-age", "2s", "--max-cold-share"), "75%", "74.9%"),
        (("--cold-age", "1s", "--time", "1.5s-max", "--max-cold-share"), "75%", "74.9%"),
        (("--max-rate",), "heap=50%", "heap=49%"),
        (("--min-rate",), "[[]heap]=50%", "*heap*=51%"),
        (("--max-rate",), "library=0%", "heap=0%"),
        (("--min-length",), "2s", "2.1s"),
        (("--min-snapshots",), "20", "21"),
        (("--time", "1s-max", "--min-snapshots"), "11", "12"),
    ],
)  # fmt: skip
def test_limits(
    file: Path, limit: tuple[str, ...], holds: str, breaks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and "ok" when it holds, 1 and "FAIL" when not, one line each; the same in JSON."""
    for value, status, word in ((holds, 0, "ok"), (breaks, 1, "FAIL")):
        assert run(file, *limit, value) == status
        line = capsys.readouterr().out.removesuffix("\n")
        assert "\n" not in line
        assert line.startswith(word)
        assert run(file, *limit, value, "--json") == status
        document = json.loads(capsys.readouterr().out)
        assert (document["schema"], document["holds"], len(document["checks"])) == (1, status == 0, 1)
        assert document["outcome"] == ("holds" if status == 0 else "broken")


@pytest.mark.parametrize(
    ("rates", "low", "high", "estimate"),
    [
        ([[0.3, None], [0.2, None], [0.4, None]], 0.1, 0.2, 0.15),  # of half of it
        ([[0.013, 0.5], [0.01, 0.4], [0.02, 0.6]], 0.205, 0.31, 0.2565),  # of 20 ticks 0, and 10
        ([[None, None]] * 3, 0.025, 0.5, 0.15),  # half of it was touched: in one of 20 ticks at least
    ],
)
def test_rates_of_a_census_have_its_bounds(
    rates: list[list[float | None]],
    low: float,
    high: float,
    estimate: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Limits outside are decided, those within by the estimate if it is allowed; `report mappings` has the same."""
    known = Rates.of(rates)
    accesses = [6, 0] if known.rate[0] != 0.013 else [0, 10]
    there, touched = [MIB, MIB], [MIB if a or known.rate[at] > 0 else 0 for at, a in enumerate(accesses)]
    shots = [
        replace(
            snap(seq, [(0, MIB, accesses[0], 0, touched[0]), (MIB, 2 * MIB, accesses[1], 0, touched[1])]),
            rates=known,
            resident=array("Q", there),
        )
        for seq in range(4)
    ]
    event = Event(
        START, "mappings", {"target": 0, "add": [[0, 2 * MIB, "rw-p", 0, 0, "[heap]"]], "remove": []}
    )
    record(tmp_path / "a", [event, *shots], via="pte", policy=None)
    for limit, status in ((high, 0), (high - 0.001, 3), (low, 3), (low - 0.001, 1)):
        assert run(tmp_path / "a", "--max-rate", f"heap={limit:.4%}") == status
    for limit, status in ((estimate + 1e-4, 0), (estimate - 1e-4, 1)):
        assert run(tmp_path / "a", "--max-rate", f"heap={limit:.4%}", "--allow-estimates") == status
    capsys.readouterr()
    with RecordingSource(Recording(tmp_path / "a")) as source:
        (mapping,) = hot_cold.document(hot_cold.measure(source), Catalog(source.recording))["mappings"]
    assert mapping["rate"] == pytest.approx(estimate)
    assert mapping["rate_bounds"] == pytest.approx({"low": low, "high": high})


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-wss", "1048575"), "working set max 1,048,576 bytes, at most 1,048,575 bytes"),
        (("--cold-age", "1s", "--max-cold-share", "74.999%"),
         "cold for 1 s or longer: 75% of memory, at most 74.999%"),
        (("--max-rate", "heap=49.999%"), "access rate of heap 50%, at most 49.999%"),
        (("--min-length", "2000001us"), "length 2 s, at least 2.000001 s"),
    ],
)  # fmt: skip
def test_figures_that_look_like_the_limit(
    file: Path, limit: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What breaks a limit by less than is shown of it is written in full."""
    assert run(file, *limit) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"FAIL  {said}"


def test_several(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that does not hold is enough; all are told."""
    assert run(file, "--max-wss", "1GiB", "--max-footprint", "1KiB", "--min-snapshots", "1") == 1
    said = capsys.readouterr()
    assert [line[:4] for line in said.out.splitlines()] == ["ok  ", "ok  ", "FAIL"]
    assert said.err == "udamon: 1 of 3 limits is broken (status 1).\n"


@pytest.mark.parametrize("filters", [(), ("--target", "9"), ("--time", "100s-")])
def test_without_a_snapshot_nothing_is_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], filters: tuple[str, ...]
) -> None:
    """No window is the extreme of too few; that there are too few of them is known."""
    windows = [snap(0, [(0, 4096, 1, 0, 4096)])] if filters else []
    recorded(tmp_path / "a", windows, via="refs", attrs={"aggr_us": 100_000})
    sizes = ("--max-wss", "1GiB", "--min-wss", "1", "--max-footprint", "1GiB")
    shares = ("--max-cold-share", "0.5", "--max-rate", "heap=0.5", "--min-rate", "heap=0.1")
    assert run(tmp_path / "a", *sizes, *shares, *filters, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["holds"]) == ("not decided", None)
    assert [check["name"] for check in document["checks"]] == [
        "max-wss", "min-wss", "max-footprint", "max-cold-share", "max-rate heap", "min-rate heap",
    ]  # fmt: skip
    assert [check["limit"] for check in document["checks"]] == [GIB, 1, GIB, 0.5, 0.5, 0.1]
    assert all(check["holds"] is check["low"] is check["high"] is None for check in document["checks"])
    assert all("no snapshot is" in check["why"] for check in document["checks"])
    assert run(tmp_path / "a", "--min-snapshots", "1", "--min-length", "1s", *filters) == 1
    text = capsys.readouterr().out
    assert "FAIL  length 0 s, at least 1 s\nFAIL  0 snapshots, at least 1 snapshot\n" in text


@pytest.mark.parametrize("name", ["missing", "text"])
def test_a_file_that_cannot_be_read_is_no_limit_that_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The status is the same by contract, so the sentence and the document say which it is."""
    (tmp_path / "text").write_text("no recording")
    with pytest.raises(CannotError, match="^nothing was checked: .*") as raised:
        run(tmp_path / name, "--max-wss", "1GiB", "--json")
    assert raised.value.status == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["holds"], document["checks"]) == ("not checked", None, [])
    assert str(raised.value) == f"nothing was checked: {document['why']}"
    with pytest.raises(CannotError):
        run(tmp_path / name, "--max-wss", "1GiB")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing is asked"),
        (("--max-rate", "heap"), "not MAPPING=RATE"),
        (("--max-rate", "x=5%"), "no mapping of .* is called 'x'"),
        (("--max-wss", "many"), "not a size"),
        (("--max-wss", "1GiB", "--mapping", ""), "--mapping is empty"),
        (("--max-cold-share", "150%"), "not a share"),
    ],
)
def test_wrong_usage(file: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        run(file, *words)


def test_too_short_to_tell(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording shorter than what counts as cold does not pass for it, and a percentile needs windows."""
    assert run(file, "--max-cold-share", "10%") == 3
    said = capsys.readouterr()
    assert "2 s long, so nothing can have been cold for 10 s" in said.out
    assert said.err == "udamon: 1 of 1 limit is not decided, and none is broken (status 3).\n"
    assert run(file, "--time", "1s-max", "--level", "p90", "--max-wss", "1GiB", "--json") == 3
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["holds"], check["value"], check["low"], check["high"]) == (None, None, None, None)
    assert check["why"] == "11 windows are too few for percentiles, which take 20"


KIND = verdicts.LimitKind("max-x", "x", str, str, most=True, final=False)


@pytest.mark.parametrize(
    ("low", "high", "most", "holds"),
    [(1, 5, 5, True), (6, 9, 5, False), (4, 6, 5, None), (5, 5, 5, True), (None, None, 5, None)],
)  # fmt: skip
def test_bounds(low: float | None, high: float | None, most: float, holds: bool | None) -> None:
    """A limit is broken only where all of the interval is beyond it; the other side is its mirror image."""
    why = "two answers fit"
    found = verdicts.judged(KIND, verdicts.Figure(low, high, why), most, verdicts.RecordingGaps())
    assert (found.holds, found.why) == (holds, None if holds is not None else why)
    if low is not None and high is not None:
        kind = KIND._replace(most=False)
        assert (
            verdicts.judged(kind, verdicts.Figure(-high, -low, why), -most, verdicts.RecordingGaps()).holds
            is holds
        )


def test_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a flush is missing nothing holds for sure; what more snapshots cannot mend is broken all the same."""
    path = tmp_path / "a"
    with Writer(path, {}) as writer:
        for seq in range(12):
            writer.snapshot(snap(seq, [(0, MIB, 20, 0, MIB * (seq == 11))]))
            writer.flush()
    data = bytearray(path.read_bytes())
    where = Recording(path).messages()[5][1]
    data[where.end - 20] ^= 1
    path.write_bytes(data)
    for words, status in (
        (("--max-wss", "1GiB"), 3), (("--max-wss", "1KiB"), 1), (("--min-wss", "1KiB"), 3),
        (("--level", "mean", "--max-wss", "1KiB"), 3), (("--min-snapshots", "11"), 0),
        (("--min-snapshots", "12"), 3), (("--max-wss", "1GiB", "--allow-damaged"), 0),
    ):  # fmt: skip
        assert run(path, *words, "--json") == status, words
        said = capsys.readouterr()
        document = json.loads(said.out)
        assert document["holds"] is {0: True, 1: False, 3: None}[status]
        assert document["damaged"] == [
            {"file": str(path), "offset": where.offset, "first_snapshot": 5, "last_snapshot": 5}
        ]
        assert f"is damaged at byte {where.offset:,}: snapshot 5 is missing." in said.err


def test_damage_of_all_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is why no snapshot is left, and not the length of the recording."""
    path = tmp_path / "a"
    with Writer(path, {"attrs": {"aggr_us": 100_000}}) as writer:
        for seq in range(3):
            writer.snapshot(snap(seq, [(0, MIB, 20, 0, MIB)]))
            writer.flush()
    data = bytearray(path.read_bytes())
    for _, where in Recording(path).messages():
        data[where.end - 20] ^= 1
    path.write_bytes(data)
    for more in ((), ("--allow-damaged",)):
        assert run(path, "--max-wss", "1GiB", "--json", *more) == 3
        (found,) = json.loads(capsys.readouterr().out)["checks"]
        assert "no snapshot is left: a is damaged at byte " in found["why"]
    assert run(path, "--min-snapshots", "1") == 3
    assert run(path, "--min-snapshots", "1", "--allow-damaged") == 1


def test_what_others_may_have_touched_decides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of a file's pages count as touched by refs when anybody reads the file: the process itself may have left them
    alone, so nothing of them is in use for sure, and all of it may be cold."""
    event = Event(
        START, "mappings",
        {"target": 0, "add": [[0, 10 * MIB, "r--s", 0, 7, "/data"]], "remove": []},
    )  # fmt: skip
    known = Sharing.of([[10 * MIB], [0], [0], [1], [0], [None]])
    shots = [
        replace(snap(seq, [(0, 10 * MIB, 20, 0, 10 * MIB)]), resident=array("Q", [10 * MIB]), sharing=known)
        for seq in range(20)
    ]
    path = tmp_path / "a"
    recorded(path, [event, *shots], via="refs")
    for words, low, high in (
        (("--max-wss", "1MiB"), 0, 10 * MIB), (("--min-wss", "1MiB"), 0, 10 * MIB),
        (("--min-rate", "data=50%"), 0, 1), (("--max-rate", "data=50%"), 0, 1),
        (("--cold-age", "1s", "--max-cold-share", "99%"), 0, 1),
    ):  # fmt: skip
        assert run(path, *words, "--json") == 3, words
        found = json.loads(capsys.readouterr().out)["checks"][0]
        assert (found["holds"], found["low"], found["high"]) == (None, low, high)
        assert found["why"]
    assert run(path, "--max-wss", "10MiB") == 0
    with RecordingSource(Recording(path)) as source:
        size = right_size.measure(source, 1.0)
    assert (size.low, size.high) == (0, 10 * MIB)


@pytest.mark.parametrize(
    ("words", "size", "status"),
    [
        # 4 MiB are in memory, 1 MiB of them is touched in every other window.
        (("--max-wss", "2MiB"), MIB, 0),
        (("--max-wss", "2047KiB"), MIB, 3),
        (("--max-wss", "1023KiB"), MIB, 1),
        (("--max-wss", "1GiB"), None, 3),
        (("--max-wss", "1023KiB"), None, 1),
        (("--max-wss", "2047KiB", "--target", "0"), MIB, 0),
        (("--min-wss", "1MiB"), None, 0),
        (("--min-wss", "2MiB"), MIB, 3),
        (("--min-wss", "2049KiB"), MIB, 1),
        (("--max-footprint", "5MiB"), MIB, 0),
        (("--max-footprint", "4MiB"), MIB, 3),
        # 3 of 4 MiB, and 4 MiB more of which all may be cold or nothing.
        (("--cold-age", "1s", "--max-cold-share", "88%"), 4 * MIB, 0),
        (("--cold-age", "1s", "--max-cold-share", "87%"), 4 * MIB, 3),
        (("--cold-age", "1s", "--max-cold-share", "38%"), 4 * MIB, 3),
        (("--cold-age", "1s", "--max-cold-share", "37%"), 4 * MIB, 1),
        (("--cold-age", "1s", "--max-cold-share", "99%"), None, 3),
        # Half of the ticks of 1 MiB, and 1 MiB more.
        (("--max-rate", "heap=75%"), MIB, 0),
        (("--max-rate", "heap=74%"), MIB, 3),
        (("--max-rate", "heap=24%"), MIB, 1),
        (("--min-length", "2s", "--min-snapshots", "20"), None, 0),
    ],
)
def test_what_was_not_seen(
    file: Path, words: tuple[str, ...], size: int | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit that processes which were missed could break, or meet, is not decided."""
    missed = {"processes_seen": 1, "processes_missed": 2, "bytes_missed": size, "exact": False}
    steps: list[Snapshot | Event] = [*Recording(file).events(), *Recording(file).snapshots()]
    path = file.with_name("missed")
    recorded(path, [*steps, Event(START, "coverage", missed)], via="idle")
    assert run(path, *words, "--json") == status
    document = json.loads(capsys.readouterr().out)
    for one in document["checks"]:
        of = "unknown size" if size is None else f"{size >> 20}.0 MiB"
        why = f"at least 2 processes of {of} were not seen" if status == 3 else None
        assert (one["holds"], one["why"]) == ({0: True, 1: False, 3: None}[status], why)


def test_what_was_not_seen_may_have_had_large_pages(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missed = {"processes_seen": 1, "processes_missed": 2, "bytes_missed": 4096, "exact": True}
    steps: list[Snapshot | Event] = [*Recording(file).events(), *Recording(file).snapshots()]
    for high, status in ((4096, 0), (1 << 30, 3)):
        path = file.with_name(f"missed-{high}")
        recorded(path, [*steps, Event(START, "coverage", missed | {"bytes_missed_high": high})], via="idle")
        assert run(path, "--max-wss", "1GiB") == status
    assert "2 processes of 4.0 KiB to 1.0 GiB were not seen" in capsys.readouterr().out


def test_a_recording_without_its_end(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was cut off could have broken a limit that holds so far."""
    data = file.read_bytes()
    path = file.with_name("cut")
    path.write_bytes(data[:-8])
    for words, status in (
        (("--max-wss", "1GiB"), 3), (("--max-wss", "1KiB"), 1), (("--min-snapshots", "20"), 0),
        (("--min-snapshots", "21"), 3), (("--max-wss", "1GiB", "--allow-damaged"), 0),
    ):  # fmt: skip
        assert run(path, *words) == status, words
        said = capsys.readouterr().out
        assert "The recording has no end: its recorder still runs" in said
        assert ("cut has no end" in said) == (status == 3)


def test_where_only_writes_were_seen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reads could make a working set and rates larger, and cold memory less."""
    path = file.with_name("writes")
    recorded(
        path, [*Recording(file).events(), *Recording(file).snapshots()], via="softdirty", sees="writes only"
    )
    for words, status in (
        (("--max-wss", "1GiB"), 3), (("--max-wss", "1KiB"), 1), (("--min-wss", "1MiB"), 0), (("--min-wss", "1GiB"), 3),
        (("--max-footprint", "1GiB"), 0), (("--max-rate", "heap=100%"), 3), (("--min-rate", "heap=10%"), 0),
        (("--cold-age", "1s", "--max-cold-share", "99%"), 0), (("--cold-age", "1s", "--max-cold-share", "1%"), 3),
    ):  # fmt: skip
        assert run(path, *words, "--json") == status, words
        assert ("only writes" in str(json.loads(capsys.readouterr().out)["checks"][0]["why"])) == (
            status == 3
        )


def test_bounds_decide_or_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of a mapping is touched in each window, seen by refs: up to 90 % of it may be cold, or none. Of two such
    targets of which nothing is known to be apart nothing less follows."""
    known = Sharing.of([[10 * MIB], [10 * MIB], [MIB], [0], [None], [None]])
    shots = [
        replace(snap(seq, [(0, 10 * MIB, 2, 0, MIB)]), resident=array("Q", [10 * MIB])) for seq in range(20)
    ]
    recorded(tmp_path / "a", [replace(shot, sharing=known) for shot in shots], via="refs")
    for limit, status, word in (("90%", 0, "ok"), ("89%", 3, "?")):
        assert run(tmp_path / "a", "--cold-age", "1s", "--max-cold-share", limit) == status
        assert capsys.readouterr().out.startswith(word)
    assert (
        run(tmp_path / "a", "--cold-age", "1s", "--max-cold-share", "50%", "--max-wss", "1MiB", "--json") == 3
    )
    document = json.loads(capsys.readouterr().out)
    assert (document["holds"], document["grain"]) == (None, "mapping")
    wss, cold = document["checks"]
    assert (wss["holds"], wss["value"], wss["low"], wss["high"], wss["why"]) == (True, MIB, MIB, MIB, None)
    assert (cold["holds"], cold["value"], cold["low"]) == (None, None, 0)
    assert cold["high"] == pytest.approx(0.9)
    assert "refs" in cold["why"]

    both = [replace(one, target=target) for one in shots for target in (0, 1)]
    recorded(tmp_path / "b", both, via="idle")
    for limit, value, status in (
        ("--max-wss", "2MiB", 0), ("--max-wss", "1MiB", 3), ("--max-wss", "1023KiB", 1),
        ("--min-wss", "1MiB", 0), ("--min-wss", "2MiB", 3), ("--min-wss", "2049KiB", 1),
    ):  # fmt: skip
        assert run(tmp_path / "b", limit, value) == status, (limit, value)
    # One that is broken is broken, whatever is not decided beside it.
    assert run(tmp_path / "b", "--max-wss", "1MiB", "--min-snapshots", "21") == 1


def test_a_length_in_a_document_is_in_seconds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As every time in a document; it was in nanoseconds."""
    run(file, "--min-length", "1500ms", "--json")
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert (check["value"], check["low"], check["high"], check["limit"]) == (2.0, 2.0, 2.0, 1.5)
