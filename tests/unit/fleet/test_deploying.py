"""Rows of `deploys`, by the command that people write them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fleet.rows import NOON, WINDOW_US
from tests.unit.report.fleet.made import put_days, report
from tests.unit.report.fleet.test_queries import DAY, deployed
from udamon.cli.main import main
from udamon.errors import CannotError, UsageError
from udamon.fleet.deploying import Deploy, parse_moment, tell
from udamon.fleet.store import Directory

WORDS = ("--service", "web", "--namespace", "shop", "--workload", "front")
AT = NOON + 3 * DAY * WINDOW_US


def deploy(place: Path, capsys: pytest.CaptureFixture[str], *words: str, name: str = "d1") -> dict[str, Any]:
    assert main(["fleet", "deploy", name, str(place), *WORDS, *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_person_tells_of_a_deploy_and_asks_what_it_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_days(tmp_path, "services", deployed(0.05))
    with pytest.raises(CannotError, match="tell of it by udamon fleet deploy"):
        report(tmp_path, "after", deploy="d1", days=3)
    found = deploy(tmp_path, capsys, "--time", "2026-12-02T13:00+01:00", "--before", "1", "--after", "2")
    assert (found["time_us"], found["rows"], found["created"]) == (AT, 1, True)
    assert (tmp_path / found["object"]).is_file()
    rows = report(tmp_path, "after", deploy="d1", days=3).rows
    assert [row["changed"] for row in rows] == [True, True]


def test_hosts_have_moments_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told in turns within one hour; a host that was told of twice counts once."""
    put_days(tmp_path, "services", deployed(0.05))
    hosts = ("--host", "h0", "--host", "h1", "--host", "h1")
    assert deploy(tmp_path, capsys, "--time", "2026-12-02T12:00:00Z", *hosts)["rows"] == 2
    deploy(tmp_path, capsys, "--time", "2026-12-02T12:30:00Z", "--host", "h2", "--host", "h1")
    rows = report(tmp_path, "after", deploy="d1", days=2).rows
    assert {row["hosts"] for row in rows} == {3}


def test_another_deploy_of_the_service_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_days(tmp_path, "services", deployed(0.05))
    for name in ("d1", "d2"):
        deploy(tmp_path, capsys, "--time", "2026-12-02T12:00:00Z", name=name)
    rows = report(tmp_path, "after", deploy="d1", days=3).rows
    assert {row["why"] for row in rows} == {"1 other deploy of it in these days"}


def test_to_tell_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--time", "2026-12-02T12:00:00Z")
    first, again = (deploy(tmp_path, capsys, *words) for _ in range(2))
    assert again == first | {"created": False}
    assert main(["fleet", "deploy", "d1", str(tmp_path), *WORDS, *words]) == 0
    said = "d1: web changed on all hosts at once at 2026-12-02 12:00:00 UTC; this was told before\n"
    assert capsys.readouterr().out == said
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


@pytest.mark.parametrize("name", ["", "a'b", "a\\b", "a\nb"])
def test_a_name_that_no_report_could_ask_for_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a deploy"):
        tell(Directory(tmp_path), Deploy(name, "web", AT))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--service", ""), ("--service", "web", "--host", "")])
def test_names_of_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """An empty host would mean all of them."""
    assert main(["fleet", "deploy", "d1", str(tmp_path), *words]) == 2
    assert "its value is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-12-02T12:00:00Z", AT), ("2026-12-02 12:00", AT), ("2026-12-02T10:00:00.000001-02:00", AT + 1),
        ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59Z", None), ("2026-12-02", None), ("noon", None),
        ("1764676800", None), ("0001-01-01T00:00:00+14:00", None), ("9999-12-31T23:59:59-14:00", 253402351199000000),
    ],
)  # fmt: skip
def test_moments(text: str, us: int | None) -> None:
    if us is None:
        with pytest.raises(UsageError, match="is no moment"):
            parse_moment(text)
    else:
        assert parse_moment(text) == us
