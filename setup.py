"""The C extension: limited API, so that one build serves every Python from 3.11 on."""

import platform
import struct
from glob import glob

from setuptools import Extension, setup

# What `record --sites` preloads: no extension of Python, but a shared object beside it (docs/decisions/0010-sites.md).
# The unwinder is linked in, so that a program gets no library but this one.
SITES = Extension(
    "udamon.native._sites",
    sources=[
        f"src/udamon/native/sites/{name}.c"
        for name in ("hooks", "next", "sampling", "live", "stacks", "ring")
    ],
    depends=["src/udamon/native/sites/sites.h"],
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
    extra_link_args=["-static-libgcc", "-Wl,--exclude-libs,ALL", "-Wl,-z,defs", "-fno-sanitize=all"],
    py_limited_api=True,
)


def has_sites() -> bool:
    """It needs _dl_find_object, by which the unwinder and it find code without a lock."""
    name, version = platform.libc_ver()
    new = name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
    return new and struct.calcsize("P") == 8


setup(
    ext_modules=[
        Extension(
            "udamon.native._native",
            sources=sorted(glob("src/udamon/native/*.c")),
            depends=sorted(glob("src/udamon/native/*.h")),
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
            py_limited_api=True,
        ),
        *([SITES] if has_sites() else []),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
