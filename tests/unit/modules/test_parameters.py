"""The modules' parameters: DAMON's names and defaults (docs/damon.md#damon_reclaim, #damon_lru_sort), from
flags and from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from udamon.core.attrs import Attrs
from udamon.core.scheme import (
    U32_MAX,
    U64_MAX,
    Action,
    Bounds,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.errors import ConfigError, UsageError
from udamon.modules.lru_sort import LruSortParameters
from udamon.modules.parameters import readings, with_file, with_texts
from udamon.modules.reclaim import ReclaimParameters

ATTRS = Attrs(5_000, 100_000)
ANY = Bounds(0, U32_MAX)


def reclaim(parameters: ReclaimParameters) -> Scheme:
    (scheme,) = parameters.schemes()
    return scheme.at(ATTRS)


def test_reclaim_by_default() -> None:
    scheme = reclaim(ReclaimParameters())
    pattern = scheme.access_pattern
    assert (pattern.sz, pattern.nr_accesses) == (Bounds(4096, U64_MAX), Bounds(0, 0))
    assert pattern.age == Bounds(1200, U32_MAX)
    assert scheme.action is Action.PAGEOUT
    assert scheme.apply_interval_us == 0
    assert scheme.quotas == Quota(10, 128 << 20, 1000, Weights(0, 0, 1))
    assert scheme.watermarks == Watermarks()
    assert scheme.ops_filters == ()


def test_reclaim_with_everything() -> None:
    texts = {
        "min_age": "5s",
        "quota_ms": "20ms",
        "quota_sz": "64 MiB",
        "quota_reset_interval_ms": "500",
        "quota_mem_pressure_us": "10ms",
        "quota_autotune_feedback": "9000",
        "wmarks_metric": "free_mem_rate",
        "wmarks_interval": "1s",
        "wmarks_high": "90%",
        "wmarks_mid": "800",
        "wmarks_low": "0",
        "skip_anon": "Y",
    }
    assert set(texts) == set(readings(ReclaimParameters))
    scheme = reclaim(with_texts(ReclaimParameters(), texts))
    assert scheme.access_pattern.age.min == 50
    assert scheme.quotas == Quota(
        20,
        64 << 20,
        500,
        Weights(0, 0, 1),
        (
            Goal(GoalMetric.SOME_MEM_PSI_US, 10_000),
            Goal(GoalMetric.USER_INPUT, 10_000, 9_000),
        ),
    )
    assert scheme.watermarks == Watermarks(WatermarkMetric.FREE_MEM_RATE, 1_000_000, 900, 800, 0)
    assert scheme.ops_filters == (Filter(FilterType.ANON, matching=True, allow=False),)


def test_the_whole_machine_has_the_watermarks_of_damon_reclaim() -> None:
    scheme = reclaim(replace(ReclaimParameters(), wmarks_metric="free_mem_rate"))
    assert scheme.watermarks == Watermarks(WatermarkMetric.FREE_MEM_RATE, 5_000_000, 500, 400, 200)


def test_where_much_is_not_there_a_hole_is_charged_a_part() -> None:
    (scheme,) = ReclaimParameters().schemes(sparse=True)
    assert scheme.at(ATTRS).quotas == replace(
        reclaim(ReclaimParameters()).quotas, fail_charge_num=1, fail_charge_denom=1024
    )


def test_lru_sort_by_default() -> None:
    hot, cold = (scheme.at(ATTRS) for scheme in LruSortParameters().schemes())
    assert (hot.action, cold.action) == (Action.LRU_PRIO, Action.LRU_DEPRIO)
    assert (hot.access_pattern.nr_accesses, hot.access_pattern.age) == (Bounds(10, U32_MAX), ANY)
    assert (cold.access_pattern.nr_accesses, cold.access_pattern.age) == (Bounds(0, 0), Bounds(1200, U32_MAX))
    assert hot.access_pattern.sz == cold.access_pattern.sz == Bounds(4096, U64_MAX)
    assert hot.quotas == cold.quotas == Quota(5, 0, 1000, Weights(0, 1, 1))
    assert hot.ops_filters == cold.ops_filters == ()


def test_lru_sort_with_goal_and_young_pages() -> None:
    """active_mem_bp X: the hot goal is X, the cold one 10000 - X + 2."""
    parameters = with_texts(
        LruSortParameters(),
        {"active_mem_bp": "70%", "filter_young_pages": "yes", "wmarks_metric": "free_mem_rate"},
    )
    hot, cold = (scheme.at(ATTRS) for scheme in parameters.schemes())
    assert hot.quotas.goals == (Goal(GoalMetric.ACTIVE_MEM_BP, 7_000),)
    assert cold.quotas.goals == (Goal(GoalMetric.INACTIVE_MEM_BP, 3_002),)
    assert hot.ops_filters == (Filter(FilterType.YOUNG, matching=False, allow=False),)
    assert cold.ops_filters == (Filter(FilterType.YOUNG, matching=True, allow=False),)
    assert (
        hot.watermarks
        == cold.watermarks
        == Watermarks(WatermarkMetric.FREE_MEM_RATE, 5_000_000, 200, 150, 50)
    )


def test_the_hot_threshold_follows_the_attributes() -> None:
    hot = LruSortParameters(hot_thres_access_freq=300).hot()
    assert hot.at(Attrs(10_000, 150_000)).access_pattern.nr_accesses.min == 4  # 15 * 0.3 = 4.5


@pytest.mark.parametrize(("quota_ms", "half"), [(0, 0), (1, 1), (2, 1), (3, 1), (10, 5)])
def test_half_of_a_quota_of_time_is_a_quota(quota_ms: int, half: int) -> None:
    """0 is no limit, which half of 1 ms was."""
    for scheme in LruSortParameters(quota_ms=quota_ms).schemes():
        assert scheme.at(ATTRS).quotas.ms == half


@pytest.mark.parametrize("kind", [ReclaimParameters, LruSortParameters])
def test_a_quota_is_for_some_time(kind: type[ReclaimParameters | LruSortParameters]) -> None:
    with pytest.raises(UsageError, match="quota_reset_interval_ms 0 is no time that a quota can be for"):
        with_texts(kind(), {"quota_reset_interval_ms": "0"})
    texts = {"quota_reset_interval_ms": "0", "quota_ms": "0", "quota_sz": "0"}
    without = with_texts(kind(), {name: text for name, text in texts.items() if name in readings(kind)})
    for scheme in without.schemes():
        assert (scheme.scheme.quotas.ms, scheme.scheme.quotas.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"min_age": "120"}, "--min-age: the time '120' has no unit; write 120ms or 120s."),
        ({"min_age": "long"}, "--min-age: 'long' is not a time"),
        ({"quota_sz": "much"}, "--quota-sz: 'much' is not a size"),
        ({"skip_anon": "perhaps"}, "--skip-anon: 'perhaps' is neither"),
        ({"wmarks_high": "101%"}, "--wmarks-high: 101% is more than all"),
        ({"quota_sz": "1.5"}, "--quota-sz: '1.5' is not a size: a byte has no parts"),
        ({"wmarks_metric": "psi"}, "--wmarks-metric: 'psi' is none of none, free_mem_rate"),
        ({"wmarks_metric": "free_mem_rate", "wmarks_mid": "600"}, "not in falling order"),
    ],
)
def test_texts(texts: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        with_texts(ReclaimParameters(), texts)
    assert words in str(raised.value)


def test_more_than_all_memory_cannot_be_active() -> None:
    with pytest.raises(UsageError, match="more than all memory"):
        LruSortParameters(active_mem_bp=10_001)


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "reclaim.toml"
    file.write_text('min_age = "30s"\nskip_anon = true\nquota_ms = 3\n')
    base = ReclaimParameters(quota_sz=4096)
    assert with_file(base, file) == replace(base, min_age=30_000_000, skip_anon=True, quota_ms=3)
    file.write_text('quota_sz = "1M"\nmin_aeg = "30s"\n')
    with pytest.raises(ConfigError, match=r"reclaim\.toml:2: min_aeg: there is no such key"):
        with_file(base, file)
    file.write_text('wmarks_metric = "free_mem_rate"\nwmarks_low = "60%"\n')
    with pytest.raises(ConfigError, match=r"reclaim\.toml:1: wmarks_high 500, .* not in falling order"):
        with_file(base, file)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "reclaim.toml"
    file.write_text("")
    assert with_file(ReclaimParameters(), file) == ReclaimParameters()
