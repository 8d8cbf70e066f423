"""`udamon stat --via lru_gen`: ages of the memory of a control group or of the machine, by the kernel's generations."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from udamon import console, text
from udamon.assembly.follow import DURATION, SIGNAL
from udamon.assembly.spec import overhead_of
from udamon.availability.others import find
from udamon.cli import monitor
from udamon.cli.progress_line import ProgressLine
from udamon.cli.running import parse_duration, signals
from udamon.core.generations import ColdGenerations
from udamon.core.idle_time import LABELS, SECONDS
from udamon.errors import CannotError, NotPermitted, UsageError
from udamon.linux.cgroup.page_cache import place_of
from udamon.linux.lru_gen import require
from udamon.modules.group_ages import GroupWatch
from udamon.targets import coverage
from udamon.units import counted, format_length, format_range, format_size, format_time

VIA = "lru_gen"
KINDS = ("anon", "file")
_NOT_TAKEN: dict[str, object] = {
    **dict.fromkeys(("sample", "intervals_goal", "policy", "clear", "max_pause", "ops")),
    **dict.fromkeys(("monitor_region_start", "monitor_region_end")),
    "same_cpu": False, "json_lines": False, "range": [],
    "update": "1s", "min_regions": 10, "max_regions": 1000, "addr_unit": 1,
}  # fmt: skip
"""Flags of other ways of looking, and what they are where they are not given."""
WHY = "of what left the oldest generation it is not known how long it had been in it"


def run(args: argparse.Namespace) -> int:
    """Age and tell until the duration or the user ends it. Raises UdamonError."""
    if args.cgroup is None and not args.paddr:
        raise UsageError(
            "lru_gen tells of whole control groups; give --cgroup PATH, or --paddr for the machine."
        )
    for name, default in _NOT_TAKEN.items():
        if getattr(args, name) != default:
            raise UsageError(
                f"--{name.replace('_', '-')} is of no use with lru_gen, which has --aggr and --overhead; leave it out."
            )
    monitor.validate(args)
    duration = parse_duration(args.duration)
    spec, options = monitor.spec_of(args)
    share = overhead_of(spec, options)
    require()
    watch = GroupWatch("/" if args.cgroup is None else place_of(args.cgroup)[1])

    def length_ns() -> int:
        return round(spec.aggr * 1e9) if share is None else watch.pause_ns(share)

    with signals() as stopped, ProgressLine(sys.stderr, quiet=args.quiet) as line:
        for note in find(VIA).notes(VIA):
            line.say(note)
        begin_cpu = time.process_time_ns()
        try:
            ended_by = _follow(watch, length_ns, duration, stopped, line)
        except PermissionError as error:
            raise NotPermitted(f"lru_gen is kept from you ({error.strerror}); run udamon as root.") from None
        except OSError as error:
            raise CannotError(
                f"lru_gen failed: {error.strerror or error}; udamon doctor says how it is."
            ) from None
        cpu_share = (time.process_time_ns() - begin_cpu) / max(1, watch.end_ns - watch.begin_ns)
    if not watch.windows and ended_by != SIGNAL:
        raise CannotError("no window was complete; watch longer, or give a shorter --aggr.")
    if args.json:
        console.document(document(watch, args.cgroup, cpu_share, ended_by))
    elif not args.quiet:
        console.out(text.lines(lines(watch, cpu_share)), wrap=True)
    return 0


def _follow(
    watch: GroupWatch,
    length_ns: Callable[[], int],
    duration: float | None,
    stopped: threading.Event,
    line: ProgressLine,
) -> str:
    """Window after window; a window that the end cuts short is not told. Returns what ended it."""
    watch.begin()
    end_ns = None if duration is None else watch.begin_ns + round(duration * 1e9)
    told = False
    while True:
        length = length_ns()
        due_ns = watch.end_ns + length
        if end_ns is not None and due_ns > end_ns + length // 100:  # it may end a moment late
            return SIGNAL if stopped.wait(max(0.0, (end_ns - time.monotonic_ns()) / 1e9)) else DURATION
        if stopped.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9)):
            return SIGNAL
        watch.window()
        if watch.foreign and not told:
            told = True
            line.say(
                "somebody else ages these groups, too (the kernel does while memory is short): pages that it looked at "
                "have ages of its windows."
            )
        line.show(lambda: _line(watch))


def _line(watch: GroupWatch) -> str:
    kinds = "  ".join(
        f"{kind} {format_size(watch.touched(kind))} touched of {format_size(watch.cold(kind).size)}"
        for kind in KINDS
    )
    watched = format_time(round((watch.end_ns - watch.begin_ns) / 1e9, 1))
    return f"{watched}  {kinds}  aging took {format_time(watch.aging_ns / 1e9)}"


def lines(watch: GroupWatch, cpu_share: float) -> Iterator[str]:
    """For people: both kinds beside each other."""
    seconds = (watch.end_ns - watch.begin_ns) / 1e9
    found = [watch.cold(kind) for kind in KINDS]
    groups = len({(part.memcg, part.path) for part in watch.parts})
    of = counted(groups, "control group")
    windows = f"{counted(watch.windows, 'window')} in {format_length(seconds)}"
    yield f"{of}, {windows}, by the kernel's generations of pages"
    yield f"{'':<28}{'anonymous':>22}{'file':>22}"
    yield _row("in memory", [format_size(one.size) for one in found])
    yield _row("touched in the last window", [format_size(watch.touched(kind)) for kind in KINDS])
    for at, label in enumerate(LABELS):
        if found[0].low[at] is not None:
            yield _row(f"idle for at least {label}", [_between(one.low[at], one.high[at]) for one in found])
    yield (
        f"an aging took {format_time(watch.aging_ns / 1e9)} of CPU; the monitor took {cpu_share:.2%} of a CPU, and "
        f"the groups lost about {format_time(round(watch.target_cost_ns / 1e9, 4))}"
    )


def _row(what: str, cells: list[str]) -> str:
    return f"{what:<28}" + "".join(f"{cell:>22}" for cell in cells)


def _between(low: float | None, high: float | None) -> str:
    """ "-" of an age for which nothing is known."""
    return "-" if low is None or high is None else format_range(low, high)


def document(watch: GroupWatch, cgroup: str | None, cpu_share: float, ended_by: str) -> dict[str, object]:
    """What --json prints."""
    own = next(
        (part.memcg for part in watch.parts if part.path.rstrip("/") == watch.inside.rstrip("/")), None
    )
    return {
        "schema": 1,
        "via": VIA,
        "grain": "group",
        "coverage": coverage.document(
            {
                "processes_missed": 0,
                "bytes_missed": 0,
                "exact": True,
                "why": "groups count, not their processes",
            }
        ),
        "damaged": [],  # as in documents of recordings
        "cgroup": cgroup,
        "memcg": own,
        **{kind: _kind(watch.cold(kind), watch.touched(kind)) for kind in KINDS},
        "groups": [
            {
                "memcg": part.memcg,
                "path": part.path,
                "node": part.node,
                "anon_bytes": round(sum(size for _, size in part.anon.parts()[0])),
                "anon_touched_bytes": round(part.anon.touched),
                "file_bytes": round(sum(size for _, size in part.file.parts()[0])),
                "file_touched_bytes": round(part.file.touched),
            }
            for part in watch.parts
        ],
        "windows": watch.windows,
        "seconds": (watch.end_ns - watch.begin_ns) / 1e9,
        "aging_cpu_seconds": watch.aging_ns / 1e9,
        "target_cost_seconds": watch.target_cost_ns / 1e9,
        "monitor_cpu_share": round(cpu_share, 6),
        "foreign_agings": watch.foreign,
        "taken_by_others": list(find(VIA).taking),
        "stopped_by": ended_by,
    }


def _kind(found: ColdGenerations, touched: int) -> dict[str, Any]:
    low, high = (
        [None if value is None else round(value) for value in one] for one in (found.low, found.high)
    )
    exact = low == high
    by_seconds = [dict(zip(map(str, SECONDS), one, strict=True)) for one in (low, high)]
    return {
        "resident_bytes": round(found.size),
        "touched_bytes": touched,
        "cold_bytes": by_seconds[0],
        "bounds": None if exact else {"low": by_seconds[0], "high": by_seconds[1]},
        "why": None if exact else WHY,
    }
