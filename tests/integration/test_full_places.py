"""Outputs into a file system that is full, one that may not be written, and a directory that is not there: one
sentence, status 1, and nothing left that was not there before. On a tmpfs in a mount namespace of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.documents import make_base

_OUTPUTS = (
    "report wss {base}/recording --html {out}", "report heatmap {base}/recording --svg {out}",
    "report heatmap {base}/recording --png {out}", "report sites {base}/recording --pprof {out}",
    "report sites {base}/recording --flame {out}", "report diff {base}/recording {base}/recording --html {out}",
    *(f"convert {{base}}/recording -o {{out}} --to {to}"
      for to in ("damo-json", "perf-script", "parquet", "csv", "arrow")),
    "fleet report cold {base}/fleet --html {out}", "fleet deploy d2 {out}.d --service web",
    "record --sim {base}/short.masim --duration 200ms -o {out}",
    "size --sim {base}/short.masim --duration 200ms -o {out} --quiet",
)  # fmt: skip

_RUN = """
import contextlib, io, json, os, sys
from pathlib import Path
from udamon.cli.main import main
found = []
for words in json.load(sys.stdin):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = main(words)
    left = [str(one) for one in Path("PLACE").rglob("*") if one.name != "fill" and not one.is_dir()]
    found.append([words, status, err.getvalue(), left])
print(json.dumps(found))
"""

_MOUNT = "mount -t tmpfs"
_PLACES = {
    "full": (f"{_MOUNT} -o size=64k,nr_inodes=40 none PLACE; dd if=/dev/zero of=PLACE/fill bs=4k count=99 2>&-", "out"),
    "no inodes": (f"{_MOUNT} -o size=64k,nr_inodes=1 none PLACE", "out"),
    "read-only": (f"{_MOUNT} -o ro,size=64k none PLACE", "out"),
    "not there": (f"{_MOUNT} -o size=64k none PLACE", "none/out"),
}  # fmt: skip


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", _PLACES)
def test_one_sentence_and_nothing_left(kind: str, tmp_path: Path) -> None:
    base, place = tmp_path / "base", tmp_path / "place"
    make_base(base)
    place.mkdir()
    how, name = _PLACES[kind]
    outputs = [
        one for one in _OUTPUTS if kind != "not there" or "fleet deploy" not in one
    ]  # which makes directories
    words = [one.format(base=base, out=place / name).split() for one in outputs]
    script = f'{how.replace("PLACE", str(place))}; exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, _RUN.replace("PLACE", str(place))],
        input=json.dumps(words), capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for said_words, status, said, left in json.loads(done.stdout):
        assert (status, left) == (1, []), (said_words, said)
        assert said.startswith("udamon: cannot "), (said_words, said)
        assert said.count("\n") == 1, (said_words, said)
