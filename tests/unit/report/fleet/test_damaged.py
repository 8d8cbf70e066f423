"""Reports and compaction over a location in which objects are damaged: the answer of the others, and their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.recorder import udamon
from tests.unit.fleet.damages import name, put_damaged, with_a_row_without, written
from tests.unit.fleet.rows import service
from tests.unit.report.fleet.made import put, put_days, report
from tests.unit.report.fleet.test_queries import a_deploy, deployed
from udamon.errors import CannotError
from udamon.fleet.damage import EngineFailed
from udamon.fleet.objects import compacted_path
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES
from udamon.report.fleet import engines, page, render
from udamon.report.fleet.reports import REPORTS
from udamon.report.terminal import Terminal


def fleet(place: Path) -> Path:
    put_days(place, "services", deployed(0.05))
    put(place, "deploys", [a_deploy(window=4 * 288)])
    return place


def alike(one: Any, other: Any) -> bool:
    """To the order in which an engine adds doubles up."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == (pytest.approx(other, rel=1e-9) if isinstance(other, float) else other))


def asked(kind: str) -> dict[str, Any]:
    return {"deploy": "d1"} if kind == "after" else {}


@pytest.mark.parametrize("kind", REPORTS)
def test_reports_are_of_the_objects_that_can_be_read(kind: str, tmp_path: Path) -> None:
    expected = report(fleet(tmp_path / "good"), kind, **asked(kind)).document()
    reasons = put_damaged(fleet(tmp_path / "bad"))
    found = report(tmp_path / "bad", kind, **asked(kind))
    document = found.document()
    damaged = {each["object"]: each["why"] for each in document["damaged"]}
    assert damaged.keys() == reasons.keys()
    assert {path: why for path, why in damaged.items() if reasons[path] not in why} == {}
    assert expected["damaged"] == []
    for key in expected.keys() - {"damaged"}:
        assert alike(document[key], expected[key]), key
    text = render.render(found, Terminal(80), 20)
    assert f"Damaged: {len(reasons)} objects. What is in them is missing here." in text
    assert f"and {len(reasons) - render.MOST_DAMAGED} more (--json)" in text
    assert f"Damaged: {len(reasons)} objects." in page.document(found)["seen"]


@pytest.mark.parametrize("kind", REPORTS)
def test_rows_without_a_key_are_of_nothing(kind: str, tmp_path: Path) -> None:
    """All other rows of their objects are read, whether these can repeat rows of others or not."""
    documents = []
    for place in ("good", "bad"):
        store = Directory(fleet(tmp_path / place))
        for number, key in enumerate(SERVICES.key):
            data = written("*", "good") if place == "good" else with_a_row_without(key)
            assert store.create(name(number, "bad" if number % 2 else f"h{number}"), data)
        documents.append(report(tmp_path / place, kind, **asked(kind)).document())
    good, bad = documents
    assert {each["why"] for each in bad["damaged"]} == {
        f"has rows without a key, which are left out ({key} in 1)" for key in SERVICES.key
    }
    for key in good.keys() - {"damaged", "objects"}:
        assert alike(bad[key], good[key]), key


def test_an_object_that_vanishes_while_the_engine_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "services", [service("web", host) for host in "ab"])
    a, _ = sorted((tmp_path / "services").rglob("*.parquet"))
    asked_before = engines.DuckEngine.table

    def vanishing(self: Any, *given: Any) -> None:
        asked_before(self, *given)
        a.unlink(missing_ok=True)

    monkeypatch.setattr(engines.DuckEngine, "table", vanishing)
    (row,) = report(tmp_path, "cold").rows
    assert row["hosts"] == 1


