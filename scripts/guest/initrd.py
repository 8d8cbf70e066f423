"""The initial RAM disk: a static busybox, the first program, and perhaps modules. Written as cpio "newc"."""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path

from scripts import content
from scripts.guest import tools
from scripts.guest.kernels import Kernel
from scripts.stages import WORK

HERE = Path(__file__).parent


def cached(kernel: Kernel) -> Path:
    """The initial RAM disk for a kernel, made once of the same files."""
    busybox = kernel.system / "bin/busybox" if kernel.arm64 else tools.busybox()
    assert busybox is not None, "callers ask tools.absent() first"
    modules = sorted(kernel.modules.glob("*.ko")) if kernel.modules else []
    target = WORK / "initrd" / content.digest([busybox, HERE / "init", Path(__file__), *modules])
    with content.locked("initrd"):
        if not _whole(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target.with_suffix(".new"), busybox, modules)
            target.with_suffix(".new").rename(target)
    return target


def _whole(archive: Path) -> bool:
    """Whether it is there and was not cut short or damaged since: gzip keeps a sum."""
    try:
        return bool(gzip.decompress(archive.read_bytes()))
    except (OSError, EOFError, zlib.error):
        return False


def write(target: Path, busybox: Path, modules: Sequence[Path]) -> None:
    files = {"bin/busybox": busybox, "init": HERE / "init"}
    files |= {f"modules/{path.name}": path for path in modules}
    directories = ["bin", "proc", "sys", "dev", "modules", "lower", "upper", "root"]
    archive = b"".join(_entry(name, stat.S_IFDIR | 0o755, b"") for name in directories)
    archive += b"".join(_entry(name, stat.S_IFREG | 0o755, path.read_bytes()) for name, path in files.items())
    archive += _entry("TRAILER!!!", 0, b"")
    target.write_bytes(gzip.compress(archive, compresslevel=1, mtime=0))


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """Header (magic, then 13 numbers of 8 hex digits), name and data, each padded to 4 bytes."""
    encoded = name.encode() + b"\0"
    numbers = [0] * 13
    numbers[1], numbers[4], numbers[6], numbers[11] = mode, 1, len(data), len(encoded)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
