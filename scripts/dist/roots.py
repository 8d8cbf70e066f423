"""Clean root file systems, in which packages are installed, used and removed: with their own /proc, without /sys."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.dist import source, tools
from scripts.stages import ROOT, Failed, current

FIVE_MINUTES = ROOT / "packaging" / "five-minutes"

CHANGES_BY_ITSELF = (
    "/tmp",
    "/proc",
    "/dev",
    "/run/mount",
    "/var/cache",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/log",
)
"""What apt and dpkg leave, whatever is installed."""


class Root:
    """A root file system in a directory."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def run(self, *command: str, what: str = "") -> float:
        """Run as its root, in a pid and a mount namespace of its own; the time it took, seconds. Raises Failed."""
        begin = time.monotonic()
        inside = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        words = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            inside,
            self.place,
            *command,
        ]
        environment = source.reproducible(
            PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", DEBIAN_FRONTEND="noninteractive"
        )
        done = subprocess.run(
            [str(word) for word in words], env=environment, stdin=subprocess.DEVNULL, check=False
        )
        took = time.monotonic() - begin
        if done.returncode:
            raise Failed(f"{what or command[0]} in a clean root ended with status {done.returncode}")
        current.notes.append(f"{what or command[0]}: {took:.1f} s")
        return took

    def files(self) -> set[str]:
        """All that is there, but what changes by itself."""
        names = (f"/{path.relative_to(self.place)}" for path in self.place.rglob("*"))
        return {name for name in names if not name.startswith(CHANGES_BY_ITSELF)}

    def add(self, path: Path) -> str:
        """Copy a file into it; where it is then."""
        shutil.copy(path, self.place / "tmp")
        return f"/tmp/{path.name}"

    def five_minutes(self) -> None:
        """What the README's first five minutes are, as root and as somebody else. Raises Failed."""
        self.run("sh", self.add(FIVE_MINUTES), what="the first five minutes")


@contextmanager
def debian(release: str, packages: Sequence[str] = (), machine: str = "amd64") -> Iterator[Root]:
    """A small Debian; made once, unpacked for each."""
    tools.need("mmdebstrap")
    kept = source.PLACE / f"base-{release}-{machine}{''.join(f'-{name}' for name in packages)}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        include = [f"--include={','.join(packages)}"] if packages else []
        command = [
            "mmdebstrap", "--variant=apt", "--mode=root", f"--architectures={machine}", *include, release,
            kept.with_suffix(".new"), "--format=tar",
        ]  # fmt: skip
        subprocess.run([str(word) for word in command], check=True)
        kept.with_suffix(".new").rename(kept)
    place = source.fresh(f"clean-{release}-{machine}")
    try:
        with tarfile.open(kept) as archive:
            archive.extractall(place, filter="fully_trusted")
        resolver = place / "etc/resolv.conf"
        resolver.write_text(Path("/etc/resolv.conf").read_text())
        yield Root(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
