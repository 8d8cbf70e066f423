"""What the command line says of words that it does not know."""

from __future__ import annotations

import pytest

from udamon.cli.main import main


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
        ("stat ls", "or -- ls to run it"),
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


@pytest.mark.parametrize("words", ["zzzz", "record --zzzz", "doctor nonsense", "report wss x nonsense"])
def test_nothing_is_guessed_without_likeness(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"), [("help", "COMMAND ..."), ("help record", "udamon record"), ("-V", "udamon ")]
)
def test_help_and_version(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 0
    assert said in capsys.readouterr().out
