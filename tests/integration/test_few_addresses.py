"""Commands that may have few addresses (ulimit -v): they work, or end with a sentence and status 1."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.recorder import udamon

WITHIN = """
import resource, sys
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_AS, (most, most))
from udamon.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("short") / "r.udamon"
    assert udamon("record", "--aggr", "50ms", "--sample", "5ms", "-o", file, "--", "sleep", "0.5").status == 0
    return file


@pytest.fixture(scope="module")
def target() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def ended(most: int, *words: object) -> tuple[int, str]:
    """Status and standard error. The limit is that of an interpreter which has begun: Python itself cannot begin with
    fewer."""
    done = subprocess.run(
        [sys.executable, "-c", WITHIN, str(most), *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def check(status: int, said: str) -> None:
    assert status in (0, 1)
    assert "Traceback" not in said
    if status:
        last = said.splitlines()[-1]
        assert last.startswith("udamon: ")
        assert last.endswith(".")
        assert "ulimit -v" in last


@pytest.mark.parametrize("most", [40, 60, 80, 290])
def test_few_addresses(most: int, recording: Path, target: int, tmp_path: Path) -> None:
    """In MiB. DuckDB would abort the process."""
    for words in (
        ("record", "-p", target, "--duration", "200ms", "-o", tmp_path / "a"),
        ("live", "--json-lines", "-p", target, "--duration", "200ms"),
        ("report", "wss", recording),
        ("doctor",),
    ):
        check(*ended(most << 20, *words))
    assert ended(most << 20, "report", "wss", recording)[0] == 1
