"""Looking at in-kernel DAMON from tests: its whole tree, and an engine run for a while."""

from __future__ import annotations

import time
from pathlib import Path

from tests.unit.fakes import Collector
from udamon.core.attrs import Attrs
from udamon.core.clock import MonotonicClock
from udamon.engine.kernel import KernelEngine
from udamon.linux.sysfs_damon import kernel_damon
from udamon.linux.tracefs import tracefs_root
from udamon.model import Range
from udamon.ops.opening import open_ops
from udamon.ops.processes import process_source

ADMIN = Path("/sys/kernel/mm/damon/admin/kdamonds")
RUN = Path("/run/udamon")


def free() -> list[str]:
    """What is not as after booting; empty when all is."""
    root = tracefs_root()
    assert root is not None
    wrong = list(kernel_damon().users)
    wrong += [f"{path.name} is left" for path in (root / "instances").iterdir()]
    wrong += [f"{path} is left" for path in RUN.glob("*")]
    return wrong


def tree(admin: Path = ADMIN.parent) -> dict[str, str]:
    """Every file below DAMON's directory with what it says."""
    found = {}
    for path in sorted(admin.rglob("*")):
        if path.is_file():
            try:
                found[str(path)] = path.read_text()
            except OSError as error:
                found[str(path)] = str(error.strerror)
    return found


def watched(
    pids: list[int],
    attrs: Attrs,
    source: str = "auto",
    *,
    seconds: float,
    ops: str = "vaddr",
    ranges: list[Range] | None = None,
) -> Collector:
    """What an engine saw in some seconds."""
    seen = Collector()
    space = open_ops(ops, process_source(pids) if pids else None, ranges or [])
    engine = KernelEngine(space, attrs, MonotonicClock(), source=source)
    engine.bus.subscribe(seen)
    engine.open()
    engine.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not engine.join(0.1):
        pass
    engine.stop()
    assert engine.join(30)
    return seen
