"""What was made once is made again where an input has changed, or where it is not whole."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import content, sanitizers, wheel
from scripts.guest import arm64, initrd, kernels, tools
from scripts.stages import Failed

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up one, with one file of each kind."""
    for name in (
        "src/udamon/__init__.py", "src/udamon/native/a.c", "src/udamon/native/a.h", "src/udamon/py.typed",
        "pyproject.toml", "setup.py", "README.md", "LICENSE",
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    monkeypatch.setattr(content, "ROOT", tmp_path)
    for module in (content, wheel, initrd):
        monkeypatch.setattr(module, "WORK", tmp_path / ".work")
    return tmp_path


def key() -> str:
    return content.digest(content.package_files(), content.compiler())


@pytest.mark.parametrize(
    "name", ["src/udamon/native/a.h", "src/udamon/py.typed", "pyproject.toml", "setup.py"]
)
def test_a_wheel_is_made_of_all_its_files(checkout: Path, name: str) -> None:
    before = key()
    (checkout / name).write_text("other text")
    assert key() != before


@pytest.mark.parametrize("name", ["CFLAGS", "CC", "LDFLAGS"])
def test_and_with_a_compiler(checkout: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setenv(name, "other")
    assert key() != before


def test_but_not_of_what_is_compiled_meanwhile(checkout: Path) -> None:
    before = key()
    compiled = checkout / "src/udamon/__pycache__"
    compiled.mkdir()
    (compiled / "a.cpython-311.pyc").write_text("text")
    (compiled / "a.cpython-311.pyc.139905").write_text("half")  # as Python names it until it is whole
    (checkout / "src/udamon/native/_native.abi3.so").write_text("text")
    assert key() == before


@pytest.fixture
def installs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is built and installed, in place of doing so."""
    done: list[str] = []

    def does(command: list[str | Path], what: str, cwd: Path = ROOT) -> None:
        done.append(what)
        if "build" in what:
            place = Path(command[command.index("--outdir") + 1])
            place.mkdir(parents=True)
            with zipfile.ZipFile(place / "udamon-1-cp311-abi3-linux_x86_64.whl", "w") as file:
                file.writestr("a", "text")

    monkeypatch.setattr(wheel, "install_packages", does)
    return done


def test_a_wheel_that_was_cut_short_is_built_again(installs: list[str]) -> None:
    built = wheel.build()
    assert wheel.build() == built
    assert len(installs) == 1
    built.write_bytes(built.read_bytes()[:-30])
    assert wheel.build() == built
    assert zipfile.is_zipfile(built)
    assert len(installs) == 2


def test_a_wheel_whose_installation_was_interrupted_is_installed_again(
    installs: list[str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the one before it is wanted, of which half is left."""

    def with_wheel(name: str) -> None:
        with zipfile.ZipFile(checkout / name, "w"):
            pass
        wheel._with_wheel(Path(sys.executable), "test", checkout / name, [])

    with_wheel("one.whl")

    def fails(*_: object) -> None:
        raise Failed("interrupted")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(wheel, "install_packages", fails)
        with pytest.raises(Failed):
            with_wheel("two.whl")
    before = len(installs)
    with_wheel("one.whl")
    assert len(installs) == before + 1
    with_wheel("one.whl")
    assert len(installs) == before + 1


def test_a_wheel_that_was_changed_where_it_is_installed_is_installed_again(
    installs: list[str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by who looks for a fault in there: the tests would run on that, for ever."""
    built = wheel.build()

    def installed() -> Path:
        return wheel._with_wheel(Path(sys.executable), "test", built, [])

    def does(*_: object) -> None:
        installs.append("wheel")
        (place() / "a").write_text("text")

    def place() -> Path:
        return next(next((checkout / ".work" / "venvs").iterdir()).glob("lib/python3*/site-packages"))

    monkeypatch.setattr(wheel, "install_packages", does)
    installed()
    before = len(installs)
    installed()
    assert len(installs) == before
    (place() / "a").write_text("other text")
    installed()
    assert (place() / "a").read_text() == "text"
    (place() / "a").unlink()
    installed()
    assert (place() / "a").read_text() == "text"
    assert len(installs) == before + 2


def test_an_environment_without_its_interpreter_is_made_again(
    installs: list[str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = wheel.environment_of(Path(sys.executable), "test", [])
    python.unlink()
    python.symlink_to("/elsewhere/python3")
    assert wheel.environment_of(Path(sys.executable), "test", []) == python
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
    assert len(installs) == 2


def test_a_sanitized_build_that_is_damaged_is_made_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed every run until somebody removed it. What imports compile there is no damage."""
    monkeypatch.setattr(sanitizers, "ROOT", checkout)
    monkeypatch.setattr(sanitizers, "WORK", checkout / ".work")
    built: list[Path] = []

    def does(command: list[str | Path], *_: object, **__: object) -> None:
        library = Path(command[command.index("--target") + 1])
        library.mkdir()
        (library / "_native.abi3.so").write_text("code")
        built.append(library)

    monkeypatch.setattr(sanitizers, "run", does)

    def is_built_again() -> bool:
        before = len(built)
        sanitizers._built(Path("python"))
        return len(built) > before

    assert is_built_again()
    (built[0] / "__pycache__").mkdir()
    (built[0] / "__pycache__" / "a.pyc").touch()
    assert not is_built_again()
    (built[0] / "_native.abi3.so").write_text("co")
    assert is_built_again()
    (built[0] / "_native.abi3.so").unlink()
    assert is_built_again()
    assert not is_built_again()


@pytest.mark.parametrize("name", ["native/a.c", "native/a.h", "native/sites/format.h"])
def test_the_extension_for_arm_is_made_of_all_its_files(
    name: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """module.c includes a header of the library for sites."""
    monkeypatch.setattr(arm64, "ROOT", checkout)
    monkeypatch.setattr(arm64, "WORK", checkout / ".work")
    monkeypatch.setattr(arm64, "COMPILER", checkout / "compiler")
    described: dict[str, list[str]] = {"extra_compile_args": [], "define_macros": [], "sources": []}
    monkeypatch.setattr(arm64, "_described", lambda: described)
    (checkout / "compiler").write_text('#!/bin/sh\nfor last; do :; done\necho made > "$last"\n')
    (checkout / "compiler").chmod(0o755)
    file = checkout / "src/udamon" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("text")
    before = arm64.extension(checkout)
    assert arm64.extension(checkout) == before
    file.write_text("other text")
    assert arm64.extension(checkout) != before


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data[:-9] + bytes(9)]
)
def test_an_initial_disk_that_is_not_whole_is_written_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(tools, "busybox", lambda: checkout / "setup.py")
    kernel = kernels.Kernel("7.2", checkout / "bzImage", True, "")
    target = initrd.cached(kernel)
    whole = target.read_bytes()
    assert len(whole) > 100
    target.write_bytes(damage(whole))
    assert initrd.cached(kernel) == target
    assert target.read_bytes() == whole


def test_an_initial_disk_depends_on_what_writes_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "busybox", lambda: checkout / "setup.py")
    kernel = kernels.Kernel("7.2", checkout / "bzImage", True, "")
    seen: list[Path] = []

    def digest(paths: list[Path], *_: str) -> str:
        seen.extend(paths)
        return "0"

    monkeypatch.setattr(content, "digest", digest)
    initrd.cached(kernel)
    assert Path(initrd.__file__) in seen


SAME = 'cd "$1"; python=$2; {function}; same_python && echo same || echo other'


def test_an_environment_of_another_python_is_made_anew(tmp_path: Path) -> None:
    """scripts/setup kept the old one, and noted that it was the new."""
    text = (ROOT / "scripts" / "setup").read_text()
    function = text[text.index("same_python() {") :].partition("\n}\n")[0] + "\n}"

    def said(place: Path, python: Path | str) -> str:
        command = ["bash", "-c", SAME.format(function=function), "-", str(place), str(python)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo 3.99 /elsewhere || exec {sys.executable} "$@"\n')
    other.chmod(0o755)
    assert said(tmp_path, sys.executable) == "other", "there is none"
    place, moved = tmp_path / "a ü", tmp_path / "moved"
    place.mkdir()
    venv.create(place / ".venv", symlinks=True, with_pip=True)
    assert said(place, sys.executable) == "same"
    assert said(place, ".venv/bin/python") == "same"
    assert said(place, other) == "other"
    place.rename(moved)
    assert said(moved, sys.executable) == "same"
