"""Each piece of Python in the documents runs as it stands there: on a process that the test starts, or on a recording
that it makes."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.imports import ROOT
from tests.integration.test_pytest_plugin import LOAD
from udamon import Monitor, MonitorSpec, Recording

pytest_plugins = ("pytester",)

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "DESIGN.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
REFERENCE = ROOT / "docs" / "api.md"
"""Its fences are signatures, made from the code (scripts.api_docs); its examples are indented."""

FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)


def found() -> dict[str, str]:
    """By page and number on it."""
    snippets = {}
    for page in PAGES:
        text = page.read_text()
        blocks = INDENTED.findall(ANY_FENCE.sub("", text)) if page == REFERENCE else FENCE.findall(text)
        for number, block in enumerate(filter(is_python, map(textwrap.dedent, blocks)), 1):
            snippets[f"{page.relative_to(ROOT)}-{number}"] = block
    return snippets


def is_python(block: str) -> bool:
    """A fence that is none fails when it is run; of what is only indented, signatures and lists are no code."""
    try:
        return bool(ast.parse(block).body)
    except SyntaxError:
        return False


SNIPPETS = found()


@contextlib.contextmanager
def target() -> Iterator[int]:
    """The pid of a process that touches memory for a while and ends."""
    code = "import time\nfor _ in range(40):\n    bytearray(1 << 20)\n    time.sleep(0.05)"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def printed(code: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
    return out.getvalue()


def of_a_process(code: str) -> str:
    """`1234` is its pid. The way of looking is named where it is not: `auto` might take in-kernel DAMON."""
    assert "1234" in code
    if 'via="' not in code:
        code = code.replace("pids=(1234,)", 'pids=(1234,), via="refs"')
    with target() as pid:
        return printed(code.replace("1234", str(pid)))


def of_the_reference(code: str) -> str:
    """With the import at the head of the page."""
    return of_a_process(SNIPPETS["docs/api.md-1"] + code)


def of_a_recording(code: str) -> str:
    """demo.udamon, in the working directory."""
    assert '"demo.udamon"' in code
    spec = MonitorSpec(ops="sim", command=("one",), sample=0.001, aggr=0.02)
    with Monitor(spec) as monitor:
        monitor.record("demo.udamon")
        for snapshot in monitor:
            if snapshot.seq == 12:
                monitor.stop()
    assert len(list(Recording("demo.udamon").snapshots())) > 10
    return printed(code)


class FakeSpark:
    """What the snippet asks of Spark; that Spark runs such queries is tested elsewhere (test_other_engines)."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.read = self

    def parquet(self, path: str) -> FakeSpark:
        self.asked.append(path)
        return self

    def createOrReplaceTempView(self, name: str) -> None:
        self.asked.append(name)

    def sql(self, query: str) -> FakeSpark:
        self.asked.append(query)
        return self

    def show(self) -> None:
        self.asked.append("show")


def on_spark(code: str) -> str:
    spark = FakeSpark()
    exec(compile(code, "snippet", "exec"), {"spark": spark})
    return "\n".join(spark.asked)


REFS = pytest.mark.needs("clear_refs")
SQLGLOT = pytest.mark.needs("sqlglot")
ARROW = pytest.mark.needs("pyarrow")
PYTEST = "docs/reports.md-1"

RUN: dict[str, tuple[Callable[[str], str], str, tuple[pytest.MarkDecorator, ...]]] = {
    "README.md-1": (of_a_process, r"(\d+ [1-9]\d*\n)+", (REFS,)),
    "docs/acting.md-1": (of_a_process, r"(0\n)+", (REFS,)),
    "docs/api.md-1": (printed, r"", ()),
    "docs/api.md-2": (of_the_reference, r"(\d+ [1-9]\d*\n)+", (REFS,)),
    "docs/recording.md-1": (of_a_recording, r"sim\n(\d+ .+\n)?([0-9a-f]+-[0-9a-f]+ [01]\.\d+ \d+\n)+", (ARROW,)),
    "docs/recording.md-2": (of_a_recording, r"(?s).*seq.*seconds.*mib.*", (ARROW,)),
    "docs/recording.md-3": (of_a_recording, r"(\d+ \d+ \d+\n){10,}", ()),
    "docs/reports.md-2": (on_spark, r"(?s)recordings/\*.parquet\nrecording\n.*\nregions\n.*\nshow", (SQLGLOT,)),
}  # fmt: skip
"""How each is run, and what it prints."""


def test_every_snippet_is_run() -> None:
    assert SNIPPETS.keys() == RUN.keys() | {PYTEST}


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, (*_, marks) in RUN.items()])
def test_snippet(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, pattern, _ = RUN[name]
    out = run(SNIPPETS[name])
    assert re.fullmatch(pattern, out), out


@pytest.mark.needs("clear_refs")
def test_pytest_snippet(pytester: pytest.Pytester) -> None:
    """With the names that it leaves to its reader, and windows a fifth as long, of which a percentile needs 20."""
    pytester.makepyfile(mymodule="import time\ntime.sleep(1.5)\n")
    before = """
import subprocess, sys, time

server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

def load(server):
    time.sleep(4)

import atexit
atexit.register(server.kill)
"""
    code = SNIPPETS[PYTEST].replace('aggr="500ms", sample="25ms"', 'aggr="100ms", sample="5ms"')
    assert 'aggr="100ms"' in code
    pytester.makepyfile(test_it=before + code)
    result = pytester.runpytest_subprocess(*LOAD, "--strict-markers")
    print(result.stdout.str())
    result.assert_outcomes(passed=2)
