"""`udamon live` without a target, where watching everybody's processes disturbs nobody: inside the guest."""

from __future__ import annotations

import argparse
import time

import pytest

from tests.guest.pages import MIB, pages
from udamon.cli import live
from udamon.live.session import Wish
from udamon.live.state import LiveState, TargetLine

pytestmark = pytest.mark.needs("root", "clear_refs")


@pytest.mark.guest_boot(smp=1)
@pytest.mark.guest_long
def test_the_largest_processes_are_listed_and_one_is_looked_at() -> None:
    """Who touches 24 MiB is in the list with it; then it alone is watched, and then all are again."""
    parser = argparse.ArgumentParser()
    live.configure(parser)
    args = argparse.Namespace(**vars(parser.parse_args(["--aggr", "1s"])), command=None)
    session = live.session_of(args, LiveState(), None, given=False)
    with pages() as program:
        area = program.map("busy", 24 * MIB)
        count = (area.end - area.start) // 4096

        def found(least: int) -> list[TargetLine]:
            """The list, once the program is in it and touched so much in a window."""
            deadline = time.monotonic() + 120
            while True:
                program.write("busy", 0, count)
                lines = session.state.lines()
                if any(line.pid == program.pid and line.touched >= least for line in lines):
                    return lines
                assert time.monotonic() < deadline, lines

        program.write("busy", 0, count)
        session.start(Wish())
        try:
            listed = found(12 * MIB)
            assert all(line.pid for line in listed)
            session.start(Wish(pid=program.pid), 0)
            assert [line.pid for line in found(0)] == [program.pid]
            session.start(Wish())
            assert program.pid in [line.pid for line in found(0)]
        finally:
            session.stop()
