"""What a check of a single page takes by page tables, by idle page tracking, and in-kernel DAMON's, in one guest.

python -m bench.pte_sampler [--kernel 7.2] [--write]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench.acting.single import Single, main
from bench.figures import Figure
from bench.kdamond_checks import KERNEL_S, REGIONS, check_ns
from scripts.guest.machine import Machine
from udamon.core.policy import Slots
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.procfs import ProcessId
from udamon.ops.base import Sampler
from udamon.ops.idle import IdleSampler
from udamon.ops.kernel_tables import BACKENDS, SWITCH, open_tables
from udamon.ops.pte_sampler import PteSampler
from udamon.ops.tlb import HotSet, hot_set
from udamon.units import GIB

GUEST = Machine(smp=1, mem=3072)
SIZE = GIB
BATCHES = (1, 16, 128, 1024)
CHECKS = 4096
"""Of a round: so many for each batch."""
ROUNDS = 5
STATES = {"rest": "at rest", "swept": "all touched again and again"}
Costs = dict[str, list[float]]


def inside(place: Path) -> None:
    """Leaves checks.json: microseconds of CPU for each check, of each round, by state, sampler and batch."""
    samplers: dict[str, Sampler] = {"idle": IdleSampler()}
    for backend in BACKENDS:
        os.environ[SWITCH] = backend
        samplers[backend] = PteSampler(open_tables(allowed=True))
    costs: Costs = {}
    with hot_set(SIZE) as child:
        child.access(SIZE)
        while not child.rounds():
            pass  # so much takes a while to be there
        child.rest()
        time.sleep(1)
        for state in STATES:
            for number in range(ROUNDS):
                for name, sampler in samplers.items():
                    for batch in BATCHES:
                        costs.setdefault(f"{state} {name} {batch}", []).append(
                            _round(child, sampler, batch, state, number)
                        )
                print(state, number, {key: round(values[-1], 1) for key, values in costs.items()}, flush=True)
            costs[f"{state} kernel"] = [
                check_ns(child, SIZE, partial(_in, child, state)) / 1e3 for _ in range(2)
            ]
            print(state, costs[f"{state} kernel"], flush=True)
    (place / "checks.json").write_text(json.dumps(costs))


def _in(child: HotSet, state: str) -> Callable[[], object]:
    """Bring the memory into a state; what ends it is given back."""
    if state == "rest":
        clear_referenced(ProcessId(child.target.pid or 0, child.target.start_time or 0))
        return lambda: None
    child.access(SIZE)
    return child.rest


def _round(child: HotSet, sampler: Sampler, batch: int, state: str, number: int) -> float:
    ticks = CHECKS // batch
    slots = Slots()
    for i in range(batch):
        start, end = (child.address + SIZE * part // batch for part in (i, i + 1))
        slots.add(0, start, end, ticks)
    leave = _in(child, state)
    ask = partial(sampler.sample, [child.target], slots, ticks=ticks, tick_ns=1, seed=number)
    try:
        sampler.sample([child.target], Slots(), time.monotonic_ns(), 0, 1, 0)  # open what is not open
        begin = time.thread_time_ns()
        answers = ask(begin_ns=time.monotonic_ns())
        took = time.thread_time_ns() - begin
    finally:
        leave()
    met = answers.checks - sum(answers.no_page)
    assert met > 0.95 * CHECKS, f"{met} of {CHECKS} checks met a page"
    return took / answers.checks / 1e3


NAMES = {"idle": "idle", "bpf": "pte, through BPF", "kcore": "pte, through /proc/kcore"}


def figure(left: Path, where: str) -> Figure:
    costs: Costs = json.loads((left / "checks.json").read_text())
    rows = []
    for state, words in STATES.items():
        kernel = median(costs[f"{state} kernel"])
        for name, title in NAMES.items():
            for batch in BATCHES:
                found = median(costs[f"{state} {name} {batch}"])
                idle = median(costs[f"{state} idle {batch}"])
                rows.append(
                    [words, title, str(batch), f"{found:.1f}", f"{found / idle:.2f}", f"{found / kernel:.2f}"]
                )
        rows.append([words, "in-kernel DAMON, its thread", str(REGIONS), f"{kernel:.1f}", "", "1.00"])
    note = (
        f"A process of 1 GiB of small pages; {CHECKS} checks a round, so many on each tick, as fast as they go; "
        f"medians of {ROUNDS} rounds, of in-kernel DAMON 2 times {KERNEL_S:g} s. At rest: accessed bits are clear. "
        f"{where} An emulated microsecond is 125 instructions, whatever they are. Of idle and pte it is the call of "
        "the native sampler without the policy; in-kernel DAMON's thread has its regions to keep, too."
    )
    head = ("memory", "how", "checks at once", "CPU a check, µs", "times idle", "times in-kernel DAMON")
    return Figure("What a check takes", head, rows, note)


if __name__ == "__main__":
    single = Single("bench.pte_sampler", "pte_sampler", __doc__, GUEST, inside, figure)
    sys.exit(main(single, sys.argv[1:]))
