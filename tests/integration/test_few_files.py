"""Commands that may open almost no file, from their start: each ends with one sentence that says what to raise."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.test_hostile_names import HARMLESS, recording_of
from udamon.errors import CannotError
from udamon.files.exclusive import Exclusive
from udamon.files.place import OutputPlace
from udamon.files.temporary import unnamed_file
from udamon.fleet.store import Directory


@pytest.mark.parametrize("files", [5, 6, 7])
@pytest.mark.parametrize("command", ["report wss", "report info", "record"])
def test_a_start_with_few_files(tmp_path: Path, command: str, files: int) -> None:
    """How many suffice depends on the interpreter and on libraries."""
    path = recording_of(tmp_path / "a", HARMLESS)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with subprocess.Popen(["sleep", "600"]) as target:
        recording = ["-p", str(target.pid), "-o", str(tmp_path / "b"), "--duration", "1s"]
        words = [*command.split(), *(recording if command == "record" else [str(path)])]
        found = subprocess.run(
            [sys.executable, "-m", "udamon", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=limit, check=False,
        )  # fmt: skip
        target.kill()
    assert "Traceback" not in found.stderr
    assert found.returncode == 0 or (found.returncode, "ulimit -n" in found.stderr.splitlines()[-1]) == (
        1,
        True,
    )


@contextmanager
def none_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_places_are_not_to_blame_for_want_of_descriptors(tmp_path: Path) -> None:
    """Nothing says to choose another place, and no object of a location is passed over for it."""
    (tmp_path / "objects").mkdir()
    with none_left():
        for one in (
            lambda: OutputPlace(tmp_path / "a"),
            lambda: unnamed_file("copy"),
            lambda: Exclusive(tmp_path / "lock", "the state", "end that one"),
            lambda: list(Directory(tmp_path).list("objects")),
        ):
            with pytest.raises(CannotError, match="ulimit -n"):
                one()
    assert os.listdir(tmp_path) == ["objects"]
