"""The C extension for the limited API, one build for every Python from 3.11 on; and the commit, in what is built."""

import os
import platform
import struct
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).parent / "src"))
from udamon import built  # imports nothing that has to be built

# What `record --sites` preloads: no extension of Python, but a shared object beside it (docs/decisions/0010-sites.md).
# The unwinder is linked in, so that a program gets no library but this one. `make dist` links with a linker that has
# none, and names gcc's here.
UNWINDER = os.environ.get("UDAMON_UNWINDER", "")
SITES = Extension(
    "udamon.native._sites",
    sources=[
        f"src/udamon/native/sites/{name}.c"
        for name in ("hooks", "next", "sampling", "live", "stacks", "rules", "python", "ring")
    ],
    depends=[
        "src/udamon/native/sites/format.h",
        "src/udamon/native/sites/sites.h",
        "src/udamon/native/sites/exports.map",
    ],
    define_macros=[("_GNU_SOURCE", "1")],
    extra_compile_args=[
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-fvisibility=hidden",
        "-fno-builtin",
        "-fno-sanitize=all",
    ],
    extra_link_args=[
        *([UNWINDER] if UNWINDER else ["-static-libgcc"]),
        "-Wl,--version-script=src/udamon/native/sites/exports.map",
        "-Wl,-z,defs",
        "-fno-sanitize=all",
    ],
    py_limited_api=True,
)


def has_sites() -> bool:
    """It needs _dl_find_object, by which the unwinder and it find code without a lock: at least its declaration."""
    if UNWINDER:
        return True
    name, version = platform.libc_ver()
    new = name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
    return new and struct.calcsize("P") == 8


class WithCommit(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            write_commit(Path(self.build_lib, "udamon"))


class ArchiveWithCommit(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir, "src", "udamon"))


def write_commit(package: Path) -> None:
    """In a source archive, which has no history, `built` finds what stands there already."""
    package.mkdir(parents=True, exist_ok=True)
    package.joinpath(built.COMMIT).write_text(built.commit() + "\n")


setup(
    cmdclass={"build_py": WithCommit, "sdist": ArchiveWithCommit},
    ext_modules=[
        Extension(
            "udamon.native._native",
            sources=sorted(glob("src/udamon/native/*.c")),
            depends=[*sorted(glob("src/udamon/native/*.h")), "src/udamon/native/sites/format.h"],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", "1")],
            # Without products and sums in one rounding, which arm64 has: every machine gives the same figures.
            extra_compile_args=["-std=c11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra"],
            py_limited_api=True,
        ),
        *([SITES] if has_sites() else []),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
