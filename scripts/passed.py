"""How far `make test-all` has come on which commit, and when it last passed: files in .work.

test-all.json           the commit on which it last passed
test-all-stages.jsonl   the stages that have ended on a commit, for `--resume`; the first line names the commit
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict

from scripts.parallel import Ended, Stage
from scripts.stages import ROOT, WORK, Result

FILE = WORK / "test-all.json"
STAGES = WORK / "test-all-stages.jsonl"


def note(ok: bool) -> None:
    """Remember a whole run of `make test-all` that passed."""
    if ok:
        FILE.write_text(json.dumps(_commit() | {"time": time.strftime("%Y-%m-%d %H:%M:%S %z")}))


def tell() -> None:
    if not FILE.exists():
        print("make test-all has not passed in this checkout yet")
        return
    last = json.loads(FILE.read_text())
    with_changes = " with uncommitted changes" if last["changed"] else ""
    print(f"make test-all last passed on {last['commit'][:12]}{with_changes}, {last['time']}")


def begin(stages: Mapping[str, Stage], resume: bool) -> list[Ended]:
    """Begin to remember the stages that end. With `resume`: those of `stages` that have ended on this very commit,
    whatever their verdict, so that a run that was interrupted goes on and no failure is tried again."""
    STAGES.parent.mkdir(exist_ok=True)
    commit = _commit()
    lines = STAGES.read_text().splitlines() if resume and STAGES.exists() else []
    if lines and not commit["changed"] and json.loads(lines[0]) == commit:
        return [each for each in map(_read, lines[1:]) if each.stage.name in stages]
    if resume:
        print("nothing to resume: no run of make test-all was interrupted on this commit without changes")
    STAGES.write_text(json.dumps(commit) + "\n")
    return []


def remember(ended: Ended) -> None:
    document = asdict(ended) | {"stage": ended.stage.name, "result": asdict(ended.result)}
    with STAGES.open("a") as file:
        file.write(json.dumps(document) + "\n")


def _read(line: str) -> Ended:
    document = json.loads(line)
    return Ended(
        **{**document, "stage": Stage(document["stage"], []), "result": Result.of(document["result"])}
    )


def _commit() -> dict[str, str | bool]:
    return {"commit": _git("rev-parse", "HEAD"), "changed": bool(_git("status", "--porcelain"))}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
