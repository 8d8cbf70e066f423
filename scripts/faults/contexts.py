"""A plugin for pytest that tells coverage which test runs, in this process and in those that it starts.

Lines that a fixture of a module or of the session executes are its own, not the first test's that asked for it: all
tests that use it depend on them. Used by recording.py, which names the two environment variables.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

CONTEXT = "UDAMON_FAULTS_CONTEXT"
SETTINGS = "UDAMON_FAULTS_SETTINGS"
"""Names coverage's settings for the processes that tests start."""
USES = "UDAMON_FAULTS_USES"
"""Names a file: it will have the fixtures and the seconds of each test."""
FIXTURE = "fixture|"
"""The context of a fixture begins with it; its name and where it belongs follow."""

_seconds: dict[str, float] = {}


def _switch(context: str) -> str:
    before = os.environ.get(CONTEXT, "")
    os.environ[CONTEXT] = context
    import coverage  # the names above are used where it is not installed

    current = coverage.Coverage.current()
    assert current is not None, "coverage does not run"
    current.switch_context(context)
    return before


def pytest_configure() -> None:
    os.environ["COVERAGE_PROCESS_START"] = os.environ[SETTINGS]
    del os.environ["PYTHONPATH"]  # it was for this plugin


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    before = _switch(item.nodeid)
    try:
        return (yield)
    finally:
        _switch(before)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    if fixturedef.scope == "function":
        return (yield)
    before = _switch(f"{FIXTURE}{fixturedef.argname}|{request.node.nodeid}")
    try:
        return (yield)
    finally:
        _switch(before)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = {
        item.nodeid: {
            "fixtures": getattr(item, "fixturenames", []),
            "seconds": round(_seconds.get(item.nodeid, 0.0), 4),
        }
        for item in session.items
    }
    Path(os.environ[USES]).write_text(json.dumps(found))
