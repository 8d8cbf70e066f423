"""Which parameters of the policy adaptive have no row in the table of their effects."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bench import sensitivity
from udamon.core.adaptive import Parameters

ALL = [field.name for field in fields(Parameters)]


def test_parameters_without_a_row_are_found() -> None:
    rows = "".join(f"| {change.name} | {change.what} | = |\n" for change in sensitivity.changes(ALL[1:]))
    assert sensitivity.without_row("") == ALL
    assert sensitivity.without_row(f"| as it is |  | 0.99 |\n{rows}") == ALL[:1]
    assert sensitivity.without_row(f"| {ALL[0]} | what it is |\n{rows}") == ALL[:1]


def test_nothing_is_run_where_all_have_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity, "without_row", lambda page: [])
    assert sensitivity.main(["--missing"]) == 0
    assert capsys.readouterr().out == "Each parameter has a row.\n"
