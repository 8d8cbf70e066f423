"""The command that would tell more of how much memory a target needs than a report of its size does.

Nothing that a recording says becomes part of a command, but for numbers of processes that still run: whoever wrote the
file could have chosen what is pasted into a shell. Where none runs any more, PID or COMMAND stands in its place.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from math import ceil

from udamon.availability.primitives import ORDER, probe
from udamon.cli.running import WATCHABLE_S, shorter
from udamon.linux.procfs import read_stat
from udamon.model import BY_MAPPING, MAPPING
from udamon.report.levels import FEWEST, SPARE, WINDOW_S
from udamon.report.size import NextStep, Size
from udamon.report.source import RecordingSource
from udamon.units import parse_duration_ns


def of_file(file: str, source: RecordingSource, report: Size) -> NextStep:
    """After a recording that is read from `file`."""
    watched = _watched(source)
    pids = sorted({pid for pid, started in watched if _runs(pid, started)})
    if pids:
        return _step(report, ["-p", ",".join(map(str, pids))], file)
    if watched and (few := _of_ended(source, report)) is not None:
        return few
    return _step(report, None, file)


def of_target(args: argparse.Namespace, report: Size) -> NextStep:
    """After watching what the flags of udamon.cli.targets say."""
    words = [word for text in args.pid or () for word in ("-p", text)]
    words += ["--children"] if args.children else []
    words += ["--cgroup", args.cgroup] if args.cgroup else []
    words += ["--paddr"] if args.paddr else []
    words += ["--sim", args.sim] if args.sim else []
    words += ["--user", args.user] if args.user else []
    words += ["--ops", args.ops] if args.ops else []
    words += [word for text in args.range for word in ("--range", text)]
    words += ["--warmup", args.warmup] if args.warmup else []
    given = ["--duration", args.duration] if args.duration else []
    warm_s = parse_duration_ns(args.warmup) / 1e9 if args.warmup else 0.0
    return _step(report, words, args.output, args.command, given, warm_s)


def _step(
    report: Size,
    target: Sequence[str] | None,
    file: str | None,
    command: Sequence[str] | None = None,
    given: Sequence[str] = (),
    warm_s: float = 0.0,
) -> NextStep:
    """`given` is how long to watch, where that was said; `warm_s` the seconds of it in which a program warms up."""
    finer = _page_granular() if report.grain == MAPPING and report.wide else None
    if target is not None:
        if finer is not None:
            return NextStep(_size(target, [*given, "--via", finer], command), "To tell single pages apart")
        if report.windows < FEWEST:
            if command is not None:
                each = shorter(report.length_ns / 1e9)
                return NextStep(_size(target, [*given, "--aggr", each], command), "For more windows")
            # What is suggested has windows of its own, whatever those of the recording were.
            window_s = WINDOW_S if report.grain == MAPPING else report.window_ns / 1e9
            seconds = max(1, ceil(window_s * FEWEST * SPARE + warm_s))
            return NextStep(_size(target, ["--duration", f"{seconds}s"]), "For enough windows")
    if report.grain == MAPPING and report.wide and finer is None:
        return NextStep("udamon doctor", "To see which ways tell single pages apart, and what they need")
    if file is not None and file != "-":
        return NextStep(
            shlex.join(["udamon", "report", "right-size", file]),
            "To see how much serves which share of accesses",
        )
    if target is not None:
        words = ["udamon", "record", "--duration", "10m", "-o", "long.udamon", *target]
        return NextStep(_joined(words, command), "To keep a longer recording, for all other reports")
    return NextStep("udamon report --help", "Other reports of a recording")


def _of_ended(source: RecordingSource, report: Size) -> NextStep | None:
    """What to do when such a program runs again, where the windows were too few; None where they were not, or where
    it lived too shortly for more of them."""
    seconds = report.length_ns / 1e9
    if report.windows >= FEWEST or seconds < WATCHABLE_S:
        return None
    of_command = bool(source.recording.metadata.get("command"))
    target, command = ([], ["COMMAND"]) if of_command else (["-p", "PID"], None)
    return NextStep(
        _size(target, ["--aggr", shorter(seconds)], command), "For more windows, when it runs again"
    )


def _size(target: Sequence[str], flags: Sequence[str], command: Sequence[str] | None = None) -> str:
    return _joined(["udamon", "size", *target, *flags], command)


def _joined(words: Sequence[str], command: Sequence[str] | None) -> str:
    return shlex.join([*words, *(["--", *command] if command is not None else [])])


def _page_granular() -> str | None:
    """The best way to look at single pages that can be used here without being asked for."""
    return next((name for name in ORDER if name not in BY_MAPPING and probe(name).usable), None)


def _watched(source: RecordingSource) -> list[tuple[int, object]]:
    """Pids and start times of the recording's processes, of its targets that were looked at."""
    wanted = set(source.targets)
    found = []
    for event in source.recording.events():
        pid = event.data.get("pid")
        if event.name == "target_start" and event.data.get("target") in wanted and isinstance(pid, int):
            found.append((pid, event.data.get("start_time")))
    return found


def _runs(pid: int, started: object) -> bool:
    """Whether it is still the process that was watched: same number, same start."""
    try:
        return read_stat(pid).start_time == started
    except OSError:
        return False
