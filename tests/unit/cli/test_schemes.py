"""`udamon schemes` by flags: acting on everything has to be meant, and a quota is there unless it is given up."""

from __future__ import annotations

import argparse

import pytest

from udamon.cli import schemes
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, Quota
from udamon.errors import UsageError
from udamon.modules.reclaim import ReclaimParameters
from udamon.modules.single import PATTERN, QUOTA


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
        flags[name] = "4KiB" if "size" in name else "5%" if "accesses" in name else "1s"
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
