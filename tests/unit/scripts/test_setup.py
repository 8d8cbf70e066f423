"""scripts/setup changes no environment that a check runs from."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = """#!/bin/sh
case "$*" in
*_base_executable*) echo "$0";;
*Python.h*|*ensurepip*) ;;
"-m venv .venv") {python} -c "import locale; print(locale.getencoding())" >>made; exit 1;;
*) exec {python} "$@";;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A made-up one, with a Python that only notes that it makes an environment, and fails."""
    place = tmp_path / "a ü"
    for name in (
        "pyproject.toml", "setup.py", "scripts/packages.py", "src/udamon/native/a.c", "src/udamon/native/a.h",
        "src/udamon/native/sites/b.c",
    ):  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    shutil.copy(ROOT / "scripts" / "setup", place / "scripts")
    (place / "python").write_text(PYTHON.format(python=sys.executable))
    (place / "gcc").write_text("#!/bin/sh\n")
    for name in ("python", "gcc"):
        (place / name).chmod(0o755)
    return place


def started(checkout: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PATH": f"{checkout}:{os.environ['PATH']}", "PYTHON": str(checkout / "python")}
    env["LC_ALL"] = "C"
    return subprocess.Popen(
        [checkout / "scripts" / "setup", "dev"], env=env, stderr=subprocess.PIPE, text=True
    )


def test_an_environment_is_changed_after_the_check_that_runs_from_it(checkout: Path) -> None:
    (checkout / ".work").mkdir()
    with (checkout / ".work" / "check.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        setup = started(checkout)
        assert setup.stderr is not None
        assert "waiting for the check that runs here" in setup.stderr.readline()
        assert not (checkout / "made").exists()
        assert setup.poll() is None
    assert setup.stderr.read() == "setup: .venv (dev)\n"
    assert setup.wait(60) == 1
    assert (checkout / "made").read_text() == "UTF-8\n"
    setup.stderr.close()


def test_without_one_nothing_is_waited_for(checkout: Path) -> None:
    setup = started(checkout)
    assert setup.communicate()[1] == "setup: .venv (dev)\n"
    assert (checkout / "made").read_text() == "UTF-8\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["test", "test-all", "lint", "docs", "guest-test"])
def test_make_reads_paths_as_utf_8(checkout: Path, target: str) -> None:
    """In the locale C no Python starts whose site-packages name a checkout with such a path."""
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for program in (checkout / "scripts" / "setup", checkout / ".venv" / "bin" / "python"):
        program.write_text("#!/bin/sh\necho $LC_ALL\n")
        program.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS")}
    env["LC_ALL"] = "C"
    done = subprocess.run(["make", target], cwd=checkout, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "C.UTF-8\nC.UTF-8\n"
