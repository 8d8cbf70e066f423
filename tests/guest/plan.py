"""Which guest test runs in which boot.

A boot takes about ten seconds, so tests share one wherever they can: all tests that ask for the same boot
run in the same guest. A test, class or module asks with

    pytestmark = pytest.mark.guest_boot(smp=1, mem=4096, append="numa=fake=2")

`smp` is the number of processors, `mem` MiB of memory, `append` more words for the kernel's command line.
Other markers say how often and where a guest test runs:

    guest_version  depends on the kernel's version or configuration: on every kernel (all run on the newest)
    guest_612      with `make test-all` also on the 6.12 kernels
    guest_pte      with `make test-all` also on Debian's other stock kernels
    guest_stock    on Debian's stock kernels alone: it needs what they have and ours lack (lockdown)
    guest_long     only with `make test-all`

Outside, the harness collects with UDAMON_GUEST_PLAN=FILE to learn which boots are needed, how many tests each must
run, and from which files; inside, UDAMON_GUEST holds the boot's name and selects the tests, UDAMON_GUEST_SUITE is
"default" or "all" (newest kernel), "version" or "612" (older ones), "stock-version", "stock-612" or "stock-pte".
Several guests may share a boot's tests: each takes a file when it comes to it, by creating a claim in the directory
UDAMON_GUEST_CLAIMS that is common to them.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from scripts.guest.machine import Machine

ROOT = Path(__file__).parents[2]


def boot_of(item: pytest.Item) -> Machine:
    """The boot a test asks for. What the nearest marker leaves open, an outer one may say."""
    wanted: dict[str, Any] = {}
    for marker in item.iter_markers("guest_boot"):  # nearest first
        wanted = {**marker.kwargs, **wanted}
    return Machine(**wanted)


def runs_here(item: pytest.Item) -> bool:
    boot = os.environ.get("UDAMON_GUEST")
    is_guest_test = item.get_closest_marker("guest") is not None
    if boot is None:
        return not is_guest_test
    return is_guest_test and boot_of(item).name == boot and _in_suite(item)


def _in_suite(item: pytest.Item) -> bool:
    suite = os.environ.get("UDAMON_GUEST_SUITE", "default")
    marked = {mark.name for mark in item.iter_markers()}
    if "guest_stock" in marked and not suite.startswith("stock-"):
        return False
    match suite.removeprefix("stock-"):
        case "version":
            return "guest_version" in marked and "guest_long" not in marked
        case "612":
            return bool(marked & {"guest_612", "guest_version"})
        case "pte":
            return "guest_pte" in marked
        case "default":
            return "guest_long" not in marked
    return True


@functools.cache
def taken_here(file: Path) -> bool:
    """Whether this guest runs the tests of `file`: it is the first to ask, or has asked before."""
    directory = os.environ.get("UDAMON_GUEST_CLAIMS")
    if directory is None or not Path(directory).is_dir():
        return True
    me, claim = os.environ["UDAMON_GUEST_COPY"], Path(directory) / file.name
    try:
        with claim.open("x") as mark:
            mark.write(me)
    except FileExistsError:
        return claim.read_text() == me
    return True


def write(items: Iterable[pytest.Item]) -> None:
    """With UDAMON_GUEST_PLAN=FILE, write the boots that the collected guest tests need, each with the files of its
    tests: to import the others would take it seconds."""
    target = os.environ.get("UDAMON_GUEST_PLAN")
    if not target:
        return
    wanted = [item for item in items if item.get_closest_marker("guest") and _in_suite(item)]
    boots: dict[Machine, list[str]] = {}
    for item in wanted:
        boots.setdefault(boot_of(item), []).append(str(item.path.relative_to(ROOT)))
    document = [
        {**asdict(boot), "tests": len(files), "files": list(dict.fromkeys(files))}
        for boot, files in sorted(boots.items())
    ]
    Path(target).write_text(json.dumps(document))
