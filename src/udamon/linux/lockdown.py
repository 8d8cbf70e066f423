"""The kernel's lockdown: what even root may not do."""

from __future__ import annotations

import re
from pathlib import Path

from udamon.linux.roots import SYS


def lockdown(root: Path = SYS) -> str:
    """ "integrity", "confidentiality", or "" for none, or where it cannot be known."""
    try:
        found = re.search(r"\[(\w+)\]", (root / "kernel/security/lockdown").read_text())
    except OSError:
        return ""
    return "" if found is None or found[1] == "none" else found[1]
