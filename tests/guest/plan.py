"""Which guest test runs in which boot.

A boot takes about ten seconds, so tests share one wherever they can: all tests that ask for the same boot
run in the same guest. A test, class or module asks with

    pytestmark = pytest.mark.guest_boot(smp=1, mem=4096, append="numa=fake=2")

`smp` is the number of processors, `mem` MiB of memory, `append` more words for the kernel's command line.
Other markers say how often and where a guest test runs:

    guest_version  depends on the kernel's version or configuration: on every kernel (all run on the newest)
    guest_612      with `make test-all` also on the 6.12 kernels
    guest_pte      with `make test-all` also on Debian's other stock kernels
    guest_arm64    with `make test-all` also on Debian's stock kernels for arm64, that with pages of 16 KiB included
    guest_smoke    in `make test`, too, on one of those
    guest_stock    on Debian's stock kernels alone: it needs what they have and ours lack (lockdown)
    guest_long     only with `make test-all`

Outside, the harness collects with UDAMON_GUEST_PLAN=FILE to learn which boots are needed, how many tests each must
run, and from which files; inside, UDAMON_GUEST holds the boot's name and selects the tests, UDAMON_GUEST_SUITE is
"default" or "all" (newest kernel), "version" or "612" (older ones), "stock-version", "stock-612" or "stock-pte"; on
arm64 "stock-arm64-smoke", "stock-arm64", "stock-arm64-units" or "stock-16k". The last two have unit tests, too: those
below UNITS, which call C or read what a kernel says, and which run outside guests as all others do.
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
UNITS = ("tests/unit/native", "tests/unit/linux")
_WITH_UNITS = {"stock-arm64-units", "stock-16k"}
_UNITS_BOOT = {"smp": 1}


def collected(suite: str) -> list[str]:
    """Where pytest finds the tests of a suite."""
    return ["tests/guest", *(UNITS if suite in _WITH_UNITS else ())]


def boot_of(item: pytest.Item) -> Machine:
    """The boot a test asks for. What the nearest marker leaves open, an outer one may say."""
    wanted: dict[str, Any] = {}
    for marker in item.iter_markers("guest_boot"):  # nearest first
        wanted = {**marker.kwargs, **wanted}
    return Machine(**(_UNITS_BOOT if _is_unit(item) else wanted))


def runs_here(item: pytest.Item) -> bool:
    boot = os.environ.get("UDAMON_GUEST")
    if boot is None:
        return item.get_closest_marker("guest") is None
    return _for_guests(item) and boot_of(item).name == boot and _in_suite(item)


def _for_guests(item: pytest.Item) -> bool:
    return item.get_closest_marker("guest") is not None or _is_unit(item)


def _is_unit(item: pytest.Item) -> bool:
    return any(item.path.is_relative_to(ROOT / place) for place in UNITS)


def _in_suite(item: pytest.Item) -> bool:
    suite = os.environ.get("UDAMON_GUEST_SUITE", "default")
    if suite == "stock-16k" and any("pages_of_4k" in mark.args for mark in item.iter_markers("needs")):
        return False  # a boot that would only skip them
    if _is_unit(item):
        return suite in _WITH_UNITS
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
        case "arm64" | "arm64-units":
            return bool(marked & {"guest_pte", "guest_arm64"})
        case "arm64-smoke":
            return "guest_smoke" in marked
        case "16k":
            return "guest_arm64" in marked
        case "default":
            return "guest_long" not in marked
    return True


def needs_hypothesis() -> bool:
    """Guest tests do not, and importing it takes seconds under emulation."""
    return "UDAMON_GUEST" not in os.environ or os.environ.get("UDAMON_GUEST_SUITE") in _WITH_UNITS


@functools.cache
def taken_here(file: Path) -> bool:
    """Whether this guest runs the tests of `file`: it is the first to ask, or has asked before."""
    directory = os.environ.get("UDAMON_GUEST_CLAIMS")
    if directory is None or not Path(directory).is_dir():
        return True
    me, claim = os.environ["UDAMON_GUEST_COPY"], Path(directory) / "-".join(file.relative_to(ROOT).parts)
    try:
        with claim.open("x") as mark:
            mark.write(me)
    except FileExistsError:
        return claim.read_text() == me
    return True


def wanted() -> bool:
    """Whether a plan is asked for, by UDAMON_GUEST_PLAN=FILE: then no test runs."""
    return bool(os.environ.get("UDAMON_GUEST_PLAN"))


def write(items: Iterable[pytest.Item]) -> None:
    """Write the boots that these guest tests need, each with the files of its tests: to import the others would take it
    seconds."""
    target = os.environ["UDAMON_GUEST_PLAN"]
    chosen = [item for item in items if _for_guests(item) and _in_suite(item)]
    boots: dict[Machine, list[str]] = {}
    for item in chosen:
        boots.setdefault(boot_of(item), []).append(str(item.path.relative_to(ROOT)))
    document = [
        {**asdict(boot), "tests": len(files), "files": list(dict.fromkeys(files))}
        for boot, files in sorted(boots.items())
    ]
    Path(target).write_text(json.dumps(document))
