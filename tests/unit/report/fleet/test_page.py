"""The page of a report over a fleet: bars worked out by hand, and nothing of a name is markup or turns a line round."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import BITS, bad_characters
from tests.unit.fleet.rows import MIB, service
from tests.unit.report.fleet.made import put, put_days, report
from tests.unit.report.fleet.test_queries import a_deploy, deployed
from udamon import text
from udamon.cli.main import main
from udamon.fleet.store import Directory
from udamon.fleet.tables import AGES
from udamon.report.fleet import bars, page, render
from udamon.report.fleet.reports import REPORTS
from udamon.report.page import html
from udamon.report.terminal import Terminal

pytest.importorskip("duckdb", reason="the extra `report` is not installed")

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def test_bounds_are_parts_of_their_own(tmp_path: Path) -> None:
    """Of 10 MiB 2 are cold, perhaps 5; of 5 MiB 1 is, exactly."""
    put(tmp_path, "services", [
        service(cold=2, cold_bytes_high=[5 * MIB] * len(AGES)), service("api", cold=1, resident=5),
    ])  # fmt: skip
    found = page.document(report(tmp_path, "cold"))
    web, api = found["chart"]["bars"]
    assert web["parts"] == [["idle", 0, 0.2], ["perhaps", 0.2, pytest.approx(0.3)], ["hot", 0.5, 0.5]]
    assert web["value"] == "2.0 MiB to 5.0 MiB of 10.0 MiB"
    assert api["parts"] == [["idle", 0, 0.1], ["perhaps", 0.1, 0], ["hot", 0.1, 0.4]]
    assert [row[3] for row in found["rows"]] == ["≥ 2.0 MiB", "1.0 MiB"]


def test_signs_where_there_is_only_ascii(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lower bound, and what is not known, in the table of a terminal that has no more."""
    monkeypatch.setattr(text, "ascii_only", lambda: True)
    put(tmp_path, "services", [
        service(cold=2, cold_bytes_high=[5 * MIB] * len(AGES)), service("api", cold=None),
    ])  # fmt: skip
    web, api = render.render(report(tmp_path, "cold"), Terminal(80, 0, False), 5).splitlines()[3:5]
    assert ">= 2.0 MiB" in web
    assert api.split()[1:4] == ["1", "-", "-"]


def test_what_is_not_known_is_not_drawn(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(cold=None)])
    (bar,) = page.document(report(tmp_path, "cold"))["chart"]["bars"]
    assert (bar["parts"], bar["value"]) == ([], "– of –")
    (bar,) = page.document(report(tmp_path, "can-shrink"))["chart"]["bars"]
    assert (bar["parts"], bar["value"]) == ([], "not known")


def test_changes_lie_on_both_sides_of_0() -> None:
    parts = (bars.BarPart("band", -0.1, 0.1), bars.BarPart("hot mark", 0.0, 0.0))
    assert bars.Chart("", (), (bars.Bar("", parts, ""),), "").span == (-0.1, 0.1)
    assert bars.Chart("", (), (bars.Bar("", (bars.BarPart("band", 0.2, 0.3),), ""),), "").span == (0.0, 0.3)


def test_rows_beyond_the_chart_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(f"s{number}") for number in range(page.MAX_BARS + 3)])
    found = page.document(report(tmp_path, "cold"))
    assert (len(found["chart"]["bars"]), found["bars_left_out"]) == (page.MAX_BARS, 3)
    assert len(found["rows"]) == page.MAX_BARS + 3


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names with everything that a terminal obeys or HTML takes as markup; one host differs far from the others."""
    place = tmp_path_factory.mktemp("evil")
    bits = ["".join(BITS[at::3]) for at in range(3)]
    named = {"service": f"</script><img src=x>{bits[0]}", "namespace": f"<!--{bits[1]}"}
    rows = [row | named | {"host": bits[2] + row["host"]} for row in deployed(0.05, hosts=6)]
    for row in rows[: len(rows) // 6]:
        row["resident_bytes"] *= 100
    put_days(place, "services", rows)
    put(place, "deploys", [a_deploy() | named])
    return place


@pytest.mark.parametrize("kind", REPORTS)
def test_no_name_is_markup(kind: str, evil: Path) -> None:
    made = html.fleet(page.document(report(evil, kind, deploy="d1" if kind == "after" else "")))
    data = DATA.search(made)
    assert data is not None
    found = json.loads(data[1])
    assert "<img" not in made
    assert made.count("</script>") == 2
    assert found["rows"]
    assert all("<img src=x>" in row[0] for row in found["rows"])
    assert not bad_characters("".join(texts(found)))


def texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for each in value.values() for text in texts(each)]
        case list():
            return [text for each in value for text in texts(each)]
    return []


def test_a_page_replaces_files_by_force_alone_and_never_what_it_reads(tmp_path: Path, capsys: Any) -> None:
    put(tmp_path, "services", [service()])
    out = tmp_path / "page.html"
    words = ["fleet", "report", "cold", str(tmp_path), "--html"]
    assert main([*words, str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert main([*words, str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*words, str(out), "--force"]) == 0
    (read,) = Directory(tmp_path).list("services")
    before = (tmp_path / read.path).read_bytes()
    assert main([*words, str(tmp_path / read.path), "--force"]) == 2
    assert (tmp_path / read.path).read_bytes() == before
    assert main(["fleet", "report", "cold", str(tmp_path), "--force"]) == 2


@pytest.mark.parametrize(
    ("grains", "high", "grain", "bounded", "said"),
    [
        (["page"], None, "page", 0.0, None),
        (["mapping"], 5, "mapping", 1.0, "Grain: mappings"),
        (["page", "mapping"], 5, "mixed", 1.0, "pages on some hosts, mappings on others"),
        (["page"], 4, "page", 0.0, None),  # as exact as without
    ],
)  # fmt: skip
def test_how_exact_the_rows_are(
    grains: list[str], high: int | None, grain: str, bounded: float, said: str | None, tmp_path: Path
) -> None:
    highs = None if high is None else [high * MIB] * len(AGES)
    put(tmp_path, "services", [
        service(host=f"h{at}", grain=one, cold=4, cold_bytes_high=highs) for at, one in enumerate(grains)
    ])  # fmt: skip
    for kind in ("cold", "percentiles"):
        found = report(tmp_path, kind)
        told = found.document()
        assert (told["grain"], told["bounded_share"]) == (grain, bounded)
        seen = page.document(found)["seen"]
        assert (said in seen) if said else "Grain" not in seen
        assert ("at least" in seen) == bool(bounded)
