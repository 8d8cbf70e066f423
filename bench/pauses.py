"""What watching by refs costs the target: how long a look stops it, as forecast and as measured, and how much slower
it gets.

`python -m bench.pauses`: targets of 1 and 4 GiB of small pages, all of them touched for ever, as root and as an
ordinary user. `python -m bench.pauses slowdown [GiB…]`: rounds that such a target makes in a second, with and without
`udamon record` at its defaults and at `--overhead 1%` in turn, in pairs of whole windows each: many minutes. The first
window, by which the recorder learns how long they must be, is left out. `python -m bench.pauses limit`: how many
windows of 1 GiB are seen and kept at --max-pause 20ms, and what is said of 4 GiB at 10 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from statistics import median, quantiles

from tests.integration.programs import become_nobody
from udamon.errors import PauseTooLong
from udamon.ops.calibration import contention, page_ns
from udamon.ops.pauses import Pauses
from udamon.ops.refs import Refs
from udamon.ops.tlb import HotSet, hot_set, way
from udamon.record.reader import Recording

GIB = 1 << 30
LOOKS = {1: 100, 4: 40}
"""By GiB of the target."""
PAIRS = 9
PAIR_S = 10.0
"""How long one side of a pair takes at least; more where a window is longer."""
WINDOWS = 100
WINDOW_S = 0.5


def pauses(size: int, looks: int) -> tuple[float, list[float]]:
    """The forecast before the first look and the longest pauses of some looks, milliseconds."""
    found = []
    with hot_set(size, max(os.sched_getaffinity(0))) as child:
        while not child.access(size):
            pass
        page_ns.cache_clear()
        contention.cache_clear()
        forecast = Pauses().forecast_ns(child.target) / 1e6  # as a monitor that starts now
        for _ in range(looks):
            refs = Refs(tlb=way())  # one that remembers no pause yet
            refs.prepare(child.target)
            refs.expose([child.target])
            time.sleep(WINDOW_S)
            refs.look(child.target)
            found.append(refs.pauses.longest_ns / 1e6)
    return forecast, sorted(found)


def table(who: str) -> None:
    print(f"a look by refs as {who}, at a load of {os.getloadavg()[0]:.1f}: its longest pause, ms")
    head = f"{'target':<8}{'looks':>6}{'forecast':>10}{'median':>9}{'p90':>9}{'longest':>9}"
    print(f"{head}{'forecast / median':>20}{'<= 20 ms':>10}")
    for gib, looks in LOOKS.items():
        forecast, found = pauses(gib * GIB, looks)
        middle, p90 = median(found), quantiles(found, n=10)[-1]
        kept = sum(pause <= 20 for pause in found) / len(found)
        cells = f"{looks:>6}{forecast:>10.1f}{middle:>9.1f}{p90:>9.1f}{found[-1]:>9.1f}"
        print(f"{gib} GiB   {cells}{forecast / middle:>20.2f}{kept:>10.0%}", flush=True)


def speed(child: HotSet, seconds: float) -> float:
    """Rounds a second."""
    begin, before = time.monotonic(), child.count
    time.sleep(seconds)
    return (child.count - before) / (time.monotonic() - begin)


@contextmanager
def busy(gib: int) -> Iterator[HotSet]:
    with hot_set(gib * GIB, max(os.sched_getaffinity(0))) as child:
        while not child.access(gib * GIB):
            pass
        yield child


def record(child: HotSet, *flags: str) -> list[str]:
    return [sys.executable, "-m", "udamon", "record", "-p", str(child.target.pid), "--via", "refs", *flags]


def slowdown(gib: int, pairs: int) -> None:
    """In pairs, so that what else runs on the machine is in both."""
    ratios = []
    with busy(gib) as child, tempfile.TemporaryDirectory() as place:
        for number in range(pairs):
            file = Path(place) / f"{number}.udamon"
            budget = ("--overhead", "1%") if number % 2 else ()
            with subprocess.Popen(record(child, "-q", "-o", str(file), *budget)) as recorder:
                window = window_s(file)
                seconds = window * ceil(PAIR_S / window)
                watched = speed(child, seconds)
                recorder.terminate()
            ratios.append(watched / speed(child, seconds))
            words = " ".join(budget) or "defaults"
            print(
                f"{gib} GiB, pair {number + 1}, {words}, windows of {window:.1f} s: slower by {1 - ratios[-1]:.2%}",
                flush=True,
            )
    ratios.sort()
    edge = len(ratios) > 2  # of nine, the second and the last but one are a 96 % interval of the median
    low, high = 1 - ratios[-1 - edge], 1 - ratios[edge]
    print(
        f"{gib} GiB: slower by {1 - median(ratios):.2%}, {low:.2%} to {high:.2%}, {pairs} pairs", flush=True
    )


def window_s(file: Path) -> float:
    """How long the windows of a recording that runs are, when its first one has told what a look costs."""
    while not file.exists() or not any(True for _ in Recording(file).snapshots()):
        time.sleep(1)
    time.sleep(1)  # until what follows from it is in the file, too
    recording = Recording(file)
    attrs = [
        recording.metadata["attrs"],
        *(event.data for event in recording.events() if event.name == "attrs"),
    ]
    return float(attrs[-1]["aggr_us"]) / 1e6


def kept(gib: int, limit_ns: int) -> None:
    """Windows as `record` has them, and how long each look was. Who is left out is not stopped."""
    refs, looked, left_out = Refs(tlb=way(), max_pause_ns=limit_ns), [], 0
    with busy(gib) as child:
        target = child.target
        forecast = refs.pauses.forecast_ns(target) / 1e6
        for _ in range(WINDOWS):
            refs.pauses.longest_ns = 0
            try:
                refs.prepare(target)
            except PauseTooLong:
                left_out += 1
            else:
                refs.expose([target])
            time.sleep(WINDOW_S)
            refs.pauses.window_over({target.index})
            if refs.pauses.longest_ns:
                refs.look(target)
                looked.append(refs.pauses.longest_ns / 1e6)
    if not looked:
        print(f"{gib} GiB at {limit_ns / 1e6:.0f} ms, forecast {forecast:.1f} ms: refused", flush=True)
        return
    over = sum(pause > limit_ns / 1e6 for pause in looked)
    print(
        f"{gib} GiB at {limit_ns / 1e6:.0f} ms, forecast {forecast:.1f} ms: {len(looked)} windows with a look, "
        f"{left_out} left out, longer than allowed in {over}: median {median(looked):.1f} ms, the longest "
        f"{max(looked):.1f} ms",
        flush=True,
    )


def limit() -> None:
    """What is kept and refused of --max-pause."""
    kept(1, 20_000_000)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "a.udamon"
        with busy(1) as child:
            flags = (
                "-q",
                "-o",
                str(file),
                "--max-pause",
                "20ms",
                "--aggr",
                "500ms",
                "--windows",
                str(WINDOWS),
            )
            done = subprocess.run(record(child, *flags), check=False, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                print(f"1 GiB at 20 ms: status {done.returncode}, {done.stderr.strip()}")
            else:
                words = [sys.executable, "-m", "udamon", "report", "info", "--json", str(file)]
                found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
                print(
                    f"1 GiB at 20 ms: {found['snapshots']} of {WINDOWS} windows seen, the longest pause of all was "
                    f"{1000 * found['longest_pause_seconds']:.1f} ms",
                    flush=True,
                )
        with busy(4) as child:
            few = ("-o", str(file), "--force", "--max-pause", "10ms", "--windows", "1")
            done = subprocess.run(record(child, *few), check=False, stderr=subprocess.PIPE, text=True)
            print(f"4 GiB at 10 ms: status {done.returncode}, {done.stderr.strip()}", flush=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pauses", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("pauses", "slowdown", "limit"), default="pauses")
    parser.add_argument("gib", nargs="*", type=int, default=[1, 4], help="sizes of the target (slowdown)")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of each size (slowdown)")
    given = parser.parse_args(words)
    if given.what == "slowdown":
        for gib in given.gib:
            slowdown(gib, given.pairs)
        return 0
    if given.what == "limit":
        limit()
        return 0
    table("root" if os.geteuid() == 0 else "an ordinary user")
    if os.geteuid() == 0:
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            become_nobody()
            table("an ordinary user")
            os._exit(0)
        os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
