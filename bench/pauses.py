"""What watching by refs costs the target: how long a look stops it, as forecast and as measured, and how much slower
it gets.

`python -m bench.pauses`: targets of 1 and 4 GiB of small pages, all of them touched for ever, as root and as an
ordinary user. `python -m bench.pauses slowdown [GiB…]`: rounds that such a target makes in a second, with and without
`udamon record` at its defaults, in pairs of as long as a few windows take: many minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from tests.integration.programs import become_nobody
from udamon.ops.pauses import Pauses, page_ns
from udamon.ops.refs import Refs
from udamon.ops.tlb import HotSet, hot_set, way

GIB = 1 << 30
LOOKS = 40
PAIRS, PAIR_S = 9, 40.0


def pauses(size: int) -> tuple[float, list[float]]:
    """The forecast before the first look and the longest pauses of some looks, milliseconds."""
    found = []
    with hot_set(size, max(os.sched_getaffinity(0))) as child:
        while not child.access(size):
            pass
        forecast = Pauses().forecast_ns(child.target) / 1e6
        for _ in range(LOOKS):
            refs = Refs(tlb=way())  # one that remembers no pause yet
            refs.prepare(child.target)
            refs.expose([child.target])
            child.rounds()
            refs.look(child.target)
            found.append(refs.pauses.longest_ns / 1e6)
    return forecast, sorted(found)


def table(who: str) -> None:
    print(f"a look by refs as {who}: its longest pause, {LOOKS} looks each, ms")
    print(
        f"{'target':<8}{'forecast':>10}{'median':>9}{'p90':>9}{'longest':>9}{'forecast / median':>20}{'<= 20 ms':>10}"
    )
    for gib in (1, 4):
        forecast, found = pauses(gib * GIB)
        middle, p90 = median(found), quantiles(found, n=10)[-1]
        kept = sum(pause <= 20 for pause in found) / len(found)
        cells = f"{forecast:>10.1f}{middle:>9.1f}{p90:>9.1f}{found[-1]:>9.1f}{forecast / middle:>20.2f}{kept:>10.0%}"
        print(f"{gib} GiB   {cells}", flush=True)


def speed(child: HotSet, seconds: float) -> float:
    """Rounds a second."""
    begin, before = time.monotonic(), child.count
    time.sleep(seconds)
    return (child.count - before) / (time.monotonic() - begin)


def slowdown(gib: int) -> None:
    """In pairs, so that what else runs on the machine is in both."""
    ratios = []
    with hot_set(gib * GIB, max(os.sched_getaffinity(0))) as child, tempfile.TemporaryDirectory() as place:
        while not child.access(gib * GIB):
            pass
        for number in range(PAIRS):
            file = Path(place) / f"{number}.udamon"
            words = ["record", "-p", str(child.target.pid), "--via", "refs", "-q", "-o", str(file)]
            alone = speed(child, PAIR_S)
            with subprocess.Popen([sys.executable, "-m", "udamon", *words]) as recorder:
                ratios.append(speed(child, PAIR_S) / alone)
                recorder.terminate()
            print(f"{gib} GiB, pair {number + 1}: slower by {1 - ratios[-1]:.2%}", flush=True)
    ratios.sort()
    print(
        f"{gib} GiB: slower by {1 - median(ratios):.2%}, {1 - ratios[-2]:.2%} to {1 - ratios[1]:.2%} (96 %)"
    )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pauses", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("pauses", "slowdown"), default="pauses")
    parser.add_argument("gib", nargs="*", type=int, default=[1, 4], help="sizes of the target (slowdown)")
    given = parser.parse_args(words)
    if given.what == "slowdown":
        for gib in given.gib:
            slowdown(gib)
        return 0
    table("root" if os.geteuid() == 0 else "an ordinary user")
    if os.geteuid() == 0:
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            become_nobody()
            page_ns.cache_clear()
            table("an ordinary user")
            os._exit(0)
        os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
