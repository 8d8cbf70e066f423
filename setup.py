"""The C extension: limited API, so that one build serves every Python from 3.11 on."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "udamon.native._native",
            sources=sorted(glob("src/udamon/native/*.c")),
            depends=sorted(glob("src/udamon/native/*.h")),
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
