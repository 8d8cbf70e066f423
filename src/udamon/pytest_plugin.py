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
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from udamon.arguments import is_whole, shown
from udamon.errors import UsageError
from udamon.text import lines
from udamon.units import parse_time_us

if TYPE_CHECKING:
    from udamon.report.check_limits import CheckLimits

VIAS = ("refs", "idle")

MARKER = (
    "udamon(via, **limits): record this test's process via refs or idle while it runs, and fail it when a limit "
    "does not hold; the limits are the flags of udamon check (max_wss='2GiB'), sample and aggr those of record"
)


_ALLOWED = ("allow_damaged", "allow_estimates")
_SEVERAL = ("max_rate", "min_rate")
_TEXT = 'give text as on the command line, such as "2GiB", "60%" or "5s"'
_EXAMPLES = {
    "min_snapshots": "give a whole number",
    "max_rate": 'give "heap=20%", or several in a list',
    "min_rate": 'give "heap=20%", or several in a list',
}


@dataclass(slots=True)
class Recorded:
    """A recording that a test made: `path` is its file, whole once the `with` block has ended."""

    path: Path

    def check(self, **limits: Any) -> None:
        """Assert limits, the flags of `udamon check` with underscores: max_wss="2GiB", level="p90".

        Sizes, shares and times are text as on the command line, `min_snapshots` is a whole number, and several of
        `max_rate` and `min_rate` are a sequence.

        Raises AssertionError with a line for each limit when one does not hold or is not decided; UsageError for what
        is no limit; UdamonError when the recording cannot be read. With `allow_damaged` what is left of a damaged
        one decides, with `allow_estimates` estimates where bounds cannot.
        """
        __tracebackhide__ = True
        self._check(*_limits(limits))

    def _check(self, asked: CheckLimits, allowed: Mapping[str, bool]) -> None:
        __tracebackhide__ = True
        from udamon.record.reader import Recording
        from udamon.report import checks
        from udamon.report.source import RecordingSource

        with RecordingSource(Recording(self.path)) as source:
            found = checks.measure(source, asked, **allowed)
        if not all(check.holds for check in found):
            raise AssertionError(lines([f"udamon check of {self.path}:", checks.render(found)]))


def _limits(given: Mapping[str, Any]) -> tuple[CheckLimits, dict[str, bool]]:
    """Limits as a test gives them, and by which recordings and figures they may be decided. Raises UsageError."""
    from udamon.report.check_limits import CheckLimits

    __tracebackhide__ = True
    found = dict(given)
    allowed = {name: found.pop(name, False) for name in _ALLOWED}
    for name, value in allowed.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} {shown(value)} is neither True nor False; give one of them.")
    known = CheckLimits.parse.__kwdefaults__ or {}
    for name, value in found.items():
        if name not in known:
            raise UsageError(
                f"there is no limit {name!r}; the limits are the flags of udamon check, such as max_wss."
            )
        if name in _SEVERAL and isinstance(value, str):
            found[name] = value = (value,)
        if value is None and known[name] is None:
            continue
        if name == "min_snapshots":
            right = is_whole(value)
        elif name in _SEVERAL:
            right = isinstance(value, tuple | list) and all(isinstance(one, str) for one in value)
        else:
            right = isinstance(value, str)
        if not right:
            raise UsageError(
                f"{name} {shown(value)} is no value of udamon check; {_EXAMPLES.get(name, _TEXT)}."
            )
    if all(value is None or name in ("level", "cold_age") for name, value in found.items()):
        raise UsageError('there is no limit; give one of the flags of udamon check, such as max_wss="2GiB".')
    return CheckLimits.parse(**found), allowed


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

        `sample` and `aggr` are text with a unit ("50ms"). Raises UsageError for another `via`, and UdamonError for a
        process that cannot be watched.
        """
        from udamon.api.monitor import Monitor
        from udamon.assembly.spec import MonitorSpec

        if via not in VIAS:
            raise UsageError(f"via {shown(via)} is not for tests; give one of {' or '.join(VIAS)}.")
        for name, interval in (("sample", sample), ("aggr", aggr)):
            if not isinstance(interval, str):
                raise UsageError(f'{name} {shown(interval)} is no text with a unit; give it like "50ms".')
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
    asked = _limits(options)  # a mistake is not found out after a long test
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    with Fixture(factory.mktemp("udamon")).record(**how) as recorded:
        result = yield
    recorded._check(*asked)
    return result
