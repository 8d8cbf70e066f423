"""Guests that share the tests of a boot: each runs the files that it takes, whatever lies between them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.guest.plan import ROOT


def test_a_file_that_another_guest_has_taken_is_passed_over(tmp_path: Path) -> None:
    """The last of a directory: what its directory needs must not be left when the next one begins."""
    names = ("linux/test_shortage.py", "linux/test_user_events.py", "native/test_overlaps.py")
    files = [f"tests/unit/{name}" for name in names]
    claims = tmp_path / "claims"
    claims.mkdir()
    (claims / "-".join(Path(files[1]).parts)).write_text("another")
    guest = {
        "UDAMON_GUEST": "smp=1,mem=2048", "UDAMON_GUEST_SUITE": "stock-arm64-units",
        "UDAMON_GUEST_CLAIMS": str(claims), "UDAMON_GUEST_COPY": "mine",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *files],
        cwd=ROOT, env={**os.environ, **guest}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "test_shortage.py::" in done.stdout
    assert "test_user_events.py::" not in done.stdout
    assert "test_overlaps.py::" in done.stdout
