"""python -m bench.acting.reclaim [--kernel 7.2] [--runs 5] [--again] [--write]

Boots the guest, runs everything in it, and prints the table; --again takes what the last run left.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench import machine
from bench.acting.plan import ALONE, COLD, HOT, JUDGED_S, QUOTA, UDAMON, WHO, WORK_S, runs
from bench.figures import Figure, Sample, as_markdown, as_text, interval95, put
from bench.side_by_side import guest
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.stages import WORK
from udamon.units import MIB

GUEST = Machine(smp=1, mem=2048)
RATE = re.compile(r"^work: ([\d.]+) s, ([\d.]+) M accesses/s$", re.MULTILINE)
BOOTS = 5


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.acting.reclaim", description=__doc__)
    parser.add_argument("--kernel", default="", help="a part of its release (default: the newest)")
    parser.add_argument("--runs", type=int, default=5, help="of each (default 5)")
    parser.add_argument("--again", action="store_true", help="only the table, of what was kept")
    parser.add_argument("--write", action="store_true", help="put the table into its page in docs/")
    args = parser.parse_args(argv)
    kernel = guest.kernel(args.kernel)
    place = WORK / "acting" / kernel.release
    if not args.again:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _run(kernel, list(runs(args.runs)), place)
    figure = table(
        {who: [json.loads(f.read_text()) for f in sorted(place.glob(f"*-{who}.json"))] for who in WHO},
        f"Linux {kernel.release}, emulated on {machine.describe()}, load {machine.load():.1f} at the end.",
    )
    print(as_text(figure))
    if args.write:
        series = ".".join(map(str, kernel.version[:2]))
        put(f"reclaim {series}", as_markdown(figure))
    return 0


def _run(kernel: Kernel, todo: list[tuple[int, str]], place: Path) -> None:
    for _ in range(BOOTS):
        missing = [(number, who) for number, who in todo if not (place / f"{number}-{who}.json").exists()]
        if not missing:
            return
        plan = place / "todo"
        plan.write_text(json.dumps(missing))
        ended, left = guest.run(kernel, "bench.acting.inside", plan, machine=GUEST)
        for file in left.glob("*.json"):
            shutil.move(file, place / file.name)
        if ended.status and not ended.why:
            sys.exit("acting: a run failed; what it said stands above")
    sys.exit(f"acting: not done after {BOOTS} boots")


def rate(run: Mapping[str, Any]) -> float:
    """Accesses a second of the work, in millions."""
    return float(RATE.findall(run["said"])[0][1])


def table(found: Mapping[str, Sequence[Mapping[str, Any]]], where: str) -> Figure:
    head = (
        "taken out by", f"cold out at {JUDGED_S:.0f} s", "cold out at the end", "hot out", "90 % out after",
        "read back, of what went out", "CPU s", "throughput, of alone", "95 % interval",
    )  # fmt: skip
    rows = []
    for who, done in found.items():
        if not done:
            continue
        judged = [[look for look in run["looks"] if "cold" in look] for run in done]
        early, late = [looks[0] for looks in judged], [looks[-1] for looks in judged]
        ratios = [rate(run) / rate(alone) for run, alone in zip(done, found[ALONE], strict=False)]
        low, high = interval95(ratios) if len(ratios) > 1 else (float("nan"), float("nan"))
        rows.append([
            WHO[who],
            Sample([100 * look["cold"] / COLD for look in early]).text(1, " %"),
            Sample([100 * look["cold"] / COLD for look in late]).text(1, " %"),
            Sample([look["hot"] / MIB for look in late]).text(1, " MiB"),
            Sample(list(map(_ninety, done))).text(1, " s") if who != ALONE else "–",
            Sample([100 * _back(run) for run in done]).text(2, " %") if who != ALONE else "–",
            Sample([run["cpu_s"] for run in done]).text(1) if who != ALONE else "–",
            f"{mean(ratios):.3f}",
            f"{low:.3f} to {high:.3f}",
        ])  # fmt: skip
    note = (
        f"{HOT // MIB} MiB hot and {COLD // MIB} MiB cold in four parts each, of one process; min_age 5 s, at most "
        f"{QUOTA // MIB} MiB a second. Seconds count from when the cold part is accessed no more; {WORK_S:.0f} s "
        f"of work are watched. Medians (smallest–largest) of {len(found[UDAMON])} runs of each, in turns. Read back: "
        "pages swapped in by the whole machine while it works. CPU: of all processes of udamon and of kdamond. "
        f"{where}"
    )
    return Figure("Cold memory taken out of a process", head, rows, note)


def _ninety(run: Mapping[str, Any]) -> float:
    """When nine tenths of the cold memory's size were out; what never happened counts as the whole time."""
    return next((look["t"] for look in run["looks"] if look["out"] >= 0.9 * COLD), WORK_S)


def _back(run: Mapping[str, Any]) -> float:
    first, last = run["looks"][0], run["looks"][-1]
    out = last["swapped_out"] - first["swapped_out"]
    return (last["swapped_in"] - first["swapped_in"]) / out if out else 0.0


if __name__ == "__main__":
    sys.exit(main())
