"""Python code in stacks of allocations: every interpreter that is here, and programs that are hard to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_sites import Seen
from udamon.cli.main import main
from udamon.record.reader import Recording
from udamon.sites.stacks import PYTHON

pytestmark = pytest.mark.native

MIB = 1 << 20

PROGRAM = """\
import os, threading
kept = []
def make(mib):
    return bytearray(mib << 20)
class Holder:
    def __init__(self):
        self.kept = make(3)
def zähle():
    yield bytes(5 << 20)
def deep(n):
    return deep(n - 1) if n else bytearray(6 << 20)
class Late:
    def __del__(self):
        kept.append(bytearray(9 << 20))
def later():
    late = Late()
holder = Holder()
kept += zähle()
sorted([1], key=lambda x: kept.append(bytearray(7 << 20)) or x)
kept.append(deep(200))
threads = [threading.Thread(target=lambda: kept.append(make(8)))]
for one in threads: one.start()
for one in threads: one.join()
later()
exec("def made(): return bytearray(10 << 20)\\nkept.append(made())")
numbers = [[i] for i in range(200_000)]
os._exit(0)  # the interpreter's end would free all of it
"""


def interpreters() -> list[str]:
    """Those that can be run here, of different versions."""
    found: dict[str, str] = {}
    folders = [*os.get_exec_path(), *map(str, Path(os.path.expanduser("~")).glob(".pyenv/versions/*/bin"))]
    for path in [
        sys.executable,
        *(f"{folder}/python3.{minor}" for folder in folders for minor in (11, 12, 13)),
    ]:
        if os.access(path, os.X_OK):
            asked = [path, "-c", "import sys; print(*sys.version_info[:3])"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                found.setdefault(done.stdout, path)
    return list(found.values())


class Calls(Seen):
    """With the names of calls of Python."""

    def __init__(self, *command: str) -> None:
        self.names: dict[int, str] = {}
        self.python = -2
        super().__init__(command)

    def publish(self, event: Any) -> None:
        super().publish(event)
        if event.name == "allocation_stacks":
            self.python = next((n for n, path, _ in event.data["modules"] if path == PYTHON), self.python)
        if event.name == "symbols":
            for number, ((function, file, line),) in event.data["symbols"]:
                self.names[number] = f"{function}:{line}" if file else function

    def by_size(self) -> dict[int, list[str]]:
        """Calls of Python by the size of what is alive in MiB, the innermost first."""
        found = {}
        for image in self.all:
            for sample in image.live.values():
                stack = self.stacks[sample.stack]
                pairs = list(zip(stack[::2], stack[1::2], strict=True))
                names = [self.names[address] for module, address in pairs if module == self.python]
                found[sample.size // MIB if sample.size >= MIB else 0] = names
        return found


@pytest.mark.parametrize("interpreter", interpreters())
def test_calls_of_python(interpreter: str, tmp_path: Path) -> None:
    """Functions and lines; in constructors, generators, callbacks of C, threads, finalizers and code without a file."""
    (tmp_path / "a.py").write_text(PROGRAM)
    seen = Calls(interpreter, str(tmp_path / "a.py"))
    assert (seen.status, seen.notes) == (0, [])
    found = seen.by_size()
    assert found[3] == ["make:4", "Holder.__init__:7", "<module>:17"]
    assert found[5] == ["zähle:9", "<module>:18"]
    assert found[7] == ["<lambda>:19", "<module>:19"]
    assert set(found[6]) == {"deep:11"}
    assert len(found[6]) > 30
    assert found[8][:3] == ["make:4", "<lambda>:21", "Thread.run" + found[8][2][len("Thread.run") :]]
    assert found[9][0] == "Late.__del__:14"
    assert found[10] == ["made:1", "<module>:2", "<module>:25"]
    assert found[1] == ["Python small objects"]


def test_the_end_of_an_interpreter_and_forks(tmp_path: Path) -> None:
    """Finalizers that allocate while it ends, threads that it leaves, and forks: nothing hangs or dies."""
    (tmp_path / "b.py").write_text(
        "import os, threading\n"
        "class Late:\n"
        "    def __del__(self): bytearray(1 << 20)\n"
        "late = Late(); late.me = late\n"
        "def work():\n"
        "    while True: [bytearray(n << 10) for n in range(64)]\n"
        "for _ in range(3): threading.Thread(target=work, daemon=True).start()\n"
        "for _ in range(20):\n"
        "    if os.fork() == 0:\n"
        "        kept = bytearray(1 << 20)\n"
        "        raise SystemExit\n"
        "print({os.wait()[1] for _ in range(20)})\n"
    )
    seen = Seen([sys.executable, tmp_path / "b.py"])
    assert (seen.status, seen.out) == (0, b"{0}\n")


NUMPY = """\
import os, sys, time
import numpy
def column(mib):
    return numpy.ones(mib << 17)
def frame_0(): return column(8)
def frame_1(): return column(12)
def frame_2(): return column(16)
def frame_3(): return column(20)
def main():
    frames = [frame_0(), frame_1(), frame_2(), frame_3()]
    with open(sys.argv[1], "w") as filled: filled.write(str(time.monotonic_ns()))
    end = time.monotonic() + 4
    while time.monotonic() < end:
        frames[1].sum(), frames[3].sum()
        time.sleep(0.05)
    os._exit(0)  # with all of them alive
main()
"""


@pytest.mark.needs("clear_refs")
def test_arrays_of_known_heat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By mappings: numpy's large arrays have one each. Named by the program's own code, not by numpy's."""
    pytest.importorskip("numpy")
    (tmp_path / "c.py").write_text(NUMPY)
    file, filled = str(tmp_path / "a.udamon"), tmp_path / "filled"
    flags = ["--sites", "--via", "refs", "--aggr", "300ms", "-q", "-o", file]
    assert main(["record", *flags, "--", sys.executable, str(tmp_path / "c.py"), str(filled)]) == 0
    capsys.readouterr()
    # However long the start took: windows that begin after the arrays were filled.
    snapshots = list(Recording(file).snapshots())
    origin, last = snapshots[0].begin_ns, snapshots[-1].end_ns
    begin = next(one.begin_ns for one in snapshots if one.begin_ns > int(filled.read_text()))
    span = f"{(begin - origin) / 1e9 + 0.001:.3f}-{(last - origin) / 1e9 + 1:.3f}"
    assert main(["report", "sites", file, "--json", "--time", span]) == 0
    sites = json.loads(capsys.readouterr().out)["sites"]
    by_caller = {
        site["stack"][-3]["function"]: site
        for site in sites
        if site["function"] == "column" and site["line"] == 4
    }
    for number, mib in enumerate((8, 12, 16, 20)):
        site = by_caller[f"frame_{number}"]
        assert site["bytes"] == pytest.approx(mib * MIB, rel=0.01)
        if number % 2:
            assert site["touched_bytes"] >= 0.95 * mib * MIB
        else:
            assert site["cold_bytes"] >= 0.95 * mib * MIB
