"""Random work on the served tree: alone it equals the naive account, two at once leave what one of them wrote."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.control_fuzz import CONTEXT, COUNT, NUMBERS
from tests.integration.control_server import Server, serving
from tests.property.control_oracle import Oracle, Refused
from tests.property.test_control_tree import DRAWN
from udamon.control.kinds import Count

pytestmark = pytest.mark.needs("fuse")

ROOT = Path(__file__).parents[2]
OPERATIONS = int(os.environ.get("UDAMON_FUZZ", "2000"))
"""UDAMON_FUZZ=100000 for the long one."""


def through(server: Server, path: str, text: str | None) -> object:
    """A read, or a write of `text`: what came of it."""
    try:
        if text is None:
            return server.read(path)
        server.write(path, text)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return None


def expected(oracle: Oracle, path: str, text: str | None) -> object:
    path = f"kdamonds/{path}"
    try:
        if text is None:
            return oracle.read(path)
        oracle.write(path, text)
    except Refused as refusal:
        return errno.errorcode[refusal.number]
    return None


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_alone(tmp_path: Path) -> None:
    chance, oracle = random.Random(8), Oracle()
    with serving(tmp_path) as server:
        for path, text in (("nr_kdamonds", "1"), ("0/contexts/nr_contexts", "1")):
            assert through(server, path, text) == expected(oracle, path, text)
        after_start = 0
        for step in range(OPERATIONS):
            path = chance.choice(list(oracle.files)).removeprefix("kdamonds/")
            node = oracle.node(f"kdamonds/{path}")
            counts = node is not None and isinstance(node.kind, Count)
            text = chance.choice(("0", "1", "2", "-1", "junk")) if counts else chance.choice(DRAWN)
            if counts and path.count("/") < 3:
                text = "1"  # else the tree is empty most of the time
            if path.endswith("/state"):
                text = "junk"  # nothing is to run here
            assert through(server, path, text) == expected(oracle, path, text), (step, path, text)
            assert through(server, path, None) == expected(oracle, path, None), (step, path)
            if step == OPERATIONS // 2:
                after_start = resident_kib(server.process.pid)
        for path in oracle.files:
            short = path.removeprefix("kdamonds/")
            assert through(server, short, None) == expected(oracle, short, None), path
        assert resident_kib(server.process.pid) < after_start + 4096, (
            "half of the work must not need more memory"
        )


def test_two_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.write("nr_kdamonds", "1")
        server.write("0/contexts/nr_contexts", "1")
        server.write(f"{CONTEXT}/targets/nr_targets", "1")
        server.write(f"{CONTEXT}/schemes/nr_schemes", "1")
        server.write(COUNT, "2")
        command = [sys.executable, "-m", "tests.integration.control_fuzz", str(server.at)]
        both = [
            subprocess.Popen(
                [*command, str(seed), str(OPERATIONS)], stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            for seed in (1, 2)
        ]
        reports = []
        for process in both:
            out, _ = process.communicate(timeout=3600)
            assert process.returncode == 0
            reports.append(json.loads(out))
        for path in NUMBERS:
            assert int(server.read(path)) in [report["last"][path] for report in reports], path
