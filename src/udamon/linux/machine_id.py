"""The identity of this installation (machine-id(5)) on this hardware, as it may leave the machine.

A disk that was copied with its machine-id is another machine: hypervisors give each of theirs a UUID of its own."""

from __future__ import annotations

import hmac
import re
from pathlib import Path

FILE = Path("/etc/machine-id")
TRANSIENT = Path("/run/machine-id")
"""There while systemd could not write FILE: the identity is another one after the next boot."""

HARDWARE = Path("/sys/class/dmi/id/product_uuid")
"""For root alone; not on machines without SMBIOS."""

_SALT = b"udamon fleet 1"
_WHOLE = re.compile(r"[0-9a-f]{32}")
_UUID = re.compile(r"(?!(?:0+|f+)$)[0-9a-f]{32}")
"""Without its hyphens; firmware that has none gives zeros or ones."""


def machine_digest(file: Path = FILE, transient: Path = TRANSIENT, hardware: Path = HARDWARE) -> str | None:
    """Twelve hexadecimal digits that follow from the identities of installation and hardware, which cannot be found
    from them; None where the installation has none that lasts. Where the hardware's cannot be read, of the other."""
    found = _read(file)
    if not _WHOLE.fullmatch(found) or transient.exists():
        return None
    uuid = _read(hardware).replace("-", "")
    salt = _SALT + (bytes.fromhex(uuid) if _UUID.fullmatch(uuid) else b"")
    # The page machine-id(5) asks for this: the identity is confidential, its keyed hash is not.
    return hmac.digest(bytes.fromhex(found), salt, "sha256").hex()[:12]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip().lower()
    except OSError:
        return ""
