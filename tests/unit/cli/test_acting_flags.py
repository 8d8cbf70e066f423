"""Flags of modules: DAMON's names, what wins over what, and what the whole machine has by itself."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from udamon.acting.exclusions import LEAVE_ALL, Exclusions
from udamon.cli import reclaim, stat
from udamon.cli.acting import flags as acting_flags
from udamon.cli.attributes import attrs_of
from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.errors import UsageError
from udamon.modules.reclaim import ReclaimParameters
from udamon.modules.stat import GOAL
from udamon.schemes.governor import PressureLimits


def parsed(*words: str, module: object = reclaim) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.configure(parser)  # type: ignore[attr-defined]
    args = parser.parse_args(words)
    args.command = None
    return args


def test_a_process_has_no_watermark_and_the_machine_has_damons() -> None:
    assert acting_flags.read_parameters(parsed("-p", "1"), ReclaimParameters()) == ReclaimParameters()
    machine = acting_flags.read_parameters(parsed("--paddr"), ReclaimParameters())
    assert machine == ReclaimParameters(wmarks_metric="free_mem_rate")
    none = acting_flags.read_parameters(parsed("--paddr", "--wmarks-metric", "none"), ReclaimParameters())
    assert none == ReclaimParameters()


def test_a_flag_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('min_age = "30s"\nquota_sz = "1M"\nskip_anon = true\n')
    args = parsed("-p", "1", "--parameters", str(file), "--min-age", "7s", "--no-skip-anon")
    found = acting_flags.read_parameters(args, ReclaimParameters())
    assert found == ReclaimParameters(min_age=7_000_000, quota_sz=1 << 20)


def test_damons_names_of_the_attributes() -> None:
    words = ("--sample-interval", "7ms", "--aggr-interval", "70ms", "--min-nr-regions", "5")
    args = parsed("-p", "1", *words, "--max-nr-regions", "50")
    acting_flags.settle_monitor(args)
    assert attrs_of(args) == Attrs(7_000, 70_000, 1_000_000, 5, 50)


def test_the_machine_is_watched_as_damons_modules_watch_it() -> None:
    args = parsed("--paddr")
    acting_flags.settle_monitor(args)
    assert attrs_of(args) == Attrs(5_000, 100_000, 1_000_000)
    args = parsed("--paddr", "--autotune-monitoring-intervals")
    acting_flags.settle_monitor(args)
    assert attrs_of(args).goal == IntervalsGoal(40, 3, 5_000, 10_000_000)
    args = parsed("-p", "1")
    acting_flags.settle_monitor(args)
    assert (args.sample, args.aggr) == (None, None), "a process is watched within --overhead"


def test_the_monitored_region_is_in_units() -> None:
    region = ("--monitor-region-start", "0x10", "--monitor-region-end", "1K")
    args = parsed("--paddr", *region, "--addr-unit", "4096")
    acting_flags.settle_monitor(args)
    assert args.range == ["0x10000-0x400000"]
    with pytest.raises(UsageError, match="with --paddr"):
        acting_flags.settle_monitor(parsed("-p", "1", *region))


def test_what_is_left_alone_and_when_to_hold_still() -> None:
    assert acting_flags.exclusions(parsed("-p", "1")) == LEAVE_ALL
    assert acting_flags.exclusions(parsed("-p", "1", "--include", "locked, text")) == Exclusions(
        locked=False, shared=True, text=False
    )
    assert acting_flags.limits(parsed("-p", "1")) == PressureLimits(100.0, 0.1)
    assert acting_flags.limits(
        parsed("-p", "1", "--max-major-faults", "off", "--max-psi", "1%")
    ) == PressureLimits(None, 0.01)


def test_stat_tunes_its_intervals_where_they_can_be_tuned() -> None:
    args = parsed("--sim", "wss", module=stat)
    stat.settle_intervals(args)
    assert attrs_of(args).goal == GOAL
    args = parsed("-p", "1", "--via", "refs", module=stat)
    stat.settle_intervals(args)
    assert args.intervals_goal is None
    args = parsed("--sim", "wss", "--aggr", "1s", module=stat)
    stat.settle_intervals(args)
    assert args.intervals_goal is None
