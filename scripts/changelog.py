"""Does a branch that changes the program say so in CHANGELOG.md?

A commit on a branch that changes src/udamon and not CHANGELOG.md needs a later or earlier one on the branch that does,
or the trailer "Changelog: none" where nobody who uses udamon can notice it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from scripts.stages import ROOT, Failed

BASES = ("main", "origin/main")
TRAILER = "Changelog: none"


def check(root: Path = ROOT) -> str:
    """What was found, as a sentence. Raises Failed where an entry is missing."""
    base = _base(root)
    if base is None:
        return "changelog: no branch to compare with"
    commits = _git(root, "rev-list", "--no-merges", f"{base}..HEAD").split()
    if "CHANGELOG.md" in _git(root, "diff", "--name-only", base).split(
        "\n"
    ):  # also what is not committed yet
        return "changelog: the branch has an entry"
    silent = [each for each in commits if _changes_program(root, each) and not _said_none(root, each)]
    if silent:
        raise Failed(
            f"{silent[-1][:8]} changes src/udamon, and no commit since {base[:8]} changes CHANGELOG.md: add a line to "
            f'its top section, or "{TRAILER}" to the message where nobody can notice.'
        )
    return "changelog: nothing that needs an entry"


def _base(root: Path) -> str | None:
    """Where the branch began; None without git, without another branch, and on that branch itself."""
    for name in BASES:
        found = _git(root, "merge-base", "HEAD", name).strip()
        if found:
            return found if found != _git(root, "rev-parse", "HEAD").strip() else None
    return None


def _files(root: Path, commit: str) -> list[str]:
    return _git(root, "diff-tree", "--no-commit-id", "--name-only", "-r", commit).split("\n")


def _changes_program(root: Path, commit: str) -> bool:
    return any(name.startswith("src/udamon/") for name in _files(root, commit))


def _said_none(root: Path, commit: str) -> bool:
    return TRAILER in _git(root, "show", "-s", "--format=%B", commit).split("\n")


def _git(root: Path, *words: str) -> str:
    """What git prints; "" where it fails or is not there."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
