"""Schemes in files: every key, in YAML and TOML, and the line that each error names."""

from __future__ import annotations

import builtins
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from udamon.configuration.tree import parse
from udamon.core.attrs import Attrs
from udamon.core.scheme import (
    U32_MAX,
    U64_MAX,
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.errors import CannotError, ConfigError, MissingExtra, UsageError
from udamon.model import Range
from udamon.schemes.config.pattern import (
    NOTHING,
    Quantity,
    QuantityBounds,
    QuantityUnit,
    WantedScheme,
    parse_age,
    parse_bytes,
    parse_rate,
)
from udamon.schemes.config.reading import load_schemes, read_schemes

FULL_YAML = """\
# every key
schemes:
  - action: pageout
    access_pattern:
      sz: {min: 4 KiB, max: max}
      nr_accesses: {min: 0%, max: 10%}
      age: {min: 5s, max: 16}
    apply_interval_us: 1s
    quotas:
      ms: 10
      bytes: 128 MiB
      reset_interval_ms: 1s
      weights: {sz_permil: 0, nr_accesses: 2, age_permil: 3}
      goal_tuner: temporal
      fail_charge_num: 1
      fail_charge_denom: 1024
      goals:
        - {target_metric: some_mem_psi_us, target_value: 10ms}
        - {target_metric: node_mem_used_bp, target_value: 99.5%, nid: 1}
        - {target_metric: user_input, target_value: 10000, current_value: 7}
        - {target_metric: command, target_value: 5, path: echo 5}
    watermarks: {metric: free_mem_rate, interval: 5s, high: 50%, mid: 400, low: 200}
    core_filters:
      - {type: addr, matching: y, allow: true, addr_start: 0x1000, addr_end: 8 KiB}
      - {type: target, damon_target_idx: 2}
    ops_filters:
      - {type: anon, matching: no}
      - {type: memcg, memcg_path: /a/b, allow: on}
      - {type: hugepage_size, min: 2 MiB, max: max}
    max_nr_snapshots: 3
  - action: migrate_hot
    access_pattern: {}
    target_nid: 1
    dests: [{id: 0, weight: 30}, {id: 1}]
"""

FULL_TOML = """\
[[schemes]]
action = "pageout"
apply_interval_us = 1_000_000
max_nr_snapshots = 3
watermarks = { metric = "free_mem_rate", interval_us = "5s", high = 500, mid = 400, low = 200 }
core_filters = [
    { type = "addr", matching = true, allow = true, addr_start = 0x1000, addr_end = "8 KiB" },
    { type = "target", damon_target_idx = 2 },
]
[schemes.access_pattern]
sz = { min = "4 KiB", max = "max" }
nr_accesses = { min = "0%", max = "10%" }
age = { min = "5s", max = 16 }
[schemes.quotas]
ms = 10
bytes = "128 MiB"
reset_interval_ms = 1000
weights = { sz = 0, nr_accesses_permil = 2, age = 3 }
goal_tuner = "temporal"
fail_charge_num = 1
fail_charge_denom = 1024
[[schemes.quotas.goals]]
target_metric = "some_mem_psi_us"
target_value = 10000
[[schemes.quotas.goals]]
target_metric = "node_mem_used_bp"
target_value = 9950
nid = 1
[[schemes.quotas.goals]]
target_metric = "user_input"
target_value = 10000
current_value = 7
[[schemes.quotas.goals]]
target_metric = "command"
target_value = 5
path = "echo 5"
[[schemes.ops_filters]]
type = "anon"
matching = false
[[schemes.ops_filters]]
type = "memcg"
memcg_path = "/a/b"
allow = true
[[schemes.ops_filters]]
type = "hugepage_size"
min = "2 MiB"
max = "max"

[[schemes]]
action = "migrate_hot"
access_pattern = {}
target_nid = 1
dests = [{ id = 0, weight = 30 }, { id = 1 }]
"""

ATTRS = Attrs(5_000, 100_000)
FULL = [
    Scheme(
        access_pattern=AccessPattern(Bounds(4096, U64_MAX), Bounds(0, 2), Bounds(16, 16)),
        action=Action.PAGEOUT,
        apply_interval_us=1_000_000,
        quotas=Quota(
            ms=10,
            bytes=128 << 20,
            reset_interval_ms=1000,
            weights=Weights(0, 2, 3),
            goals=(
                Goal(GoalMetric.SOME_MEM_PSI_US, 10_000),
                Goal(GoalMetric.NODE_MEM_USED_BP, 9950, nid=1),
                Goal(GoalMetric.USER_INPUT, 10_000, 7),
                Goal(GoalMetric.COMMAND, 5, path="echo 5"),
            ),
            goal_tuner=GoalTuner.TEMPORAL,
            fail_charge_num=1,
            fail_charge_denom=1024,
        ),
        watermarks=Watermarks(WatermarkMetric.FREE_MEM_RATE, 5_000_000, 500, 400, 200),
        core_filters=(
            Filter(FilterType.ADDR, True, True, addr=Range(0x1000, 0x2000)),
            Filter(FilterType.TARGET, True, False, damon_target_idx=2),
        ),
        ops_filters=(
            Filter(FilterType.ANON, False),
            Filter(FilterType.MEMCG, True, True, memcg_path="/a/b"),
            Filter(FilterType.HUGEPAGE_SIZE, True, size=Bounds(2 << 20, U64_MAX)),
        ),
        max_nr_snapshots=3,
    ),
    Scheme(
        access_pattern=AccessPattern.all(),
        action=Action.MIGRATE_HOT,
        target_nid=1,
        dests=(Destination(0, 30), Destination(1, 1)),
    ),
]


def schemes_of(text: str, *, toml: bool = False) -> list[WantedScheme]:
    return read_schemes(parse(text, "file", toml=toml))


@pytest.mark.parametrize(("text", "toml"), [(FULL_YAML, False), (FULL_TOML, True)], ids=["yaml", "toml"])
def test_every_key(text: str, toml: bool) -> None:
    # 16 aggregations of 312.5 ms are 5 s: the shortest ages, and the longest, are the same there.
    found = schemes_of(text, toml=toml)
    attrs = Attrs(sample_us=15_625, aggr_us=312_500)
    assert [scheme.at(attrs) for scheme in found] == FULL


def test_a_list_alone_is_a_list_of_schemes() -> None:
    (scheme,) = schemes_of("- {action: cold, access_pattern: {age: {min: 3}}}")
    assert scheme.at(ATTRS) == Scheme(
        AccessPattern(Bounds(0, U64_MAX), Bounds(0, U32_MAX), Bounds(3, U32_MAX)), Action.COLD
    )


def test_percent_and_seconds_follow_the_attributes() -> None:
    """hot_thres of 500 permil and min_age of 120 s as docs/damon.md#damon_reclaim and #damon_lru_sort count them."""
    wanted = WantedScheme(
        Scheme(AccessPattern.all()),
        QuantityBounds(min=Quantity(Fraction(1, 2), QuantityUnit.SHARE)),
        QuantityBounds(min=Quantity(120_000_000, QuantityUnit.US)),
    )
    at_default = wanted.at(ATTRS).access_pattern
    assert (at_default.nr_accesses.min, at_default.age.min) == (10, 1200)
    tuned = wanted.at(Attrs(100_000, 1_500_000)).access_pattern  # 15 samples: half of them is 7.5
    assert (tuned.nr_accesses.min, tuned.age.min) == (7, 80)
    assert tuned.nr_accesses.max == tuned.age.max == U32_MAX


def test_a_pattern_that_the_attributes_leave_empty_matches_nothing() -> None:
    """min 5 s, max 100 aggregations: with 10 ms aggregations there is no such age."""
    (scheme,) = schemes_of("[{action: stat, access_pattern: {age: {min: 5s, max: 100}}}]")
    assert scheme.at(Attrs(1_000, 10_000)).access_pattern == NOTHING
    assert scheme.at(ATTRS).access_pattern.age == Bounds(50, 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("29%", Quantity(Fraction(29, 100), QuantityUnit.SHARE)),
        ("0.5 %", Quantity(Fraction(1, 200), QuantityUnit.SHARE)),
        ("7", Quantity(7)),
        ("max", Quantity(U32_MAX)),
        ("18446744073709551615", Quantity(U32_MAX)),
    ],
)
def test_rates(text: str, expected: Quantity) -> None:
    assert parse_rate(text) == expected


