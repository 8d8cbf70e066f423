"""A branch that changes the program needs an entry in CHANGELOG.md (scripts/changelog.py): repositories made here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import changelog
from scripts.stages import Failed

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

WHO = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *WHO, *words], cwd=root, check=True, capture_output=True)


def commit(root: Path, name: str, message: str = "a change") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    git(root, "add", ".")
    git(root, "commit", "-m", message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A branch of one commit, "main", and another one that is checked out."""
    git(tmp_path, "init", "-b", "main")
    commit(tmp_path, "src/udamon/a.py")
    git(tmp_path, "checkout", "-b", "topic")
    return tmp_path


def test_on_the_main_branch_nothing_is_asked(root: Path) -> None:
    assert "no branch" in changelog.check(root)


def test_a_change_without_an_entry_is_refused_by_name(root: Path) -> None:
    commit(root, "src/udamon/a.py")
    with pytest.raises(Failed, match=r"changes src/udamon.*CHANGELOG\.md"):
        changelog.check(root)


def test_an_entry_anywhere_on_the_branch_will_do(root: Path) -> None:
    commit(root, "src/udamon/a.py")
    commit(root, "CHANGELOG.md")
    assert "has an entry" in changelog.check(root)


def test_an_entry_that_is_about_to_be_committed_counts(root: Path) -> None:
    """Else no commit could add it where the check runs before each commit."""
    commit(root, "src/udamon/a.py")
    (root / "CHANGELOG.md").write_text("x")
    git(root, "add", ".")
    assert "has an entry" in changelog.check(root)


def test_what_nobody_can_notice_says_so(root: Path) -> None:
    commit(root, "src/udamon/a.py", "comments\n\nChangelog: none")
    commit(root, "tests/a.py")
    assert "nothing" in changelog.check(root)
    commit(root, "src/udamon/b.py")
    with pytest.raises(Failed):
        changelog.check(root)
