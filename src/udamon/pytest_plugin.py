"""A pytest plugin: records the memory of a test while it runs, and asserts on it.

    @pytest.mark.udamon(via="refs", max_wss="200MiB", max_cold_share="60%", cold_age="2s")
    def test_import() -> None: ...

    def test_server(udamon) -> None:
        with udamon.record(pid=server.pid, via="refs") as recording:
            ...
        recording.check(max_wss="2GiB", level="p90")

How it is looked is always said by the test (`via`): refs works for every user, idle needs root. The recorder is a
process of its own, `udamon record`; it watches the whole process, so what other tests left behind counts too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from udamon.errors import CannotError, UsageError
from udamon.text import lines

VIAS = ("refs", "idle")
PATIENCE = 30.0
"""Seconds for the recorder to start and to end."""

MARKER = (
    "udamon(via, **limits): record this test's process via refs or idle while it runs, and fail it when a limit "
    "does not hold; the limits are the flags of udamon check (max_wss='2GiB'), sample and aggr those of record"
)


@dataclass(slots=True)
class Recorded:
    """A recording that a test made: `path` is its file, whole once the `with` block has ended."""

    path: Path

    def check(self, **limits: Any) -> None:
        """Assert limits, the flags of `udamon check` with underscores: max_wss="2GiB", level="p90".

        Raises AssertionError with a line for each limit when one does not hold or is not decided; UdamonError when
        the recording cannot be read. With `allow_damaged` what is left of a damaged one decides.
        """
        __tracebackhide__ = True
        from udamon.record.reader import Recording
        from udamon.report import checks
        from udamon.report.source import RecordingSource

        allow_damaged = bool(limits.pop("allow_damaged", False))
        for name in ("max_rate", "min_rate"):
            if isinstance(limits.get(name), str):
                limits[name] = (limits[name],)
        try:
            asked = checks.CheckLimits.parse(**limits)
        except TypeError as error:
            raise UsageError(f"{error}; the limits are the flags of udamon check.") from None
        with RecordingSource(Recording(self.path)) as source:
            found = checks.measure(source, asked, allow_damaged=allow_damaged)
        if not all(check.holds for check in found):
            raise AssertionError(lines([f"udamon check of {self.path}:", checks.render(found)]))


class TestMonitor:
    """What the fixture `udamon` is: records processes while a block runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    @contextmanager
    def record(
        self, *, via: str, pid: int | None = None, sample: str = "5ms", aggr: str = "100ms"
    ) -> Iterator[Recorded]:
        """Record a process (the test's own by default) while the block runs, `via` refs or idle.

        Raises UsageError for another `via`, CannotError with the recorder's own sentence when it fails.
        """
        if via not in VIAS:
            raise UsageError(f"via {via!r} is not for tests; give one of {' or '.join(VIAS)}.")
        self._count += 1
        path = self._directory / f"{self._count}.udamon"
        words = [sys.executable, "-m", "udamon", "record", "-p", str(pid or os.getpid()), "--via", via]
        words += ["--sample", sample, "--aggr", aggr, "-o", str(path)]
        recorder = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_it_watches(recorder, path)
            yield Recorded(path)
            recorder.send_signal(signal.SIGINT)
            _, said = recorder.communicate(timeout=PATIENCE)
            if recorder.returncode not in (0, 130):
                raise CannotError(f"the recorder failed: {said.strip()}")
        finally:
            if recorder.poll() is None:
                recorder.kill()
                recorder.communicate()


def _wait_until_it_watches(recorder: subprocess.Popen[str], path: Path) -> None:
    """Until the first snapshot or event is in the file: what the test does from now on is seen."""
    from udamon.record.limits import DEFAULT
    from udamon.record.messages import OpenFile

    deadline = time.monotonic() + PATIENCE
    while recorder.poll() is None:
        if path.exists() and OpenFile(path, DEFAULT).messages:
            return
        if time.monotonic() > deadline:
            raise CannotError(
                f"the recorder did not begin within {PATIENCE:.0f} s; record by hand to see why."
            )
        time.sleep(0.01)
    _, said = recorder.communicate()
    raise CannotError(f"the recorder failed: {said.strip()}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def udamon(tmp_path_factory: pytest.TempPathFactory) -> TestMonitor:
    """Records processes while a block of the test runs; see udamon.pytest_plugin."""
    return TestMonitor(tmp_path_factory.mktemp("udamon"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Tests with the marker run while their process is recorded, and are checked afterwards."""
    __tracebackhide__ = True
    marker = item.get_closest_marker("udamon")
    if marker is None:
        return (yield)
    options = dict(marker.kwargs)
    if marker.args or "via" not in options:
        raise UsageError('the marker udamon needs how to look, via="refs" or via="idle", and only keywords.')
    how = {name: options.pop(name) for name in ("via", "pid", "sample", "aggr") if name in options}
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    with TestMonitor(factory.mktemp("udamon")).record(**how) as recorded:
        result = yield
    recorded.check(**options)
    return result
