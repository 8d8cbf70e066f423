"""A measurement that is one run in one guest: how it is asked for, its workload, and how it is shown."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import machine
from bench.figures import Figure, as_markdown, as_text, put
from bench.side_by_side import guest
from scripts.guest.machine import Machine
from tests.integration.recorder import phase_begun

UDAMON = [sys.executable, "-m", "udamon"]
ATTRS = ["--sample", "50ms", "--aggr", "1s"]
"""Intervals that keep pace under emulation."""


class Single(NamedTuple):
    """`module` is run in the guest, where `inside` leaves what it found in a directory; `figure` shows what is there,
    with a sentence about where it was measured. `write` is what --write does beside the table."""

    module: str
    name: str
    about: str | None
    machine: Machine
    inside: Callable[[Path], None]
    figure: Callable[[Path, str], Figure]
    write: Callable[[Path], object] = lambda _: None


def start_workload(
    place: Path, config: str, rate: str, before: Callable[[], None] | None = None
) -> tuple[subprocess.Popen[bytes], Path]:
    """`udamon workload`, its first phase begun, and its truth log; the process calls `before` first of all."""
    workload, truth = place / "w.masim", place / "truth"
    workload.write_text(config)
    words = ["workload", str(workload), "--truth", str(truth), "--rate", rate, "--quiet"]
    target = subprocess.Popen([*UDAMON, *words], preexec_fn=before)
    while not phase_begun(truth):
        time.sleep(0.1)
    return target, truth


def main(single: Single, arguments: Sequence[str]) -> int:
    if arguments[:1] == ["inside"]:
        assert "UDAMON_GUEST" in os.environ
        single.inside(Path(arguments[-1]))
        return 0
    parser = argparse.ArgumentParser(prog=f"python -m {single.module}", description=single.about)
    parser.add_argument("--kernel", default="")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    kernel = guest.kernel(args.kernel)
    ended, left = guest.run(kernel, single.module, "inside", machine=single.machine)
    if ended.status or ended.why:
        return 1
    figure = single.figure(left, f"Linux {kernel.release}, emulated on {machine.describe()}.")
    print(as_text(figure))
    if args.write:
        put(single.name, as_markdown(figure))
        single.write(left)
    return 0
