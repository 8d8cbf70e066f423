"""Numbers of flags, variables and ranges: digits 0 to 9 and nothing that Python also takes for a number, and limits."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.snapshots import recorded, snap
from udamon.cli.main import main
from udamon.cli.numbers import decimal, whole
from udamon.console import columns
from udamon.text import sentence
from udamon.units import whole_number

WRONG = ["", " ", " 7", "7 ", "+5", "1_000", "\u0663", "\uff17", "\xb2", "1e3", "nan", "inf", "0x10", "--5", "9" * 19,
         "9" * 5000, "-"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=lambda text: ascii(text[:8]))
def test_what_is_no_number(text: str) -> None:
    assert whole_number(text) is None
    for parse in (whole, decimal):
        with pytest.raises(argparse.ArgumentTypeError) as raised:
            parse(text)
        assert len(str(raised.value)) < 120


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_whole_numbers(number: int) -> None:
    assert whole(str(number)) == whole_number(str(number)) == number


def test_decimals() -> None:
    assert [decimal(text) for text in ("0", "2.5", ".5", "1000")] == [0.0, 2.5, 0.5, 1000.0]
    for text in ("-1", "1e400", "5.", "1,5"):
        with pytest.raises(argparse.ArgumentTypeError):
            decimal(text)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("numbers") / "r"
    recorded(path, [snap(seq, [(4096, 8192, 3, 1)]) for seq in range(3)])
    return str(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("report access FILE --top 1_0", "'1_0' is not a whole number"),
        ("report access FILE --top \u0663", "is not a whole number"),
        ("report wss FILE --target " + "9" * 5000, "has more than 18 digits"),
        ("agent watch x --for 0 -o x", "--for 0 is no time at all"),
        ("report wss FILE --target=--", "'--' is no value"),
        ("report wss FILE --address=", "--address: its value is empty"), ("report wss ", "FILE: its value is empty"),
        ("agent --check --cgroup ", "--cgroup: its value is empty"), ("record -p ", "--pid: its value is empty"),
        ("reclaim --dry-run --cgroup=", "--cgroup: its value is empty"),
        ("report wss FILE --time -", "'-' is not a range"), ("report wss FILE --age=-", "'-' is not a range"),
        ("report wss FILE --address 0-0x20000000000000000", "behind the last address"),
        ("report wss FILE --max-memory 0", "too little"), ("report wss FILE --max-memory=-1", "not a size"),
        ("report wss FILE --max-memory " + "9" * 39, "more than any machine has"),
        ("report wss FILE --max-memory 9000000TiB", "more than any machine has"),
        ("report heatmap FILE --resol " + "9" * 5000 + "x1", "not a size of a picture"),
        ("report heatmap FILE --resol 9999x9999", "more than 1,000,000 cells"),
        ("fleet report cold . --from 2026-11-05 --to 2026-11-01", "--from 2026-11-05 is after --to 2026-11-01; swap"),
        ("fleet report cold . --max-memory 0", "is no memory of a query"),
        ("fleet report cold . --max-memory " + "9" * 39, "is no memory of a query"),
        ("fleet report cold . --price-gib-month nan", "is not a number from 0 on"),
        ("fleet report cold . --price-gib-month 1_0", "is not a number from 0 on"),
        ("eval square --seeds 0-99999999999999", "give at most 10,000 seeds"),
        ("eval square --duration 99999999d", "has 8.64e+13 aggregations"),
        ("eval square --duration 1h --sample 1us --aggr 1us", "aggregations; give a shorter one"),
        ("eval square --seeds \xb2", "no range of seeds"), ("eval square --seeds " + "9" * 5000, "no range of seeds"),
        ("eval square --intervals-goal 4%,\u0663,5ms,10s", "is no number of aggregations"),
        ("eval square --intervals-goal 4%," + "9" * 5000 + ",5ms,10s", "is no number of aggregations"),
        ("reclaim --sim none --max-major-faults \u0663", "no number of faults"),
        ("stat -p " + "9" * 5000, "is not a pid"),
        ("schemes --sim none --action stat --min-accesses " + "x" * 5000, "is not a rate"),
        ("reclaim --sim none --wmarks-metric " + "x" * 5000, "is none of none, free_mem_rate"),
        ("reclaim --sim none --max-major-faults " + "x" * 5000, "is no number of faults"),
        ("reclaim --sim none --include " + "x" * 5000, "knows locked, shared, text"),
        ("record --sim none -o x --intervals-goal " + "x" * 5000, "has not four parts"),
        ("lru-sort --sim none --hot-thres-access-freq 101%", "101% is more than all"),
        ("check FILE --max-wss 1.5", "--max-wss: '1.5' is not a size: a byte has no parts; give a unit, as in 1.5GiB"),
    ],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
def test_refused_in_one_short_sentence(
    words: str, said: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(file).parent)
    named = [file if word == "FILE" else word for word in words.split(" ")]
    named = [str(Path(__file__).parents[3] / "none.masim") if word == "none" else word for word in named]
    if "square" in named:
        Path("s.masim").write_text("a, 1M\n\none\n200\na, 1, 64, 1\n")
        named = ["s.masim" if word == "square" else word for word in named]
    assert main(named) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert err.count("\n") == 1
    assert len(err) < 1000


def test_the_last_address_may_be_asked_for(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for span in ("0-0x10000000000000000", "0-ffffffffffffffff", "0x8000000000000000-max"):
        assert main(["report", "access", file, "--address", span]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    "value", ["0", "-5", "1_000", "x", "", "9" * 30, "9" * 5000, "1", "18446744073709551616"]
)
def test_any_width_of_a_terminal(
    value: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", value)
    assert 10 <= columns() <= 1000
    for kind in ("wss", "heatmap", "holistic", "access"):
        assert main(["report", kind, file]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 1000


def test_a_sentence_keeps_both_ends() -> None:
    short = "x" * 500 + " y; do that."
    assert sentence(short) == short
    for long in ("a " + "b" * 5000 + "; do that.", "a " + "b c " * 5000 + "; do that."):
        found = sentence(long)
        assert len(found) < 3100
        assert found.startswith("a b")
        assert found.endswith("; do that.")


def test_no_parser_takes_pythons_numbers() -> None:
    from tests.imports import SOURCE

    found = [
        f"{path.relative_to(SOURCE)}: {match[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for match in re.finditer(r"type=(?:int|float)\b", path.read_text())
    ]
    assert not found, f"use udamon.cli.numbers: {found}"


@pytest.mark.parametrize("flag", ["--max-regions", "--min-regions", "--max-nr-regions", "--min-nr-regions"])
@pytest.mark.parametrize(
    "number", ["1000001", "9" * 18, "1" + "0" * 30, "9" * 10_000, "\u0663\u0663", "1_000", "-1", "nan"]
)
def test_numbers_of_regions_have_a_limit(
    flag: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is checked in every sampling interval: 10^12 of them ran out of memory."""
    (tmp_path / "a.masim").write_text("a, 1M\n\none\n200\na, 1, 64, 1\n")
    words = ["stat", "--sim", str(tmp_path / "a.masim"), "--duration", "1ms", f"{flag}={number}"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert len(said) < 2000
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["stat", "record -o out", "reclaim", "lru-sort", "size", "workload"])
@pytest.mark.parametrize("time", ["1152921505s", "9999999d", "9" * 39 + "h"])
def test_times_end_before_clocks_do(
    command: str,
    time: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.masim").write_text("a, 1M\n\none\n200\na, 1, 64, 1\n")
    target = ["a.masim"] if command == "workload" else ["--sim", "a.masim"]
    assert main([*command.split(), *target, "--duration", time]) == 2
    assert f"--duration {time} is more than 36 years" in capsys.readouterr().err


def test_rounds_end_before_clocks_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2^60 ns by 200 ms, rounded down."""
    workload = tmp_path / "a.masim"
    workload.write_text("a, 4K\n\none\n200\na, 1, 64, 1\n")
    assert main(["workload", str(workload), "--repeat", "9" * 18]) == 2
    said = capsys.readouterr().err
    assert "are more than 36 years; give --repeat of at most 5764607523, or --duration." in said
    assert main(["workload", str(workload), "--quiet", "--repeat", "9" * 18, "--duration", "1ms"]) == 0
