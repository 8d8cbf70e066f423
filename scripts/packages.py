"""Install Python packages with uv, which takes a tenth of pip's time, from where pip would take them.

python -m scripts.packages COMMAND…     runs a command that uses uv

uv does not read pip's settings: of these the command gets the index (`index-url`) and the certificates (`cert`) in
variables of uv, unless it has them already. Where uv cannot keep a cache, as in a home that is read-only, it would end;
it gets one in .work.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SETTINGS = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
CACHE = Path(__file__).resolve().parents[1] / ".work" / "uv"


def with_settings(*command: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "scripts.packages", *command]


def install(python: Path, *packages: str | Path) -> list[str | Path]:
    """What installs packages, or what other words for `uv pip install` ask for, for the interpreter `python`."""
    uv = Path(sys.executable).with_name("uv")
    return with_settings(uv, "pip", "install", "--quiet", "--python", python, *packages)


def environment(pip_settings: str, before: Mapping[str, str]) -> dict[str, str]:
    """`before` with what the output of `pip config list` means for uv."""
    found = dict(before)
    for line in pip_settings.splitlines():
        key, _, value = line.partition("=")
        variable = _SETTINGS.get(key.rpartition(".")[2])
        if variable and variable not in before:
            found[variable] = value.strip("'\"")
    if "UV_CACHE_DIR" not in before and not _can_be_made(_cache(before)):
        found["UV_CACHE_DIR"] = str(CACHE)
    return found


def _cache(variables: Mapping[str, str]) -> Path:
    """Where uv keeps what it loads."""
    return Path(variables.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "uv")


def _can_be_made(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def main(command: list[str]) -> int:
    pip = [sys.executable, "-m", "pip", "config", "list"]
    settings = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    return subprocess.run(command, env=environment(settings, os.environ), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
