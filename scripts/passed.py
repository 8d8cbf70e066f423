"""When `make test-all` last passed, and on which commit: .work/test-all.json."""

from __future__ import annotations

import json
import subprocess
import time

from scripts.stages import ROOT, WORK

FILE = WORK / "test-all.json"


def note(ok: bool) -> None:
    """Remember a whole run of `make test-all` that passed."""
    if not ok:
        return
    document = {"commit": _git("rev-parse", "HEAD"), "changed": bool(_git("status", "--porcelain"))}
    document["time"] = time.strftime("%Y-%m-%d %H:%M:%S %z")
    FILE.write_text(json.dumps(document))


def tell() -> None:
    if not FILE.exists():
        print("make test-all has not passed in this checkout yet")
        return
    last = json.loads(FILE.read_text())
    with_changes = " with uncommitted changes" if last["changed"] else ""
    print(f"make test-all last passed on {last['commit'][:12]}{with_changes}, {last['time']}")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
