"""Build the wheel and test it where the source tree cannot be imported."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.stages import ROOT, WORK, Counts, Failed, environment, pytest, run

OUT = WORK / "dist"


@functools.cache
def build() -> Path:
    """The wheel of this checkout, built from its source distribution: what the sdist lacks is noticed."""
    shutil.rmtree(OUT, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--outdir", str(OUT), str(ROOT)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr)
        raise Failed(f"python -m build ended with status {done.returncode}")
    wheels = list(OUT.glob("*.whl"))
    if len(wheels) != 1 or "-cp311-abi3-" not in wheels[0].name:
        raise Failed(f"expected one cp311-abi3 wheel, got {[wheel.name for wheel in wheels]}")
    return wheels[0]


def install(interpreter: Path) -> Path:
    """An environment of `interpreter` with the wheel and what its tests need; returns its python."""
    built = build()
    python = _environment(
        interpreter, "test", _fingerprint(interpreter, "test"), [f"udamon[test] @ {built.as_uri()}"]
    )
    # The environment is kept between runs, the wheel in it never.
    _pip(python, "--force-reinstall", "--no-deps", built)
    return python


def check_base_install(interpreter: Path) -> None:
    """Without extras the command starts."""
    built = build()
    python = _environment(interpreter, "base", _fingerprint(interpreter, "base"), [built])
    _pip(python, "--force-reinstall", "--no-deps", built)
    run(
        [python.with_name("udamon"), "--help"],
        "udamon --help in the base install",
        cwd=WORK,
        env=environment(),
    )


def test(name: str, python: Path, *arguments: str) -> Counts:
    elsewhere = WORK / "elsewhere"
    elsewhere.mkdir(parents=True, exist_ok=True)
    absolute = [str(ROOT / word) if word.startswith("tests/") else word for word in arguments]
    return pytest(
        name,
        python,
        *absolute,
        cwd=elsewhere,
        env=environment(UDAMON_TEST_INSTALLED="1", HYPOTHESIS_PROFILE="quick"),
    )


def _fingerprint(interpreter: Path, what: str) -> str:
    version = subprocess.run([interpreter, "-VV"], capture_output=True, text=True, check=True).stdout
    text = (ROOT / "pyproject.toml").read_text() + version + str(ROOT) + what
    return hashlib.sha256(text.encode()).hexdigest()


def _environment(interpreter: Path, what: str, fingerprint: str, packages: list[str | Path]) -> Path:
    place = WORK / "venvs" / f"{what}-{fingerprint[:12]}"
    python, done = place / "bin" / "python", place / "done"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        run([interpreter, "-m", "venv", place], f"{interpreter} -m venv")
        _pip(python, *packages)
        done.touch()
    return python


def _pip(python: Path, *arguments: str | Path) -> None:
    run(
        [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments],
        "pip install",
        env=environment(),
    )
