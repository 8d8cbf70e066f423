"""Rules for every test: capabilities, where guest tests run, and how hard hypothesis tries.

* `needs("…")` is looked up in capabilities.py when a test is about to start.
* Tests whose file reaches the C extension get the marker `native` when it is asked for (see imports.py).
* Tests under tests/guest get the marker `guest`. They run only inside a guest (UDAMON_GUEST is set there),
  and nothing else does. `guest_boot(…)` says how the guest must be booted; see guest/plan.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import capabilities, imports
from tests.guest import plan

GUEST_DIRECTORY = Path(__file__).parent / "guest"
SOURCE_DIRECTORY = Path(__file__).parents[1] / "src"


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("UDAMON_TEST_INSTALLED"):
        _refuse_source_tree()
    if not capabilities.inside_guest():  # importing hypothesis takes seconds under emulation
        _load_hypothesis_profile()


def _refuse_source_tree() -> None:
    """The run against the wheel must not pick up the source tree by accident."""
    import udamon

    if Path(udamon.__file__).is_relative_to(SOURCE_DIRECTORY):
        raise pytest.UsageError(f"expected the installed udamon, got {udamon.__file__}")


def _load_hypothesis_profile() -> None:
    from hypothesis import HealthCheck, settings

    # On CI the same examples in every run, and no deadline: two busy cores make any deadline a coin toss.
    settings.register_profile(
        "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    settings.register_profile("dev", deadline=None, print_blob=True)
    settings.register_profile("quick", settings.get_profile("ci"), max_examples=15, stateful_step_count=15)
    default = "ci" if os.environ.get("CI") else "dev"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(GUEST_DIRECTORY):
            item.add_marker(pytest.mark.guest)
        if "native" in config.option.markexpr and imports.reaches_native(item.path):
            item.add_marker(pytest.mark.native)
    plan.write(items)
    kept = [item for item in items if plan.runs_here(item)]
    dropped = [item for item in items if not plan.runs_here(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            _check(item, name)


def _check(item: pytest.Item, name: str) -> None:
    try:
        reason = capabilities.missing(name)
    except KeyError:
        known = ", ".join(capabilities.names())
        pytest.fail(f"{item.nodeid} needs {name!r}, which nothing probes (known: {known})", pytrace=False)
    if reason is None:
        return
    if name in os.environ.get("UDAMON_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required here but missing: {reason}", pytrace=False)
    pytest.skip(f"needs {name}: {reason}")


def pytest_report_header() -> str:
    import udamon

    return f"udamon: {Path(udamon.__file__).parent}"
