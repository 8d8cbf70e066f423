"""The suites that faults are held against: whose tests, which of them, and with what settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TESTS = ("tests/unit", "tests/property", "tests/integration")
"""What runs on the host; tests/guest is for faults that name files of it."""

LIMIT_S = 180.0
"""For what was selected for one fault."""
OWN_TEST = "tests/unit/scripts/test_faults.py"
"""It holds the list of faults against the source, so that it fails with any of them planted: it proves nothing."""

GUEST_LIMIT_S = 600.0
"""For files of tests/guest: an emulated machine is about twenty times slower."""
WHOLE_LIMIT_S = 1800.0
"""For all of TESTS."""


@dataclass(frozen=True)
class Suite:
    """`commit`: tests, scripts and settings are that commit's, None for this checkout's; the source is always this
    checkout's. `arguments` and `environment` are pytest's on the host, `guest` those of `scripts.guest test`.
    `includes`: a suite whose every test this one runs, as hard or harder; what that catches is not run again."""

    name: str
    says: str
    commit: str | None = None
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    guest: tuple[str, ...] = ()
    includes: str | None = None


_QUICK = {"UDAMON_TEST_SELECTION": "host", "HYPOTHESIS_PROFILE": "quick"}
_LONG = {"UDAMON_TEST_SELECTION": "host", "UDAMON_TEST_LONG": "1"}
SUITES = {
    suite.name: suite
    for suite in (
        Suite("before", "`make test` at 1982fd0", commit="1982fd0a3ccc0966e9832ed3bbde8d6b1f68d6d7"),
        Suite("test", "`make test`", arguments=("-m", "not slow"), environment=_QUICK),
        Suite("all", "`make test-all`", environment=_LONG, guest=("--all",), includes="test"),
    )
}
