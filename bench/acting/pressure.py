"""A goal on memory pressure under changing load: how much is taken out, and how long somebody waits for memory.

python -m bench.acting.pressure [--kernel 7.2] [--write]: in a guest with compressed swap, `udamon schemes --apply` with
a goal, on a process that comes back to what was taken out, more often in some phases than in others.

The kernel counts the wait for a page that comes back as pressure only where the page was in use when memory was short
once before. So memory is made short in the beginning, by `memory.reclaim` on the cgroup of the process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from bench.acting.inside import status, swap_on
from bench.acting.single import ATTRS, UDAMON, Single, main, start_workload
from bench.figures import Figure
from bench.spending import join
from scripts.guest.machine import Machine
from scripts.stages import ROOT
from udamon.units import MIB

GUEST = Machine(smp=1, mem=2048)
PICTURE = ROOT / "docs" / "pictures" / "pressure.svg"
GOAL_US, WINDOW_S = 10_000, 1.0
"""1 % of the time in which somebody waits."""
MOST = 2 * MIB
"""To take in each window: only when it comes back, within a minute or so, can it be known that it was too much."""
SETTLE_S, PHASE_S = 60, 120
GROUP = Path("/sys/fs/cgroup/short")
"""Of the process: what else waits in an emulated machine is not the point."""
SHORT_BY = "128M"
PHASES = (("calm", 0.75), ("busy", 2.25), ("calm again", 0.75))
"""Of the accesses, how many per cent go to the memory that is used seldom: a page every 65 s, or every 22."""
HOT, SELDOM, COLD = 64 * MIB, 384 * MIB, 64 * MIB
RATE = "200k"
SCHEME = f"""
[[schemes]]
action = "pageout"
access_pattern = {{ nr_accesses = {{ max = "0%" }}, age = {{ min = "2s" }} }}

[schemes.quotas]
bytes = {MOST}
reset_interval_ms = "{WINDOW_S:.0f}s"
fail_charge_num = 1
fail_charge_denom = 1024
goal_tuner = "temporal"

[[schemes.quotas.goals]]
target_metric = "memcg_some_mem_psi_us"
path = "/short"
target_value = {GOAL_US}
"""
SAID_EVERY = 20
"""A guest that says nothing for minutes is taken for dead."""
LEFT, TOP, WIDTH, HEIGHT = 60, 40, 640, 130
"""Of each of the picture's two charts."""


def config() -> str:
    sizes = {"hot": HOT, "seldom": SELDOM, "cold": COLD}
    lines = [f"{name}, {size}" for name, size in sizes.items()]
    lines += [
        "",
        "settle",
        f"{SETTLE_S * 1000}",
        *(f"{name}, 1, 4096, {size}, rw" for name, size in sizes.items()),
    ]
    for name, share in PHASES:
        lines += [
            "",
            name,
            f"{PHASE_S * 1000}",
            f"hot, 1, 4096, {100 - share}, rw",
            f"seldom, 1, 4096, {share}, rw",
        ]
    return "\n".join([*lines, ""])


def inside(place: Path) -> None:
    """Leaves looks.json: seconds, µs of stall so far, bytes of the process that are out; every WINDOW_S."""
    swap_on()
    # The generations of MGLRU do not tell what was in use when it went out; the two lists before them do.
    Path("/sys/kernel/mm/lru_gen/enabled").write_text("0")
    with tempfile.TemporaryDirectory() as name:
        (GROUP.parent / "cgroup.subtree_control").write_text("+memory")
        GROUP.mkdir()
        target, truth = start_workload(Path(name), config(), RATE, lambda: join(GROUP))
        config_file = Path(name, "schemes.toml")
        config_file.write_text(SCHEME)
        words = ["schemes", "--config", str(config_file), "--apply", "--via", "idle", *ATTRS]
        words += ["--max-psi", "off", "--max-major-faults", "off"]
        with Path(place, "acted.json").open("wb") as said:
            actor = subprocess.Popen([*UDAMON, *words, "--json", "-q", "-p", str(target.pid)], stdout=said)
        make_short(truth)
        looks: list[list[float]] = []
        begin = time.monotonic()
        while target.poll() is None and len(looks) < len(PHASES) * PHASE_S / WINDOW_S:
            looks.append([time.monotonic() - begin, stall_us(), status(target.pid, "VmSwap")])
            if len(looks) % SAID_EVERY == 0:
                print(f"{looks[-1][0]:.0f} s: {looks[-1][2] / MIB:.0f} MiB out", flush=True)
            time.sleep(max(begin + len(looks) * WINDOW_S - time.monotonic(), 0))
        target.wait(120)
        actor.wait(60)
        Path(place, "looks.json").write_text(json.dumps(looks))


def make_short(truth: Path) -> None:
    """Ask for a part of its memory again and again, until the first phase begins."""
    while f'"phase": "{PHASES[0][0]}"' not in truth.read_text():
        with suppress(BlockingIOError):  # it gave less
            (GROUP / "memory.reclaim").write_text(SHORT_BY)
        time.sleep(1)


