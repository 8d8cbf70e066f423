"""For how long memory lies idle and how much is accessed a second: DAMON_STAT, for a process or the whole machine."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import closing

from udamon import console, text
from udamon.assembly.child import Child
from udamon.assembly.follow import follow
from udamon.availability.choice import choose
from udamon.cli import group_ages, json_lines, monitor
from udamon.cli.acting import flags as acting_flags
from udamon.cli.progress import Progress
from udamon.cli.progress_line import ProgressLine
from udamon.cli.running import parse_duration, require_windows, run_to_end, run_watching, signals
from udamon.cli.targets import check
from udamon.core.ages import AgesReport, sentence
from udamon.core.ages import document as ages_document
from udamon.model import grain, is_census
from udamon.modules.stat import REFRESH_S, AgeWatch, Idleness, IdleWatch
from udamon.targets.coverage import line as line_of
from udamon.text import lines
from udamon.units import format_length, format_size, format_time

SHOWN = (0, 25, 50, 75, 90, 99, 100)
GOAL = "4%,3,5ms,10s"
"""The intervals goal of DAMON_STAT (modules.stat.GOAL), as a flag."""
NOT_COUNTED = "bytes touched in a window are known, and not how often each was"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    monitor.configure(parser, more_ways=(group_ages.VIA,))
    json_lines.configure(acting_flags.configure_output(parser))
    acting_flags.configure_module(parser, None, tunable=False)


def run(args: argparse.Namespace) -> int:
    """Tell until the target, the duration or the user ends it; passes a COMMAND's status on."""
    check(args)
    json_lines.check(args)
    if args.via == group_ages.VIA:
        return group_ages.run(args)
    settle_intervals(args)
    acting_flags.settle_monitor(args)
    monitor.validate(args)
    duration = parse_duration(args.duration)
    with signals() as stopped:
        return run_watching(args, lambda child: _watch(args, child, duration, stopped))


def settle_intervals(args: argparse.Namespace) -> None:
    """DAMON_STAT tunes its intervals; a census has none to tune, and keeps to --overhead."""
    given = any((args.sample, args.aggr, args.overhead, args.intervals_goal))
    if not given and (
        args.sim is not None or not is_census(choose(args.via, physical=args.paddr), args.policy)
    ):
        args.intervals_goal = GOAL


def _watch(
    args: argparse.Namespace, child: Child | None, duration: float | None, stopped: threading.Event
) -> str:
    built = monitor.build(args, None if child is None else child.pid)
    built.settle()
    census = built.via if is_census(built.via, built.policy) else None
    engine, idle, ages = built.engine, IdleWatch(census), AgeWatch(built.via, built.policy)
    progress = Progress(kdamond_cpu_ns=lambda: engine.kdamond_cpu_ns or 0)
    line = ProgressLine(sys.stderr, quiet=args.quiet, shared=child is not None, every=REFRESH_S)
    for subscriber in (idle, ages, progress, line):
        engine.bus.subscribe(subscriber)
    try:
        with closing(engine), json_lines.printed(built, stopped, wanted=args.json_lines) as check_lines:

            def keep_up() -> None:
                line.show(lambda: _line(idle.latest, progress))
                check_lines()

            engine.open()
            for text in built.notes:
                line.say(text)
            ended_by, refused = run_to_end(lambda: follow(engine, child, duration, stopped, keep_up))
    finally:
        line.clear()
    if args.json:
        console.document(document(idle.last, ages.last, progress, built.via, ended_by))
    elif not args.quiet:
        cold = None if ages.last is None else sentence(ages.last)
        found = [_table(idle.last, progress), cold, line_of(progress.coverage_document())]
        text = lines(filter(None, found))
        if child is None and not args.json_lines:
            console.out(text, wrap=True)
        else:
            console.err(text)
    require_windows(progress, engine, child, ended_by, refused, quiet=args.quiet)
    return ended_by


def _line(found: Idleness | None, progress: Progress) -> str:
    time = format_length(progress.seconds)
    if found is None:
        return f"{time}  nothing was seen yet  monitor {progress.cpu_share:.1%} CPU"
    idle = ", ".join(f"{p}% {_idle(found, p)}" for p in (25, 50, 75, 99))
    return (
        f"{time}  {idle}  {_bandwidth(found)}  "
        f"aggregations of {format_time(found.aggr_us / 1e6)}  monitor {progress.cpu_share:.1%} CPU"
    )


def _idle(found: Idleness, percent: int) -> str:
    """For how long, in words: a negative idle time is DAMON_STAT's for memory that is accessed."""
    ms = found.idle_ms[percent]
    most = "at least " if found.at_least[percent] else ""
    return f"{'accessed' if ms < 0 else 'idle'} for {most}{format_time(abs(ms) / 1e3)}"


def _bandwidth(found: Idleness) -> str:
    if found.bandwidth is None:
        return f"at least {format_size(found.bandwidth_low)}/s"
    return f"{format_size(found.bandwidth)}/s"


def _table(found: Idleness | None, progress: Progress) -> text.Shown:
    if found is None:
        return text.line(f"nothing was seen in {format_length(progress.seconds)}")
    lines = [f"of {format_size(found.bytes)}, from what is accessed for longest to what is idle for longest:"]
    lines += [f"{p:4} %  {_idle(found, p)}" for p in SHOWN]
    if found.untouched:
        size = format_size(found.untouched)
        lines.append(
            f"{size} of mappings that were touched in part were not; they count as accessed, so idle times are at "
            "least these"
        )
    if found.bandwidth is None:
        lines.append(f"memory bandwidth: {_bandwidth(found)} ({NOT_COUNTED})")
    else:
        lines.append(f"estimated memory bandwidth: {_bandwidth(found)}")
    intervals = f"{format_time(found.sample_us / 1e6)}, aggregations of {format_time(found.aggr_us / 1e6)}"
    lines.append(f"sampling intervals of {intervals}; {progress.cost}")
    return text.lines(lines)


def document(
    found: Idleness | None, ages: AgesReport | None, progress: Progress, via: str, ended_by: str
) -> dict[str, object]:
    """What --json prints: DAMON_STAT's parameters by their names; null where nothing was seen."""
    return {
        "schema": 1,
        "memory_idle_ms_percentiles": None if found is None else list(found.idle_ms),
        "memory_idle_at_least": None if found is None else list(found.at_least),
        "estimated_memory_bandwidth": None if found is None else found.bandwidth,
        "memory_bandwidth_low": None if found is None else found.bandwidth_low,
        "memory_bandwidth_why": NOT_COUNTED if found is not None and found.bandwidth is None else None,
        "aggr_interval_us": None if found is None else found.aggr_us,
        "sample_interval_us": None if found is None else found.sample_us,
        "bytes": None if found is None else found.bytes,
        "untouched_bytes": None if found is None else found.untouched,
        "ages": None if ages is None else ages_document(ages),
        "snapshots": progress.snapshots,
        "via": via,
        "grain": grain(via),
        "seconds": round(progress.seconds, 3),
        "stopped_by": ended_by,
        "monitor_cpu_share": round(progress.cpu_share, 6),
        "coverage": progress.coverage_document(),
        "damaged": [],  # as in documents of recordings
        "monitor_start_cpu_seconds": round(progress.start_cpu_seconds, 6),
    }
