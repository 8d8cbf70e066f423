"""See the package's own words; this is the part outside the guest."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import bench.side_by_side as package
from bench import machine
from bench.figures import Figure, as_markdown, as_text, put
from bench.side_by_side import guest, tables
from bench.side_by_side.guest import KEPT
from bench.side_by_side.monitors import DAMO, MONITORS
from bench.side_by_side.plan import WORKLOADS, Run, runs
from scripts.guest.kernels import Kernel

BOOTS = 5
"""An emulated machine stalls now and then; what is missing is run in another boot."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.side_by_side", description=package.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--kernel", default="", help="a part of its release (default: the newest)")
    parser.add_argument(
        "--runs", type=int, default=5, help="of each pair of workload and monitor (default 5)"
    )
    parser.add_argument("--monitors", default="kernel,damo,idle", help=", ".join(MONITORS))
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of them")
    parser.add_argument("--name", default="", help="keep the results under this name (default: the release)")
    parser.add_argument("--again", action="store_true", help="only the tables, of what was kept")
    parser.add_argument("--write", action="store_true", help="put the tables into their page in docs/")
    args = parser.parse_args(argv)
    monitors, workloads = args.monitors.split(","), args.workloads.split(",")
    if unknown := (set(monitors) - MONITORS.keys()) | (set(workloads) - WORKLOADS.keys()):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    kernel = guest.kernel(args.kernel)
    place = KEPT / (args.name or kernel.release)
    if not args.again:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _run(kernel, list(runs(args.runs, workloads, monitors)), place)
    done = [Run(**fields) for fields in json.loads((place / "plan.json").read_text())]
    figures = tables.of(done, place)
    _show(
        figures,
        args.name or _series(kernel),
        json.loads((place / "about.json").read_text()),
        write=args.write,
    )
    return 0


def _series(kernel: Kernel) -> str:
    return ".".join(map(str, kernel.version[:2]))


def ensure_damo() -> str:
    """Install damo into an environment of its own, once; returns its version."""
    if not shutil.which("perf"):
        sys.exit("side_by_side: damo records by perf, and there is none; install Debian's linux-perf")
    python = DAMO / "bin/python"
    if not (DAMO / "bin/damo").exists():
        subprocess.run([sys.executable, "-m", "venv", str(DAMO)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "damo"], check=True)
    ask = "from importlib.metadata import version; print(version('damo'))"
    return subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True).stdout.strip()


def _run(kernel: Kernel, todo: list[Run], place: Path) -> None:
    """All runs, in as many boots as it takes: an emulated machine stalls now and then."""
    about = {
        "kernel": kernel.release,
        "damo": ensure_damo() if any("damo" in run.monitor for run in todo) else "",
        "perf": subprocess.run(
            ["perf", "--version"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": machine.describe(),
        "load_before": machine.load(),
    }
    begin = time.monotonic()
    (place / "plan.json").write_text(json.dumps([asdict(run) for run in todo]))
    for number in range(BOOTS):
        missing = [run for run in todo if not (place / run.id).exists()]
        if not missing:
            break
        print(
            f"-- boot {number + 1} of Linux {kernel.release}, {guest.GUEST.name}: {len(missing)} runs",
            flush=True,
        )
        plan = place / "todo.json"
        plan.write_text(json.dumps([asdict(run) for run in missing]))
        ended, left = guest.run(kernel, "bench.side_by_side.inside", plan)
        for run in missing:
            if (left / run.id).exists():
                shutil.move(left / run.id, place / run.id)
        if ended.status and not ended.why:
            sys.exit("side_by_side: a run failed; what it said stands above")
    else:
        sys.exit(f"side_by_side: not done after {BOOTS} boots; what there is lies in {place}")
    about |= {"load_after": machine.load(), "seconds": time.monotonic() - begin}
    (place / "about.json").write_text(json.dumps(about))


def _show(figures: Sequence[Figure], name: str, about: dict[str, object], *, write: bool) -> None:
    for figure in figures:
        print(f"\n{as_text(figure)}", flush=True)
    state = (
        f"Linux {about['kernel']}, damo {about['damo'] or '–'}, {about['perf']}; emulated on {about['machine']}, "
        f"load {about['load_before']:.1f} before and {about['load_after']:.1f} after; {about['seconds']:.0f} s."
    )
    print(f"\n{state}")
    text = "\n\n".join([*map(as_markdown, figures), state])
    (KEPT / f"{name}.md").write_text(text + "\n")
    if write:
        put(f"side_by_side {name}", text)


if __name__ == "__main__":
    sys.exit(main())