@pytest.mark.parametrize(
    "called", ["copy[1]", "a*", "what?", "{a,b}", "a\x1b[31m\n", "a\\b", "_a", ".a", "a:b"]
)
def test_names_that_not_every_engine_opens(called: str, tmp_path: Path) -> None:
    """Copies with such names beside the objects are named as damaged. Copies with other names are read."""
    put(tmp_path, "services", [service(host=host) for host in "ab"])
    (file,) = tmp_path.rglob("a.*.parquet")
    file.with_name(f"{called}.parquet").write_bytes(file.read_bytes())
    file.rename(file.with_name("it's a copy, 20% \u00fc.parquet"))
    found = report(tmp_path, "cold")
    assert [row["hosts"] for row in found.rows] == [2]
    (damaged,) = found.damaged
    assert damaged.why == "has a name that not every engine can open; give it another one"
    assert "\x1b" not in render.render(found, Terminal(80), 20)
    done = udamon("fleet", "report", "cold", tmp_path, "--json")
    assert (done.status, len(json.loads(done.stdout)["damaged"])) == (0, 1)
    assert udamon("fleet", "report", "cold", tmp_path).status == 0


@pytest.mark.parametrize("kind", REPORTS)
def test_a_manifest_that_cannot_be_read_changes_no_figure(kind: str, tmp_path: Path) -> None:
    """Those of two days, one of which had been merged while what it replaced is there still."""
    place = fleet(tmp_path)
    expected = report(place, kind, **asked(kind)).document()
    first, second, *_ = sorted((place / "services/v1/_manifest").iterdir())
    (compacted,) = json.loads(first.read_bytes())["objects"]
    copy = compacted_path(SERVICES, first.name[:10], "0" * 12)
    (place / copy).write_bytes((place / compacted).read_bytes())
    first.write_bytes(b"{}")
    second.unlink()
    second.symlink_to(second.name)
    found = report(place, kind, **asked(kind))
    document = found.document()
    assert [each["object"] for each in document["damaged"]] == [
        str(each.relative_to(place)) for each in (first, second)
    ]
    for key in expected.keys() - {"damaged", "objects"}:
        assert alike(document[key], expected[key]), key
    text = render.render(found, Terminal(80), 20)
    assert "Damaged: 2 manifests. Whether objects of these days are missing is not known." in " ".join(
        text.split()
    )
    assert "What is in them is missing here" not in text


def test_where_no_object_can_be_read(tmp_path: Path) -> None:
    put_damaged(tmp_path)
    for kind in REPORTS:
        if kind != "after":
            found = report(tmp_path, kind)
            assert found.rows == []
            assert found.document()["why"] == "No object could be read, so nothing is known."
            assert "Damaged: " in render.render(found, Terminal(80), 20)


def test_a_deploy_that_may_be_in_a_damaged_object(tmp_path: Path) -> None:
    fleet(tmp_path)
    (deploy,) = (tmp_path / "deploys").rglob("*.parquet")
    deploy.write_bytes(b"")
    with pytest.raises(
        CannotError, match=r"knows no deploy 'd1'; .*; damaged objects of deploys: 1, such as deploys/"
    ):
        report(tmp_path, "after", deploy="d1")


def test_what_is_no_fault_of_objects_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not tried for ever."""
    put(tmp_path, "services", [service()])

    def failing(self: Any, sql: str) -> Any:
        tried.append(sql)
        raise EngineFailed("DuckDB cannot answer.")

    tried: list[str] = []
    monkeypatch.setattr(engines.DuckEngine, "rows", failing)
    with pytest.raises(CannotError, match="DuckDB cannot answer"):
        report(tmp_path, "cold")
    assert len(tried) == 1


def test_commands_name_what_is_damaged(tmp_path: Path) -> None:
    """And end well: a fleet of many nodes always has one that wrote half of something."""
    put(tmp_path, "services", [service("web", host, window) for host in "ab" for window in (0, 12)])
    reasons = put_damaged(tmp_path)
    done = udamon("fleet", "report", "cold", tmp_path)
    assert (done.status, f"Damaged: {len(reasons)} objects" in done.stdout) == (0, True)
    done = udamon("fleet", "compact", tmp_path, "--closed", "0s", "--grace", "0s", "--json")
    assert done.status == 0
    document = json.loads(done.stdout)
    assert {each["object"] for each in document["damaged"]} == set(reasons)
    assert document["tables"]["services"]["merged_objects"] == 4
    done = udamon("fleet", "compact", tmp_path, "--closed", "0s", "--grace", "0s")
    assert done.status == 0
    for path in reasons:
        assert f"{path} " in done.stderr
        assert (tmp_path / path).is_symlink() or (tmp_path / path).exists()
