"""What builds and checks packages: Python's tools in an environment of their own, and programs of Debian."""

from __future__ import annotations

import shutil
import sys
import tomllib
from functools import cache
from pathlib import Path

from scripts import wheel
from scripts.stages import ROOT, Failed, Skipped

PROGRAMS = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "crun": "crun",
    "diffoscope": "diffoscope-minimal",
    "lintian": "lintian",
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "rpmbuild": "rpm",
    "rpmlint": "rpmlint",
    "umoci": "umoci",
}
"""Programs and the Debian packages that have them: `scripts/setup dist` installs them."""


def main() -> None:
    """For scripts/setup: a program and its package a line."""
    for program, package in PROGRAMS.items():
        print(program, package)


def need(*programs: str) -> None:
    """Raises Skipped where one is missing."""
    missing = [PROGRAMS.get(name, name) for name in programs if not shutil.which(name)]
    if missing:
        raise Skipped(f"this needs the Debian packages {' '.join(missing)}: run scripts/setup dist as root")


@cache
def python() -> Path:
    """A Python that has the extra `dist`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return wheel.environment_of(Path(sys.executable), "dist", project["optional-dependencies"]["dist"])


def tool(name: str) -> Path:
    """A program of that environment. Raises Failed."""
    found = python().with_name(name)
    if not found.exists():
        raise Failed(f"the extra dist installs no {name}")
    return found


if __name__ == "__main__":
    main()
