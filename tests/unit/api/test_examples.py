"""Each script of examples/ that uses the library runs as it is, and prints what it says."""

from __future__ import annotations

import re
import runpy
import threading

import pytest

from tests.imports import ROOT

EXAMPLES = ROOT / "examples"

REFS = pytest.mark.needs("clear_refs")

SCRIPTS = {
    "change_attributes": r"(a window of 0.2 s: \d+ regions\n)+a window of 0.04 s: \d+ regions\n",
    "command": r"at most (3\d|4\d) MiB in 0.1 s; ended by its target\n",
    "compare_policies": r"adaptive  F1 [01]\.\d+, [\d,]+ checks\ndamon     F1 [01]\.\d+, [\d,]+ checks\n",
    "doctor": r"(?s)idle .*\nrefs .*auto means \w+\n",
    "errors": r"UsageError there is nothing to watch; .*\ntoo late: there is no process .*\nUsageError refs sees .*\n",
    "in_asyncio": r"(\d+ regions, \d+ KiB accessed\n){3}",
    "own_process": r"(\d+ of \d+ MiB in use\n)+",
    "query": r"(?s).*\[anon:m1\] +. +(0\.[89]|1\.0) .*",
    "record_and_read": r"( *\d+ KiB  .+\n){5}",
    "schemes": r"pageout: \d+ KiB in [1-9]\d* tries\n",
    "subscribe": r"(?s)target_start\nmappings\n.*\d+ [1-9]\d* KiB\n.*",
}
"""Name to what it prints."""

NO_LIBRARY = {"reader"}
"""A program to watch."""

NEED_REFS = {"command", "errors", "own_process", "record_and_read", "schemes"}


def test_every_script_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SCRIPTS.keys() | NO_LIBRARY


@pytest.mark.parametrize("name", [pytest.param(n, marks=REFS if n in NEED_REFS else ()) for n in SCRIPTS])
def test_script(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = EXAMPLES / f"{name}.py"
    assert 5 <= len(path.read_text().splitlines()) <= 20
    runpy.run_path(str(path), run_name="__main__")
    out, err = capfd.readouterr()
    assert re.fullmatch(SCRIPTS[name], out), out
    assert not err
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("udamon", "kdamond"))]
