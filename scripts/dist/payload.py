"""What packages and the image have in common: udamon with its libraries below /opt/udamon, and what lies elsewhere.

A virtual environment on the distribution's Python, made of wheels alone, so one machine makes it for others.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from scripts.dist import source, wheels
from scripts.stages import ROOT, Failed, install, run

EXTRAS = "agent,control,live,otlp,png,sites,yaml"
"""All that commands may want; the other extras are for programs that import udamon."""

PLATFORMS = (*(f"manylinux_2_{minor}" for minor in range(28, 16, -1)), "manylinux2014")
"""pip takes a platform by its name, and no older one in its place."""
HOME = "opt/udamon"

START = """#!/opt/udamon/bin/python -I
import sys

from udamon.cli.main import main

sys.exit(main())
"""
"""-I: neither the working directory nor a variable of the environment can bring other code into it."""


def build(wheel: Path, machine: str, python: str, form: str) -> Path:
    """A root directory with everything of a package (`form`, as udamon.built has it) but what describes it.

    `python` is the version of the distribution's Python, "3.11".
    """
    root = source.fresh(f"root-{form}-{machine}-{python}")
    shutil.copytree(_environment(wheel, machine, python), root / HOME, symlinks=True)
    for info in packages_of(root).glob("*.dist-info"):
        (info / "INSTALLER").write_text(f"{form}\n")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/udamon").symlink_to("/opt/udamon/bin/udamon")
    shutil.copytree(ROOT / "packaging" / "root", root, dirs_exist_ok=True)
    _manuals(root)
    settle(root)
    return root


def packages_of(root: Path) -> Path:
    (found,) = (root / HOME / "lib").glob("python3.*/site-packages")
    return found


@cache
def _environment(wheel: Path, machine: str, python: str) -> Path:
    place = source.fresh(f"environment-{machine}-{python}")
    packages = place / "lib" / f"python{python}" / "site-packages"
    command: list[str | Path] = [
        sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile",
        "--target", packages, "--only-binary=:all:", "--python-version", python,
        *(f"--platform={name}_{machine}" for name in PLATFORMS), f"udamon[{EXTRAS}] @ {wheel.as_uri()}",
    ]  # fmt: skip
    install(command, f"pip install for {machine}")
    shutil.rmtree(packages / "bin", ignore_errors=True)  # programs of libraries
    for info in packages.glob("*.dist-info"):
        # These files are the package's: pip is not to change them, and nothing is to tell where they were made.
        for name in ("RECORD", "REQUESTED", "direct_url.json"):
            (info / name).unlink(missing_ok=True)
    (place / "bin").mkdir()
    (place / "bin/python").symlink_to(f"/usr/bin/python{python}")
    (place / "bin/udamon").write_text(START)
    (place / "bin/udamon").chmod(0o755)
    (place / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n"
    )
    for path in packages.rglob("*.so*"):
        if path.is_file() and (foreign := wheels.needed(path) - LIBRARIES - _beside(packages)):
            raise Failed(f"{path.name} needs {foreign}: name the Debian package that has it in LIBRARIES")
    return place


LIBRARIES = wheels.LIBRARIES | {"librt.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"}
"""What files may need that the packages' dependencies bring."""


def _beside(packages: Path) -> set[str]:
    """Libraries that wheels bring along."""
    return {path.name for place in packages.glob("*.libs") for path in place.iterdir()}


def has_manuals() -> bool:
    return importlib.util.find_spec("scripts.manuals") is not None


def _manuals(root: Path) -> None:
    """Man pages and completions, by the module that makes them of the parsers."""
    if not has_manuals():
        return
    made = source.fresh("manuals")
    run([sys.executable, "-m", "scripts.manuals", made], "scripts.manuals", env=source.reproducible())
    pages = root / "usr/share/man/man1"
    pages.mkdir(parents=True)
    for page in made.glob("man/man1/*.1"):
        packed(page.read_bytes(), pages / f"{page.name}.gz")
    places = {
        "bash": "bash-completion/completions",
        "zsh": "zsh/vendor-completions",
        "fish": "fish/vendor_completions.d",
    }
    for shell, place in places.items():
        shutil.copytree(made / "completions" / shell, root / "usr/share" / place)


def packed(content: bytes, path: Path) -> None:
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def settle(root: Path) -> None:
    """Modes and times that do not depend on who built it, and when."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            program = (
                path.is_dir() or path.parent.name == "bin"
            )  # some libraries mark their modules executable
            path.chmod(0o755 if program else 0o644)
        os.utime(path, (source.epoch(), source.epoch()), follow_symlinks=False)


def units(root: Path) -> str:
    """The names of its systemd units, as words."""
    return " ".join(sorted(path.name for path in (root / "usr/lib/systemd/system").iterdir()))


def size(root: Path) -> int:
    """Bytes on disk."""
    done = subprocess.run(["du", "-s", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])
