"""Errors of the library name its fields and arguments; the same errors on the command line name flags."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from udamon import Monitor, MonitorSpec
from udamon.api import monitor as monitor_module
from udamon.api.words import library_words
from udamon.cli.main import main
from udamon.errors import OutputError, PauseTooLong, UdamonError, UsageError

FLAG = re.compile(r"(^| )--?[a-z]")
SIM = MonitorSpec(ops="sim", command=("one",), sample=0.001, aggr=0.02)
TOO_LONG = "a look would stop process 7 for 40 ms, longer than --max-pause 10 ms; leave --max-pause out."


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("leave --max-pause 10 ms out", "leave max_pause 10 ms out"),
        ("use another --via.", "use another via."),
        ("use --ops vaddr.", "use ops vaddr."),
        ("give -p PID, --cgroup PATH or -- COMMAND.", "give pids, cgroup or command."),
        ("--min-regions 2 is too few", "min_regions 2 is too few"),
        ("/a exists already; give another name or --force to replace it.",
         "/a exists already; give another name or force to replace it."),
        ("a higher --max-rows", "a higher --max-rows"),
        ("/run/--via/x is no file", "/run/--via/x is no file"),
        ("from 1 - 2 to 3-4 and so--via", "from 1 - 2 to 3-4 and so--via"),
    ],
)  # fmt: skip
def test_words(said: str, expected: str) -> None:
    """Flags that the library has not stay, and so does what is no flag."""
    assert library_words(said) == expected
    assert library_words(expected) == expected


def errors_of_the_library(monkeypatch: pytest.MonkeyPatch) -> dict[str, UdamonError]:
    found = {}
    for name, spec in (
        ("physical", MonitorSpec(paddr=True, ops="paddr", via="refs")),
        ("policy", MonitorSpec(pids=(os.getpid(),), via="refs", policy="damon")),
    ):
        with pytest.raises(UdamonError) as raised, Monitor(spec):
            raise AssertionError
        found[name] = raised.value

    def too_long(*_: object, **__: object) -> None:
        raise PauseTooLong(TOO_LONG, temporary=True)

    monkeypatch.setattr(monitor_module, "build", too_long)
    with pytest.raises(PauseTooLong) as pause, Monitor(SIM):
        raise AssertionError
    assert pause.value.temporary
    found["pause"] = pause.value
    return found


@pytest.mark.needs("clear_refs")
def test_errors_at_the_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = errors_of_the_library(monkeypatch)
    assert [str(error) for error in found.values() if FLAG.search(str(error))] == []
    assert "use ops vaddr" in str(found["physical"])
    assert "has no use for policy" in str(found["policy"])
    assert str(found["pause"]) == TOO_LONG.replace("--max-pause", "max_pause")


def test_errors_of_the_monitors_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise PauseTooLong(TOO_LONG)

    monkeypatch.setattr(monitor_module, "follow", fail)
    with pytest.raises(PauseTooLong, match="longer than max_pause 10 ms"), Monitor(SIM) as monitor:
        list(monitor)


def test_errors_of_a_recording(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Monitor(SIM) as monitor, pytest.raises(OutputError, match="or force to replace it"):
        monitor.record(tmp_path / "a")


def test_errors_of_a_change() -> None:
    with Monitor(SIM) as monitor, pytest.raises(UsageError) as raised:
        monitor.update(min_regions=1)
    assert FLAG.search(str(raised.value)) is None


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--paddr", "--via", "refs"], "--ops vaddr"),
        (["-p", "self", "--via", "refs", "--policy", "damon"], "--policy"),
        (["--sim", "one", "--max-pause", "5ms"], "--max-pause"),
    ],
)
def test_the_command_line_names_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], flag: str
) -> None:
    assert main(["record", "-o", str(tmp_path / "a"), *words]) == 2
    assert flag in capsys.readouterr().err
