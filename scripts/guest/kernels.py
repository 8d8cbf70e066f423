"""Kernels to boot: where they lie, and what may be asked of each.

In this order: the files named by UDAMON_GUEST_KERNELS (a directory, or files with colons between); those in
../shared/guest beside the checkout; the one that `scripts/guest/build-kernel` built last. Debian's stock kernels
(stock.py) come in addition: that of 6.12 has all but idle page tracking.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.stages import ROOT, WORK

BUILDER = Path(__file__).with_name("build-kernel")


def _cache() -> Path:
    """Where kernels are kept; below .work for a user without a home, as a container may have."""
    place = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return (Path(place) if os.path.isabs(place) else WORK / "cache") / "udamon" / "kernels"


CACHE = _cache()

STOCK = "root,second_user,clear_refs,cgroup,soft_dirty,frame_numbers,pagemap_scan,thp,zram,damon_free"
FULL = STOCK + ",idle_bitmap"
OLD = "root,second_user,clear_refs,soft_dirty,frame_numbers,thp"
"""Of stock kernels that may have no in-kernel DAMON."""
ARM = "root,second_user,clear_refs,frame_numbers,thp"
ARM_612 = ARM + ",pagemap_scan,damon_free"
ARM_16K = ARM_612 + ",pages_of_16k"
ARMS = {ARM: "stock-arm64-units", ARM_612: "stock-arm64", ARM_16K: "stock-16k"}
"""Suites of Arm's kernels. Unit tests once for each size of pages: what they try differs by nothing else."""


@dataclass(frozen=True)
class Kernel:
    release: str  # what `uname -r` begins with
    image: Path
    newest: bool  # of all that were found: it runs every test, the others what may differ on them
    requires: str  # capabilities whose absence is a failure
    modules: Path | None = None  # directory of modules to load before the root file system, in name order
    stock: bool = False  # Debian's own
    arm64: bool = False  # else x86-64
    processor: str = "max"  # as QEMU calls it
    system: Path = Path("/")  # the root file system

    def suite_of(self, long: bool) -> str:
        """Which tests it runs (tests/guest/plan.py); "" for none."""
        if self.newest:
            return "all" if long else "default"
        if not self.stock:
            return "612" if long else "version"
        if self.requires == OLD:
            return "stock-pte" if long else ""
        if self.requires in ARMS:
            fast = self.processor != "max"  # to emulate, of the two
            if not long:
                return "stock-arm64-smoke" if fast else ""
            return "stock-arm64" if fast else ARMS[self.requires]
        return "stock-612" if long else "stock-version"

    @property
    def name(self) -> str:
        return self.release if self.processor == "max" else f"{self.release}-{self.processor}"

    @property
    def series(self) -> tuple[int, ...]:
        return self.version[:2]

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", self.release)[:3]))


def find() -> list[Kernel]:
    """Kernels with all that udamon looks for, the newest first."""
    images = _named() or _images(ROOT.parent / "shared" / "guest") or _images(CACHE, latest=True)
    kernels = [Kernel(_release(image), image, False, FULL) for image in images]
    kernels.sort(key=lambda kernel: kernel.version, reverse=True)
    return [replace(kernel, newest=True) for kernel in kernels[:1]] + kernels[1:]


def stock(place: Path, requires: str = STOCK) -> Kernel:
    """Debian's own, unpacked into `place` by stock.py."""
    return Kernel(
        place.name.removeprefix("debian-"), place / "vmlinuz", False, requires, place / "modules", stock=True
    )


def fetched() -> list[Kernel]:
    """Debian's that are in the cache."""
    return [stock(image.parent) for image in sorted(CACHE.glob("debian-*/vmlinuz"))]


def ready() -> bool:
    return bool(find())


def _named() -> list[Path]:
    value = os.environ.get("UDAMON_GUEST_KERNELS", "")
    found: list[Path] = []
    for word in filter(None, value.split(":")):
        found += _images(Path(word)) if Path(word).is_dir() else [Path(word)]
    return found


def _images(directory: Path, latest: bool = False) -> list[Path]:
    found = sorted(directory.glob("linux-*-bzImage"), key=lambda path: path.stat().st_mtime)
    return found[-1:] if latest else found


def _release(image: Path) -> str:
    """linux-7.2.13-bzImage -> 7.2.13; a build's hash behind the version is left out."""
    match = re.search(r"\d+(\.\d+)+", image.name)
    return match.group() if match else ""
