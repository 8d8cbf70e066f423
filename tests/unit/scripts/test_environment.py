"""Which tests run, and what they see, does not depend on the environment of who runs them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import check, interpreters, stages
from scripts.stages import Counts, Failed, environment
from tests import surroundings

ROOT = Path(__file__).parents[3]
TESTS = """
def test_one():
    assert True

def test_two():
    assert {two}
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HYPOTHESIS_PROFILE", "quick"),
        ("PYTEST_ADDOPTS", "-k test_one"),
        ("PYTEST_PLUGINS", "there.is.none"),
        ("PYTEST_TIMEOUT", "0"),
        ("PYTHONPATH", "/elsewhere"),
        ("PYTHONOPTIMIZE", "1"),
        ("UDAMON_GUEST", "smp=1,mem=2048"),
        ("UDAMON_GUEST_PLAN", "/elsewhere/plan"),
        ("UDAMON_GUEST_CLAIMS", "/elsewhere"),
        ("UDAMON_TEST_SELECTION", "engines"),
        ("UDAMON_TEST_INSTALLED", "1"),
    ],
)
def test_stages_do_not_inherit(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert name not in environment()
    assert environment(**{name: "meant"})[name] == "meant"


@pytest.mark.parametrize(
    "name", ["PATH", "PYTHON", "UDAMON_GUEST_KERNELS", "UDAMON_REQUIRE", "UDAMON_TEST_LONG"]
)
def test_stages_inherit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "value")
    assert environment()[name] == "value"


NO_HOME = """
import pwd
def absent(_):
    raise KeyError
pwd.getpwuid = absent
from scripts import interpreters, stages
from scripts.guest import kernels
import tests.capabilities
interpreters.newer_than_oldest()
assert kernels.CACHE.is_relative_to(stages.WORK)
"""


def test_who_has_no_home() -> None:
    """As a user of a container whom no file names. Tests are collected, and kernels kept in the checkout."""
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", NO_HOME], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_newer_pythons_are_looked_for_where_one_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH and PYENV_ROOT may be those of another user."""

    def listed(self: Path) -> Iterator[Path]:
        if "private" in self.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return (self / name for name in os.listdir(self))

    def stat(self: Path, **_: object) -> os.stat_result:
        if "private" in self.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return os.stat(self)

    for place in ("private/versions/3.99/bin", "bin"):
        (tmp_path / place).mkdir(parents=True)
        python = tmp_path / place / "python3.99"
        python.write_text("#!/bin/sh\necho 3 99 cpython\n")
        python.chmod(0o755)
    monkeypatch.setattr(Path, "iterdir", listed)
    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "private"))
    monkeypatch.setenv("PATH", f"{tmp_path}/private/versions/3.99/bin:{tmp_path}/absent:{tmp_path}/bin")
    assert interpreters.newer_than_oldest() == {"3.99": tmp_path / "bin" / "python3.99"}


def test_options_of_somebody_else_leave_no_test_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "test_file.py"
    file.write_text(TESTS.format(two=False))
    monkeypatch.setattr(stages, "WORK", tmp_path)
    monkeypatch.setattr(stages, "current", stages.Result())
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k test_one")
    with pytest.raises(Failed) as failed:
        stages.pytest("name", Path(sys.executable), str(file))
    assert failed.value.counts == Counts(passed=1, failed=1)


@pytest.mark.parametrize("value", ["", "0", "no", "False"])
def test_a_switch_can_be_off(value: str) -> None:
    """CI=false and UDAMON_TEST_LONG=0 were taken for the contrary."""
    environment = {"UDAMON_TEST_LONG": value}
    surroundings.clear(environment)
    assert "UDAMON_TEST_LONG" not in environment
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", value)
        assert not check._must_run("wheel")
        patch.setenv("CI", "true")
        assert check._must_run("wheel")


def test_tests_do_not_see() -> None:
    """Nothing that udamon reads, but what is the tests' own."""
    own = {
        "UDAMON_TEST_LONG": "1",
        "UDAMON_GUEST": "g",
        "UDAMON_REQUIRE": "root",
        "PATH": "/bin",
        "HOME": "/root",
    }
    others = {
        "UDAMON_RECORD_OVERHEAD": "9%", "UDAMON_ALLOW_KERNEL_MEMORY": "1", "UDAMON_TLB": "none", "COLUMNS": "40",
        "FORCE_COLOR": "1", "LC_ALL": "C", "LANG": "C", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a.example",
        "UDAMON_CONFIG": "/home/a/udamon.toml", "GIT_DIR": "/a/.git", "no_proxy": "a.example",
    }  # fmt: skip
    seen = own | others
    surroundings.clear(seen)
    surroundings.clear(seen)  # as workers do again
    assert seen == own | {
        "LANG": "C.UTF-8", "UDAMON_CONFIG": "", "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "a.example,localhost,127.0.0.1,::1",
    }  # fmt: skip


PROPERTY = """
from pathlib import Path
from hypothesis import given, strategies as st
@given(st.integers())
def test_any(number):
    with Path(__file__).with_name("seen").open("a") as file:
        print(number, file=file)
"""


@pytest.mark.parametrize("ci", ["", "true"])
def test_the_seed_decides_on_the_examples(ci: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CI hypothesis took the same ones in each run, whatever the seed."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure")
    (tmp_path / "test_file.py").write_text(PROPERTY)
    monkeypatch.setattr(stages, "WORK", tmp_path)
    monkeypatch.setattr(stages, "current", stages.Result())
    env = {**environment(), "CI": ci, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env["UDAMON_TEST_SELECTION"] = "host"

    def seen(seed: int) -> str:
        words = ["--hypothesis-seed", str(seed), "-p", "no:cacheprovider", str(tmp_path)]
        stages.pytest("name", Path(sys.executable), *words, env=env)
        file = tmp_path / "seen"
        text = file.read_text()
        file.unlink()
        return text

    one, other, again = (seen(seed) for seed in (1, 2, 1))
    assert one == again
    assert one != other


def test_signals_that_the_starter_ignores_end_programs_of_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure")
    (tmp_path / "test_signals.py").write_text(
        """
import signal, subprocess, sys
def test_one():
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        code = f"import os, time; os.kill(os.getpid(), {number}); time.sleep(60)"
        assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == -number
"""
    )
    words = f"trap '' HUP INT QUIT TERM; exec {sys.executable} -m pytest -q -p no:cacheprovider {tmp_path}"
    done = subprocess.run(
        ["sh", "-c", words], env=environment(PYTHONPATH=str(ROOT)), cwd=tmp_path, check=False
    )
    assert done.returncode == 0
