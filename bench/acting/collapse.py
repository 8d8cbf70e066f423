"""Huge pages for what is hot alone, beside huge pages for all and for nothing: memory and speed, on this machine.

python -m bench.acting.collapse [--write]. The process has hot memory, and as much of which only every eighth page is
used; "collapse" is `udamon schemes --apply --action collapse` on what is accessed, as the "ethp" of DAMON's papers.
"""

from __future__ import annotations

import mmap
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bench import machine
from bench.figures import Figure, Sample, as_markdown, as_text, put
from udamon.native._native import populate, touch
from udamon.units import MIB

HOT, SPARSE, EVERY = 512 * MIB, 512 * MIB, 8
PAGE = 4096
MODES = {
    "never": "no huge pages",
    "collapse": "`udamon schemes`, collapse what is hot",
    "always": "huge pages for all",
}
RUNS, SETTLES_S, SECONDS = 5, 6.0, 6
MADV_HUGEPAGE, MADV_NOHUGEPAGE = 14, 15
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def child(mode: str) -> None:
    """The process: prints its accesses in each second of its own CPU time, in millions, until killed."""
    # What lies between keeps the two apart: one mapping would be one answer of refs.
    areas = [mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for size in (HOT, SPARSE)]
    for area in areas:
        if mode != "collapse":
            area.madvise(MADV_HUGEPAGE if mode == "always" else MADV_NOHUGEPAGE)
    areas[1].madvise(MADV_HUGEPAGE if mode == "always" else MADV_NOHUGEPAGE)
    hot, sparse = areas
    populate(hot, 0, HOT)
    for page in range(0, SPARSE, EVERY * PAGE):
        sparse[page] = 1
    cursors = array("Q", [0])
    while True:
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        (made,) = touch(hot, ((0, HOT, 0, PAGE, 1.0, True, 3),), cursors, begin + 10**9, 0.0, begin)
        print(made / (time.thread_time_ns() - cpu) * 1e3, flush=True)


def run(mode: str) -> tuple[float, float, float]:
    """Millions of accesses in a second of CPU time, resident MiB, MiB in huge pages."""
    words = [sys.executable, "-m", "bench.acting.collapse", "child", mode]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        with collapsing(process.pid) if mode == "collapse" else nullcontext():
            begin = time.monotonic()
            while time.monotonic() - begin < SETTLES_S:
                process.stdout.readline()
            rates = [float(process.stdout.readline()) for _ in range(SECONDS)]
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    finally:
        process.kill()
        process.wait()
    sizes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    return sorted(rates)[SECONDS // 2], sizes["Rss:"] / 1024, sizes["AnonHugePages:"] / 1024


@contextmanager
def collapsing(pid: int) -> Iterator[None]:
    words = [
        "schemes",
        "--apply",
        "--action",
        "collapse",
        "--min-accesses",
        "5%",
        "--min-size",
        "2MiB",
        "--no-quota",
    ]
    words += [
        "--via",
        "refs",
        "--aggr",
        "1s",
        "--max-major-faults",
        "off",
        "--max-psi",
        "off",
        "-q",
        "-p",
        str(pid),
    ]
    process = subprocess.Popen([sys.executable, "-m", "udamon", *words], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def measure() -> Figure:
    found: dict[str, list[tuple[float, float, float]]] = {mode: [] for mode in MODES}
    for number in range(RUNS):
        for k in range(len(MODES)):
            mode = list(MODES)[(number + k) % len(MODES)]
            found[mode].append(run(mode))
    base = found["never"]
    rows = [
        [
            MODES[mode],
            Sample([rate for rate, _, _ in done]).text(1, " M/s"),
            Sample([mine[0] / its[0] for mine, its in zip(done, base, strict=True)]).text(3),
            Sample([rss for _, rss, _ in done]).text(0, " MiB"),
            Sample([huge for _, _, huge in done]).text(0, " MiB"),
        ]
        for mode, done in found.items()
    ]
    head = ("", "accesses to the hot memory", "of those without", "resident", "in huge pages")
    note = (
        f"A process with {HOT // MIB} MiB of hot memory, random accesses, and {SPARSE // MIB} MiB of which every "
        f"{EVERY}th page is used. Medians (smallest–largest) of {RUNS} runs of {SECONDS} s, in turns; a second is one "
        f"of its own CPU time. Ratios of runs of the same turn. {machine.describe()}, load {machine.load():.1f} at "
        "the end."
    )
    return Figure("Huge pages for what is hot", head, rows, note)


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["child"]:
        child(arguments[1])
    if "[madvise]" not in ENABLED.read_text():
        print("this needs a machine whose transparent huge pages are set to madvise", file=sys.stderr)
        return 1
    machine.favour_us()
    figure = measure()
    print(as_text(figure))
    if "--write" in arguments:
        put("collapse", as_markdown(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
