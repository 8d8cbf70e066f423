"""A process that names itself, its program and its memory to fool who looks, recorded and shown."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.hostile import bad_characters
from tests.integration.programs import started
from tests.integration.recorder import udamon
from udamon.record.reader import Recording

COMM = "\x1b[2J\n\u202eok"
PROGRAM_NAME = "evil\x1b]0;owned\x07\nok  working set 1 B"
FILE_NAME = "\u202efdp\x9b31m\r.bin"

PROGRAM = f"""
import ctypes, mmap, sys
ctypes.CDLL(None).prctl(15, {COMM!r}.encode(), 0, 0, 0)
with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 0)
print("up", flush=True)
while True:
    for at in range(0, len(memory), 4096):
        memory[at] = 1
"""

TEXTS = (["info"], ["mappings", "--top", "99"], ["access"], ["heatmap", "--color", "always"])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    program, file, out = place / PROGRAM_NAME, place / FILE_NAME, place / "out\x1b[1m.udamon"
    shutil.copy(os.path.realpath(sys.executable), program)
    file.write_bytes(bytes(1 << 20))
    # A copy of the interpreter finds its library and its modules by these.
    home = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""}
    with started([str(program), "-c", PROGRAM, str(file)], env=os.environ | home) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        done = udamon(
            "record", "-p", process.pid, "--via", "refs", "--aggr", "50ms", "--sample", "5ms", "--windows", "5",
            "-o", out,
        )  # fmt: skip
    assert done.status == 0, done.stderr
    assert not bad_characters(done.stderr)
    *notes, summary = done.stderr.splitlines()
    assert all(note.startswith("udamon: ") for note in notes), (
        "what was said before the summary: whole sentences"
    )
    assert " snapshots in " in summary
    return out


def test_names_are_recorded_as_they_are(recording: Path) -> None:
    """Else the texts below would have nothing to escape."""
    (start,) = (event.data for event in Recording(recording).events() if event.name == "target_start")
    mapped = [
        str(row[5]).replace("\\012", "\n")  # as the kernel writes it
        for event in Recording(recording).events()
        if event.name == "mappings"
        for row in event.data.get("add", ())  # type: ignore[attr-defined]
    ]
    assert start["comm"] == COMM
    assert any(name.endswith(PROGRAM_NAME) for name in mapped)
    assert any(name.endswith(FILE_NAME) for name in mapped)


@pytest.mark.parametrize("words", TEXTS, ids=" ".join)
def test_reports(recording: Path, words: list[str]) -> None:
    kind, *flags = words
    done = udamon("report", kind, recording, *flags)
    assert done.status == 0, done.stderr
    assert done.stderr == ""
    assert not bad_characters(done.stdout)
    assert not any(line.startswith("ok") for line in done.stdout.splitlines())
