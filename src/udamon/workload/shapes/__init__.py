"""The workloads that come with udamon; `bench/make_shapes.py` writes them, each states its truth."""

from __future__ import annotations

from pathlib import Path

from udamon.errors import UsageError

_HERE = Path(__file__).parent


def names() -> list[str]:
    """The names of the committed shapes, sorted; none where this user may not read the installation."""
    try:
        return sorted(path.stem for path in _HERE.glob("*.masim"))
    except PermissionError:
        return []  # a process that gave up root after it was started can still run its own files


def find(name_or_path: str) -> Path:
    """The file that a user means: one at that path, or the shape of that name. Raises UsageError."""
    path = Path(name_or_path)
    if path.exists() and not path.is_dir():
        return path
    if name_or_path in names():
        return _HERE / f"{name_or_path}.masim"
    raise UsageError(
        f"there is no workload {name_or_path!r}: give the path of a masim configuration, or one of "
        f"{', '.join(names())}."
    )
