"""What a guest with Arm processors needs beside its kernel: a root file system of Debian's packages, a Python with
pytest in it, and udamon's C extension compiled for it. All of it is unpacked into the cache, nothing is installed.
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scripts import content
from scripts.guest.debian import NotOffered, packages
from scripts.guest.kernels import CACHE
from scripts.stages import ROOT, WORK

RELEASE = "bookworm"
COMPILER = "aarch64-linux-gnu-gcc"
QEMU = "qemu-system-aarch64"
NEEDED = {QEMU: "qemu-system-arm", COMPILER: "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"}
PROGRAMS = [
    "bash",
    "coreutils",
    "mount",
    "util-linux",
    "grep",
    "sed",
    "busybox-static",
    "libstdc++6",
    "python3",
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIBRARIES = [
    *PROJECT["dependencies"],
    *(
        "pytest",
        "pytest-timeout",
        "pluggy",
        "iniconfig",
        "packaging",
        "pygments",
        "hypothesis",
        "sortedcontainers",
    ),
]
GLIBC = ["manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_26", "manylinux_2_28"]
USERS = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUPS = "root:x:0:\nnogroup:x:65534:\n"


def absent() -> list[str]:
    """Debian packages that are missing outside."""
    return [package for program, package in NEEDED.items() if not shutil.which(program)]


def root() -> Path:
    """The root file system. Raises NotOffered."""
    target = CACHE / f"root-{content.digest([], RELEASE, *PROGRAMS, *LIBRARIES, USERS, GROUPS)}-arm64"
    if target.exists():
        return target
    print(f"guest: fetching a root file system of Debian {RELEASE} for arm64", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        with packages(RELEASE, "arm64") as offered:
            offered.unpack_with_all_they_need(PROGRAMS, fresh)
            offered.unpack(["libpython3.11-dev"], fresh)  # what C is compiled against
        for name in ("proc", "sys", "dev", "run", "tmp", "root"):
            (fresh / name).mkdir(exist_ok=True)
        (fresh / "etc/passwd").write_text(USERS)
        (fresh / "etc/group").write_text(GROUPS)
        _install(fresh / "usr/lib/python3/dist-packages")
        fresh.chmod(0o755)
        content.settle(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _install(target: Path) -> None:
    """Python's packages, as wheels: no program of that machine is run."""
    command = [
        sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--no-compile",
        "--target", target, "--upgrade", "--only-binary=:all:", "--python-version", "3.11",
        *(f"--platform={name}_aarch64" for name in GLIBC), *LIBRARIES,
    ]  # fmt: skip
    if subprocess.run([str(word) for word in command], check=False).returncode:
        raise NotOffered("pip has no Python packages for arm64")


def extension(system: Path) -> Path:
    """The C extension for it, compiled once from the same files. Raises NotOffered."""
    sources = (ROOT / "src/udamon/native").rglob("*.[ch]")  # headers of sites/ are included, too
    target = WORK / "arm64" / content.digest([*sources, ROOT / "setup.py"]) / "_native.abi3.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = _described()
        include = system / "usr/include"
        command = [
            COMPILER, *made["extra_compile_args"], *(f"-D{name}={value}" for name, value in made["define_macros"]),
            "-fPIC", "-shared", "-isystem", include / "python3.11", "-idirafter", include, *made["sources"],
            "-o", target.with_suffix(".new"),
        ]  # fmt: skip
        done = subprocess.run(
            [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotOffered(f"the C extension cannot be compiled for arm64: {done.stderr[-2000:]}")
        target.with_suffix(".new").rename(target)
    return target


def _described() -> dict[str, Any]:
    """What setup.py says of the extension."""
    with patch("setuptools.setup") as setup, patch("setuptools.Extension", lambda name, **words: words):
        runpy.run_path(str(ROOT / "setup.py"))
    found: dict[str, Any] = setup.call_args.kwargs["ext_modules"][0]
    return found
