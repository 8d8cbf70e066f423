"""The workloads that come with udamon: shapes, each of which states its truth, and traces of real programs.

`bench/make_shapes.py` writes the shapes, `bench/make_traces.py` the traces, which are packed.
"""

from __future__ import annotations

import os
from pathlib import Path

from udamon.errors import UsageError

_HERE = Path(__file__).parent
_SHAPE, _TRACE = ".masim", ".masim.xz"


def names() -> list[str]:
    """The names of the committed shapes, sorted; none where this user may not read the installation."""
    return _named(_SHAPE)


def traces() -> list[str]:
    """The names of the traces of real programs, likewise."""
    return _named(_TRACE)


def find(name_or_path: str) -> Path:
    """The file that a user means: one at that path, or the shape or trace of that name. Raises UsageError."""
    path = Path(name_or_path)
    if os.path.exists(path) and not os.path.isdir(path):  # Path.exists raises where a name is too long
        return path
    if name_or_path in names():
        return _HERE / (name_or_path + _SHAPE)
    name = name_or_path.removeprefix("trace:")
    if name in traces():
        return _HERE / (name + _TRACE)
    raise UsageError(
        f"there is no workload {name_or_path!r}: give the path of a masim configuration, or one of "
        f"{', '.join(names())}, or the trace of a program: {', '.join(traces())}."
    )


def name_of(path: Path) -> str:
    """What the workload in a file is called."""
    return path.name.removesuffix(_TRACE).removesuffix(_SHAPE)


def _named(suffix: str) -> list[str]:
    try:
        return sorted(path.name.removesuffix(suffix) for path in _HERE.glob(f"*{suffix}"))
    except PermissionError:
        return []  # a process that gave up root after it was started can still run its own files
