"""A Ctrl-C at moments of which the interpreter, or a library, would make a traceback."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.snapshots import recorded, snap
from tests.waiting import WAIT_LIMIT_S
from udamon import __main__
from udamon.cli import interrupts
from udamon.cli import main as cli
from udamon.files.ending import uninterrupted
from udamon.record import tables
from udamon.units import format_length


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """That of the tests, which the entry point leaves at its end."""
    before, hook = signal.signal(signal.SIGINT, signal.default_int_handler), sys.unraisablehook
    yield
    sys.unraisablehook = hook
    signal.signal(signal.SIGINT, before)


def test_while_udamon_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "udamon.cli.main", Interrupted("udamon.cli.main"))
    assert __main__.main() == 130


@pytest.mark.parametrize("error", [RuntimeError("External error: KeyboardInterrupt"), ImportError("numpy")])
def test_while_a_library_imports_another(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str]) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise error  # noqa: B904 - as libraries do

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main([]) == 130


def test_while_duckdb_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes an error of its own of a signal that comes within a query."""
    import duckdb

    def run(words: list[str]) -> int:
        def interrupt() -> None:
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=interrupt)
        sender.start()
        try:
            endless = "SELECT SUM(a.range * b.range) FROM range(10000000) AS a, range(100000) AS b"
            duckdb.connect(config={"threads": 1}).execute(endless)
        finally:
            sender.join()
        return 0

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main([]) == 130


@pytest.mark.parametrize("convert", [tables.parquet, tables.csv])
def test_while_a_library_reads_batches(convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], via="idle")

    def batches() -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(recording, "batches", batches)
    with pytest.raises(KeyboardInterrupt):
        convert(recording, io.BytesIO())


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0037, "3.7 ms"), (0.1234, "100 ms"), (12.34, "12.3 s"), (0, "0 us")]
)
def test_a_length_is_never_rounded_to_nothing(seconds: float, shown: str) -> None:
    assert format_length(seconds) == shown


def test_a_library_is_imported_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the import Python's own handler would raise; behind it, it does."""
    steps: list[str] = []

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("imported")
        steps.append("behind")
    assert steps == ["imported"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_duckdb_is_imported_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every place of udamon that imports it."""
    from tests.imports import SOURCE

    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, (before, line) in enumerate(pairwise(path.read_text().splitlines()), 2)
        if re.match(r"\s+import duckdb", line) and not re.search("uninterrupted|TYPE_CHECKING", before)
    ]
    assert not found


@pytest.mark.parametrize("ignored", [False, True])
def test_what_a_signal_does_around_a_command(monkeypatch: pytest.MonkeyPatch, ignored: bool) -> None:
    """While udamon is imported and behind its work, what it does to any process; where it is ignored, nothing."""
    seen = []

    class Main(ModuleType):
        def __getattr__(self, name: str) -> object:
            seen.append(signal.getsignal(signal.SIGINT))

            def run() -> int:
                seen.append(signal.getsignal(signal.SIGINT))
                return 3

            return run

    monkeypatch.setitem(sys.modules, "udamon.cli.main", Main("udamon.cli.main"))
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    assert __main__.main() == 3
    seen.append(signal.getsignal(signal.SIGINT))
    if ignored:
        assert [seen[0], *seen[-2:]] == [signal.SIG_IGN] * 3
    else:
        assert (seen[0], callable(seen[-2]), seen[-1]) == (signal.SIG_DFL, True, signal.SIG_DFL)


IMPORTED = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
for _ in range(50):
    time.sleep(0.001)  # where a handler may run
done = True
"""


def test_an_import_is_done_before_an_interrupt_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupted_import.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)

    def command() -> None:
        interrupts.handle(command.__code__)
        import interrupted_import  # type: ignore[import-not-found]

        assert interrupted_import.done
        time.sleep(WAIT_LIMIT_S)

    with pytest.raises(KeyboardInterrupt):
        command()
    assert sys.modules.pop("interrupted_import").done


def test_without_a_further_thread_an_import_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    (tmp_path / "refused_import.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    interrupts.handle(test_without_a_further_thread_an_import_is_interrupted.__code__)
    with pytest.raises(KeyboardInterrupt):
        import refused_import  # type: ignore[import-not-found]  # noqa: F401
    assert "refused_import" not in sys.modules


def test_an_import_that_runs_the_command_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "running_import.py").write_text(
        """
import os, signal, time
from udamon.cli import interrupts
def command():
    interrupts.handle(command.__code__)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
command()
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        import running_import  # type: ignore[import-not-found]  # noqa: F401


def test_an_event_loop_takes_what_came_while_it_started() -> None:
    taken: list[str] = []

    async def run() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
        await asyncio.wait_for(ended.wait(), WAIT_LIMIT_S)
        taken.append("by the loop")

    with interrupts.put_off():
        signal.raise_signal(signal.SIGINT)
        for _ in range(50):
            time.sleep(0.001)  # where a handler may run
        asyncio.run(run())
    assert taken
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_nobody_takes_comes_behind() -> None:
    behind = False
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with interrupts.put_off():
            signal.raise_signal(signal.SIGINT)
        behind = True
        time.sleep(WAIT_LIMIT_S)
    assert behind


@pytest.mark.parametrize("other", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_that_nobody_handles_is_left_alone(other: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, other)
    with interrupts.put_off():
        assert signal.getsignal(signal.SIGINT) is other
    assert signal.getsignal(signal.SIGINT) is other


def test_an_interrupt_where_nothing_can_be_raised_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Closing:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    interrupts.handle(test_an_interrupt_where_nothing_can_be_raised_comes_again.__code__)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        Closing()
        time.sleep(WAIT_LIMIT_S)
    assert capfd.readouterr().err == ""
