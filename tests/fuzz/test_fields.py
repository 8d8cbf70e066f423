"""Hostile values of every field; and that the judge of outputs sees what must not be in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import outputs
from tests.fuzz.fields import _MAKE, all_fields, chosen
from tests.fuzz.flags import _LEFT_OUT, _NOT, flag_fields
from udamon.cli.parsers import COMMANDS, parser_of, with_all_below
from udamon.record.schema import COLUMNS
from udamon.record.values import _EVENTS, _METADATA
from udamon.sites.checks import _KEYS


def test_every_field_is_there() -> None:
    """A new event, key, column or flag is fuzzed without further work."""
    fields = all_fields()
    assert {field.kind for field in fields} == set(_MAKE)
    names = {kind: {field.name for field in fields if field.kind == kind} for kind in _MAKE}
    assert {name for name, _ in names["event"]} >= {*_EVENTS, *_KEYS}
    assert {key for (key,) in names["head"]} >= set(_METADATA)
    assert {name for (name,) in names["column"]} == set(COLUMNS)
    for command in COMMANDS:
        if command not in _LEFT_OUT:
            for parser in with_all_below(parser_of(command)):
                for action in parser._actions:
                    taken = action.option_strings and action.nargs != 0
                    if taken and not isinstance(action, argparse._SubParsersAction):
                        mine = (*parser.prog.split()[1:], action.option_strings[-1])
                        assert mine in flag_fields() or set(action.option_strings) & _NOT


def test_all_fields_take_turns() -> None:
    fields = all_fields()
    seen = {chosen(fields, number, "x") for number in range(6000)}
    assert seen == set(fields)


def _prints(text: str, status: int = 0, err: str = "") -> Callable[[], int]:
    def command() -> int:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
        sys.stderr.buffer.write(err.encode("utf-8", "surrogateescape"))
        sys.stderr.flush()
        return status

    return command


@pytest.mark.parametrize(
    ("command", "as_json", "said"),
    [
        (_prints("ok\n"), False, None), (_prints('{"start": 1, "why": null}\n'), True, None),
        (_prints("a\x1b[2J"), False, "have"), (_prints("ok", 1, "a\u202eb"), False, "have"),
        (_prints("\udcff"), False, "not UTF-8"), (_prints("{"), True, "no JSON"),
        (_prints('{"x": NaN}'), True, "no JSON"), (_prints('{"a": [{"start": -1}]}'), True, "start is -1"),
        (_prints('{"bytes": 1e300}'), True, "bytes is"), (_prints("", 1), False, "not a word"),
        (_prints("", 2, "x" * 5000), False, "5000 bytes"),
    ],
)  # fmt: skip
def test_the_judge_sees(
    command: Callable[[], int],
    as_json: bool,
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", open(1, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", open(2, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    status = outputs.judged(command, as_json=as_json)
    sys.stdout.flush()
    shown = capfd.readouterr().out
    assert (status == outputs.WRONG) is (said is not None)
    assert said is None or said in shown.partition("WRONG:")[2]


def test_pictures_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content, wrong in (
        (b"<svg></svg>", False),
        (b"<svg><a></svg>", True),
        (b"<p>\x1b</p>", True),
        (b"<p>\xff", True),
    ):
        (tmp_path / "out").write_bytes(content)
        assert bool(list(outputs._file_problems(tmp_path / "out"))) is wrong
