"""Caches by content: what was made of the same files is not made again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.stages import ROOT, WORK


def digest(paths: Iterable[Path], *words: str) -> str:
    """A short hash of files (with their names) and words."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path}\0{len(data := path.read_bytes())}\0".encode())
        total.update(data)
    total.update("\0".join(words).encode())
    return total.hexdigest()[:12]


def sum_of(directory: Path) -> str:
    """A hash of the files in a directory, wherever it lies; without what Python compiles when it imports them."""
    total = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        total.update(f"{path.relative_to(directory)}\0{len(data := path.read_bytes())}\0".encode())
        total.update(data)
    return total.hexdigest()


def settle(fresh: Path, target: Path) -> None:
    """Give a directory that is complete its place. Where another process was first, what that one made stays."""
    try:
        fresh.rename(target)
    except OSError:
        if not target.exists():
            raise


def package_files() -> list[Path]:
    """What a wheel is built from. Python's compiled files come and go meanwhile, half-written ones under any name."""
    made = ("__pycache__", ".egg-info")
    tree = (
        Path(directory) / name
        for directory, _, names in os.walk(ROOT / "src")
        if not directory.endswith(made)
        for name in names
    )
    return [
        *(path for path in tree if path.suffix != ".so"),
        *(ROOT / name for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE")),
    ]


def compiler() -> str:
    """What else C is built with: gcc's version, and flags of the environment."""
    try:
        version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        version = ""
    return "\0".join(
        [version, *(os.environ.get(name, "") for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS"))]
    )


def write(path: Path, text: str) -> None:
    """Write a file in one step: a reader, or an interrupted run, never finds a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time, across processes: two stages may want the same thing made."""
    WORK.mkdir(exist_ok=True)
    with (WORK / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process to be done with .work/{name}.lock", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
