"""What `udamon --version` says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from udamon import __version__, built

GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


class Made:
    """An installed udamon, as importlib.metadata has it."""

    def __init__(self, installer: str | None) -> None:
        self.installer = installer

    def read_text(self, name: str) -> str | None:
        assert name == "INSTALLER"
        return self.installer


@pytest.mark.parametrize(
    ("installer", "form"),
    [("pip\n", "wheel"), ("uv", "wheel"), (None, "wheel"), ("deb\n", "deb"), ("rpm", "rpm"), ("image\n", "image")],
)  # fmt: skip
def test_form(installer: str | None, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / built.COMMIT).write_text("0123456789ab\n")
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Made(installer))
    assert built.form(tmp_path) == form
    assert built.commit(tmp_path) == "0123456789ab"


def test_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is that of the files which run, and says when they differ from it."""
    here = tmp_path / "src" / "udamon"
    here.mkdir(parents=True)
    assert (built.form(here), built.commit(here)) == ("checkout", "")

    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), *words]
        return subprocess.run(
            command, env=os.environ | GIT, capture_output=True, text=True, check=True
        ).stdout

    (here / "a.py").touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one", "--no-gpg-sign")
    git("tag", "v9")
    hash_ = git("rev-parse", "--short=12", "HEAD").strip()
    assert built.commit(here) == hash_
    (here / "a.py").write_text("changed")
    assert built.commit(here) == f"{hash_}+changes"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))  # as in a hook of git's
    assert built.commit(here) == f"{hash_}+changes"


def test_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "commit", lambda: "")
    monkeypatch.setattr(built, "form", lambda: "deb")
    assert built.description() == f"udamon {__version__} (commit not known, deb)"
