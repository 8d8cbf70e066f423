"""Major faults of a process: those for which it waited until a page had been read in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from udamon.linux.procfs import ProcessId, read_bytes
from udamon.linux.roots import PROC


def major_faults(process: ProcessId, root: Path = PROC) -> int:
    """Since it started, all its threads together. Raises OSError; ProcessLookupError when it is gone."""
    data = read_bytes(f"{root}/{process.pid}/stat")
    fields = data[data.rindex(b")") + 2 :].split()  # fields[0] is field 3 of the manual
    if int(fields[19]) != process.start_time:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return int(fields[9])
