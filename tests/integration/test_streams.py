"""Standard input and output: as files to read and write, full, and closed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import full_device
from tests.integration.recorder import udamon
from tests.unit.report.test_heatmap import two_bands
from udamon.record.reader import Recording


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "file"
    two_bands(path)
    return path


def shell(script: str, **words: object) -> tuple[int, str, str]:
    """Run a line of bash in which {udamon} and `words` are filled in."""
    line = script.format(udamon=" ".join(UDAMON), **words)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout, done.stderr


PRINTS = [
    "report wss {file}",
    "report heatmap {file} --json",
    "check {file} --max-wss 1TiB",
    "doctor --json",
    "eval one --truth-only",
    "--help",
]


@pytest.mark.needs("root")
def test_a_full_standard_output(file: Path, tmp_path: Path) -> None:
    """One sentence and status 1, whatever prints."""
    full = full_device(tmp_path)
    for words in PRINTS:
        status, _, said = shell(f"{{udamon}} {words} > {{full}}", file=file, full=full)
        assert status == 1, words
        assert said == (
            "udamon: cannot write to standard output: No space left on device; redirect it to a place with room.\n"
        )


def test_a_closed_standard_output(file: Path) -> None:
    """It is not taken for something else that is opened, and what could not be printed is told."""
    status, _, said = shell("{udamon} report wss {file} >&-", file=file)
    assert (status, said.count("\n")) == (1, 1)
    assert "standard output: it is closed" in said


def test_a_pipe_whose_reader_has_gone(file: Path) -> None:
    """`| head` has what it wants; a picture that could not be written whole is told."""
    status, _, said = shell("{{ sleep 1; {udamon} report wss {file}; }} | true", file=file)
    assert (status, said) == (0, "")
    status, _, said = shell("{{ sleep 1; {udamon} report info {file} --html -; }} | true", file=file)
    assert status == 1
    assert (
        said == "udamon: cannot write to standard output: Broken pipe; choose another place for the output.\n"
    )


def test_a_closed_standard_error(tmp_path: Path) -> None:
    """A recording goes on to its end, and nothing of what is said is in it."""
    out = tmp_path / "out"
    words = "record --sim one --aggr 20ms --sample 5ms --windows 10"
    assert shell(f"{{udamon}} {words} -o {{out}} 2>&-", out=out) == (0, "", "")
    recording = Recording(out)
    assert len(list(recording.snapshots())) > 5
    assert not recording.truncated


@pytest.mark.parametrize("source", ["- < {file}", "<(cat {file})", "/dev/stdin < {file}"])
def test_reading_what_is_no_file(source: str, file: Path) -> None:
    """As a report of the file itself."""
    status, out, said = shell("{udamon} report wss " + source, file=file)
    assert (status, out, said) == (0, udamon("report", "wss", file).stdout, "")


def test_a_recording_through_pipes(file: Path, tmp_path: Path) -> None:
    """`-` is standard output or input, and what comes out is what a file would hold."""
    line = "cat {file} | {udamon} convert - -o - --to damo-json | {udamon} convert - --to csv -o - > {out}"
    assert shell(line, file=file, out=tmp_path / "out") == (0, "", "")
    assert udamon("convert", file, "--to", "damo-json", "-o", tmp_path / "json").status == 0
    assert udamon("convert", tmp_path / "json", "--to", "csv", "-o", tmp_path / "csv").status == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "csv").read_bytes()


def test_recording_to_standard_output(tmp_path: Path) -> None:
    line = "{udamon} record --sim one --aggr 20ms --sample 5ms --windows 10 -q -o {out} > {file}"
    for out in ("-", "/dev/fd/1", "/proc/self/fd/1"):  # not the link in /dev: a fault would replace it
        assert shell(line, out=out, file=tmp_path / "file") == (0, "", "")
        assert len(list(Recording(tmp_path / "file").snapshots())) > 3


@pytest.mark.parametrize("what", ["", "-"])
def test_input_that_is_none(what: str) -> None:
    status, _, said = shell(f"{{udamon}} report wss /dev/stdin {'<&-' if what else ''}")
    assert (status, said.count("\n")) == (1, 1)
    assert "standard input" in said


def test_a_report_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM while it waits for its input, and later: neither copy nor directory stays."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [*UDAMON, "report", "info", "-", "--html", tmp_path / "out" / "page"],
        stdin=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    fds = Path(f"/proc/{process.pid}/fd")
    while not any("(deleted)" in os.readlink(fd) for fd in fds.iterdir() if fd.is_symlink()):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert process.stdin is not None
    process.stdin.close()
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "out").iterdir()) == []
