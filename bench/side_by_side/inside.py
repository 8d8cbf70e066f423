"""The runs, one after the other, as root in the guest: python -m bench.side_by_side.inside PLAN DIRECTORY.

PLAN is a JSON list of runs; each leaves a directory of its own with the truth log, the recording, what the
programs said, and run.json: CPU of the monitor (all that it started included) and of kdamond, over time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.side_by_side.monitors import MONITORS
from bench.side_by_side.plan import Run, workload
from bench.spending import Look, group_cpu_s, join, own_group
from tests.integration.recorder import phase_begun
from udamon.linux.tracefs import tracefs_root
from udamon.workload.spec import format_workload

KDAMONDS = Path("/sys/kernel/mm/damon/admin/kdamonds")
ENDS_IN_S = 120
ALONE_SETTLES_S = 1.0


def main(argv: Sequence[str]) -> int:
    if "UDAMON_GUEST" not in os.environ:
        print("this runs in the guest only", file=sys.stderr)  # it turns in-kernel DAMON on and off
        return 2
    plan, place = Path(argv[0]), Path(argv[1])
    for number, fields in enumerate(todo := json.loads(plan.read_text()), 1):
        run, begin = Run(**fields), time.monotonic()
        with tempfile.TemporaryDirectory() as name:  # in memory: the way outside is slow
            carry_out(run, Path(name))
            shutil.copytree(name, place / f"{run.id}.part")
        (place / f"{run.id}.part").rename(place / run.id)
        print(f"{number}/{len(todo)} {run.id}: {time.monotonic() - begin:.0f} s", flush=True)
    return 0


def carry_out(run: Run, place: Path) -> None:
    """Leave everything that is to be known of a run in `place`."""
    monitor = MONITORS.get(run.monitor)
    config, truth = place / "workload.masim", place / "truth"
    settle = monitor.starts_in_s if monitor else ALONE_SETTLES_S
    config.write_text(format_workload(workload(run.workload, settle)))
    words = [sys.executable, "-m", "udamon", "workload", str(config), "--truth", str(truth)]
    found: dict[str, Any] = {"clock_offset_ns": trace_clock_offset_ns(), "settle_s": settle}
    with (place / "workload.err").open("wb") as said:
        target = subprocess.Popen(words, stderr=said)
        while not phase_begun(truth):
            assert target.poll() is None, "the workload ended before it began"
            time.sleep(0.05)
        # Alone, too, somebody looks twice a second: what that costs the workload must be the same for all.
        command = monitor.command(target.pid, place / "recording") if monitor else ["true"]
        found |= _watched(command, place, target)
        assert target.wait(ENDS_IN_S) == 0
    (place / "run.json").write_text(json.dumps(found))


def _watched(command: Sequence[str | Path], place: Path, target: subprocess.Popen[bytes]) -> dict[str, Any]:
    words = [str(word) for word in command]
    with own_group() as group, _given_back(), (place / "monitor.err").open("wb") as said:
        begin = time.monotonic()
        process = subprocess.Popen(
            words, stdout=said, stderr=said, stdin=subprocess.DEVNULL, preexec_fn=lambda: join(group)
        )
        look = Look(group, process.pid)
        target.wait(ENDS_IN_S)
        ended = time.monotonic()
        try:
            status = process.wait(ENDS_IN_S)
        finally:
            process.kill()
            look.stop()
        return {
            "command": words, "status": status, "begin": begin, "target_ended": ended, "end": time.monotonic(),
            "cpu_s": group_cpu_s(group), "looks": look.seen,
        }  # fmt: skip


@contextmanager
def _given_back() -> Iterator[None]:
    """damo leaves its settings behind; udamon rightly takes such a DAMON for somebody's."""
    try:
        yield
    finally:
        if KDAMONDS.exists():
            (KDAMONDS / "nr_kdamonds").write_text("0")


def trace_clock_offset_ns() -> int:
    """What to add to the default clock of tracing, which perf uses too, to have CLOCK_MONOTONIC."""
    root = tracefs_root()
    if root is None:
        return 0
    instance = root / "instances" / "side-by-side"
    instance.mkdir()
    try:
        before = time.monotonic_ns()
        (instance / "trace_marker").write_text("now\n")
        after = time.monotonic_ns()
        found = re.search(r" (\d+\.\d{6}): ", (instance / "trace").read_text())
        assert found, "the marker is not in the trace"
        return (before + after) // 2 - round(float(found[1]) * 1e9)
    finally:
        instance.rmdir()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
