"""damo, DAMON's own tool, to read recordings with: never as root, because as root it would look for DAMON.

The package must be in the environment of the checkout (`make setup`), or in another that this one sees.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

NOBODY = "65534"
_MAIN = "import sys; sys.argv[0] = 'damo'; from damo.damo import main; sys.exit(main())"


@functools.cache
def command() -> list[str] | str:
    """The words before damo's own, or the reason why it cannot be run here."""
    found = importlib.util.find_spec("damo")
    if found is None or found.origin is None:
        return "the package damo is not installed"
    if shutil.which("file") is None:
        return "damo asks the program file what a file is, and there is none"
    drop: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return "there is no setpriv to stop being root with"
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    place = Path(found.origin).parents[1]
    # The environment's interpreter may lie where nobody may not look; damo is pure Python, so any will do.
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3")):
        words = [
            *drop,
            "env",
            f"PYTHONPATH={place}",
            "PYTHONDONTWRITEBYTECODE=1",
            "HOME=/",
            python,
            "-c",
            _MAIN,
        ]
        try:
            done = subprocess.run([*words, "version"], capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return words
    return "no interpreter can run damo as an ordinary user"
