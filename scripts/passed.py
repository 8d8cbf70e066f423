"""How far `make test-all` has come on which commit, and when it last passed: files in .work.

test-all.json           the commit on which it last passed
test-all-stages.jsonl   the stages that have ended on a commit, for `--resume`; the first line names the commit

A run counts for the commit on which it began. Where the files are others before it has ended, it counts for none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scripts import content
from scripts.parallel import Ended, Stage
from scripts.stages import ROOT, WORK, Result

FILE = WORK / "test-all.json"
STAGES = WORK / "test-all-stages.jsonl"

Files = dict[str, str | bool]
"""`commit`, whether files are `changed` from it, a digest of how (`changes`), and the `python` that runs all."""


def note(ok: bool, begun: Files, not_run: Sequence[str] = ()) -> None:
    """Remember a whole run of `make test-all` that passed, and began with these files; and the stages that could not
    run."""
    if not ok:
        return
    if _files() != begun:
        print("note: files were changed while make test-all ran: it is not remembered as passed")
        return
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    content.write(FILE, json.dumps(begun | {"time": now, "not run": sorted(not_run)}))


def tell() -> None:
    try:
        last = json.loads(FILE.read_text())
        with_changes = " with uncommitted changes" if last["changed"] else ""
        on = f"{last['commit'][:12] or 'files without a history'}{with_changes}"
        without = ", ".join(last.get("not run", ()))
        print(
            f"make test-all last passed on {on}, {last['time']}{', but did not run ' if without else ''}{without}"
        )
    except FileNotFoundError:
        print("make test-all has not passed in this checkout yet")
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"when make test-all last passed is not known: {FILE} cannot be read ({error})")


def begin(stages: Mapping[str, Stage], resume: bool) -> tuple[Files, list[Ended]]:
    """Begin to remember the stages that end; the files with which the run begins. With `resume`: those of `stages` that
    have ended on this very commit, whatever their verdict, so that a run that was interrupted goes on and no failure is
    tried again. A stage whose line was not written whole has not ended."""
    STAGES.parent.mkdir(exist_ok=True)
    files = _files()
    lines = STAGES.read_text(errors="replace").splitlines() if resume and STAGES.exists() else []
    if lines and not files["changed"] and _document(lines[0]) == files:
        # Lines that cannot be read are dropped: the next would be written behind half of one.
        read = [(line, ended) for line in lines[1:] if (ended := _read(line)) is not None]
        content.write(STAGES, "".join(f"{line}\n" for line in [lines[0], *(line for line, _ in read)]))
        # What could not run may be able to now: a program was installed, the network is back.
        known = [e for _, e in read if e.stage.name in stages and e.result.verdict != "not run"]
        print(
            f"resumed: {len(known)} of {len(stages)} stages have ended on this commit and are not run again"
        )
        return files, known
    if resume:
        print(
            "nothing to resume: no make test-all was interrupted on this commit, with this Python and no changes"
        )
    content.write(STAGES, json.dumps(files) + "\n")
    return files, []


def remember(ended: Ended, begun: Files) -> None:
    """Unless the files have changed since the run began: the stage may have seen either."""
    if _files() != begun:
        return
    document = asdict(ended) | {"stage": ended.stage.name, "result": asdict(ended.result)}
    with STAGES.open("a") as file:
        file.write(json.dumps(document) + "\n")


def _read(line: str) -> Ended | None:
    document = _document(line)
    try:
        return Ended(
            **{**document, "stage": Stage(document["stage"], []), "result": Result.of(document["result"])}
        )
    except (LookupError, TypeError):
        return None


def _document(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _files() -> Files:
    """Without a history nothing says which files lie here: they count as changed."""
    commit = _git("rev-parse", "HEAD").decode().strip()
    state = _git("status", "--porcelain", "--untracked-files=normal")  # whatever a user's settings leave out
    known: Files = {"commit": commit, "python": sys.version}
    if not commit or not state:
        return known | {"changed": not commit, "changes": ""}
    untracked = (
        _git("ls-files", "--others", "--exclude-standard", "-z").decode(errors="surrogateescape").split("\0")
    )
    paths = [ROOT / name for name in untracked if (ROOT / name).is_file()]
    changes = content.digest(
        paths, _git("diff", "HEAD", "--binary", "--no-ext-diff").decode(errors="replace")
    )
    return known | {"changed": True, "changes": changes}


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False).stdout
    except FileNotFoundError:
        return b""
