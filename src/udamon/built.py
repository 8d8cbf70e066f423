"""Which udamon this is: its version, the commit it was made from, and in what form it was installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from udamon import __version__

if TYPE_CHECKING:  # the command line imports this, and --help needs none of it
    from pathlib import Path

COMMIT = "commit.txt"
"""Beside this file in everything that is installed: setup.py writes it. A checkout is asked itself."""

FORMS = ("deb", "rpm", "image")
"""What the file INSTALLER of the installed package may say, which the packages of scripts/dist write; all other
installers (pip, uv) take wheels."""


def description() -> str:
    """One line: "udamon 0.1.0 (commit 0a1b2c3d4e5f, wheel)"."""
    return f"udamon {__version__} (commit {commit() or 'not known'}, {form()})"


def commit(here: Path | None = None) -> str:
    """The commit of what is in `here` (this package), with "+changes" where files differ from it; "" where nobody
    knows."""
    here = _here() if here is None else here
    try:
        return (here / COMMIT).read_text().strip()
    except OSError:
        return _commit_of_checkout(here.parent.parent)


def form(here: Path | None = None) -> str:
    """How it was installed: "deb", "rpm", "image", "wheel", or "checkout" where its source is what runs."""
    if not ((_here() if here is None else here) / COMMIT).exists():
        return "checkout"
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        installer = (distribution("udamon").read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        installer = ""
    return installer if installer in FORMS else "wheel"


def _here() -> Path:
    from pathlib import Path

    return Path(__file__).parent


def _commit_of_checkout(root: Path) -> str:
    if not (root / ".git").exists():  # a file in a worktree
        return ""
    import os
    import subprocess

    # In a hook of git's, variables name the repository that the hook is of.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty=+changes",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
