"""The two programs a guest needs outside itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

QEMU = "qemu-system-x86_64"


def absent() -> list[str]:
    """Debian packages that are missing."""
    missing = []
    if os.uname().machine != "x86_64":
        return ["an x86-64 machine"]
    if not shutil.which(QEMU):
        missing.append("qemu-system-x86")
    if busybox() is None:
        missing.append("busybox-static")
    return missing


def busybox() -> Path | None:
    """A busybox that runs without libraries: nothing else is there before the root file system is."""
    found = shutil.which("busybox")
    return Path(found) if found and _is_static(Path(found)) else None


def _is_static(program: Path) -> bool:
    # A dynamic ELF program names its loader in a PT_INTERP segment, which lies in its first page.
    head = program.read_bytes()[:4096]
    return head.startswith(b"\x7fELF") and b"/ld-linux" not in head and b"/ld-musl" not in head