def stall_us() -> int:
    found = re.search(r"^some .*total=(\d+)$", (GROUP / "memory.pressure").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def phase_of(seconds: float) -> int:
    return min(int(seconds // PHASE_S), len(PHASES) - 1)


def figure(looks: Sequence[Sequence[float]], acted: dict[str, float], where: str) -> Figure:
    rows = []
    for number, (name, share) in enumerate(PHASES):
        mine = [look for look in looks if phase_of(look[0]) == number]
        half = mine[len(mine) // 2 :]
        out = mean(look[2] for look in half) / MIB
        usual = median(_stalled(pair) for pair in pairwise(half[::5]))
        rows.append([name, f"{share} %", f"{usual:.2%}", f"{_stalled(half):.2%}", f"{out:.0f} MiB"])
    head = (
        "phase",
        "accesses to what is used seldom",
        "stalled, median of 5 s",
        "mean",
        "out",
    )
    note = (
        f"The second half of each phase of {PHASE_S} s. `udamon schemes --apply --via idle`: pageout of what was "
        f"unaccessed for 2 s, at most {MOST // MIB} MiB a second, with the goal memcg_some_mem_psi_us of {GOAL_US} µs "
        f"a second ({GOAL_US / 1e6:.1%} of the time), "
        f"goal_tuner temporal. {HOT // MIB} MiB hot, "
        f"{SELDOM // MIB} MiB used seldom, {COLD // MIB} MiB cold; {RATE} accesses a second. Taken out: "
        f"{acted['moved_bytes'] / MIB:.0f} MiB; of that, read back within a minute: "
        f"{acted['refault_bytes'] / MIB:.0f} MiB. {where}"
    )
    return Figure("A goal on memory pressure", head, rows, note)


def _stalled(looks: Sequence[Sequence[float]]) -> float:
    """The share of the time in which somebody waited for memory."""
    first, last = looks[0], looks[-1]
    return (last[1] - first[1]) / (last[0] - first[0]) / 1e6


def draw(looks: Sequence[Sequence[float]]) -> str:
    """Stall in each second with the goal, and what is out below it, on one axis of time."""
    until = len(PHASES) * PHASE_S
    stalls = [
        (after[0], _stalled((before, after))) for before, after in pairwise(looks) if after[0] > before[0]
    ]
    most = max(max(share for _, share in stalls), 2 * GOAL_US / 1e6)
    largest = max(look[2] for look in looks) or 1.0
    low = TOP + HEIGHT + 50

    def x(t: float) -> float:
        return LEFT + WIDTH * t / until

    def y(share: float) -> float:
        return TOP + HEIGHT * (1 - share / most)

    bar = WIDTH / until * 0.9
    bars = [
        f'<rect x="{x(t - WINDOW_S):.1f}" y="{y(s):.1f}" width="{bar:.1f}" height="{y(0) - y(s):.1f}" fill="#0072b2"/>'
        for t, s in stalls
    ]
    line = " ".join(f"{x(t):.1f},{low + HEIGHT * (1 - size / largest):.1f}" for t, _, size in looks)
    marks = [
        f'<path d="M{x(k * PHASE_S):.1f} {TOP}V{low + HEIGHT}" stroke="#999999" stroke-dasharray="3 3"/>'
        + _text(x(k * PHASE_S) + 4, low + HEIGHT + 16, f"{k * PHASE_S} s: {name}")
        for k, (name, _) in enumerate(PHASES)
    ]
    goal = y(GOAL_US / 1e6)
    wide, high = LEFT + WIDTH + 16, low + HEIGHT + 30
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" role="img">',
            "<title>Memory pressure and memory taken out, over time</title>",
            f'<rect width="{wide}" height="{high}" rx="8" fill="#ffffff"/>',
            '<g font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" fill="#222222">',
            _text(LEFT, 22, "Share of each second in which somebody waits for memory", 'font-weight="bold"'),
            *bars,
            f'<path d="M{LEFT} {goal:.1f}h{WIDTH}" stroke="#d55e00" stroke-width="2"/>',
            _text(2, goal + 4, f"goal {GOAL_US / 1e6:.1%}", 'fill="#d55e00"'),
            _text(2, TOP + 4, f"{most:.1%}"),
            _text(LEFT, low - 12, "Memory taken out, MiB", 'font-weight="bold"'),
            f'<polyline points="{line}" fill="none" stroke="#009e73" stroke-width="2"/>',
            _text(2, low + 8, f"{largest / MIB:.0f}"),
            *marks,
            "</g></svg>",
            "",
        ]
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>'


def _looks(left: Path) -> list[list[float]]:
    looks: list[list[float]] = json.loads((left / "looks.json").read_text())
    return looks


def shown(left: Path, where: str) -> Figure:
    return figure(_looks(left), json.loads((left / "acted.json").read_text()), where)


if __name__ == "__main__":
    sys.exit(
        main(
            Single(
                "bench.acting.pressure", "pressure", __doc__, GUEST, inside, shown,
                lambda left: PICTURE.write_text(draw(_looks(left))),
            ),
            sys.argv[1:],
        )
    )  # fmt: skip
