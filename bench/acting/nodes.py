"""Hot memory on one NUMA node, cold on the other, also after they change places: in a guest with two emulated nodes.

python -m bench.acting.nodes [--kernel 7.2] [--write]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.acting.single import ATTRS, UDAMON, Single, main, start_workload
from bench.figures import Figure
from scripts.guest.machine import Machine
from udamon.linux.move_pages import nodes_of
from udamon.model import PAGE_SIZE, Range
from udamon.units import MIB

GUEST = Machine(smp=1, mem=2048, append="numa=fake=2")
PART, RATE, PHASE_S, EVERY_S = 64 * MIB, "200k", 60, 10
FAST, SLOW = 0, 1
CONFIG = f"""a, {PART}
b, {PART}

a is hot
{PHASE_S * 1000}
a, 1, 4096, 1, rw

b is hot
{PHASE_S * 1000}
b, 1, 4096, 1, rw
"""
SCHEMES = f"""schemes:
  - action: migrate_hot
    target_nid: {FAST}
    access_pattern: {{sz: {{min: 4 KiB}}, nr_accesses: {{min: 10%}}}}
    apply_interval: 1s
    quotas: {{bytes: 32 MiB, reset_interval_ms: 1s}}
  - action: migrate_cold
    target_nid: {SLOW}
    access_pattern: {{sz: {{min: 4 KiB}}, nr_accesses: {{max: 0%}}, age: {{min: 3s}}}}
    apply_interval: 1s
    quotas: {{bytes: 32 MiB, reset_interval_ms: 1s}}
"""


def inside(place: Path) -> None:
    """Leaves shares.json: rows of seconds, and of each part the MiB on each node."""
    with tempfile.TemporaryDirectory() as name:
        target, truth = start_workload(Path(name), CONFIG, RATE)
        schemes = Path(name, "schemes.yaml")
        schemes.write_text(SCHEMES)
        words = ["schemes", "--apply", "--config", str(schemes), "--via", "idle", *ATTRS, "--json"]
        words += ["--max-psi", "off", "--max-major-faults", "off", "-q", "-p", str(target.pid)]
        with Path(place, "acted.json").open("wb") as said:
            actor = subprocess.Popen([*UDAMON, *words], stdout=said)
        regions = json.loads(truth.read_text().splitlines()[-1])["regions"]
        parts = {each["name"]: Range(each["start"], each["end"]) for each in regions}
        rows, begin = [], time.monotonic()
        for k in range(2 * PHASE_S // EVERY_S):
            time.sleep(max(begin + k * EVERY_S - time.monotonic(), 0))
            if target.poll() is None:
                rows.append([time.monotonic() - begin, *shares(target.pid, parts)])
        target.wait(120)
        actor.wait(60)
        Path(place, "shares.json").write_text(json.dumps(rows))


def shares(pid: int, parts: dict[str, Range]) -> list[float]:
    """MiB of a on the fast node, of a on the slow one, then of b."""
    found = []
    for part in parts.values():
        # Every eighth page stands for its neighbours: asking for all takes seconds in a guest.
        nodes = nodes_of(pid, range(part.start, part.end, 8 * PAGE_SIZE))
        for node in (FAST, SLOW):
            found.append(sum(each == node for each in nodes) * 8 * PAGE_SIZE / MIB)
    return found


def figure(left: Path, where: str) -> Figure:
    rows = [
        [f"{row[0]:.0f} s", *(f"{size:.0f}" for size in row[1:])]
        for row in json.loads((left / "shares.json").read_text())
    ]
    acted = json.loads((left / "acted.json").read_text())
    head = ("after", f"a on node {FAST}, MiB", f"a on node {SLOW}", f"b on node {FAST}", f"b on node {SLOW}")
    note = (
        f"`udamon schemes --apply --via idle`: migrate_hot to node {FAST}, migrate_cold to node {SLOW}, 32 MiB a "
        f"second each, on a process with two parts of {PART // MIB} MiB. Part a is hot for the first {PHASE_S} s, b "
        f"after that; what is cold for 3 s goes. Advised {acted['advised_bytes'] / MIB:.0f} MiB, moved "
        f"{acted['moved_bytes'] / MIB:.0f} MiB. {where}"
    )
    return Figure("Two nodes", head, rows, note)


if __name__ == "__main__":
    sys.exit(main(Single("bench.acting.nodes", "nodes", __doc__, GUEST, inside, figure), sys.argv[1:]))
