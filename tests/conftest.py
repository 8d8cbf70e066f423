"""Rules for every test: capabilities, where guest tests run, and how hard hypothesis tries.

* `needs("…")` is looked up in capabilities.py when a test is about to start.
* UDAMON_TEST_SELECTION chooses what a stage of the check runs (see selection.py).
* Tests under tests/guest get the marker `guest`. They run only inside a guest (UDAMON_GUEST is set there),
  and nothing else does. `guest_boot(…)` says how the guest must be booted; see guest/plan.py.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests import capabilities, selection, skips, surroundings
from tests.guest import plan

GUEST_DIRECTORY = Path(__file__).parent / "guest"
SOURCE_DIRECTORY = Path(__file__).parents[1] / "src"


def pytest_configure(config: pytest.Config) -> None:
    surroundings.clear(os.environ)
    surroundings.take_signals()
    if os.environ.get("UDAMON_TEST_INSTALLED"):
        _refuse_source_tree()
    if plan.needs_hypothesis():
        _load_hypothesis_profile()


def _refuse_source_tree() -> None:
    """The run against the wheel must not pick up the source tree by accident."""
    import udamon

    if Path(udamon.__file__).is_relative_to(SOURCE_DIRECTORY):
        raise pytest.UsageError(f"expected the installed udamon, got {udamon.__file__}")


def _load_hypothesis_profile() -> None:
    from hypothesis import HealthCheck, settings

    # No deadline: two busy cores make any deadline a coin toss. Examples are new in every run, also with CI=true, where
    # hypothesis would always take the same ones; the check prints its seed.
    settings.register_profile(
        "dev",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
        derandomize=False,
    )
    settings.register_profile("quick", settings.get_profile("dev"), max_examples=15, stateful_step_count=15)
    settings.register_profile("long", settings.get_profile("dev"), max_examples=300)
    default = "dev"
    if os.environ.get("UDAMON_TEST_SELECTION"):
        default = "long" if os.environ.get("UDAMON_TEST_LONG") else "quick"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", default))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if selection.passes_over(collection_path) else None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    for item in items:
        if item.path.is_relative_to(GUEST_DIRECTORY):
            item.add_marker(pytest.mark.guest)
    if plan.wanted():
        yield  # pytest's own -k and -m: what they leave out needs no boot
        plan.write(items)
        _keep([], config, items)
        return
    kept, left_out = selection.choose([item for item in items if plan.runs_here(item)])
    selection.tell(left_out)
    _keep(kept, config, items)
    yield


def _keep(kept: list[pytest.Item], config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = list(set(items) - set(kept))
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A test whose file another guest has taken does not run here, and is not counted here."""
    if not capabilities.inside_guest() or plan.taken_here(item.path):
        return None
    # What the test before it left set up, because this one shares it, would be in the way of one in another directory.
    item.session._setupstate.teardown_exact(nextitem)
    return True


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
    if name in capabilities.required():
        pytest.fail(f"{name} is required here but missing: {reason}", pytrace=False)
    pytest.skip(f"needs {name}: {reason}")


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    _refuse_skip((yield).get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    _refuse_skip((yield).get_result())


def _refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    """A skip becomes a failure where it may not be one (skips.py), and so does a failure that is expected."""
    if hasattr(report, "wasxfail") and capabilities.required():
        report.outcome, report.longrepr = "failed", f"an expected failure proves nothing: {report.wasxfail}"
        del report.wasxfail
    elif report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        refused = skips.refused(report.longrepr[2])
        if refused:
            report.outcome, report.longrepr = "failed", refused


def pytest_report_header() -> str:
    import udamon

    return f"udamon: {Path(udamon.__file__).parent}"
