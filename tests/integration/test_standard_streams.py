"""Standard output and standard error that are closed, full, or without a reader."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import running
from tests.integration.recorder import held_until
from udamon.record.reader import Recording


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made with standard error closed."""
    out = tmp_path_factory.mktemp("streams") / "a.udamon"
    with running() as target:
        words = ["record", "-p", str(target.pid), "--via", "refs", "--aggr", "50ms", "--windows", "6"]
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" 2>&-', "sh", *UDAMON, *words, "-o", str(out)], timeout=60, check=False
        )
    assert done.returncode == 0
    return out


def test_a_recording_without_standard_error(recording: Path) -> None:
    """It goes on after its first progress, and no one's messages are in the file."""
    read = Recording(recording)
    assert len(list(read.snapshots())) > 1
    assert not read.truncated


def refused(redirected: str, *words: str | Path, cwd: Path) -> bool:
    """True when a command says in one sentence that it cannot print, and ends with 1."""
    done = subprocess.run(
        ["sh", "-c", redirected, "sh", *UDAMON, *words],
        capture_output=True, text=True, cwd=cwd, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr.startswith("udamon: cannot write to standard output: "), done.stderr
    return done.returncode == 1 and done.stderr.count("\n") == 1


def test_standard_output_that_is_closed(recording: Path, tmp_path: Path) -> None:
    for words in (
        ["report", "wss", recording],
        ["report", "info", recording, "--json"],
        ["doctor", "--json"],
    ):
        assert refused('exec "$@" >&-', *words, cwd=tmp_path)


def test_standard_output_that_is_full(tmp_path: Path) -> None:
    """A file that may not grow."""
    assert refused('ulimit -f 0; exec "$@" >full', "doctor", cwd=tmp_path)


def test_no_temporary_directory(recording: Path, tmp_path: Path) -> None:
    """Where no file may grow, none for a time can be had: one sentence, from a file and through a pipe."""
    for words, given, first in (
        (["report", "wss", str(recording)], "</dev/null", ""),
        (["report", "heatmap", "-"], f"<{recording}", ""),
        (["check", "-", "--max-wss", "1GiB"], f"<{recording}", "nothing was checked: "),
    ):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -f 0; exec "$@" {given}', "sh", *UDAMON, *words],
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"udamon: {first}there is no directory for temporary files that can be written; set TMPDIR to one.\n"
        )


def test_a_pipe_that_nobody_reads(recording: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [*UDAMON, "report", "wss", str(recording)]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def shown(sent: str) -> list[str]:
    """The lines of a terminal that was sent this text of characters, CR and LF."""
    lines = []
    for line in sent.replace("\r\n", "\n").split("\n"):
        row = ""
        for piece in line.split("\r"):
            row = piece + row[len(piece) :]
        lines.append(row.rstrip())
    return lines


def test_the_summary_has_a_line_of_its_own(tmp_path: Path) -> None:
    """On a terminal, where progress is shown to the very end."""
    main, theirs = pty.openpty()
    with running() as target:
        words = ["record", "-p", str(target.pid), "--via", "refs", "--aggr", "50ms", "--duration", "1200ms"]
        process = subprocess.Popen([*UDAMON, *words, "-o", "a"], cwd=tmp_path, stderr=theirs)
        os.close(theirs)
        sent = b""
        try:
            while data := os.read(main, 4096):
                sent += data
        except OSError:
            pass  # EIO: the other side is closed
        assert process.wait(60) == 0
    os.close(main)
    assert b"hot " in sent  # there was progress
    *notes, line, end = shown(sent.decode())
    assert all(note.startswith("udamon: ") for note in notes)
    assert re.fullmatch(
        r"a: \d+ snapshots in .*; the monitor took .* of a CPU, after .* of CPU to start, and .*", line
    )
    assert not end


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_check_keeps_its_verdict_without_a_reader(recording: Path, json: tuple[str, ...]) -> None:
    """`udamon check … | head -0` under pipefail must not pass where a limit is broken."""
    for limit, status in (("1KiB", 1), ("1TiB", 0)):
        words = [*UDAMON, "check", str(recording), "--max-wss", limit, *json]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.close()
        assert process.returncode == status


def test_a_standard_error_that_nobody_reads(tmp_path: Path) -> None:
    """What is said beside a recording must not end it, nor the command that is recorded."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [*UDAMON, "record", "--aggr", "100ms", "-o", str(tmp_path / "a"), "--", "sh", "-c"]
    try:
        with held_until(tmp_path / "a", 3) as (pipe,):
            script = f"read x < {pipe}; echo done > {tmp_path}/done; exit 5"
            status = subprocess.run([*words, script], stderr=writer, check=False).returncode
    finally:
        os.close(writer)
    assert status == 5
    assert (tmp_path / "done").read_text() == "done\n"
    assert Recording(tmp_path / "a").metadata["via"]
