"""Which Python interpreters this machine has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)


def newer_than_oldest() -> dict[str, Path]:
    """Working interpreters newer than the one we run under, one a minor version, oldest first."""
    found: dict[tuple[int, int], Path] = {}
    for candidate in _candidates():
        version = _version(candidate)
        if version and version > max(OLDEST, sys.version_info[:2]):
            found.setdefault(version, candidate)
    return {f"{major}.{minor}": found[major, minor] for major, minor in sorted(found)}


def _candidates() -> list[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    directories = [*(place / "bin" for place in _in(pyenv / "versions")), *map(Path, os.get_exec_path())]
    return [
        path
        for directory in directories
        for path in _in(directory)
        if re.fullmatch(r"python3\.\d+", path.name)
    ]


def _in(directory: Path) -> list[Path]:
    """What it has; nothing where there is none, or where it is another user's, as in the PATH that su leaves."""
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _version(python: Path) -> tuple[int, int] | None:
    """The version it really runs: a launcher may be there without the interpreter it launches."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2], sys.implementation.name)"
    try:
        answer = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, name = answer.split()
    return (int(major), int(minor)) if name == "cpython" else None
