"""Kernels to boot: where they lie, and what may be asked of each.

In this order: the files named by UDAMON_GUEST_KERNELS (a directory, or files with colons between); those in
../shared/guest beside the checkout; the one that `scripts/guest/build-kernel` built. Debian's stock kernel,
which `scripts/guest/fetch-stock` unpacks, comes in addition: it has in-kernel DAMON but none of the rest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from scripts.stages import ROOT

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "udamon" / "kernels"

FULL = (
    "root,second_user,clear_refs,cgroup,idle_bitmap,soft_dirty,frame_numbers,pagemap_scan,thp,zram,damon_free"
)
STOCK = "root,second_user,clear_refs,cgroup,frame_numbers,thp,damon_free"


@dataclass(frozen=True)
class Kernel:
    release: str  # what `uname -r` begins with
    image: Path
    suite: str  # which tests it runs: see tests/guest/plan.py
    requires: str  # capabilities whose absence is a failure
    modules: Path | None = None  # directory of modules to load before the root file system, in name order

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", self.release)[:3]))


def find() -> list[Kernel]:
    """Every kernel to test on, the newest first: it runs the whole suite, the others what matters on them."""
    images = _named() or _images(ROOT.parent / "shared" / "guest") or _images(CACHE)
    kernels = [Kernel(_release(image), image, "612", FULL) for image in images]
    kernels.sort(key=lambda kernel: kernel.version, reverse=True)
    if kernels:
        newest = kernels[0]
        kernels[0] = Kernel(newest.release, newest.image, "default", FULL)
    return kernels + _stock()


def ready() -> bool:
    return bool(find())


def _named() -> list[Path]:
    value = os.environ.get("UDAMON_GUEST_KERNELS", "")
    found: list[Path] = []
    for word in filter(None, value.split(":")):
        found += _images(Path(word)) if Path(word).is_dir() else [Path(word)]
    return found


def _images(directory: Path) -> list[Path]:
    return sorted(directory.glob("linux-*-bzImage"))


def _release(image: Path) -> str:
    """linux-7.2.13-bzImage -> 7.2.13; a build's hash behind the version is left out."""
    match = re.search(r"\d+(\.\d+)+", image.name)
    return match.group() if match else ""


def _stock() -> list[Kernel]:
    found = sorted(CACHE.glob("debian-*/vmlinuz"))
    if not found:
        return []
    place = found[-1].parent
    return [Kernel(place.name.removeprefix("debian-"), found[-1], "612", STOCK, place / "modules")]