def test_a_percentage_of_samples_is_exact() -> None:
    """0.29 * 100 is 28.999999999999996 in floating point."""
    assert parse_rate("29%").at(Attrs(1_000, 100_000)) == 29


@pytest.mark.parametrize("text", ["101%", "-1", "many", "1.5", "5s", "%"])
def test_no_rates(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rate(text)


def test_ages_and_sizes() -> None:
    assert parse_age("2m") == Quantity(120_000_000, QuantityUnit.US)
    assert parse_age("12") == Quantity(12)
    assert parse_bytes("max") == U64_MAX
    with pytest.raises(UsageError):
        parse_age("old")
    with pytest.raises(UsageError):
        parse_bytes("16384 PiB")


SCHEME = "- action: pageout\n  access_pattern: {}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("schemes:\n- action: paegout\n  access_pattern: {}", 2, "'paegout' is none of willneed, cold"),
        ("- action: stat", 1, "needs access_pattern"),
        ("- access_pattern: {}", 1, "needs action"),
        (SCHEME + "  quotes: {}", 3, "[0].quotes: there is no such key; known here: action"),
        (SCHEME + "  action: stat", 3, "the key action stands here for the second time"),
        (SCHEME + "  apply_interval: 1s\n  apply_interval_us: 1", 4, "says again what apply_interval says"),
        (SCHEME + "  apply_interval: 5", 3, "the time '5' has no unit"),
        (SCHEME + "  quotas:\n    ms: 1\n    bytes: lots", 5, "[0].quotas.bytes: 'lots' is not a size"),
        (SCHEME + "  quotas:\n    bytes: 1 MiB", 3, "needs reset_interval_ms"),
        (SCHEME + "  quotas:\n    reset_interval_ms: 10us", 4, "less than one ms"),
        (SCHEME + "  quotas:\n    goals:\n    - target_metric: psi", 5, "a goal needs target_value"),
        (
            SCHEME + "  quotas:\n    goals:\n    - target_metric: psi\n      target_value: 1",
            5,
            "'psi' is none of user_input",
        ),
        (
            SCHEME + "  quotas:\n    goals:\n    - target_metric: file\n      target_value: 1",
            5,
            "needs path: the file that holds the number",
        ),
        (
            SCHEME + "  quotas:\n    goals:\n    - target_metric: user_input\n      target_value: 0",
            6,
            "a goal of 0 cannot be aimed at",
        ),
        (SCHEME + "  watermarks:\n    metric: free_mem_rate\n    low: 7", 3, "not in falling order"),
        (SCHEME + "  watermarks:\n    metric: free_mem_rate\n    high: 200%", 5, "200% is more than all; give at most"),
        (SCHEME + "  watermarks:\n    metric: free_mem_rate\n    high: 1001", 5, "1001 is more than all; give"),
        (
            SCHEME + "  quotas:\n    goals:\n    - target_metric: active_mem_bp\n      target_value: 101%",
            6,
            "101% is more than all; give at most 10000, or 100%",
        ),
        ("- action: stat\n  access_pattern:\n    sz:\n      min: 1.5", 4, "'1.5' is not a size: a byte has"),
        (SCHEME + "  quotas:\n    bytes: 64.5B", 4, "give a unit, as in 64.5GiB"),
        (SCHEME + "  watermarks: {high: 5}", 3, "watermarks need a metric: none, free_mem_rate"),
        (SCHEME + "  core_filters:\n  - {type: anon}", 4, "tests pages: put it into ops_filters"),
        (SCHEME + "  ops_filters:\n  - type: addr", 4, "tests regions: put it into core_filters"),
        (SCHEME + "  ops_filters:\n  - {type: memcg}", 4, "a filter of type memcg needs memcg_path"),
        (
            SCHEME + "  ops_filters:\n  - type: anon\n    memcg_path: /a",
            5,
            "goes with filters of type memcg, and this one is of type anon",
        ),
        (
            SCHEME + "  core_filters:\n  - type: addr\n    addr_start: 8K\n    addr_end: 4K",
            5,
            "8192 is above addr_end, which is 4096; swap them",
        ),
        (SCHEME + "  ops_filters:\n  - {type: anon, allow: maybe}", 4, "neither yes nor no"),
        (SCHEME + "  ops_filters: anon", 3, "this is not a list"),
        (SCHEME + "  quotas: 7", 3, "this is not a table with keys such as ms"),
        (SCHEME + "  max_nr_snapshots: [1]", 3, "this is a list, where one value belongs"),
        (SCHEME + "  max_nr_snapshots:", 3, "there is no value"),
        (SCHEME + "  max_nr_snapshots: -1", 3, "not a whole number"),
        ("- action: stat\n  access_pattern:\n    age:\n      min: 5 parsecs", 4, "unknown unit 'parsecs'"),
        ("- action: stat\n  access_pattern:\n    age: {min: 9s, max: 2s}", 3, "the minimum is above"),
        ("- action: stat\n  access_pattern:\n    sz: {min: 2M, max: 1M}", 3, "swap them"),
        ("- action: stat\n  access_pattern:\n    nr_accesses:\n      max: 200%", 4, "more than every sample"),
        ("- {action: migrate_cold, access_pattern: {}}", 1, "needs a node to migrate to"),
        ("- action: migrate_hot\n  access_pattern: {}\n  dests:\n  - weight: 1", 4, "a destination needs id"),
        (SCHEME + "  target_nid: 1", 3, "this goes with migrate_hot and migrate_cold, and the action is pageout"),
        (SCHEME + "  dests: [{id: 1}]", 3, "this goes with migrate_hot and migrate_cold, and the action is pageout"),
        ("schemes: []", 1, "there is no scheme in the list"),
        ("{}", 1, "there is no list of schemes"),
        ("", 1, "there is nothing in it"),
        ("- a\n- [", 2, "this is not YAML"),
        ("- *nobody", 1, "this is not YAML"),
        ("- [a]: 1", 1, "a key is one word"),
        ("&a [*a]", 1, "nested too deeply"),
    ],
)  # fmt: skip
def test_errors_in_yaml_name_their_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        schemes_of(text)
    assert str(raised.value).startswith(f"file:{line}: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[schemes]]\n\naction = "paegout"\naccess_pattern = {}', 3, "schemes[0].action: 'paegout' is none"),
        ('# none\n\n[[schemes]]\naction = "stat"', 3, "needs access_pattern"),
        (
            (
                '[[schemes]]\naction = "stat"\naccess_pattern = {}\n[[schemes]]\naction = "stat"\n'
                "[schemes.access_pattern]\nage = { min = 7, max = 5 }"
            ),
            7,
            "schemes[1].access_pattern.age: the minimum is above",
        ),
        (
            (
                '[[schemes]]\naction = "stat"\naccess_pattern = {}\ncore_filters = [\n  { type = "target", '
                'damon_target_idx = 1 },\n  { type = "nobody" },\n]\n# more'
            ),
            4,
            "schemes[0].core_filters[1].type: 'nobody' is none",
        ),
        ('[[schemes]]\naction = "stat', 2, "this is not TOML"),
        ("schemes = 1\nschemes = 2", 2, "this is not TOML"),
        ('text = """\n\u2028"""\nfoo = 1', 1, "no such key"),
    ],
)
def test_errors_in_toml_name_the_line_of_their_statement(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        schemes_of(text, toml=True)
    assert str(raised.value).startswith(f"file:{line}: ")
    assert words in str(raised.value)


def test_files(tmp_path: Path) -> None:
    yaml, toml = tmp_path / "s.yaml", tmp_path / "s.toml"
    yaml.write_text(FULL_YAML)
    toml.write_text(FULL_TOML)
    assert len(load_schemes(yaml)) == len(load_schemes(toml)) == 2
    with pytest.raises(CannotError, match="cannot read"):
        load_schemes(tmp_path / "none.yaml")
    yaml.write_bytes(b"schemes:\n\xff")
    with pytest.raises(ConfigError, match=r"s\.yaml:2: this is not text"):
        load_schemes(yaml)
    yaml.write_bytes(b"\0")
    with pytest.raises(ConfigError, match=r"s\.yaml:1: this is not text in UTF-8, for it has bytes of 0"):
        load_schemes(yaml)
    yaml.write_text("#" * 300_000)
    with pytest.raises(ConfigError, match=r"s\.yaml:1: this is longer than any .* at most 256\.0 KiB"):
        load_schemes(yaml)
    yaml.write_bytes(FULL_YAML.encode("utf-8-sig"))
    assert len(load_schemes(yaml)) == 2


def test_without_pyyaml_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"udamon\[yaml\].*or write TOML"):
        schemes_of("[]")
