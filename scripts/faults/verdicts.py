"""What the output of a run of tests says of a fault."""

from __future__ import annotations

import re

from scripts.faults.catalogue import FaultsError

CAUGHT, MISSED, TIMEOUT = "caught", "missed", "timeout"
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.*)$", re.MULTILINE)
BEGUN = re.compile(
    r"^(tests/\S+::.*?)(?: (?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS|Fatal Python error).*)?$", re.MULTILINE
)
NO_TESTS, WRONG_USE = 5, 4
"""Exit codes of pytest."""


def judge(status: int | None, text: str) -> tuple[str, str]:
    """The verdict, and the test that failed, or that ran when the process died; `text` is what pytest -v printed.

    `status` None: it was out of time. Raises FaultsError when no test ran.
    """
    if status is None:
        return TIMEOUT, ""
    failed, begun = FAILED.findall(text), BEGUN.findall(text)
    if not failed and status in (0, NO_TESTS):
        return MISSED, ""
    if failed:  # its id, and perhaps what it said
        known = [test for test in begun if failed[0].startswith(test)]
        return CAUGHT, max(known, key=len, default=failed[0].partition(" - ")[0])
    if status == WRONG_USE or not begun:
        raise FaultsError(f"the tests did not run (status {status})")
    return CAUGHT, begun[-1]


def judge_guest(status: int | None, text: str) -> tuple[str, str]:
    """Likewise of tests in the guest, where only a test that failed counts: a guest may die by itself."""
    if status and not FAILED.search(text):
        raise FaultsError(f"the guest did not run its tests (status {status})")
    return judge(status, text)
