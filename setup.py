"""The C extension: limited API, so that one build serves every Python from 3.11 on."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "udamon.native._native",
            sources=[
                "src/udamon/native/module.c",
                "src/udamon/native/arrays.c",
                "src/udamon/native/touch.c",
                "src/udamon/native/sim.c",
                "src/udamon/native/sampler.c",
                "src/udamon/native/idle.c",
                "src/udamon/native/order.c",
                "src/udamon/native/visits.c",
                "src/udamon/native/hot_set.c",
                "src/udamon/native/points.c",
                "src/udamon/native/chain.c",
                "src/udamon/native/change.c",
                "src/udamon/native/steps.c",
                "src/udamon/native/regions.c",
                "src/udamon/native/strata.c",
                "src/udamon/native/json.c",
                "src/udamon/native/damo.c",
                "src/udamon/native/cuts.c",
                "src/udamon/native/gaps.c",
                "src/udamon/native/overlaps.c",
                "src/udamon/native/arrow.c",
                "src/udamon/native/cells.c",
                "src/udamon/native/rows.c",
                "src/udamon/native/trace.c",
                "src/udamon/native/frames.c",
                "src/udamon/native/tables.c",
                "src/udamon/native/page_tables.c",
                "src/udamon/native/page_runs.c",
                "src/udamon/native/btf.c",
            ],
            depends=[
                f"src/udamon/native/{name}.h"
                for name in ("native", "idle", "order", "visits", "points", "fit", "json", "arrow", "tables")
            ],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
