"""Which guest test runs in which boot.

A boot takes about ten seconds, so tests share one wherever they can: all tests that ask for the same boot
run in the same guest. A test, class or module asks with

    pytestmark = pytest.mark.guest_boot(smp=1, mem=4096, append="numa=fake=2")

`smp` is the number of processors, `mem` MiB of memory, `append` more words for the kernel's command line.
Other markers say how often and where a guest test runs:

    guest_612    also on the 6.12 kernels (all run on the newest)
    guest_long   only with `make guest-test-all`

Outside, the harness collects with UDAMON_GUEST_PLAN=FILE to learn which boots are needed and how many tests
each must run; inside, UDAMON_GUEST holds the boot's name and selects the tests.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from scripts.guest.machine import Machine


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
    suite = os.environ.get("UDAMON_GUEST_SUITE", "default").split("+")
    if "612" in suite and not item.get_closest_marker("guest_612"):
        return False
    return "all" in suite or not item.get_closest_marker("guest_long")


def write(items: Iterable[pytest.Item]) -> None:
    """With UDAMON_GUEST_PLAN=FILE, write the boots that the collected guest tests need."""
    target = os.environ.get("UDAMON_GUEST_PLAN")
    if not target:
        return
    wanted = [item for item in items if item.get_closest_marker("guest") and _in_suite(item)]
    counts = Counter(boot_of(item) for item in wanted)
    document = [{**asdict(boot), "name": boot.name, "tests": counts[boot]} for boot in sorted(counts)]
    Path(target).write_text(json.dumps(document))
