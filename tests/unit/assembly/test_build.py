"""Which monitor is made of a specification: pte is a census, and a sampler where a region policy is asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import NoReturn

import pytest

from udamon.assembly import build as building
from udamon.assembly import parts
from udamon.assembly.build import build
from udamon.assembly.spec import MonitorSpec, Options
from udamon.core.attrs import IntervalsGoal
from udamon.errors import NotSupported, UsageError

SPEC = MonitorSpec(pids=(os.getpid(),), via="pte")


class Asked(Exception):
    """What would be opened, and how."""


@pytest.fixture(autouse=True)
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def census(via: str, *_: object, **words: object) -> NoReturn:
        raise Asked("census", via, words["allowed"], words["max_pause_ns"])

    def sampler(via: str, **words: object) -> NoReturn:
        raise Asked("sampler", via, words["allowed"], words["max_pause_ns"])

    monkeypatch.setattr(building, "require", lambda via: None)
    monkeypatch.setattr(parts, "census_watch", census)
    monkeypatch.setattr(building, "open_sampler", sampler)


def asked(spec: MonitorSpec, options: Options = Options()) -> tuple[object, ...]:  # noqa: B008 (immutable)
    with pytest.raises(Asked) as found:
        build(spec, options, own=True)
    return found.value.args


@pytest.mark.parametrize("policy", ["adaptive", "damon"])
def test_a_policy_asks_for_samples(policy: str) -> None:
    spec = MonitorSpec(pids=(os.getpid(),), via="pte", policy=policy, max_pause=0.002)
    assert asked(spec) == ("sampler", "pte", True, 2_000_000)


def test_without_one_it_is_a_census() -> None:
    assert asked(SPEC) == ("census", "pte", True, None)
    assert asked(SPEC, Options(clear="cold")) == ("census", "pte", True, None)


def test_how_a_census_clears_is_no_choice_of_samples() -> None:
    spec = MonitorSpec(pids=(os.getpid(),), via="pte", policy="adaptive")
    with pytest.raises(UsageError, match="--clear is how a census clears"):
        build(spec, Options(clear="cold"), own=True)


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        (MonitorSpec(via="kernel", policy="adaptive"), Options(), "a region policy of its own"),
        (MonitorSpec(via="kernel", max_pause=0.01), Options(), "does not stop a target"),
        (MonitorSpec(via="softdirty", policy="damon"), Options(), "has no use for policy"),
        (MonitorSpec(via="idle"), Options(clear="cold"), "--clear is of use with pte alone"),
        (MonitorSpec(via="kernel"), Options(same_cpu=True), "--same-cpu is of use with idle alone"),
        (MonitorSpec(via="refs"), Options(goal=IntervalsGoal(400, 3, 5_000, 10_000_000)), "--intervals-goal"),
    ],
)
def test_contradictions_come_before_what_this_machine_lacks(
    spec: MonitorSpec, options: Options, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(via: str) -> NoReturn:
        raise NotSupported(f"{via} cannot be used here")

    monkeypatch.setattr(building, "require", lacks)
    with pytest.raises(UsageError, match=said):
        build(replace(spec, pids=(os.getpid(),)), options, own=True)


def test_physical_memory_has_no_page_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "open_ops", lambda *_: SimpleNamespace(name="paddr"))
    with pytest.raises(UsageError, match="not physical memory"):
        build(MonitorSpec(paddr=True, via="pte", policy="adaptive"))
