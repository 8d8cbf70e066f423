"""Every command that writes a file treats what has its name alike."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.unit.fleet.rows import service
from tests.unit.report.fleet.made import put
from tests.unit.snapshots import recorded, snap
from tests.unit.test_hostile_names import HARMLESS, recording_of
from udamon.cli.main import main
from udamon.cli.parsers import COMMANDS, parser_of, subcommands
from udamon.record.reader import Recording

MASIM = "hot, 4194304\ncold, 8388608\n\nall\n1000\nhot, 0, 4096, 1, rw\n"

WRITING: dict[str, Sequence[str]] = {
    "record -o": ["record", "--sim", "{config}", "--duration", "1s", "-q", "-o", "{out}"],
    "record --max-size -o": [
        "record", "--sim", "{config}", "--duration", "1s", "-q", "--max-size", "64KiB", "-o", "{out}",
    ],
    "size -o": ["size", "--sim", "{config}", "--duration", "1s", "--quiet", "-o", "{out}"],
    "report --html": ["report", "size", "{file}", "--html", "{out}"],
    "report diff --html": ["report", "diff", "{file}", "{file}", "--html", "{out}"],
    "report --svg": ["report", "wss", "{file}", "--svg", "{out}"],
    "report --png": ["report", "wss", "{file}", "--png", "{out}"],
    "report sites --pprof": ["report", "sites", "{file}", "--pprof", "{out}"],
    "report sites --flame": ["report", "sites", "{file}", "--flame", "{out}"],
    "convert -o": ["convert", "{file}", "--to", "csv", "-o", "{out}"],
    "workload --truth": ["workload", "{config}", "--duration", "10ms", "--quiet", "--truth", "{out}"],
    "fleet report --html": ["fleet", "report", "cold", "{fleet}", "--html", "{out}"],
}  # fmt: skip

OUTPUTS = {"-o", "--output", "--html", "--svg", "--png", "--pprof", "--flame", "--truth"}

ELSEWHERE = {
    "agent watch": "it is `record`: tests/integration/test_agent.py::test_watch_makes_an_ordinary_recording"
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    (place / "config").write_text(MASIM)
    recording_of(place / "file", HARMLESS)
    put(place / "fleet", "services", [service()])
    return place


def words(what: str, made: Path, out: Path | str) -> list[str]:
    places = {"config": made / "config", "file": made / "file", "fleet": made / "fleet", "out": out}
    return [each.format(**places) for each in WRITING[what]]


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for each, below in subcommands(parser).items():
        yield from parsers(below, f"{name} {each}".strip())


def test_every_parser_with_an_output_has_force_and_is_tried() -> None:
    tried = {words[0] for words in WRITING.values()}
    seen = set()
    for command in COMMANDS:
        for name, parser in parsers(parser_of(command), command):
            actions = [each for each in parser._actions if each.help != argparse.SUPPRESS]
            flags = {flag for each in actions for flag in each.option_strings}
            if found := flags & OUTPUTS:
                seen.add(name.split()[0])
                assert "--force" in flags, f"{name} writes {found}"
    assert seen == tried | {each.split()[0] for each in ELSEWHERE}


@pytest.mark.parametrize("what", WRITING)
def test_a_link_is_refused(what: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it leads to, and with --force."""
    (tmp_path / "file").write_text("mine")
    for target in ("file", "nothing"):
        out = tmp_path / f"to-{target}"
        out.symlink_to(tmp_path / target)
        for force in ([], ["--force"]):
            assert main([*words(what, made, out), *force]) == 1
            assert f"give {tmp_path / target}, where it leads" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "to-file", "to-nothing"]


@pytest.mark.parametrize("what", WRITING)
def test_a_file_is_replaced_by_force_alone(
    what: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "png" in what:
        pytest.importorskip("PIL", reason="the extra `png` is not installed")
    out, other = tmp_path / "out", tmp_path / "other"
    out.write_text("mine")
    out.chmod(0o644)
    os.link(out, other)
    assert main(words(what, made, out)) == 1
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*words(what, made, out), "--force"]) == 0, capsys.readouterr().err
    assert other.read_text() == "mine"  # replaced, not written over
    assert out.stat().st_size > 4
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "out"]


@pytest.mark.parametrize("what", WRITING)
def test_what_is_read_is_never_written(
    what: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By none of its names."""
    here = tmp_path / "here"
    shutil.copytree(made, here)
    (read,) = [
        each for word in WRITING[what] if (each := here / word.strip("{}")).exists() and word.startswith("{")
    ][-1:]
    if read.is_dir():
        (read,) = (each for each in read.rglob("*") if each.is_file())
    os.link(read, tmp_path / "second")
    before = read.read_bytes()
    for out in (read, tmp_path / "second"):
        assert main([*words(what, here, out), "--force"]) == 2
        assert "is the file that is read" in capsys.readouterr().err
    assert read.read_bytes() == before


def rotated(path: Path) -> None:
    """FILE and FILE.1."""
    for name, part in ((f"{path}.1", 1), (path, 2)):
        windows = [snap(seq, [(0, 1 << 20, 1, 0)]) for seq in range(5 * part, 5 * part + 5)]
        recorded(Path(name), windows, part=part)
    assert len(Recording(path).paths) == 2


@pytest.mark.parametrize("part", ["a", "a.1", "b", "b.1"])
def test_no_part_of_what_is_compared_is_written(
    part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        rotated(tmp_path / name)
    before = (tmp_path / part).read_bytes()
    command = ["report", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--html", str(tmp_path / part)]
    assert main([*command, "--force"]) == 2
    assert "a part of it" in capsys.readouterr().err
    assert (tmp_path / part).read_bytes() == before


@pytest.mark.parametrize("flags", [("--svg", "--png"), ("--html", "--svg")])
def test_two_outputs_are_two_files(
    flags: Sequence[str], made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    asked = [word for flag in flags for word in (flag, out)]
    assert main(["report", "wss", str(made / "file"), *asked, "--force"]) == 2
    assert main(["report", "sites", str(made / "file"), "--pprof", out, "--flame", out, "--force"]) == 2
    assert capsys.readouterr().err.count("two outputs go to one file") == 2
    assert not list(tmp_path.iterdir())


def test_size_does_not_watch_for_a_recording_that_it_cannot_read_again(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for out in (tmp_path / "fifo", "-"):
        assert main(words("size -o", made, out)) == 2
        found = capsys.readouterr()
        assert "is no regular file" in found.err
        assert not found.out


def test_an_empty_recording_is_not_a_reason_to_write(tmp_path: Path) -> None:
    """A report that fails leaves what was there."""
    recorded(tmp_path / "file", [])
    (tmp_path / "out").write_text("mine")
    assert main(["report", "wss", str(tmp_path / "file"), "--html", str(tmp_path / "out"), "--force"]) == 1
    assert (tmp_path / "out").read_text() == "mine"
