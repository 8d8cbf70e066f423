"""What `record --sites` costs a program: its own CPU with the preload library and a recorder, against without.

Pairs in the order A B B A, so that what drifts meets both alike; the ratio of each pair, and the 95 % interval of their
mean. Pairs are made until that is narrower than ± 1 %, and at most MOST of them. A ratio of CPU time (user and system,
of the program and its children) and not of elapsed time: the recorder runs beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from statistics import mean

from bench.figures import Figure, interval95
from udamon.model import Event
from udamon.sites.collector import MEAN, Collector

LEAST, MOST = 6, 24
NARROW = 0.01

LOOP = """
#include <stdlib.h>
int main(void) {
    void *kept[64] = {0};
    for (int i = 0; i < 60000000; i++) {
        free(kept[i & 63]);
        kept[i & 63] = malloc(64);
        __asm__ volatile("" ::"r"(kept) : "memory");
    }
}
"""

SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 400000)
INSERT INTO t SELECT x, hex(randomblob(16)), x * 0.5 FROM n;
CREATE INDEX i ON t(b);
SELECT count(*), sum(length(b)), max(c) FROM t WHERE b > '8';
SELECT count(DISTINCT substr(b, 1, 4)) FROM t;
"""

PYTHON = """
import json, re
rows = [{"id": i, "name": "n%d" % i, "tags": [str(j) for j in range(i % 7)]} for i in range(120000)]
text = json.dumps(rows)
back = json.loads(text)
print(len(text), sum(len(row["tags"]) for row in back), len(re.findall(r"n\\d+", text)))
"""


def programs(place: Path) -> list[tuple[str, list[str]]]:
    """Name and command of what is here."""
    (place / "loop.c").write_text(LOOP)
    (place / "work.sql").write_text(SQL)
    (place / "work.py").write_text(PYTHON)
    found = []
    native = Path(__file__).resolve().parents[1] / "src" / "udamon" / "native"
    data = place / "data"
    data.write_bytes(b"".join(file.read_bytes() for file in sorted(native.glob("*.c"))) * 40)
    compile_one = [
        "gcc",
        "-O2",
        "-c",
        "-o",
        "/dev/null",
        "-D_GNU_SOURCE",
        f"-I{sysconfig.get_path('include')}",
    ]
    for name, command in (
        ("sqlite3", ["sqlite3", ":memory:", f".read {place / 'work.sql'}"]),
        ("xz", ["xz", "-k", "-c", "-6", str(data)]),
        ("python3", ["/usr/bin/python3", str(place / "work.py")]),
        ("gcc", [*compile_one[:4], str(place / "o.o"), *compile_one[5:], str(native / "damo.c")]),
        ("git", ["git", "-C", str(native), "log", "--stat", "--format=%H", "-n", "300"]),
    ):
        if shutil.which(command[0]):
            found.append((name, command))
    if shutil.which("gcc"):
        subprocess.run(["gcc", "-O2", "-o", place / "loop", place / "loop.c"], check=True)
        found.append(("nothing but malloc and free", [str(place / "loop")]))
    return found


def cpu_of(command: Sequence[str], mean_bytes: int | None) -> tuple[float, float, int]:
    """Seconds of CPU of a run and of the recorder, and samples; without the library where `mean_bytes` is None."""
    if mean_bytes is None:
        return _run(command, os.environ.copy(), None), 0.0, 0
    samples = 0

    def publish(event: Event) -> None:
        nonlocal samples
        if event.name == "allocations":
            rows = event.data["rows"]
            assert isinstance(rows, list)
            samples += sum(len(row) == 5 for row in rows)

    with Collector(mean_bytes) as collector:
        before = time.process_time()
        environment = os.environ | collector.environment()
        used = _run(command, environment, lambda: collector.poll(publish))
        collector.finish(publish)
        return used, time.process_time() - before, samples


def _run(command: Sequence[str], environment: dict[str, str], poll: object) -> float:
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if callable(poll):
                poll()
            time.sleep(0.2 if poll else 0.02)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def paired(command: Sequence[str], mean_bytes: int) -> tuple[list[float], list[float], int]:
    """Ratios of pairs, seconds of CPU of the recorder, and samples of a run."""
    ratios: list[float] = []
    recorder: list[float] = []
    samples = 0
    cpu_of(command, None)  # what is read from the disk is in memory from here on
    while len(ratios) < MOST:
        first = len(ratios) % 2 == 0
        found = [cpu_of(command, mean_bytes if with_library else None) for with_library in (not first, first)]
        alone, with_it = found if first else found[::-1]
        ratios.append(with_it[0] / alone[0])
        recorder.append(with_it[1])
        samples = with_it[2]
        if len(ratios) >= LEAST:
            low, high = interval95([log(ratio) for ratio in ratios])
            if high - low < 2 * NARROW:
                break
    return ratios, recorder, samples


def measure() -> list[Figure]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for about, command in programs(Path(name)):
            ratios, recorder, samples = paired(command, MEAN)
            low, high = map(exp, interval95([log(ratio) for ratio in ratios]))
            rows.append(
                [
                    about,
                    f"{exp(mean(map(log, ratios))) - 1:+.1%}",
                    f"{low - 1:+.1%} to {high - 1:+.1%}",
                    str(len(ratios)),
                    str(samples),
                    f"{mean(recorder) * 1e3:.0f} ms",
                ]
            )
            print("  ".join(rows[-1]), flush=True)
    note = (
        "CPU of the program with the library and a recorder, against without, at the default mean of 512 KiB; pairs "
        "ABBA. The last row has no goal: it does nothing else."
    )
    head = ["program", "CPU", "95 %", "pairs", "samples", "recorder"]
    return [Figure("What record --sites costs a program", head, rows, note)]
