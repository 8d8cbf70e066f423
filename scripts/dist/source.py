"""The source archive, and what is the same for all that is made of it: version, time, environment."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import BinaryIO

from scripts.stages import ROOT, WORK, environment, run
from udamon import __version__

OUT = ROOT / "dist"
PLACE = WORK / "packages"
"""What is made on the way."""


@cache
def epoch() -> int:
    """The time that everything built bears, seconds: that of the commit."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def reproducible(**changes: str) -> dict[str, str]:
    """The environment of a build."""
    return environment(SOURCE_DATE_EPOCH=str(epoch()), LC_ALL="C.UTF-8", TZ="UTC", **changes)


def fresh(name: str) -> Path:
    """An empty directory below PLACE."""
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def archive(out: Path) -> Path:
    """The source archive."""
    place = fresh("sdist")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        place,
        ROOT,
    ]
    run(command, "python -m build --sdist", env=reproducible())
    name = f"udamon-{__version__}.tar.gz"
    with tarfile.open(place / name) as made:
        write_archive(out / name, {member.name: _read(made, member) for member in made if member.isfile()})
    return out / name


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[bytes, bool]:
    file = archive.extractfile(member)
    assert file is not None
    return file.read(), bool(member.mode & 0o100)


def write_archive(path: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    """A .tar.gz of files (content, whether it is a program) that depends on nothing else."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=epoch()) as packed:
        _write(packed, files)


def write_tar(path: Path, files: dict[str, tuple[bytes, bool]]) -> None:
    """The same, not compressed."""
    with path.open("wb") as raw:
        _write(raw, files)


def _write(into: BinaryIO | gzip.GzipFile, files: dict[str, tuple[bytes, bool]]) -> None:
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (content, program) in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), epoch(), 0o755 if program else 0o644
            archive.addfile(member, io.BytesIO(content))


def unpacked(archive: Path, place: Path) -> Path:
    """The tree of a source archive, below `place`."""
    with tarfile.open(archive) as made:
        made.extractall(place, filter="data")
    return place / f"udamon-{__version__}"
