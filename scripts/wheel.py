"""Build the wheel and test it where the source tree cannot be imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from scripts import content, packages
from scripts.stages import ROOT, WORK, Counts, Failed, environment, pytest, run
from scripts.stages import install as install_packages


def build() -> Path:
    """The wheel of this checkout, built from its source distribution: what the sdist lacks is noticed."""
    place = WORK / "dist" / content.digest(content.package_files(), content.compiler())
    with content.locked("dist"):
        if not any(zipfile.is_zipfile(wheel) for wheel in place.glob("*.whl")):  # none, or cut short
            shutil.rmtree(place.parent, ignore_errors=True)
            words = ("-m", "build", "--installer", "uv", "--outdir", place, ROOT)
            install_packages(packages.with_settings(sys.executable, *words), "python -m build")
    wheels = list(place.glob("*.whl"))
    if len(wheels) != 1 or "-cp311-abi3-" not in wheels[0].name:
        raise Failed(f"expected one cp311-abi3 wheel, got {[wheel.name for wheel in wheels]}")
    return wheels[0]


def install(interpreter: Path, *extras: str) -> Path:
    """An environment of `interpreter` with the wheel, what its tests need, and further extras; returns its python."""
    built, names = build(), ("test", *extras)
    return _with_wheel(interpreter, "-".join(names), built, [f"udamon[{','.join(names)}] @ {built.as_uri()}"])


def check_base_install(interpreter: Path) -> None:
    """Without extras the command starts."""
    built = build()
    python = _with_wheel(interpreter, "base", built, [built])
    command: list[str | Path] = [python.with_name("udamon"), "--help"]
    run(command, "udamon --help in the base install", cwd=WORK, env=environment())


def test(name: str, python: Path, selection: str, *arguments: str | int) -> Counts:
    """Tests of the checkout against the installed wheel; `selection` is a name of tests/selection.py."""
    elsewhere = WORK / "elsewhere"
    elsewhere.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in arguments]
    absolute = [str(ROOT / word) if word.startswith("tests/") else word for word in words]
    env = environment(UDAMON_TEST_INSTALLED="1", UDAMON_TEST_SELECTION=selection)
    return pytest(name, python, *absolute, cwd=elsewhere, env=env)


def environment_of(interpreter: Path, what: str, wanted: Sequence[str | Path]) -> Path:
    """An environment with these packages, kept between runs by what it was made from; returns its python."""
    version = subprocess.run([interpreter, "-VV"], capture_output=True, text=True, check=True).stdout
    key = content.digest([ROOT / "pyproject.toml"], version, str(interpreter), str(ROOT), what)
    place = WORK / "venvs" / f"{what}-{key}"
    python, complete = place / "bin" / "python", place / "complete"
    with content.locked(place.name):
        if not complete.exists() or not _runs(python):
            shutil.rmtree(place, ignore_errors=True)
            run([interpreter, "-m", "venv", "--without-pip", place], f"{interpreter} -m venv")
            _install(python, *wanted)
            complete.touch()
    return python


def _with_wheel(interpreter: Path, what: str, built: Path, wanted: Sequence[str | Path]) -> Path:
    """The same, in which the wheel is always this one."""
    python = environment_of(interpreter, what, wanted)
    holds = python.parents[1] / "holds"
    with content.locked(f"{python.parents[1].name}-wheel"):
        if not holds.exists() or holds.read_text() != str(built) or not _is_in(built, python):
            holds.unlink(missing_ok=True)  # an installation that is interrupted leaves half of this one
            _install(python, "--reinstall", "--no-deps", built)
            holds.write_text(str(built))
    return python


def _runs(python: Path) -> bool:
    """Whether an environment's interpreter is still there: what made it may have been removed since."""
    try:
        return not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode
    except OSError:
        return False


def _is_in(built: Path, python: Path) -> bool:
    """Whether the package in an environment is what the wheel has: somebody may have changed it in there."""
    packages = next(python.parents[1].glob("lib/python3*/site-packages"))
    with zipfile.ZipFile(built) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        try:
            return all((packages / name).read_bytes() == wheel.read(name) for name in names)
        except OSError:
            return False


def _install(python: Path, *arguments: str | Path) -> None:
    install_packages(packages.install(python, *arguments), "uv pip install")
