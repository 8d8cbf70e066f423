"""Why tests may be skipped on CI and in guests: for a capability that is not required, or for a reason listed here.

Any other skip is a failure there: a test that is passed over in silence proves nothing. Elsewhere a machine may lack
anything.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from tests import capabilities

NEWEST = "newest"
"""In place of a capability: the newest kernel, on which every test runs, has all that udamon looks for."""


class May(NamedTuple):
    """A reason (all of it, as a pattern), and the capability whose requirement forbids it, or NEWEST."""

    reason: str
    unless: str = ""


PERMITTED = (
    # Programs that .ci/run does not install, libraries, and what an installation has not.
    May(r"(fish|zsh|mandoc|groff|kubectl|systemd-analyze|jemalloc|g\+\+) is not installed"),
    May("there is no openssl"),
    May("--sites needs 64-bit Linux with glibc 2.35 or later; .*"),
    May("DuckDB's extension iceberg is not there: .*"),
    May("the installed udamon has no sources"),
    # Of the stage `engines` alone, which requires them.
    May(r".*(pyarrow|pandas|spark|iceberg|readers).*", unless="iceberg"),
    # What the kernel, a container or the other work of a machine may not allow.
    May("this kernel has no such system call"),
    May("mounts cannot be made here|no file system can be mounted here"),
    May("no control group of version [12] can be made here|.* takes no process: .*"),
    May("all directories for temporary files are in memory"),
    May("page frames may not be seen|page frame numbers may not be seen"),
    May("this machine has swap"),
    May("the kernel had no huge pages to give|the kernel gives no huge pages"),
    May("the kernel's process events are not there, or not for us"),
    May(".*CONFIG_MEMCG.*"),
    May("clear_refs 4 does more than flush on this kernel"),
    May(".*, so the run proves nothing"),
    # Guests: kernels and processors differ.
    May("other processors' TLBs are displaced|this machine has fewer levels of tables"),
    May("this processor does not set accessed bits, .*"),
    May("this kernel has neither BPF nor /proc/kcore|this kernel has no (bpf|kcore)", unless=NEWEST),
    May("this kernel does not track idle pages", unless="idle_bitmap"),
    May("this kernel has no zram built in", unless="zram"),
    May("this kernel has no (DAMON_STAT|user_events|hugetlb|memory.reclaim|memory controller of .*)"),
    May("this kernel's DAMON has no debugfs files|this kernel keeps no generations of pages"),
    May("no cgroup hierarchy of version 2 with controllers|memory.reclaim is of 5.19"),
    May("what Linux 6.12 lacks|the one directory for filters of Linux 6.12|Linux 6.12 lacks some of it, .*"),
    May("no selftests in .*"),
    # Of one test for each way of looking those that are about the others; controls that saw as much.
    May("(idle|kernel|softdirty|pte) can be used here"),
    May("without a visit .* of the pages were seen as well"),
    May("seen as well without displacing the TLB: nothing is shown|idle sees as much: nothing is shown"),
)
_NEEDS = re.compile(r"needs (\w+): ")


def refused(reason: str) -> str | None:
    """What is wrong with a skip for this reason; None where tests may be skipped for it."""
    required = capabilities.required()
    if os.environ.get("UDAMON_GUEST_SUITE") in ("default", "all"):
        required.add(NEWEST)
    reason = reason.removeprefix("Skipped: ")
    needs = _NEEDS.match(reason)
    if not required or (needs and needs[1] in capabilities.names()):  # decided by name
        return None
    for may in PERMITTED:
        if re.fullmatch(may.reason, reason, re.DOTALL | re.IGNORECASE) and may.unless not in required:
            return None
    return f"skipped for a reason that tests/skips.py does not permit here: {reason}"
