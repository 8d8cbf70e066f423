"""What damo's reports cost and say: measured once, kept beside the recording, because one takes minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.machine import Cost
from scripts import damo

REPORTS = {
    "wss": ("wss", "--raw_number", "--exclude_samples", "0"),
    "heatmap": ("heatmap", "--output", "raw"),
    "temperature": ("access", "--style", "temperature-sz-hist", "--raw_number"),
}
"""By name: the words of damo's report. Raw numbers, and none of the first 20 snapshots left out."""


class Run(NamedTuple):
    """What a command took, and what it printed."""

    cost: Cost
    text: str


def measured(command: Sequence[str | Path]) -> Run:
    """Run a command to its end; children that it waited for are in its cost."""
    begin = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/"
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
    seconds = time.monotonic() - begin
    cost = Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss << 10, process.returncode)
    if cost.status != 0:
        sys.exit(f"bench: {' '.join(map(str, command))} ended with {cost.status}.")
    return Run(cost, text)


def damos(file: Path, report: str) -> Run:
    """A report by damo: what was kept of an earlier run, or a run now (nobody's, and nice)."""
    kept = file.with_name(f"{file.name}.{report}.json")
    if kept.exists():
        about = json.loads(kept.read_text())
        return Run(Cost(*about["cost"]), about["text"])
    command = damo.command()
    if isinstance(command, str):
        sys.exit(f"bench: damo is needed for this: {command}.")
    run = measured(["nice", *command, "report", *REPORTS[report], "--input", file])
    kept.write_text(json.dumps({"cost": list(run.cost), "text": run.text}))
    return run
