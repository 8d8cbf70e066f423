"""What the command line says of words that it does not know."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from udamon.cli import mistakes
from udamon.cli.main import main, with_pids_joined
from udamon.cli.parsers import COMMANDS
from udamon.errors import CannotError, MissingExtra, OutOfFiles, OutputError, UsageError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("recrod", "did you mean record?"),
        ("report heatmpa x", "did you mean heatmap?"),
        ("record --durration 1s", "did you mean --duration?"),
        ("report wss x --tme 5s-10s", "did you mean --time?"),
        ("live --sites -- true", ": --sites goes with udamon record;"),
        ("record -p 1 --max-wss 1GiB", ": --max-wss goes with udamon check;"),
        ("record -p 1 --durration=1s", "did you mean --duration?"),
        (
            "record redis-server",
            "give -p redis-server for processes that are called so, or -- redis-server to run it",
        ),
        ("stat ls", "or -- ls to run it; see udamon stat --help."),
        ("doctor x", "unrecognized arguments: x; see udamon doctor --help."),
        ("record sleep 3", "or -- sleep 3 to run it"),
        ("live 1234", 'give pids to -p, several with commas (-p 1234) or quoted (-p "$(pgrep NAME)")'),
        ("record -d 5 ls", "did you mean --duration?"),
        ("report x wss --json", "the kind of report stands before FILE; give: udamon report wss x --json"),
        ("report x heatmpa", "give: udamon report heatmap x"),
        ("fleet report s3://x cold", "before LOCATION; give: udamon fleet report cold s3://x"),
        ("fleet report /x after web-42", "give: udamon fleet report after web-42 /x"),
        ("fleet report after s3://x web-42 --json", "give: udamon fleet report after web-42 s3://x --json"),
        ("agent --check --json", ": --json stands behind udamon agent status;"),
        (
            "fleet --json report cold x",
            "--json stands behind the command that has it, as in udamon fleet report cold;",
        ),
        ("fleet report s3://x --json", "give: udamon fleet report cold s3://x --json"),
        ("fleet cold /x", "cold is a report of the fleet; give: udamon fleet report cold /x"),
        ("cold /x", "give: udamon fleet report cold /x"),
        ("wss x", "wss is a report; give: udamon report wss x"),
        ("heatmap", "give: udamon report heatmap FILE"),
        ("version", "give: udamon --version"),
        ("report times x --html y", "report times makes no page; --html goes with heatmap, wss, access,"),
        ("report right-size x --svg y", "makes no chart; --svg goes with heatmap, wss, access."),
    ],
)
def test_what_may_have_been_meant(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err


@pytest.mark.parametrize(
    ("words", "said", "example"),
    [
        ("size", "there is nothing to read or watch; give FILE (a recording), -p PID", "-p redis-server"),
        ("record", "there is nothing to watch; give -p PID", "-p redis-server"),
        ("report", "there is nothing to report on; give FILE, a recording", "udamon report heatmap r.udamon"),
        (
            "report --json",
            "there is nothing to report on; give FILE, a recording",
            "udamon report heatmap r.udamon",
        ),
        ("report wss", "required: FILE", "udamon report wss r.udamon"),
        ("report diff a", "required: AFTER", "udamon report diff before.udamon after.udamon"),
        ("fleet report after d", "required: LOCATION", "udamon fleet report after web-42 /srv/fleet"),
        ("agent watch a -o b", "required: --for", "udamon agent watch nginx.service --for 10m"),
    ],
)
def test_what_is_missing_comes_with_an_example(
    words: str, said: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err
    assert example in told.err.partition("for example")[2]


def test_files_where_words_belong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording in place of a command is reported on; two where one belongs are compared."""
    for name in "ab":
        (tmp_path / name).touch()
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    for words, meant in (
        ([first], ["report", first]),
        (["report", first, second], ["report", "diff", first, second]),
        (["report", "wss", first, second], ["report", "diff", first, second]),
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.endswith(f"give: {' '.join(['udamon', *meant])}\n")


@pytest.mark.parametrize("words", ["fleet report cold /x", "report wss x", "record -p 1", "report x --json"])
def test_right_words_are_not_compared_with_others(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a library that only mistakes need."""

    def nearest(word: str, known: object) -> str | None:
        raise AssertionError(word)

    monkeypatch.setattr(mistakes, "nearest", nearest)
    mistakes.refuse(words.split(), COMMANDS)


def test_a_value_like_a_kind_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes to reading the file, which is empty."""
    (tmp_path / "r.udamon").touch()
    assert main(["report", str(tmp_path / "r.udamon"), "--mapping", "heatmap"]) == 1
    assert "invalid choice" not in capsys.readouterr().err


@pytest.mark.parametrize("words", ["help report hetmap", "report hetmap", "report hetmap --help"])
def test_a_misspelt_kind_without_a_file(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert "did you mean heatmap?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["heatmap.udamon", "./hetmap"])
def test_a_file_that_is_named_like_a_kind(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", name]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["zzzz", "record --zzzz", "doctor nonsense", "report wss x nonsense"])
def test_nothing_is_guessed_without_likeness(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("record -p 12 34 56 -o x", "record -p 12,34,56 -o x"),
        ("size --pid 12,13 34", "size --pid 12,13,34"),
        ("stat --pid=12 34 --json", "stat --pid=12,34 --json"),
        ("live -p12 34 -p 5 6", "live -p12,34 -p 5,6"),
        ("record -p redis-server 12", "record -p redis-server 12"),
        ("record 12 34", "record 12 34"),
        ("report wss 12 34", "report wss 12 34"),
        ("record -p 12 ls", "record -p 12 ls"),
        ("record -p", "record -p"),
    ],
)
def test_numbers_behind_a_pid_are_pids_too(words: str, found: str) -> None:
    """As a shell makes them of `-p $(pgrep NAME)` without quotes."""
    assert with_pids_joined(words.split()) == found.split()


def test_several_numbers_behind_p_are_watched(capsys: pytest.CaptureFixture[str]) -> None:
    gone = 4_194_304  # above the largest pid
    assert main(["record", "-p", str(os.getppid()), str(gone), "-o", "-", "--duration", "1s"]) == 1
    assert f"there is no process {gone}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("help", "COMMAND ..."),
        ("help record", "udamon record"),
        ("help report", "usage: udamon report [REPORT]"),
        ("help report wss", "usage: udamon report wss"),
        ("help fleet report cold", "usage: udamon fleet report cold"),
        ("help agent watch", "usage: udamon agent watch"),
        ("-V", "udamon "),
    ],
)
def test_help_and_version(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 0
    assert said in capsys.readouterr().out


FILES = "no more files can be opened; raise the limit (ulimit -n)"
MEMORY = "no memory was left; allow this process more"


def because(error: CannotError | UsageError, reason: BaseException) -> BaseException:
    """What was raised while `reason` was handled."""
    error.__context__ = reason
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), MEMORY),
        (OSError(errno.EMFILE, "x", "duckdb/__init__.py"), FILES),
        (OSError(errno.ENOMEM, "x"), MEMORY),
        (RuntimeError("can't start new thread"), "no further thread can be started"),
        (ImportError("/x/_io.abi3.so: failed to map segment from shared object"), MEMORY),
        (ImportError("/x/_io.abi3.so: cannot open shared object file: Too many open files"), FILES),
        (
            because(OutputError("cannot create a: x; choose another place."), OSError(errno.EMFILE, "x")),
            FILES,
        ),
        (because(UsageError("a is no configuration."), OSError(errno.ENFILE, "x")), FILES),
        (because(MissingExtra("not installed"), ImportError("x.so: cannot allocate memory")), MEMORY),
        (because(CannotError("a hole."), OSError(errno.ENOMEM, "x")), "a hole.\n"),
        (
            because(MissingExtra("not installed."), ModuleNotFoundError("No module named 'x'")),
            "not installed.\n",
        ),
        (OutOfFiles("not more than 7 files."), "not more than 7 files.\n"),
    ],
)
def test_what_runs_out_is_told_in_a_sentence(
    error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(args: object) -> int:
        raise error

    monkeypatch.setattr("udamon.cli.doctor.run", fails)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"udamon: {said}")
