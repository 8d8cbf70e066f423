"""Major faults of a process: those for which it waited until a page had been read in."""

from __future__ import annotations

from pathlib import Path

from udamon.linux.procfs import ProcessId, stat_of
from udamon.linux.roots import PROC


def major_faults(process: ProcessId, root: Path = PROC) -> int:
    """Since it started, all its threads together. Raises OSError; ProcessLookupError when it is gone."""
    return stat_of(process, root).major_faults
