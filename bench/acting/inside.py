"""One run in the guest: a workload with cold memory, somebody who takes it out, and looks at both.

python -m bench.acting.inside PLAN DIRECTORY: PLAN is a JSON list of [round, who]; each leaves DIRECTORY/ROUND-WHO.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.acting.plan import (
    CONFIG,
    HANDED,
    JUDGED_S,
    KERNEL,
    MODULE,
    RATE,
    SETTLE_S,
    UDAMON,
    WORK_S,
    reclaim_command,
)  # fmt: skip
from bench.spending import Look, join, own_group
from tests.integration.recorder import phase_begun
from udamon.linux.pagemap import SWAPPED, open_page_map, read_runs
from udamon.linux.procfs import read_stat
from udamon.model import PAGE_SIZE, Range

PARAMETERS = Path("/sys/module/damon_reclaim/parameters")
COUNTS = ("bytes_reclaim_tried_regions", "bytes_reclaimed_regions", "nr_quota_exceeds")
LOOK_S = 0.5
WAIT_LIMIT_S = 120.0
SWAP = "1G"


def main(arguments: Sequence[str]) -> int:
    if "UDAMON_GUEST" not in os.environ:
        print("this runs in the guest only", file=sys.stderr)  # it turns in-kernel DAMON on and off
        return 2
    plan, place = Path(arguments[0]), Path(arguments[1])
    swap_on()
    for number, who in json.loads(plan.read_text()):
        begin = time.monotonic()
        found = carry_out(who)
        (place / f"{number}-{who}.json").write_text(json.dumps(found))
        print(f"{number}-{who}: {time.monotonic() - begin:.0f} s", flush=True)
    return 0


def swap_on() -> None:
    Path("/sys/block/zram0/disksize").write_text(SWAP)
    subprocess.run(["mkswap", "/dev/zram0"], check=True, capture_output=True)
    subprocess.run(["swapon", "/dev/zram0"], check=True)


def carry_out(who: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        config, truth = place / "workload.masim", place / "truth"
        config.write_text(CONFIG)
        words = [sys.executable, "-m", "udamon", "workload", config, "--truth", truth, "--rate", RATE]
        words += ["--layout", "one"]
        with (place / "said").open("wb") as said:
            target = subprocess.Popen([*map(str, words)], stderr=said)
            _until(lambda: phase_begun(truth), "the workload")
            with acting(who, target.pid, place) as spent:
                looks = list(looked(target, truth))
                found = {"who": who, "looks": looks, "truth": truth.read_text(), **spent()}
            target.wait(WAIT_LIMIT_S)
        found["said"] = (place / "said").read_text()
        if (place / "acted").exists():
            found["acted"] = (place / "acted").read_text()
            found["acted_error"] = (place / "acted.err").read_text()
        return found


@contextmanager
def acting(who: str, pid: int, place: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Somebody takes memory out as long as the context lasts; yields what tells the CPU seconds of processes and of
    kdamond that it took, and what DAMON_RECLAIM counted."""
    with own_group() as group:
        look = Look(group, 0)
        process: subprocess.Popen[bytes] | None = None
        try:
            if who in (UDAMON, HANDED):
                words = reclaim_command(pid, "idle" if who == UDAMON else "kernel")
                with (place / "acted").open("wb") as said, (place / "acted.err").open("wb") as error:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "udamon", *map(str, words)],
                        stdout=said, stderr=error, preexec_fn=lambda: join(group),
                    )  # fmt: skip
            elif who == MODULE:
                module_on()
            yield lambda: {"cpu_s": sum(look.seen[-1][1:3])} | (counted() if who == MODULE else {})
        finally:
            if process is not None:
                process.terminate()
                process.wait(WAIT_LIMIT_S)
            elif who == MODULE:
                (PARAMETERS / "enabled").write_text("N")
            look.stop()


def counted() -> dict[str, float]:
    return {name: float((PARAMETERS / name).read_text()) for name in COUNTS}


def module_on() -> None:
    for name, value in KERNEL.items():
        (PARAMETERS / name).write_text(str(value))
    (PARAMETERS / "enabled").write_text("Y")


def looked(target: subprocess.Popen[bytes], truth: Path) -> Iterator[dict[str, float]]:
    """Twice a second until the work is done: what is resident, out, and came back. What of the cold and of the hot
    is out costs a walk through all pages, so it is asked only at JUDGED_S of work and at the end."""
    phases = [json.loads(line) for line in truth.read_text().splitlines()]
    parts = {r["name"]: Range(r["start"], r["end"]) for r in phases[-1]["regions"]}
    begin = time.monotonic() + SETTLE_S
    due = [JUDGED_S, WORK_S - 2 * LOOK_S]
    pages = open_page_map(read_stat(target.pid).id)
    try:
        while time.monotonic() < begin + WORK_S and target.poll() is None:
            now = time.monotonic()
            look = {
                "t": now - begin,
                "out": float(status(target.pid, "VmSwap")),
                "resident": float(status(target.pid, "VmRSS")),
                "swapped_in": float(vmstat("pswpin")) * PAGE_SIZE,
                "swapped_out": float(vmstat("pswpout")) * PAGE_SIZE,
            }
            if due and look["t"] >= due[0]:
                due.pop(0)
                for kind in ("cold", "hot"):
                    ranges = [part for name, part in parts.items() if name.startswith(kind)]
                    runs = read_runs(pages, ranges)
                    look[kind] = float(sum(end - start for start, end, of in runs if of & SWAPPED))
            yield look
            time.sleep(max(LOOK_S - (time.monotonic() - now), 0.1))
    finally:
        os.close(pages)


def vmstat(name: str) -> int:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == name)


def status(pid: int, name: str) -> int:
    """A line of /proc/PID/status that is in kB, in bytes; 0 when the process is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
    return 0


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
