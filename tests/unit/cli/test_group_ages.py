"""The flags of `udamon stat --via lru_gen`: what it takes, and that nothing else is passed over."""

from __future__ import annotations

import argparse
import json

import pytest

from tests.unit.modules.test_group_ages import Kernel
from tests.unit.test_json_schemas import check
from udamon.cli import group_ages, main, stat


@pytest.mark.parametrize(
    "flags",
    [("--policy", "damon"), ("--sample", "5ms"), ("--max-pause", "5ms"), ("--clear", "cold"), ("--same-cpu",),
     ("--intervals-goal", "4%,3,5ms,10s"), ("--range", "1-2"), ("--update", "2s"), ("--min-regions", "11"),
     ("--max-regions", "11"), ("--monitor-region-start", "1"), ("--addr-unit", "2"), ("--ops", "paddr")],
)  # fmt: skip
def test_what_it_has_no_use_for(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["stat", "--via", "lru_gen", "--paddr", *flags]) == 2
    said = capsys.readouterr().err
    assert f"{flags[0]} is of no use with lru_gen" in said
    assert said.count("\n") == 1


def test_processes_are_no_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["stat", "--via", "lru_gen", "-p", "1"]) == 2
    assert "whole control groups" in capsys.readouterr().err


def test_it_is_of_stat_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["record", "--via", "lru_gen", "-p", "1"]) == 2
    assert "invalid choice" in capsys.readouterr().err


def test_defaults_are_those_of_the_parser() -> None:
    """Else a flag that was not given would be refused."""
    parser = argparse.ArgumentParser()
    stat.configure(parser)
    args = parser.parse_args(["--via", "lru_gen", "--paddr"])
    assert {name: getattr(args, name) for name in group_ages._NOT_TAKEN} == group_ages._NOT_TAKEN


def test_ages_of_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a made-up kernel; tests/guest/test_lru_gen.py has a real one."""
    kernel = Kernel(monkeypatch, 10)
    watch = kernel.watch()
    watch.begin()
    for accessed in (set(), {1}, {1, 2}):
        kernel.accessed = accessed
        kernel.now += 1_500_000_000
        watch.window()
        check("stat-groups", json.loads(json.dumps(group_ages.document(watch, "/a", 0.01, "duration"))))
