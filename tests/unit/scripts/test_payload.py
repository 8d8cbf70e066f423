"""Modes of what is packaged."""

from __future__ import annotations

from pathlib import Path

from scripts.dist import payload


def test_programs_alone_are_executable(tmp_path: Path) -> None:
    """Whatever the modes in the wheels are: some libraries mark every module."""
    for name, mode in (
        ("opt/udamon/bin/udamon", 0o600),
        ("opt/udamon/lib/a.py", 0o777),
        ("opt/udamon/lib/b.so", 0o755),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(mode)
    payload.settle(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"udamon": 0o755, "a.py": 0o644, "b.so": 0o644}
