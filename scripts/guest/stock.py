"""Debian's stock kernels for the guest: what udamon meets on machines that people really have.

    python -m scripts.guest.stock [RELEASE OF DEBIAN…]      download and unpack them, once

Nothing is installed: packages are only unpacked, into the cache, in a directory named after the kernel. Their 9p,
overlay and zram are modules, so the initial RAM disk has to load them. The cloud flavour lacks 9p and cannot be used.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from scripts import content
from scripts.guest import arm64, kernels
from scripts.guest.debian import NotOffered, packages
from scripts.guest.kernels import ARM, ARM_16K, ARM_612, CACHE, OLD, STOCK, Kernel

MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "zram"]
SUM = ".sum"
"""Behind the name of a kernel's directory: the file with the sum of what lies in it."""
ARM_PROCESSORS = ("max", "cortex-a72")
"""The second one sets no accessed bits: its first access of a page is a fault, and the kernel sets them."""


@dataclass(frozen=True)
class Wanted:
    """The newest kernel of a series that a release of Debian has; `series` is what its version begins with."""

    release: str
    series: tuple[int, ...]
    requires: str = OLD
    machine: str = "amd64"
    flavour: str = ""  # "-16k": pages of 16 KiB

    @property
    def name(self) -> str:
        return f"Debian {self.release}'s {'.'.join(map(str, self.series))} for {self.machine}{self.flavour}"


WANTED = [
    Wanted("trixie", (6, 12), STOCK),
    Wanted("bullseye", (5, 10)),
    Wanted("bookworm", (6, 1)),
    Wanted("sid", (7,)),
    Wanted("bookworm", (6, 1), ARM, "arm64"),
    Wanted("trixie", (6, 12), ARM_612, "arm64"),
    Wanted("trixie", (6, 12), ARM_16K, "arm64", "-16k"),
]
IN_SHORT = [WANTED[0], WANTED[4]]
"""Those that `make test` boots, too."""


def ensure(wanted: Wanted) -> Path:
    """The directory with vmlinuz and modules/, of the newest that was ever fetched. Raises NotOffered."""
    have = [place.parent for place in CACHE.glob(f"debian-*-{wanted.machine}{wanted.flavour}/vmlinuz")]
    have = [place for place in have if _is_of(_release(place), wanted) and _whole(place)]
    return max(have, key=lambda place: _numbers(_release(place))) if have else _fetched(wanted)


def guests(wanted: Wanted) -> list[Kernel]:
    """That kernel, ready to be booted; on Arm once for each processor. Raises NotOffered."""
    if wanted.machine != "arm64":
        return machines(wanted, ensure(wanted))
    if missing := arm64.absent():
        raise NotOffered(f"it needs {' and '.join(missing)}; scripts/setup guest-arm64 installs them")
    system = arm64.root()
    found = machines(wanted, ensure(wanted), system)
    arm64.extension(system)
    return found


def machines(wanted: Wanted, place: Path, system: Path = Path("/")) -> list[Kernel]:
    """What is booted of the kernel that lies in `place`."""
    kernel = kernels.stock(place, wanted.requires)
    if wanted.machine != "arm64":
        return [kernel]
    # A Cortex-A72 has no pages of 16 KiB.
    processors = ARM_PROCESSORS[:1] if wanted.flavour else ARM_PROCESSORS
    return [replace(kernel, arm64=True, system=system, processor=each) for each in processors]


def _fetched(wanted: Wanted) -> Path:
    with packages(wanted.release, wanted.machine) as offered, tempfile.TemporaryDirectory() as name:
        prefix = "linux-image-"
        images = offered.names(rf"^{prefix}[0-9].*[0-9a-z]-{wanted.machine}{wanted.flavour}$")
        releases = [image.removeprefix(prefix) for image in images if not re.search("-(cloud|rt)-", image)]
        # Meta packages (linux-image-6.12-amd64) have no patch level and no kernel in them.
        releases = [release for release in releases if len(_numbers(release)) > 2 and _is_of(release, wanted)]
        if not releases:
            raise NotOffered("there is no such kernel any more, or not yet")
        release = max(releases, key=_numbers)
        print(f"guest: fetching Debian's kernel {release}", flush=True)
        # The image itself, or where that is an empty one (7.2), what it needs.
        parts = [part for part in offered.depends(prefix + release) if release in part]
        scratch = Path(name)
        offered.unpack([prefix + release, *parts], scratch / "root")
        _collect(scratch / "root", release, scratch / "done")
        target = CACHE / f"debian-{release}"
        target.parent.mkdir(parents=True, exist_ok=True)
        # Complete or not there: whoever looks meanwhile, and whatever ends this.
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            shutil.copytree(scratch / "done", fresh / target.name)
            content.write(target.with_name(target.name + SUM), content.sum_of(scratch / "done"))
            if not target.exists() or not _whole(target):
                content.settle(fresh / target.name, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _whole(place: Path) -> bool:
    """Whether its files are those that were fetched, where that was noted. Others are removed, to be fetched again."""
    noted = place.with_name(place.name + SUM)
    if not noted.exists() or noted.read_text() == content.sum_of(place):
        return True
    print(f"guest: {place} is damaged", flush=True)
    shutil.rmtree(place)
    return False


def _release(place: Path) -> str:
    return place.name.removeprefix("debian-")


def _is_of(release: str, wanted: Wanted) -> bool:
    return _numbers(release)[: len(wanted.series)] == wanted.series


def _numbers(release: str) -> tuple[int, ...]:
    """5.10.0-32-amd64 -> 5, 10, 0, 32; 6.12.117+deb13-amd64 -> 6, 12, 117."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-(\d+))?", release)
    return tuple(int(number) for number in found.groups() if number is not None) if found else ()


def _collect(root: Path, release: str, target: Path) -> None:
    """The image and, uncompressed and named in the order to load them, the modules the guest needs."""
    modules = target / "modules"
    modules.mkdir(parents=True)
    image = next((path for path in root.rglob(f"vmlinu[xz]*{release}")), None) or next(
        root.rglob("vmlinuz"), None
    )
    if image is None:
        raise NotOffered(f"the packages of {release} have no kernel in them")
    # With or without /usr in front, compressed or not, by release of Debian.
    files = {path.name.split(".")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}
    ordered: dict[str, bytes] = {}
    for name in MODULES:
        _add(name, files, ordered)
    for number, (name, data) in enumerate(ordered.items()):
        (modules / f"{number:02}-{name}.ko").write_bytes(data)
    shutil.copy(image, target / "vmlinuz")


def _add(name: str, files: dict[str, Path], ordered: dict[str, bytes]) -> None:
    """Dependencies first. A name without a file is built into the kernel."""
    if name in ordered or name not in files:
        return
    data = files[name].read_bytes()
    if files[name].suffix == ".xz":
        data = lzma.decompress(data)
    elif files[name].suffix == ".gz":
        data = gzip.decompress(data)
    elif files[name].suffix == ".zst":
        data = subprocess.run(["zstd", "-dc", files[name]], check=True, capture_output=True).stdout
    depends = re.search(rb"\0depends=([^\0]*)\0", data)
    for each in depends.group(1).decode().split(",") if depends else []:
        _add(each.replace("-", "_"), files, ordered)
    ordered[name] = data


def main(names: list[str]) -> int:
    for wanted in WANTED:
        if not names or wanted.release in names:
            try:
                print(*(kernel.image for kernel in guests(wanted)))
            except NotOffered as why:
                sys.exit(f"stock: {wanted.name}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
