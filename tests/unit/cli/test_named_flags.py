"""Each flag that takes a time, a size, a share or a span of them is named by the sentence that refuses its value: a
command line has several of them, and may have them from variables and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.flags import words_of
from tests.unit.snapshots import recorded, snap
from udamon.cli.main import main
from udamon.cli.parsers import COMMANDS, parser_of, with_all_below

MEASURES = {"TIME", "SIZE", "SHARE", "RATE", "AGE", "MIN-MAX", "PERMIL", "BP", "PATTERN=RATE", "MAPPING=RATE",
            "SHARE,AGGRS,MIN,MAX", "START-END", "ADDRESS"}  # fmt: skip
LEFT_OUT = {
    "agent": "it watches the machine", "control": "it serves until it is ended", "workload": "it runs",
    "doctor": "it looks at the machine",
}  # fmt: skip

ALIASES = {"--sample-interval", "--aggr-interval"}
"""DAMON's names: --sample and --aggr are named, which they are the same as."""


def measures() -> Iterator[tuple[tuple[str, ...], str]]:
    for command in COMMANDS:
        if command not in LEFT_OUT:
            for parser in with_all_below(parser_of(command)):
                for action in parser._actions:
                    if (
                        isinstance(action.metavar, str)
                        and action.metavar in MEASURES
                        and not ALIASES & {*action.option_strings, ""}
                    ):
                        yield tuple(parser.prog.split()[1:]), action.option_strings[-1]


FLAGS = sorted({(command, flag) for command, flag in measures()})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("named")
    recorded(path / "recording", [snap(seq, [(4096, 8192, 3, 1)]) for seq in range(3)])
    (path / "short.masim").write_text("a, 1M\n\none\n200\na, 1, 64, 1\n")
    (path / "fleet").mkdir()
    return path


@pytest.mark.parametrize(
    ("command", "flag"), FLAGS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_the_flag_is_named(
    command: tuple[str, ...], flag: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fleet").mkdir()
    words = words_of(command, base, tmp_path)
    if command in (("record",), ("size",)):
        words[words.index("--sim") + 1] = str(base / "short.masim")
    words += ["--action", "stat"] if command == ("schemes",) else []
    try:
        status = main([*words, flag, "1 parsec"])
    except SystemExit as ended:
        status = int(str(ended.code))
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1), error
    assert flag in error


@pytest.mark.parametrize(
    "words",
    [
        "record -o OUT --max-size 1 --", "record -o OUT --max-size 1x --", "size --max-memory 1x --",
        "size --max-rows 0 --",
        "size --max-copy 1x --", "size --max-depth 0 --",
    ],
)  # fmt: skip
def test_no_command_is_started_for_a_value_that_is_refused(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ran to its end, and was watched, before what it had been watched for was refused."""
    mark = tmp_path / "mark"
    out = str(tmp_path / "out")
    assert main([*(out if word == "OUT" else word for word in words.split()), "touch", str(mark)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not mark.exists()
