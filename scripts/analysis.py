"""gcc's static analyser over the C extension: docs/decisions/0009-c-tools.md says why this one."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from scripts.stages import ROOT, WORK, run

FLAGS = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fanalyzer",
    "-D_GNU_SOURCE",
    "-DPy_LIMITED_API=0x030B0000",
]


def check() -> None:
    """Compile every file with the analyser; a warning is an error. Raises Failed."""
    place = WORK / "analysis"
    place.mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "src" / "udamon" / "native").rglob("*.c"))
    command: list[str | Path] = ["gcc", *FLAGS, f"-I{sysconfig.get_path('include')}", "-c", *sources]
    run(command, "gcc -fanalyzer", cwd=place)
