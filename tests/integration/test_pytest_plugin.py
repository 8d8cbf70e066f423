"""The pytest plugin in a pytest of its own: tests that keep their limits pass, others fail with a line each."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.needs("clear_refs")

# The plugin is loaded by name: an editable install may be older than its entry point.
LOAD = ("-p", "no:udamon", "-p", "udamon.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist")

TOUCHING = """
import time, mmap
import pytest

LONG = dict(sample="25ms", aggr="500ms")  # a busy machine must get round once in a window

def touch(mib: int, seconds: float = 3.0) -> None:
    memory = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # nobody else can have touched it
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for page in range(0, mib << 20, 4096):
            memory[page] = 1
        time.sleep(0.02)
"""


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    pytester.makepyfile(TOUCHING + text)
    return pytester.runpytest_subprocess(*LOAD, "--strict-markers")


def test_marker(pytester: pytest.Pytester) -> None:
    """64 MiB that are touched are at least 60 and at most 200 MiB, and not at most 50."""
    result = run(
        pytester,
        """
@pytest.mark.udamon(via="refs", min_wss="60MiB", max_wss="200MiB", **LONG)
def test_keeps() -> None:
    touch(64)

@pytest.mark.udamon(via="refs", max_wss="50MiB", **LONG)
def test_breaks() -> None:
    touch(64)

def test_without() -> None:
    pass
""",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*FAIL  working set max * MiB, at most 50.0 MiB*"])


def test_fixture(pytester: pytest.Pytester) -> None:
    """The fixture records another process, as often as it is asked to, and its recording is a file."""
    result = run(
        pytester,
        """
import subprocess, sys

def test_other(udamon) -> None:
    loop = "while True:\\n  memory[::4096] = memory[::4096]\\n  time.sleep(0.02)"
    code = "import time\\nmemory = bytearray(32 << 20)\\n" + loop
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        for _ in range(2):
            with udamon.record(pid=child.pid, via="refs", **LONG) as recording:
                time.sleep(2)
            recording.check(min_wss="30MiB", max_wss="80MiB", min_snapshots=2)
            assert recording.path.stat().st_size > 0
    finally:
        child.kill()
        child.wait()
""",
    )
    result.assert_outcomes(passed=1)


def test_how_to_look_is_said(pytester: pytest.Pytester) -> None:
    """Without `via`, with an unknown one or an unknown limit the test fails and says what is wanted."""
    result = run(
        pytester,
        """
@pytest.mark.udamon(max_wss="50MiB")
def test_nothing_said() -> None: ...

@pytest.mark.udamon(via="auto", max_wss="50MiB")
def test_auto() -> None: ...

def test_no_limit(udamon) -> None:
    with udamon.record(via="refs") as recording:
        touch(1)
    recording.check(most="50MiB")

def test_no_process(udamon) -> None:
    with udamon.record(via="refs", pid=(1 << 22) + 1):
        pass
""",
    )
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(['*needs how to look, via="refs"*'])
    result.stdout.fnmatch_lines(["*'auto' is not for tests*"])
    result.stdout.fnmatch_lines(["*the limits are the flags of udamon check*"])
    result.stdout.fnmatch_lines(["*TargetGone: there is no process *"])


def test_limits_are_read_before_the_test(pytester: pytest.Pytester) -> None:
    """A limit that is none fails its test before it runs, with a sentence that names it as the test does."""
    result = run(
        pytester,
        """
WRONG = {
    "max_wss": 5, "min_wss": b"1G", "level": 0.9, "cold_age": None, "max_rate": [5], "min_snapshots": "2",
    "most": "1G", "allow_damaged": "no", "aggr": 0.5,
}

@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.udamon(via="refs", **{"min_length": "1s", name: value}))
    for name, value in WRONG.items()
])
def test_wrong(name) -> None:
    print("has run")

@pytest.mark.udamon(via="refs")
def test_none() -> None:
    print("has run")
""",
    )
    result.assert_outcomes(failed=10)
    result.stdout.no_fnmatch_line("*has run*")
    result.stdout.no_fnmatch_line("*TypeError*")
    result.stdout.no_fnmatch_line("*CheckLimits*")
    for name in (
        "max_wss 5",
        "min_wss b'1G'",
        "level 0.9",
        "cold_age None",
        "max_rate *5*",
        "min_snapshots '2'",
    ):
        result.stdout.fnmatch_lines([f"*UsageError: {name} is no value of udamon check; give *"])
    result.stdout.fnmatch_lines(["*there is no limit 'most'*"])
    result.stdout.fnmatch_lines(["*there is no limit; give one*"])
