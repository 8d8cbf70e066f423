"""Debian's packages of any of its releases and machines, downloaded by apt and unpacked: nothing is installed.

apt gets lists and a state of its own in a temporary directory, so the machine's own sources, lists and architectures
stay as they are. The archive is the one that the machine's own sources name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class NotOffered(Exception):
    """There is no such package to be had; the message says why."""


class Packages:
    """What one release of Debian (by its code name) offers for one machine."""

    def __init__(self, release: str, architecture: str, place: Path) -> None:
        self._place = place
        self._options = _options(place, architecture)
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (place / name).mkdir(parents=True)
        (place / "status").touch()  # nothing is installed: dependencies are all of them
        signed = f" [signed-by={KEYS}]" if KEYS.exists() else ""
        (place / "sources.list").write_text(f"deb{signed} {_archive()} {release} main\n")
        _do("apt-get", *self._options, "-qq", "-o", "APT::Update::Error-Mode=any", "update")

    def names(self, pattern: str) -> list[str]:
        found = _do("apt-cache", *self._options, "search", "--names-only", pattern)
        return [line.split(" - ")[0] for line in found.splitlines()]

    def depends(self, name: str) -> list[str]:
        """The packages that it needs first of all."""
        found = _do("apt-cache", *self._options, "depends", "--no-recommends", name)
        return re.findall(r"^ *\|?(?:Pre)?Depends: ([^<\s]+)", found, re.MULTILINE)

    def unpack(self, names: Sequence[str], target: Path) -> None:
        """These packages alone."""
        place = self._place / "alone"
        place.mkdir()
        _do("apt-get", *self._options, "-qq", "download", *names, cwd=place)
        _unpack(place, target)

    def unpack_with_all_they_need(self, names: Sequence[str], target: Path) -> None:
        """These packages and their dependencies."""
        words = ["-qq", "--yes", "--no-install-recommends", "--download-only", "install", *names]
        _do("apt-get", *self._options, *words)
        _unpack(self._place / "cache" / "archives", target)


@contextmanager
def packages(release: str, architecture: str) -> Iterator[Packages]:
    """Raises NotOffered, as all that is asked of what it yields."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if not shutil.which(program):
            raise NotOffered(f"no {program} on this machine")
    with tempfile.TemporaryDirectory() as place:
        yield Packages(release, architecture, Path(place))


def _options(place: Path, architecture: str) -> list[str]:
    settings = {
        "Dir::Etc::sourcelist": place / "sources.list",
        "Dir::Etc::sourceparts": place / "parts",
        "Dir::Etc::preferencesparts": place / "parts",
        "Dir::State": place,
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",  # its own user may not look into a temporary directory
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _archive() -> str:
    """Where the machine's own sources have Debian's packages."""
    for tried in range(2):
        found = _do(
            "apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"
        )
        for line in found.splitlines():
            origin, name, *uri = line.split(" ")
            if origin == "Debian" and uri and name.isalpha():  # not NAME-security, NAME-updates
                return uri[0]
        if not tried:
            _do("apt-get", "update", "-qq")  # who an archive is, its lists tell
    raise NotOffered("apt's sources name no archive of Debian")


def _unpack(place: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for package in sorted(place.glob("*.deb")):
        _do("dpkg-deb", "-x", package, target)


def _do(*command: str | Path, cwd: Path | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise NotOffered(f"{command[0]}: {last}")
    return done.stdout
