"""Why a file cannot be read: what it is is not known then."""

from __future__ import annotations

import pwd
from contextlib import suppress
from pathlib import Path

from udamon.errors import RecordingError
from udamon.linux.open_files import remedy


def unreadable(path: Path, error: OSError) -> RecordingError:
    """The sentence for `error`, met when `path` was opened or read."""
    if isinstance(error, PermissionError):
        who = _owner(path) or "its owner"
        fix = f"recordings are private: read it as {who if who == 'root' else f'{who} or root'}"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        fix = "give a file that exists"
    else:
        fix = remedy(error, "give a file that udamon record wrote")
    return RecordingError(f"cannot read {path}: {error.strerror}; {fix}.")


def _owner(path: Path) -> str | None:
    """Whose it is; None where not even that may be known."""
    with suppress(OSError, KeyError):
        return pwd.getpwuid(path.stat().st_uid).pw_name
    return None
