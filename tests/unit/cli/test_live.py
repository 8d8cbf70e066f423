"""`udamon live` as a command: what it refuses, what it makes of wishes, and what it builds."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest

from tests.waiting import until
from udamon.assembly.child import Child
from udamon.assembly.spec import given
from udamon.cli import live, monitor
from udamon.cli.main import main
from udamon.engine.kdamond import Kdamond
from udamon.errors import MissingExtra, TargetGone, UsageError
from udamon.linux import cpu_time
from udamon.linux.procfs import read_stat
from udamon.live.session import WatchRequest
from udamon.live.state import LiveState

pytest.importorskip("textual", reason="the extra `live` is not installed")


def args_of(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    live.configure(parser)
    return argparse.Namespace(**vars(parser.parse_args(words)), command=None)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--user", "nobody"), "--user says who runs COMMAND"),
        (("--count", "0"), "lists nothing"),
        (("-p", "1", "--sim", "one"), "exclude each other"),
        (("--sim", "one", "--overhead", "0"), "leaves nothing|terminal"),
        (("--children",), "--children goes with|nothing to watch"),
    ],
)
def test_refusals(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        live.run(args_of(*words))


def test_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--count", "0"]) == 2
    assert capsys.readouterr().err == "udamon: --count 0 lists nothing; give at least 1.\n"


def test_without_textual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(MissingExtra, match=r"udamon\[live\]"):
        live.run(args_of("--sim", "one"))


@pytest.mark.parametrize(
    ("watch_request", "aggr", "overhead", "pid"),
    [
        (WatchRequest(), None, 0.02, ()),
        (WatchRequest(aggr="1s"), 1.0, None, ()),
        (WatchRequest(overhead="3%"), None, 0.03, ()),
        (WatchRequest(pid=7, aggr="1s"), 1.0, None, (7,)),
    ],
)
def test_wishes_replace_what_the_command_line_says(
    watch_request: WatchRequest, aggr: float | None, overhead: float | None, pid: tuple[int, ...]
) -> None:
    spec, options = live._with_request(*monitor.spec_of(args_of("--overhead", "2%")), watch_request)
    assert (given(spec.sample), given(spec.aggr)) == (False, aggr is not None)
    assert (spec.aggr, spec.overhead, spec.pids) == (aggr or 0.1, overhead, pid)
    assert not options.goal.aggrs


def test_another_interval_is_of_the_process_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of one that was given its pid since."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            now = read_stat(process.pid).id
            earlier = now._replace(start_time=now.start_time - 1)
            session = live.session_of(args_of("-p", str(process.pid)), LiveState(), None)
            session._build(WatchRequest()).engine.close()
            session._build(WatchRequest(aggr="1s")).engine.close()
            monkeypatch.setattr(live, "named_process", lambda pid: earlier)
            session = live.session_of(args_of("-p", str(process.pid)), LiveState(), None)
            with pytest.raises(TargetGone, match="its pid was given to another"):
                session._build(WatchRequest(aggr="1s"))
        finally:
            process.kill()


def test_the_screen_is_not_paid_from_the_budget() -> None:
    """The budget is kept by the CPU time of the thread that monitors."""
    session = live.session_of(args_of("--sim", "one"), LiveState(), None)
    engine = session._build(WatchRequest()).engine
    assert isinstance(engine, Kdamond)
    assert engine._cpu_ns is cpu_time.thread_ns
    engine.close()


def test_a_simulated_target_is_seen() -> None:
    """From the command line to the state, without a screen."""
    session = live.session_of(args_of("--sim", "one", "--aggr", "50ms"), LiveState(), None)
    session.start(session.watch_request, 0)
    try:
        until(lambda: (detail := session.state.detail()) and detail.snapshots)
    finally:
        session.stop()
    assert session.state.attrs["aggr_us"] == 50_000


def test_a_command_that_ends_at_once_is_told_with_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was told as a process that its parent had not collected, who is udamon."""

    def show(args: argparse.Namespace, child: Child | None, duration: float | None, *, given: bool) -> None:
        assert child is not None
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        raise TargetGone("process 7 has ended.")

    monkeypatch.setattr(live, "_show", show)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    args = args_of("--via", "refs")
    args.command = ["sh", "-c", "exit 7"]
    assert live.run(args) == 7
    assert capsys.readouterr().err == "udamon: sh ended before it could be watched.\n"
