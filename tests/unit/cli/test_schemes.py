"""`udamon schemes` by flags: acting on everything has to be meant, and a quota is there unless it is given up."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from udamon.cli import schemes
from udamon.cli.attributes import attrs_of
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, Quota
from udamon.errors import UsageError
from udamon.modules.reclaim import ReclaimParameters
from udamon.modules.single import PATTERN, QUOTA, scheme_of
from udamon.units import parse_size


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    schemes.configure(parser)
    args = parser.parse_args(["--sim", "wss", *words])
    args.command = None
    return args


def quota_of(*words: str, action: Action = Action.PAGEOUT) -> Quota:
    args = parsed("--action", action, *words)
    flags = {name: text for name in QUOTA if (text := getattr(args, name.replace("-", "_"))) is not None}
    return schemes._scheme(args, action, flags).at(Attrs()).quotas


ACTING = sorted(set(Action) - {Action.STAT, Action.MIGRATE_COLD, Action.MIGRATE_HOT})


@pytest.mark.parametrize("action", ACTING)
def test_applied_without_a_pattern_is_refused_and_names_all_that_would_do(action: Action) -> None:
    with pytest.raises(UsageError) as refused:
        schemes.run(parsed("--action", action, "--apply"))
    sentence = str(refused.value)
    assert all(f"--{name}" in sentence for name in [*PATTERN, "all"])
    assert refused.value.status == 2


@pytest.mark.parametrize("words", [[], ["--apply", "--all"], *(["--apply", f"--{name}"] for name in PATTERN)])
def test_a_dry_run_all_and_each_part_of_a_pattern_are_taken(words: list[str]) -> None:
    flags: dict[str, str] = {}
    if words[1:] not in ([], ["--all"]):
        name = words[1].removeprefix("--")
        flags[name] = "8KiB" if "size" in name else "5%" if "accesses" in name else "1s"
        words = [*words, flags[name]]
    assert schemes._scheme(parsed("--action", "pageout", *words), Action.PAGEOUT, flags)


def test_stat_acts_on_nothing_and_needs_neither() -> None:
    assert quota_of("--apply", action=Action.STAT) == Quota()


def test_the_quota_is_that_of_reclaim_unless_it_is_said() -> None:
    (like,) = ReclaimParameters().schemes(sparse=True)
    assert quota_of("--min-age", "1s") == like.scheme.quotas
    assert (like.scheme.quotas.ms, like.scheme.quotas.bytes) == (10, 128 << 20)
    assert quota_of("--no-quota", "--all") == Quota()
    assert quota_of("--quota-bytes", "1M") == Quota(bytes=1 << 20, reset_interval_ms=1_000)


def test_an_interval_alone_keeps_the_quota_of_reclaim() -> None:
    """It limits nothing itself: with --apply there was no limit at all."""
    (like,) = ReclaimParameters().schemes(sparse=True)
    found = quota_of("--all", "--apply", "--quota-reset-interval-ms", "5s")
    assert found == replace(like.scheme.quotas, reset_interval_ms=5_000)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--quota-bytes", "0"], "--quota-bytes 0 limits nothing; give more, or --no-quota."),
        (["--quota-ms", "0"], "--quota-ms 0 limits nothing; give more, or --no-quota."),
        (
            ["--quota-ms", "0ms", "--quota-bytes", "0"],
            "--quota-ms 0ms limits nothing; give more, or --no-quota.",
        ),
        (
            ["--quota-reset-interval-ms", "0"],
            "--quota-reset-interval-ms 0 is no time that a quota can be for",
        ),
        (["--quota-bytes", "1M", "--quota-reset-interval-ms", "0"], "a quota needs reset_interval_ms"),
    ],
)
def test_no_quota_is_only_had_by_its_name(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        quota_of("--min-age", "1s", *words)
    assert quota_of("--quota-ms", "0", "--quota-bytes", "1M") == Quota(bytes=1 << 20, reset_interval_ms=1_000)


def test_a_node_is_for_migrations() -> None:
    with pytest.raises(
        UsageError, match="--target-nid is of use with migrate_hot and migrate_cold; leave it out"
    ):
        schemes.run(parsed("--action", "pageout", "--target-nid", "0"))


def test_an_unknown_action_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--action", "drop")
    error = capsys.readouterr().err
    assert "willneed" in error
    assert "<" not in error


def words_of(name: str) -> st.SearchStrategy[str]:
    """A bound as people write it, also one that bounds nothing."""
    number = st.sampled_from(
        [0, 1, 2, 19, 20, 21, 100, 4095, 4096, 4097, 8192, 2**32 - 1, 2**47 - 4096, 2**64 - 1]
    )
    if "size" in name:
        unit = st.sampled_from(["", "B", " KiB", "k", "M", "GiB", "T", "E"])
        written = st.builds(lambda number, unit: f"{number}{unit}", st.integers(0, 200) | number, unit)
        return (written | number.map(str) | number.map(hex)).filter(
            lambda text: parse_size(text) < 2**64
        ) | st.just("max")
    if "accesses" in name:
        share = st.decimals(0, 100, places=3).map(lambda share: f"{share}%")
        return share | st.sampled_from(["0%", "100%", "100.0 %", " 99.9%", "0.001%", "max"]) | number.map(str)
    unit = st.sampled_from(["us", "ms", "s", " s", "m", "h", "d"])
    time = st.builds(lambda number, unit: f"{number}{unit}", st.integers(0, 100_000), unit)
    return time | st.sampled_from(["max", "0s", "0.0 h", ".1s"]) | number.map(str)


@given(
    st.fixed_dictionaries({}, optional={name: words_of(name) for name in PATTERN}),
    st.sampled_from([[], ["--sample", "1ms"], ["--aggr", "10s"], ["--sample", "5ms", "--aggr", "5ms"]]),
)
def test_a_pattern_that_leaves_nothing_out_is_none(flags: dict[str, str], intervals: list[str]) -> None:
    """Refused exactly where a page and a region of all addresses, never and always accessed, just now and for a year,
    match: a pattern is a box, so all that there can be does."""
    args = parsed("--action", "pageout", "--apply", "--no-quota", *intervals)
    attrs = attrs_of(args)
    try:
        pattern = scheme_of(Action.PAGEOUT, flags).at(attrs).access_pattern
    except UsageError:
        reject()  # a minimum above its maximum
    year = 366 * 86_400 * 10**6 // attrs.aggr_us
    everything = (
        all(size in pattern.sz for size in (4096, 2**47 - 4096))
        and all(count in pattern.nr_accesses for count in (0, attrs.max_nr_accesses))
        and all(min(age, 2**32 - 1) in pattern.age for age in (0, year))
    )
    refused = False
    try:
        schemes._scheme(args, Action.PAGEOUT, flags)
    except UsageError as error:
        refused = True
        assert "all memory, the hot included" in str(error)  # noqa: PT017 (whether it is raised is the question)
    assert refused == everything
    args.all = not flags
    args.apply = args.all
    schemes._scheme(args, Action.PAGEOUT, flags)  # a dry run, or meant


@pytest.mark.parametrize(
    "words",
    [
        [
            "--min-size",
            "0",
            "--max-size",
            "max",
            "--min-accesses",
            "0%",
            "--max-accesses",
            "100%",
            "--min-age",
            "0s",
        ],
        ["--min-size", "4096"],
        ["--max-size", "8EiB", "--max-age", "max"],
        ["--max-accesses", "20"],
        ["--min-ag", "0"],
        ["--min-accesses", "4%"],  # of 20 samples: none
    ],
)
def test_patterns_that_match_everything_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="with this pattern pageout would be applied to all memory"):
        schemes.run(parsed("--action", "pageout", "--apply", *words))
