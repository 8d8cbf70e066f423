"""A pytest plugin: records the memory of a test while it runs, and asserts on it.

    @pytest.mark.udamon(via="refs", max_wss="200MiB", max_cold_share="60%", cold_age="2s")
    def test_import() -> None: ...

    def test_server(udamon) -> None:
        with udamon.record(pid=server.pid, via="refs") as recording:
            ...
        recording.check(max_wss="2GiB", level="p90")

How it is looked is always said by the test (`via`): refs works for every user, idle needs root. No process is started:
a udamon.Monitor runs on threads beside the test. It watches the whole process, so what other tests left behind counts
too, and so do the monitor and pytest themselves.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from udamon.errors import UsageError
from udamon.text import lines
from udamon.units import parse_time_us

VIAS = ("refs", "idle")

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
        from udamon.report.check_limits import CheckLimits
        from udamon.report.source import RecordingSource

        allow_damaged = bool(limits.pop("allow_damaged", False))
        for name in ("max_rate", "min_rate"):
            if isinstance(limits.get(name), str):
                limits[name] = (limits[name],)
        try:
            asked = CheckLimits.parse(**limits)
        except TypeError as error:
            raise UsageError(f"{error}; the limits are the flags of udamon check.") from None
        with RecordingSource(Recording(self.path)) as source:
            found = checks.measure(source, asked, allow_damaged=allow_damaged)
        if not all(check.holds for check in found):
            raise AssertionError(lines([f"udamon check of {self.path}:", checks.render(found)]))


class Fixture:
    """What the fixture `udamon` is: records processes while a block runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    @contextmanager
    def record(
        self, *, via: str, pid: int | None = None, sample: str = "5ms", aggr: str = "100ms"
    ) -> Iterator[Recorded]:
        """Record a process (the test's own by default) while the block runs, `via` refs or idle.

        Raises UsageError for another `via`, and UdamonError for a process that cannot be watched.
        """
        from udamon.api.monitor import Monitor
        from udamon.assembly.spec import MonitorSpec

        if via not in VIAS:
            raise UsageError(f"via {via!r} is not for tests; give one of {' or '.join(VIAS)}.")
        self._count += 1
        path = self._directory / f"{self._count}.udamon"
        spec = MonitorSpec(
            pids=(os.getpid() if pid is None else pid,),
            via=via,
            sample=parse_time_us(sample) / 1e6,
            aggr=parse_time_us(aggr) / 1e6,
        )
        with Monitor(spec) as monitor:
            monitor.record(path)
            yield Recorded(path)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `udamon`."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def udamon(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    """Records processes while a block of the test runs; see udamon.pytest_plugin."""
    return Fixture(tmp_path_factory.mktemp("udamon"))


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
    with Fixture(factory.mktemp("udamon")).record(**how) as recorded:
        result = yield
    recorded.check(**options)
    return result
