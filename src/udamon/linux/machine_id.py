"""The identity of this installation (machine-id(5)), as it may leave the machine."""

from __future__ import annotations

import hmac
import re
from pathlib import Path

FILE = Path("/etc/machine-id")
TRANSIENT = Path("/run/machine-id")
"""There while systemd could not write FILE: the identity is another one after the next boot."""

_SALT = b"udamon fleet 1"
_WHOLE = re.compile(r"[0-9a-f]{32}")


def machine_digest(file: Path = FILE, transient: Path = TRANSIENT) -> str | None:
    """Twelve hexadecimal digits that follow from the machine's identity, which cannot be found from them; None where
    it has none that lasts."""
    try:
        found = file.read_text(errors="replace").strip().lower()
    except OSError:
        return None
    if not _WHOLE.fullmatch(found) or transient.exists():
        return None
    # The page machine-id(5) asks for this: the identity is confidential, its keyed hash is not.
    return hmac.digest(bytes.fromhex(found), _SALT, "sha256").hex()[:12]
