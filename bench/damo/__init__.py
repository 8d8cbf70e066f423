"""udamon's reports beside damo's, on the same regions: 6,000 snapshots of 500, and ten times as many.

Whole processes, children included. The numbers of both are compared as well: a difference ends the bench.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from bench.damo.costs import damos, measured
from bench.damo.recording import REGIONS, Files, make
from bench.figures import Figure, Sample
from udamon.units import MIB

SNAPSHOTS, LONG, START = 6_000, 60_000, 2
"""Snapshots of the recording, of one ten times as long, and of one that is nothing but start-up."""

RUNS = 3
PLACE = Path(__file__).resolve().parents[2] / ".work" / "bench" / "damo"
COMMAND = (sys.executable, "-m", "udamon", "report")
REPORTS = {
    "wss": ("wss", "--definition", "damo"),
    "heatmap": ("heatmap",),
    "temperature": ("access", "--style", "temperature-sz-hist", "--whole", "--definition", "damo"),
}
NAMES = {
    "wss": "report wss", "heatmap": "report heatmap", "temperature": "report access --style temperature-sz-hist",
}  # fmt: skip


def measure() -> list[Figure]:
    """The side by side, and what ten times the length does."""
    files, short = make(PLACE, SNAPSHOTS), make(PLACE, START)
    _agree(files)
    return [_side_by_side(files, short), _longer(files, make(PLACE, LONG, with_damo=False))]


class _Ours:
    """Runs of one of our reports on one file."""

    def __init__(self, report: str, file: Path, runs: int = RUNS) -> None:
        self.cpu, self.rss = Sample(), Sample()
        for _ in range(runs):
            cost = measured([*COMMAND, *REPORTS[report], file]).cost
            self.cpu.values.append(cost.cpu_seconds)
            self.rss.values.append(cost.max_rss_bytes / MIB)


def _side_by_side(files: Files, short: Files) -> Figure:
    rows = []
    for report, name in NAMES.items():
        theirs, start = damos(files.damo, report).cost, damos(short.damo, report).cost.cpu_seconds
        rows.append([f"damo `{name}`", f"{theirs.cpu_seconds:.1f}", "1", f"{start:.2f}", "1",
                     f"{theirs.max_rss_bytes / MIB:,.0f}"])  # fmt: skip
        for what, file, empty in (("its own", files.own, short.own), ("damo's", files.damo, short.damo)):
            ours, begun = _Ours(report, file), _Ours(report, empty).cpu.median
            total = theirs.cpu_seconds / ours.cpu.median
            net = (theirs.cpu_seconds - start) / max(1e-3, ours.cpu.median - begun)
            rows.append([f"udamon, {what} file", ours.cpu.text(2), f"{total:.0f}", f"{begun:.2f}", f"{net:.0f}",
                         ours.rss.text(0)])  # fmt: skip
    size = ", ".join(f"{file.stat().st_size / 1e6:.1f} MB ({whose})" for whose, file in
                     (("udamon's own", files.own), ("damo's json_compressed", files.damo)))  # fmt: skip
    note = (
        f"{SNAPSHOTS:,} snapshots of {REGIONS} regions, {SNAPSHOTS * REGIONS / 1e6:.1f} M: {size}. CPU is user and "
        f"system of whole processes and their children; medians of {RUNS} runs (smallest–largest), damo's of one. "
        f"Start-up is the same command on {START} snapshots. Net is without it, on both sides."
    )
    head = ("what", "CPU, s", "times less", "start-up, s", "times less, net", "memory, MiB")
    return Figure("Reports beside damo's", head, rows, note)


def _longer(files: Files, long: Files) -> Figure:
    rows = []
    for report, name in NAMES.items():
        short, more = _Ours(report, files.own, 1), _Ours(report, long.own, 1)
        rows.append([name, short.rss.text(0), more.rss.text(0), short.cpu.text(2), more.cpu.text(2)])
    head = ("udamon", "memory, MiB", "ten times the length", "CPU, s", "ten times the length")
    note = f"{LONG * REGIONS / 1e6:.0f} M regions in {long.own.stat().st_size / 1e6:.0f} MB; one run."
    return Figure("Ten times the length", head, rows, note)


def _agree(files: Files) -> None:
    """Exit unless both find the same working sets: damo prints the values at 0, 25, …, 100 % of the sorted ones."""
    text = damos(files.damo, "wss").text
    theirs = {int(share): int(size) for share, size in re.findall(r"^ *(\d+) +(\d+)", text, re.MULTILINE)}
    for file in files:
        document = json.loads(measured([*COMMAND, *REPORTS["wss"], "--json", "--over-time", file]).text)
        sizes = sorted(moment["bytes"] for moment in document["over_time"])
        ours = {share: sizes[min(len(sizes) - 1, len(sizes) * share // 100)] for share in theirs}
        if not theirs or ours != theirs or f"avr:\t{sum(sizes) // len(sizes)}" not in text:
            sys.exit(f"bench: working sets differ: damo {theirs}, udamon {ours} from {file.name}.")
