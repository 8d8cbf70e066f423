"""What packages are made of, as far as it can be told without making one."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import content
from scripts.dist import deb, licences, payload, rpm, source, tools, trying, wheels
from scripts.stages import ROOT, Failed
from udamon import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source.archive(tmp_path_factory.mktemp("dist"))


@pytest.fixture(autouse=True, scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "PLACE", tmp_path_factory.mktemp("packages"))
        yield


def test_the_archive_has_all_that_is_built(archive: Path) -> None:
    """And the commit, which it cannot be asked for."""
    with tarfile.open(archive) as made:
        names = {name.removeprefix(f"udamon-{__version__}/") for name in made.getnames()}
        (commit,) = (member for member in made if member.name.endswith("/commit.txt"))
        read = made.extractfile(commit)
        assert read is not None
        assert re.fullmatch(rb"[0-9a-f]{12}(\+changes)?\n|\n", read.read())
        assert {(member.uid, member.mtime) for member in made} == {(0, source.epoch())}
    wanted = {str(path.relative_to(ROOT)) for path in content.package_files()}
    assert wanted <= names, wanted - names


def test_two_archives_are_equal(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    source.archive(tmp_path / "again")
    trying.same(archive.parent, tmp_path / "again")


def test_a_difference_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    for name, text in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(text)
    with pytest.raises(Failed, match="two builds of x differ"):
        trying.same(tmp_path / "a", tmp_path / "b")


def test_one_version() -> None:
    """It stands in one file; all else reads it."""
    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    written = [
        name
        for name in files
        if name.endswith((".py", ".toml", ".spec")) and f'"{__version__}"' in (ROOT / name).read_text()
    ]
    assert written == ["src/udamon/__init__.py"] or not files


def test_packages_are_of_python_that_wheels_are_for() -> None:
    oldest = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    for version in (rpm.PYTHON, *(release.python for release in deb.RELEASES)):
        assert tuple(map(int, version.split("."))) >= oldest


def test_packages_have_extras_that_are_there() -> None:
    assert set(payload.EXTRAS.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_what_an_object_needs_is_read() -> None:
    assert "libc.so.6" in wheels.needed(Path(sys.executable).resolve())


def test_licences_of_what_is_installed_here() -> None:
    """Each library that a package may bring says its licence."""
    packages = Path(pytest.__file__).parents[1]
    found = {one.name.lower(): one.licence for one in licences.bundled(packages)}
    assert found["duckdb"]
    assert found["arro3-core"]
    assert "GCC-exception" in licences.table(packages)


def test_the_program_list_has_a_package_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    tools.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert all(len(row) == 2 for row in rows)
    assert dict(rows)["lintian"] == "lintian"


def test_configuration_is_an_example() -> None:
    """Nothing in it counts until somebody takes the # away; then it is TOML."""
    text = (ROOT / "packaging/root/etc/udamon/config.toml").read_text()
    assert tomllib.loads(text) == {}
    assert tomllib.loads(re.sub(r"(?m)^#(?=[\[\w])", "", text))


def test_locks_are_where_monitors_look() -> None:
    from udamon.linux.roots import Roots

    lines = (ROOT / "packaging/root/usr/lib/tmpfiles.d/udamon.conf").read_text().splitlines()
    directories = {line.split()[1]: line.split()[2] for line in lines if not line.startswith("#")}
    assert directories == {str(Roots().locks[0]): "1777", str(Roots().run): "0700"}
