"""The tree mounted by a user who is not root: fusermount3 does it, in a mount namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.recorder import place_of_nobody

pytestmark = pytest.mark.needs("fuse", "fusermount", "second_user")

TOP = Path(__file__).parents[2]
"""Where the package of the tests lies."""


def test_a_user_mounts_and_the_next_start_clears_what_a_killed_one_left() -> None:
    with place_of_nobody() as place:
        command = [sys.executable, "-m", "tests.integration.control_user", str(place)]
        env = os.environ | {"PYTHONPATH": str(TOP)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
