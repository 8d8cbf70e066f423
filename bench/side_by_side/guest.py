"""The guest that everything is run in, seen from outside."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.guest import kernels, tools
from scripts.guest.boot import JOB_INSIDE, Ended, boot
from scripts.guest.kernels import Kernel
from scripts.guest.machine import Machine
from scripts.stages import ROOT, WORK

KEPT = WORK / "side_by_side"
GUEST = Machine(smp=1, mem=3072)
"""One processor: only then does the emulated TLB not hide accesses from any monitor (bench/tlb.py)."""
LIMIT_S, SILENCE_S = 5400, 240


def kernel(wanted: str) -> Kernel:
    """The newest kernel whose release begins like that; ends the program where there is none."""
    if missing := tools.absent():
        sys.exit(f"side_by_side: needs {', '.join(missing)}; scripts/setup guest installs it")
    found = [kernel for kernel in kernels.find() if kernel.release.startswith(wanted)]
    if not found:
        sys.exit(f"side_by_side: there is no kernel {wanted}; make guest-kernel builds one")
    return found[0]


def run(kernel: Kernel, *module: str | Path, machine: Machine = GUEST) -> tuple[Ended, Path]:
    """`python -m MODULE… DIRECTORY` in a guest, as root; returns how it ended, and that directory outside."""
    # Under emulation each program would take seconds to compile what it imports.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "src", "bench", "scripts"], cwd=ROOT, check=False
    )
    place = WORK / "guest" / f"side-by-side-{kernel.release}"
    script = _script([*map(str, module), str(JOB_INSIDE)])
    return boot(kernel, machine, script, place, LIMIT_S, SILENCE_S), place / "job"


def _script(module: Sequence[str]) -> str:
    variables = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "UDAMON_GUEST": GUEST.name}
    if "PYTHONPATH" in os.environ:
        variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    command = shlex.join([sys.executable, "-u", "-m", *module])
    return "\n".join([*exports, f"cd {shlex.quote(str(ROOT))}", command, ""])
