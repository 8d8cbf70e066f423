"""The C part under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import content
from scripts.stages import ROOT, WORK, Counts, Failed, Skipped, environment, pytest, run

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
TIMEOUT = "--timeout=1200"
"""What is sanitized takes four times as long, and long property runs beside other stages more than 300 s."""
NOT_SOURCE = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")


def test(python: Path, *arguments: str) -> Counts:
    library = _runtime("libasan.so")
    place = _built(python)
    env = environment(
        PYTHONPATH=str(place / "lib"),
        UDAMON_TEST_INSTALLED="1",
        UDAMON_TEST_SELECTION="c",
        # The interpreter is not built with the sanitizer, so its runtime has to come first by hand; and before it
        # looks for what throws in C++, that has to be there (DuckDB).
        LD_PRELOAD=f"{library} {_runtime('libstdc++.so.6')}",
        # Leaks are not looked for here: the interpreter keeps interned objects and type caches until it
        # exits, and would drown ours. tests/ watches resident memory over many calls instead.
        ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:handle_segv=1",
        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
        # Every object its own malloc: an overrun inside one of Python's arenas would go unseen.
        PYTHONMALLOC="malloc",
    )
    _prove_it_bites(python, env)
    return pytest("sanitizers", python, "tests/unit", "tests/property", TIMEOUT, *arguments, env=env)


def _runtime(name: str) -> str:
    try:
        answer = subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        raise Skipped("gcc is not installed") from None
    path = answer.stdout.strip()
    if not os.path.isabs(path):
        raise Skipped(f"gcc has no {name} (Debian's package libgcc-12-dev or newer)")
    return os.path.realpath(path)


def _built(python: Path) -> Path:
    """Built from a copy: objects of the normal build must not be linked in, nor the other way round."""
    place = (
        WORK / "sanitized" / content.digest(content.package_files(), FLAGS, sys.version, content.compiler())
    )
    done = place / "done"
    if done.exists() and done.read_text() == content.sum_of(place / "lib"):
        return place
    shutil.rmtree(place.parent, ignore_errors=True)
    copy = place / "source"
    shutil.copytree(ROOT / "src", copy / "src", ignore=NOT_SOURCE)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options: list[str | Path] = ["--no-deps", "--no-build-isolation", "--target", place / "lib"]
    run([*pip, *options, copy], "building with sanitizers", env=environment(CFLAGS=FLAGS))
    content.write(done, content.sum_of(place / "lib"))
    return place


def _prove_it_bites(python: Path, env: dict[str, str]) -> None:
    """The extension the tests load is the instrumented one, and its runtime is in the process."""
    code = (
        "import udamon.native._native as native, pathlib;"
        "assert b'__asan_' in pathlib.Path(native.__file__).read_bytes(), native.__file__;"
        "assert 'libasan' in pathlib.Path('/proc/self/maps').read_text()"
    )
    if subprocess.run([str(python), "-c", code], cwd=WORK, env=env, check=False).returncode:
        raise Failed("the sanitized extension does not load")
