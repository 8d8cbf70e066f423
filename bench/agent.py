"""The agent on a node with many services of known memory: what it costs, how much of it is covered, how wrong it is.

    python -m bench.agent [--services 300] [--processes 10] [--minutes 5] [--mebibytes 2] [--budget 1%]

makes control groups below one of its own (memory and cpuacct of version 1, or version 2), starts small programs in
them, runs the agent on that subtree alone, and removes all again. A third of the services is hot (a quarter of each
program's area is touched every second), a third is warm (a quarter every 30 s), a third is cold (no CPU at all).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.procfs import ProcessId, cpu_ns, read_stat
from udamon.model import PAGE_SIZE

KINDS = ("hot", "warm", "cold")
TOUCHED = 0.25
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    size_t size = strtoul(argv[1], NULL, 10), touched = strtoul(argv[2], NULL, 10);
    unsigned every = (unsigned)atoi(argv[3]);
    (void)argc;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    volatile char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return 1;
    madvise((void *)area, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096)
        area[at] = 1;
    for (;;) {
        if (every == 0)
            pause();
        for (size_t at = 0; at < touched; at += 4096)
            area[at]++;
        sleep(every);
    }
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--mebibytes", type=int, default=2, help="of each program")
    parser.add_argument("--budget", default="1%", help="of one CPU")
    parser.add_argument("--scrape", type=float, default=15.0, metavar="SECONDS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="udamon-bench-") as directory:
        place = Path(directory)
        program = _compiled(place)
        with _groups(args.services) as groups:
            started = _start(program, groups, args)
            try:
                found = _measure(
                    place, groups[0].top, args, {f"{number:04}" for number in range(args.services)}
                )
            finally:
                for process in started:
                    process.kill()
                for process in started:
                    process.wait()
    print(json.dumps(found, indent=2))
    return 0


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


class Group:
    """A control group in each hierarchy that matters; `top` is what the agent is told."""

    def __init__(self, tops: list[Path], name: str) -> None:
        self.top = tops[0]
        self.places = [top / name for top in tops]
        for place in self.places:
            place.mkdir()

    def add(self, pid: int) -> None:
        for place in self.places:
            (place / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        for place in self.places:
            place.rmdir()


@contextmanager
def _groups(number: int) -> Iterator[list[Group]]:
    mounts = cgroup_mounts()
    used = [mount for mount in mounts if mount.controllers & {"memory", "cpuacct"}] or mounts[:1]
    used.sort(key=lambda mount: "memory" not in mount.controllers)
    tops = [mount.point / f"udamon-bench-{os.getpid()}" for mount in used]
    groups: list[Group] = []
    try:
        for top in tops:
            top.mkdir()
        for at in range(number):
            groups.append(Group(tops, f"{at:04}"))
        yield groups
    finally:
        time.sleep(0.5)  # who was killed leaves its group a moment later
        for group in groups:
            group.remove()
        for top in tops:
            if top.exists():
                top.rmdir()


def _compiled(place: Path) -> Path:
    source, program = place / "program.c", place / "program"
    source.write_text(PROGRAM)
    compiler = shutil.which("gcc") or shutil.which("cc") or "cc"
    subprocess.run([compiler, "-O2", "-static", "-o", program, source], check=True)
    return program


def _start(program: Path, groups: list[Group], args: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    size = args.mebibytes << 20
    touched = int(size * TOUCHED) // PAGE_SIZE * PAGE_SIZE
    started = []
    for number, group in enumerate(groups):
        every = {"hot": "1", "warm": "30", "cold": "0"}[kind_of(number)]
        for _ in range(args.processes):
            process = subprocess.Popen([program, str(size), str(touched), every])
            started.append(process)
            group.add(process.pid)
    return started


def _measure(place: Path, top: Path, args: argparse.Namespace, names: set[str]) -> dict[str, Any]:
    private = place / "run"
    private.mkdir(mode=0o700)
    words = [sys.executable, "-m", "udamon", "agent", "--cgroup", str(top), "--listen", "127.0.0.1:0"]
    words += ["--socket", str(private / "agent.sock")]
    config = place / "agent.toml"
    config.write_text(f'budget = "{args.budget}"\n')
    words += ["--config", str(config)]
    agent = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert agent.stderr is not None
        said = agent.stderr.readline()
        address = re.search(r"http://\S+", said)
        if address is None:
            raise SystemExit(f"the agent did not start: {said}")
        process = ProcessId(agent.pid, read_stat(agent.pid).start_time)
        begin, begin_ns, scrapes = time.monotonic(), cpu_ns(process), []
        while time.monotonic() - begin < args.minutes * 60:
            time.sleep(args.scrape)
            before = time.monotonic()
            urllib.request.urlopen(address[0], timeout=30).read()
            scrapes.append(time.monotonic() - before)
        seconds, used_ns = time.monotonic() - begin, cpu_ns(process) - begin_ns
        status = [*words[:4], "status", "--json", "--socket", str(private / "agent.sock")]
        found = json.loads(subprocess.run(status, check=True, capture_output=True).stdout)
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait()
    return {
        "services": args.services,
        "processes": args.services * args.processes,
        "seconds": round(seconds),
        "cpu_share": used_ns / 1e9 / seconds,
        "target_cost_share": found["target_cost_seconds"] / found["seconds"],
        "resident_mib": found["resident_bytes"] / (1 << 20),
        "longest_pause_ms": found["longest_pause_seconds"] * 1e3,
        "coverage": found["coverage"],
        "states": found["states"],
        "dropped": found["dropped"],
        "longest_scrape_ms": max(scrapes) * 1e3,
        "cold_at_2m": _error(found, args, names),
    }


def _error(found: dict[str, Any], args: argparse.Namespace, names: set[str]) -> dict[str, Any]:
    """Cold bytes at 120 s against the truth, as a share of what is resident; of services that were measured."""
    size = args.mebibytes << 20
    off = resident = measured = 0
    by_kind: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for one in found["services"]:
        cold, key = one["cold_bytes"]["120"], one["key"]
        if key not in names or cold is None:
            continue
        measured += 1
        kind = kind_of(int(key))
        pages = size if kind == "cold" else size - int(size * TOUCHED) // PAGE_SIZE * PAGE_SIZE
        truth = pages * one["processes"]
        off += abs(cold["low"] - truth)
        resident += one["resident_bytes"]["low"]
        by_kind[kind].append((cold["low"] - truth) / max(1, one["resident_bytes"]["low"]))
    return {
        "measured": measured,
        "error_of_resident": off / resident if resident else None,
        "mean_by_kind": {kind: sum(some) / len(some) if some else None for kind, some in by_kind.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
