"""The reports over a fleet, on rows whose answers are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.unit.fleet.rows import MIB, NOON, WINDOW_US, service
from tests.unit.report.fleet.made import put, put_days, report
from udamon.errors import CannotError, UsageError
from udamon.fleet.tables import AGES
from udamon.report.fleet import page, render
from udamon.report.fleet.reports import ASSUMED, REPORTS
from udamon.report.terminal import Terminal

DAY = 288
"""Windows."""


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(rows) == 1
    return rows[0]


def test_cold_is_the_mean_of_windows_of_the_sum_of_hosts(tmp_path: Path) -> None:
    put(tmp_path, "services", [
        service(host="a", window=0, cold=2, resident=10), service(host="b", window=0, cold=4, resident=20),
        service(host="a", window=1, cold=4, resident=10), service("api", host="a", window=1, cold=1, resident=4),
    ])  # fmt: skip
    web, api = report(tmp_path, "cold", price=2.0).rows
    assert (web["service"], web["hosts"], web["windows"]) == ("web", 2, 2)
    assert (web["resident_bytes"], web["cold_bytes"]) == (20 * MIB, 5 * MIB)
    assert web["cold_share"] == pytest.approx(10 / 40)
    assert web["cold_price_month"] == pytest.approx(5 / 1024 * 2)
    assert web["cold_bytes_high"] is None
    assert (api["resident_bytes"], api["cold_bytes"], api["windows"]) == (4 * MIB, MIB, 1)


def test_an_age_that_nobody_watched_for_is_not_cold_and_not_resident(tmp_path: Path) -> None:
    young = service(host="b", resident=100)
    young["cold_bytes"] = [3 * MIB] * 4 + [None] * 7
    put(tmp_path, "services", [service(host="a", cold=2), young])
    row = only(report(tmp_path, "cold", age_seconds=600).rows)
    assert (row["resident_bytes"], row["cold_bytes"], row["telling_share"]) == (10 * MIB, 2 * MIB, 0.5)
    row = only(report(tmp_path, "cold").rows)
    assert (row["resident_bytes"], row["cold_bytes"], row["telling_share"]) == (110 * MIB, 5 * MIB, 1.0)


def test_nothing_known_is_null_and_never_0(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(cold=None)])
    row = only(report(tmp_path, "cold", price=1.0).rows)
    assert (row["resident_bytes"], row["cold_bytes"], row["cold_share"], row["cold_price_month"]) == (
        None,
    ) * 4
    assert row["telling_share"] == 0
    row = only(report(tmp_path, "can-shrink").rows)
    assert (row["safe_age_seconds"], row["can_lose_bytes"], row["can_shrink"]) == (None, None, False)


@pytest.mark.parametrize("kind", ["cold", "percentiles", "outliers", "coverage", "after"])
def test_an_age_that_no_row_tells_of_is_said(tmp_path: Path, kind: str) -> None:
    """With the ages that could be asked for, and never as 0 bytes of 0."""
    young = [*[3 * MIB] * 4, *[None] * 7]
    put(
        tmp_path,
        "services",
        [service(host=host, window=n, cold_bytes=young) for host in "ab" for n in (0, 9)],
    )
    put(tmp_path, "deploys", [a_deploy(window=5)])
    asked = {"deploy": "d1"} if kind == "after" else {}
    found = report(tmp_path, kind, age_seconds=600, **asked)
    said = ["No row tells what was not touched for 10 m.", "Known ages (--age): 1s, 10s, 1m, 2m."]
    assert render.title_of(found) == said
    document = found.document()
    assert (document["why"], document["known_ages_seconds"]) == (" ".join(said), (1, 10, 60, 120))
    text = render.render(found, Terminal(80), 20)
    assert text.splitlines()[:2] == said
    assert "0 B" not in text
    assert page.document(found)["answer"] == " ".join(said)
    found = report(tmp_path, kind, age_seconds=120, **asked)
    assert (found.document()["why"], found.document()["known_ages_seconds"]) == (None, None)
    assert render.title_of(found) != said


def test_less_than_nothing_promoted_is_not_known(tmp_path: Path) -> None:
    """A counter that began anew, as agents of versions before told it: it must hide no promotions of others."""
    much = [20 * MIB] * len(AGES)
    rows = [service(host="a", window=n, limit_bytes=20 * MIB, promoted_bytes=much) for n in range(20)]
    put(tmp_path, "services", rows)
    expected = only(report(tmp_path, "can-shrink").rows)
    assert expected["safe_age_seconds"] is None
    less = [-40 * MIB] * len(AGES)
    rows = [service(host="b", window=n, limit_bytes=20 * MIB, promoted_bytes=less) for n in range(20)]
    put(tmp_path, "services", rows)
    assert only(report(tmp_path, "can-shrink").rows)["safe_age_seconds"] is None


@pytest.mark.parametrize("kind", ["cold", "can-shrink"])
def test_where_no_age_is_known_at_all(tmp_path: Path, kind: str) -> None:
    put(tmp_path, "services", [service(cold=None)])
    found = report(tmp_path, kind)
    assert found.document()["why"] == "No row tells of any age: nobody has watched for long enough yet."
    assert found.document()["known_ages_seconds"] == ()


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_no_number_is_not_known(value: float, tmp_path: Path) -> None:
    """Whoever may write to the location may write that; a JSON document could not hold it."""
    rows = [row | {"coverage": value} for row in deployed(0.05, hosts=6)]
    rows += [service("odd", coverage=value, seconds=value, grain="odd")]
    put_days(tmp_path, "services", rows)
    put(tmp_path, "deploys", [a_deploy()])
    for kind in REPORTS:
        found = report(tmp_path, kind, deploy="d1" if kind == "after" else "").document()
        json.dumps(found, allow_nan=False)
        assert found["grain"] == "mixed", kind
        if kind in ("cold", "coverage"):
            assert [row["coverage"] for row in found["rows"]] == [None, None], kind


def test_bounds_are_told(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host="a", cold_bytes_high=[7 * MIB] * len(AGES)), service(host="b")])
    row = only(report(tmp_path, "cold").rows)
    assert (row["cold_bytes"], row["cold_bytes_high"]) == (8 * MIB, 11 * MIB)


def test_rows_of_late_and_repeated_objects_count_once(tmp_path: Path) -> None:
    """Also beside rows of an hour that came once; of two that differ the one that was watched longer counts."""
    first = [service(host="a", window=0), service(host="b", window=0)]
    put(tmp_path, "services", first)
    put(tmp_path, "services", [service(host="a", window=n) for n in range(3)])
    put(tmp_path, "services", [service(host="a", window=0, seconds=100.0, resident=99)])
    found = report(tmp_path, "cold")
    assert found.repeated == 3
    assert only(found.rows)["windows"] == 3
    assert only(found.rows)["resident_bytes"] == round((20 + 10 + 10) * MIB / 3)


def test_a_copy_under_another_name_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host=host, window=n) for host in "ab" for n in range(3)])
    before = report(tmp_path, "cold").rows
    (file, *_) = tmp_path.rglob("a.*.parquet")
    file.with_name("copy-of-it.parquet").write_bytes(file.read_bytes())
    assert report(tmp_path, "cold").rows == before


def test_objects_of_the_version_before_have_null_for_what_they_lack(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(host="a")], version=1)
    alone = only(report(tmp_path, "cold").rows)
    assert alone["cold_bytes_high"] is None
    put(tmp_path, "services", [service(host="b", cold_bytes_high=[5 * MIB] * len(AGES))])
    assert only(report(tmp_path, "cold").rows)["cold_bytes_high"] == 9 * MIB


def shrinking(promoted: list[int], window: int, **more: Any) -> dict[str, Any]:
    """Cold bytes fall with the age: 60 MiB at 1 s, then 5 less for each; the working set is 100 - 45 MiB."""
    row = service(window=window, resident=100, limit_bytes=200 * MIB, **more)
    row["cold_bytes"] = [(60 - 5 * place) * MIB for place in range(len(AGES))]
    row["promoted_bytes"] = promoted
    return row


def test_the_safe_age_is_the_smallest_within_the_limit(tmp_path: Path) -> None:
    """0.2 % of 55 MiB a minute is 0.11 MiB, in a window of 5 minutes 0.55 MiB."""
    more, less = round(0.56 * MIB), round(0.54 * MIB)
    promoted = [more] * 5 + [less] * 6
    put(tmp_path, "services", [shrinking(promoted, window) for window in range(100)])
    row = only(report(tmp_path, "can-shrink").rows)
    assert row["safe_age_seconds"] == AGES[5]
    assert row["promotion_share_minute"] == pytest.approx(0.54 / 5 / 55, rel=1e-4)
    assert row["offloadable_bytes"] == 35 * MIB
    assert row["can_lose_share"] == pytest.approx(1 - 65 / 200)
    assert row["can_lose_bytes"] == 135 * MIB
    assert row["can_shrink"] is True
    assert only(report(tmp_path, "can-shrink", least=0.7).rows)["can_shrink"] is False


def test_few_windows_decide_nothing(tmp_path: Path) -> None:
    """Of an hour, in which no promotion was seen, a safe age is known; and that a day has more than that."""
    put(tmp_path, "services", [shrinking([0] * 11, n, host=host) for n in range(11) for host in "abcd"])
    found = report(tmp_path, "can-shrink")
    row = only(found.rows)
    assert (row["safe_age_seconds"], row["can_shrink"]) == (None, False)
    assert row["why"] == "11 windows with promotions, which is too few: 12 are needed"
    said = "Not decided, as fewer than 12 windows tell of promotions: 1 service."
    assert said in render.render(found, Terminal(100), 20)
    put(tmp_path, "services", [shrinking([0] * 11, 11)])
    found = report(tmp_path, "can-shrink")
    row = only(found.rows)
    assert (row["safe_age_seconds"], row["can_shrink"]) == (AGES[0], True)
    assert row["why"] == "less than a day was seen, so a daily peak may be missing"
    put(tmp_path, "services", [shrinking([0] * 11, n) for n in range(12, DAY)])
    assert only(report(tmp_path, "can-shrink").rows)["why"] is None


def test_windows_that_do_not_tell_of_an_age_do_not_count_for_it(tmp_path: Path) -> None:
    young: list[int | None] = [MIB] * 5 + [None] * 6
    rows = [shrinking([MIB] * 5 + [0] * 6 if n < 11 else young, n) for n in range(100)]  # type: ignore[arg-type]
    put(tmp_path, "services", rows)
    row = only(report(tmp_path, "can-shrink").rows)
    assert (row["safe_age_seconds"], row["why"]) == (None, "promotions are above the limit at every age")


def test_after_says_what_it_cannot_tell_apart(tmp_path: Path) -> None:
    put_days(tmp_path, "services", deployed(0.05))
    put(tmp_path, "deploys", [a_deploy()])
    found = report(tmp_path, "after", deploy="d1", days=3)
    assert found.document()["assumed"] == ASSUMED
    assert ASSUMED in " ".join(render.render(found, Terminal(80), 20).split())
    assert ASSUMED in page.document(found)["seen"]


@pytest.mark.parametrize(("busy", "age"), [(2, AGES[0]), (3, AGES[1])])
def test_promotions_may_be_more_in_2_percent_of_the_windows(tmp_path: Path, busy: int, age: int) -> None:
    rows = [shrinking([MIB if n < busy else 0, *[0] * 10], n) for n in range(100)]
    put(tmp_path, "services", rows)
    assert only(report(tmp_path, "can-shrink").rows)["safe_age_seconds"] == age


def test_what_is_needed_in_98_percent_of_the_windows_decides(tmp_path: Path) -> None:
    rows = [shrinking([0] * 11, n) for n in range(100)]
    for row in rows[:2]:
        row["resident_bytes"] = 190 * MIB
    put(tmp_path, "services", rows)
    assert only(report(tmp_path, "can-shrink").rows)["can_lose_share"] == pytest.approx(1 - 40 / 200)
    put(tmp_path, "services", [{**rows[2], "host": "z", "resident_bytes": 190 * MIB}])
    assert only(report(tmp_path, "can-shrink").rows)["can_lose_share"] == pytest.approx(1 - 130 / 200)


def test_percentiles_are_over_hosts(tmp_path: Path) -> None:
    rows = [service(host=f"h{n}", window=w, resident=10 * n, cold=n) for n in range(1, 5) for w in (0, 1)]
    put(tmp_path, "services", rows)
    row = only(report(tmp_path, "percentiles").rows)
    assert row["hosts"] == 4
    assert row["resident_bytes"]["p50"] == 25 * MIB
    assert row["resident_bytes"]["p10"] == 13 * MIB
    assert row["cold_bytes"]["p90"] == round(3.7 * MIB)
    assert row["cold_bytes"]["max"] == 4 * MIB


def test_outliers_are_far_from_the_median(tmp_path: Path) -> None:
    """Median 100, distances 0, 1, 1, 2, 3, 100: their median is 1.5, so the score is 0.6745 * 100 / 1.5."""
    sizes = [100, 99, 101, 98, 103, 200]
    put(tmp_path, "services", [service(host=f"h{at}", resident=size) for at, size in enumerate(sizes)])
    sizes_of_few = [100, 101, 102, 300]
    put(
        tmp_path,
        "services",
        [service("few", f"h{at}", resident=size) for at, size in enumerate(sizes_of_few)],
    )
    row = next(row for row in report(tmp_path, "outliers").rows if row["figure"] == "resident_bytes")
    assert (row["service"], row["host"], row["hosts"]) == ("web", "h5", 6)
    assert row["median"] == 100.5 * MIB
    assert row["score"] == pytest.approx(0.6745 * 99.5 / 2.0)


@pytest.mark.parametrize("kind", ["cold", "coverage"])
def test_rows_that_do_not_tell_their_coverage_count_for_none(tmp_path: Path, kind: str) -> None:
    """Of three rows two tell it, 1 and 0.5: their mean, and not as if the third had seen nothing."""
    put(tmp_path, "services", [
        service(window=n, coverage=value) for n, value in enumerate((1.0, 0.5, float("nan")))
    ])  # fmt: skip
    (row,) = report(tmp_path, kind).rows
    assert row["coverage"] == pytest.approx(0.75)


def test_coverage_tells_what_was_not_seen(tmp_path: Path) -> None:
    rows = [service(host="a", window=n) for n in range(0, 30, 2)]
    rows += [service(host="b", window=n, coverage=0.5, cold=None, grain="mapping") for n in range(5)]
    put(tmp_path, "services", rows)
    nodes = [{"host": row["host"], "window_begin": row["window_begin"], "seconds": 150.0} for row in rows]
    for node in nodes:
        node |= {"services_wanted": 4, "services_seen": 1, "processes_missed": 2}
    put(tmp_path, "nodes", nodes)
    found = report(tmp_path, "coverage")
    row = only(found.rows)
    assert (row["rows"], row["missing_rows"], row["silent_hosts"]) == (20, 14, 1)
    assert row["coverage"] == pytest.approx((15 + 5 * 0.5) / 20)
    assert (row["telling_share"], row["mapping_share"]) == (0.75, 0.25)
    assert found.seen == {
        "hosts": 2, "silent_hosts": 1, "windows_share": 20 / 34, "watched_share": 0.5, "services_share": 0.25,
        "processes_missed": 4, "rows_dropped": None,
    }  # fmt: skip


def deployed(change: float, hosts: int = 4, days: int = 3, drift: float = 0.03) -> list[dict[str, Any]]:
    """Hours of hosts of different sizes, with a pattern over the day and a trend, and a step at noon of the day `days`;
    hosts differ in the step by a thousandth."""
    rows = []
    for host in range(hosts):
        for window in range(0, 2 * days * DAY, 6):
            size = (
                1000 * (host + 1) * (1 + 0.3 * (window % DAY < DAY // 3))
                + 1000 * (host + 1) * drift * window / DAY
            )
            if window >= days * DAY:
                size += 1000 * (host + 1) * 1.1 * (change + 0.001 * host)
            rows.append(service(host=f"h{host}", window=window, resident=round(size), cold=0))
    return rows


def a_deploy(name: str = "d1", host: str = "", window: int = 3 * DAY, of: str = "web") -> dict[str, Any]:
    return {
        "deploy": name, "namespace": "shop", "workload": "front", "service": of, "host": host,
        "time": NOON + window * WINDOW_US,
    }  # fmt: skip


def test_a_step_at_a_deploy_is_told_from_trend_and_time_of_day(tmp_path: Path) -> None:
    put_days(tmp_path, "services", deployed(0.05))
    put(tmp_path, "deploys", [a_deploy()])
    rows = {row["figure"]: row for row in report(tmp_path, "after", deploy="d1", days=3).rows}
    row = rows["resident_bytes"]
    assert row["hosts"] == 4
    # As a share of the mean of the three days before: 1.1 and the trend's middle, 1.5 days.
    assert row["change"] == pytest.approx(1.1 * 0.0515 / (1.1 + 0.03 * 1.5), rel=1e-3)
    assert row["low"] < 1.1 * 0.0515 / 1.145 < row["high"]
    assert row["changed"] is True
    assert "cold_bytes" not in rows  # there is none before, so no share of it


def test_no_step_is_no_change(tmp_path: Path) -> None:
    random = Random(1)
    rows = deployed(-0.0015)
    for row in rows:
        row["resident_bytes"] += random.randrange(MIB)
    put_days(tmp_path, "services", rows)
    put(tmp_path, "deploys", [a_deploy()])
    assert [row["changed"] for row in report(tmp_path, "after", deploy="d1", days=3).rows] == [False, False]


def test_hosts_have_their_own_time(tmp_path: Path) -> None:
    """A deploy that reached a host a day later is compared there from that time on; others are not compared."""
    rows = deployed(0.05, hosts=5)
    put_days(tmp_path, "services", rows)
    put(tmp_path, "deploys", [a_deploy(host=f"h{host}") for host in range(4)])
    row = report(tmp_path, "after", deploy="d1", days=3).rows[0]
    assert row["hosts"] == 4


def test_what_cannot_be_decided_says_why(tmp_path: Path) -> None:
    put_days(tmp_path, "services", deployed(0.05, hosts=2))
    put(tmp_path, "deploys", [a_deploy(), a_deploy("d2", window=2 * DAY)])
    row = report(tmp_path, "after", deploy="d1", days=3).rows[0]
    assert (row["changed"], row["why"]) == (None, "1 other deploy of it in these days")
    put(tmp_path, "deploys", [a_deploy("d3", of="api")])
    row = report(tmp_path, "after", deploy="d3", days=3).rows[0]
    assert "2 other deploys" in row["why"]
    with pytest.raises(CannotError, match="knows no deploy 'd9'; there are: d1, d2, d3"):
        report(tmp_path, "after", deploy="d9", days=3)


def test_few_hosts_have_no_uncertainty(tmp_path: Path) -> None:
    put_days(tmp_path, "services", deployed(0.05, hosts=2))
    put(tmp_path, "deploys", [a_deploy()])
    row = report(tmp_path, "after", deploy="d1", days=3).rows[0]
    assert (row["p"], row["changed"], row["why"]) == (None, None, "2 hosts, which is too few: 3 are needed")
    assert row["change"] > 0.04


def test_days_that_lack_hours_are_left_out(tmp_path: Path) -> None:
    rows = [row for row in deployed(0.05) if not DAY <= (row["window_begin"] - NOON) / WINDOW_US < DAY + 12]
    put_days(tmp_path, "services", rows)
    put(tmp_path, "deploys", [a_deploy()])
    rows = report(tmp_path, "after", deploy="d1", days=3).rows
    assert rows[0]["hosts"] == 4  # two days are left before
    assert report(tmp_path, "after", deploy="d1", days=2).rows == []


@pytest.mark.parametrize("name", ["a'b", "a\\", "", "a\nb"])
def test_names_of_deploys_are_no_sql(tmp_path: Path, name: str) -> None:
    put(tmp_path, "services", [service()])
    put(tmp_path, "deploys", [a_deploy(name or "x")])
    with pytest.raises((UsageError, CannotError)):
        report(tmp_path, "after", deploy=name)


def test_days_are_chosen(tmp_path: Path) -> None:
    put(tmp_path, "services", [service(window=n * DAY, resident=10 + n) for n in range(3)])
    row = only(report(tmp_path, "cold", dates=("2026-11-30", "2026-11-30")).rows)
    assert row["resident_bytes"] == 11 * MIB
    there = "has objects of services from 2026-11-29 to 2026-12-01, and none"
    with pytest.raises(CannotError, match=f"{there} from 2027-01-01, which is asked for"):
        report(tmp_path, "cold", dates=("2027-01-01", None))
    with pytest.raises(CannotError, match=f"{there} from 2020-01-01 to 2020-01-02, which is asked for"):
        report(tmp_path, "cold", dates=("2020-01-01", "2020-01-02"))


def test_rows_of_an_hour_that_is_not_over_are_told(tmp_path: Path) -> None:
    """Of an agent that has just begun there is nothing to read yet; elsewhere there is no spool."""
    with pytest.raises(CannotError, match="has no objects of services; give the location"):
        report(tmp_path, "cold")
    with pytest.raises(CannotError, match="gone is no directory; give the location"):
        report(tmp_path / "gone", "cold")
    with pytest.raises(CannotError, match="gone is no directory; give the location"):
        report(tmp_path / "gone", "after", deploy="d1")
    with pytest.raises(CannotError, match="knows no deploy 'd1'; there is none; tell of it"):
        report(tmp_path, "after", deploy="d1")
    (tmp_path / "_open").mkdir()
    (tmp_path / "_open" / "services.0.0a1b2c3d4e5f.parquet").touch()
    with pytest.raises(CannotError, match="an hour that is not over"):
        report(tmp_path, "cold")
