"""Debian's stock kernel for the guest: what in-kernel DAMON is on machines that people really have.

    python -m scripts.guest.stock      download and unpack the newest one that apt offers, once

Nothing is installed: the package is only unpacked, into the cache. Its 9p, overlay and zram are modules, so
the initial RAM disk has to load them. The cloud flavour lacks 9p and cannot be used.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.guest.kernels import CACHE

OLDEST = (6, 12)
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "zram"]
PACKAGE = re.compile(r"^linux-image-(\d[\d.]*(?:\+\w+)?-amd64)\b", re.MULTILINE)


class NotOffered(Exception):
    """There is no such kernel to be had; the message says why."""


def ensure() -> Path:
    """The directory with vmlinuz and modules/. Raises NotOffered."""
    have = sorted(CACHE.glob("debian-*/vmlinuz"))
    if have:
        return have[-1].parent
    if not shutil.which("apt-get"):
        raise NotOffered("no apt-get on this machine")
    release = _newest()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        print(f"guest: fetching Debian's kernel {release}", flush=True)
        _do("apt-get", "download", "-qq", f"linux-image-{release}", cwd=scratch)
        package = next(scratch.glob("*.deb"))
        _do("dpkg-deb", "-x", package.name, "root", cwd=scratch)
        _collect(scratch / "root", release, scratch / "done")
        target = CACHE / f"debian-{release}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(scratch / "done", target, dirs_exist_ok=True)
    return target


def _newest() -> str:
    offered = _offered() or (_do("apt-get", "update", "-qq", check=False) and _offered()) or []
    usable = [release for release in offered if _numbers(release)[:2] >= OLDEST]
    if not usable:
        raise NotOffered("the apt sources offer no linux-image-*-amd64 of 6.12 or newer")
    return max(usable, key=_numbers)


def _offered() -> list[str]:
    # Meta packages (linux-image-6.12-amd64) have no patch level and no kernel in them.
    names = _do("apt-cache", "search", "--names-only", "^linux-image-[0-9].*-amd64$")
    return [release for release in PACKAGE.findall(names) if len(_numbers(release)) > 2]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split("+")[0].split("-")[0].split(".")))


def _collect(root: Path, release: str, target: Path) -> None:
    """The image and, uncompressed and named in the order to load them, the modules the guest needs."""
    modules = target / "modules"
    modules.mkdir(parents=True)
    shutil.copy(root / "boot" / f"vmlinuz-{release}", target / "vmlinuz")
    # With or without /usr in front, compressed or not, by release of Debian.
    files = {path.name.split(".")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}
    ordered: dict[str, bytes] = {}
    for name in MODULES:
        _add(name, files, ordered)
    for number, (name, data) in enumerate(ordered.items()):
        (modules / f"{number:02}-{name}.ko").write_bytes(data)


def _add(name: str, files: dict[str, Path], ordered: dict[str, bytes]) -> None:
    """Dependencies first. A name without a file is built into the kernel."""
    if name in ordered or name not in files:
        return
    data = files[name].read_bytes()
    if files[name].suffix == ".xz":
        data = lzma.decompress(data)
    depends = re.search(rb"\0depends=([^\0]*)\0", data)
    for each in depends.group(1).decode().split(",") if depends else []:
        _add(each.replace("-", "_"), files, ordered)
    ordered[name] = data


def _do(*command: str, cwd: Path | None = None, check: bool = True) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode and check:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise NotOffered(f"{' '.join(command[:2])}: {last}")
    return done.stdout or " "


if __name__ == "__main__":
    try:
        print(ensure())
    except NotOffered as why:
        sys.exit(f"stock: {why}")
