"""The live view on narrow terminals and on those without block signs, and its keys."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.live.test_app import Pilot, app_of, detail_state, on_screen, text_of
from tests.unit.live.test_state import FakeEngine, posted, session_with, started, window
from udamon.availability.others import OtherMonitors
from udamon.linux.procfs import ProcessId
from udamon.live.largest import WatchableProcess
from udamon.live.session import WatchRequest
from udamon.live.state import LiveState
from udamon.model import Event

pytest.importorskip("textual", reason="the extra `live` is not installed")

SIZES = [(60, 24), (80, 24)]
(NOTE,) = OtherMonitors("maybe").notes("refs")
"""The longest that is about what is shown."""


def ten_postgres() -> LiveState:
    """Of one name, told apart by what they call themselves; the later ones touch more."""
    state = LiveState()
    for number in range(10):
        about = {"target": number, "pid": 100 + number, "comm": "postgres", "user": "me"}
        about["cmdline"] = [f"/usr/lib/postgresql/15/bin/postgres: worker {number}"]
        posted(state, Event(0, "target_start", about), window(0, 2 * number, 0, number))
    return state


@pytest.mark.parametrize("size", SIZES)
def test_no_line_of_one_target_wraps_or_is_cut(size: tuple[int, int]) -> None:
    """The head is whole, over as many lines as it takes; a mapping has one line."""
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        lines = text_of(app)
        text = " ".join(" ".join(lines).split())
        assert max(map(len, lines)) <= size[0]
        assert "· 2 regions monitor 1.0%, screen 2.0% of a CPU, 64.0 MiB, 1,234 checks, window 100 ms" in text
        rows = [line for line in lines if re.search(r"MiB +\d+\.\d MiB +\d+%", line)]
        assert len(rows) == 2
        assert next(line for line in lines if "rate" in line).split()[-3:] == ["touched", "size", "rate"]

    on_screen(app, do, size)


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (80, 16)])
@pytest.mark.parametrize("several", [False, True], ids=["one", "list"])
def test_the_longest_note_is_whole(size: tuple[int, int], several: bool) -> None:
    """Mappings have what it leaves, and a picture its least height."""
    state = detail_state()
    posted(state, Event(0, "note", {"text": NOTE}))
    app = app_of(state, several=several)

    async def do(pilot: Pilot) -> None:
        lines = text_of(app)
        assert NOTE in " ".join(" ".join(lines).split())
        if not several:
            assert any(re.search(r"MiB +\d+\.\d MiB +\d+%", line) for line in lines) or size[1] < 24
            assert lines[-1].split()[:2] == ["?", "keys"]

    on_screen(app, do, size)


@pytest.mark.parametrize("size", SIZES)
def test_help_has_the_notes_that_a_later_one_replaced(size: tuple[int, int]) -> None:
    state = detail_state()
    posted(state, Event(0, "note", {"text": NOTE}), Event(0, "note", {"text": "a later one"}))
    app = app_of(state)

    async def do(pilot: Pilot) -> None:
        assert "2 notes (key ?), the latest: a later one" in " ".join(" ".join(text_of(app)).split())
        await pilot.press("question_mark")
        await pilot.pause()
        shown = " ".join(" ".join(line.strip(" │") for line in text_of(app)).split())
        assert "a later one" in shown
        assert NOTE in shown

    on_screen(app, do, size)


@pytest.mark.parametrize("size", SIZES)
def test_ten_processes_of_one_name_are_told_apart(size: tuple[int, int]) -> None:
    app = app_of(ten_postgres(), several=True)

    async def do(pilot: Pilot) -> None:
        rows = [line for line in text_of(app) if "postgres: worker" in line]
        assert len({re.search(r"postgres: worker \d", row)[0] for row in rows}) == 10  # type: ignore[index]
        assert {int(row.split()[0]) for row in rows} == set(range(100, 110))

    on_screen(app, do, size)


@pytest.mark.parametrize("size", [(40, 10), *SIZES])
def test_a_name_of_escapes_pushes_no_figure_out(size: tuple[int, int]) -> None:
    """Of 15 such characters the column had 90 columns, and the bytes of all processes were behind the edge."""
    state = ten_postgres()
    about = {"target": 10, "pid": 110, "comm": "\u202e" * 15, "cmdline": ["x"], "user": "me"}
    posted(state, Event(0, "target_start", about), window(0, 20, 0, 10))
    app = app_of(state, several=True)

    async def do(pilot: Pilot) -> None:
        rows = [line for line in text_of(app) if re.match(r"\W*1\d\d ", line)]
        assert rows
        assert all(re.search(r"\d (MiB|KiB|B)\b", row) for row in rows)
        assert any("\\u202e" in row for row in rows)

    on_screen(app, do, size)


def test_columns_follow_the_width() -> None:
    app = app_of(ten_postgres(), several=True)

    async def do(pilot: Pilot) -> None:
        assert not any("hot" in line.split() for line in text_of(app))
        await pilot.resize_terminal(100, 24)
        await pilot.pause()
        assert any("hot" in line.split() for line in text_of(app))

    on_screen(app, do, (60, 24))


def test_sort_key() -> None:
    """By the next of the columns that are shown; the head says which, and it begins anew after the last."""
    app = app_of(ten_postgres(), several=True)

    def first() -> int:
        return int(next(line for line in text_of(app) if "postgres: worker" in line).split()[0])

    async def do(pilot: Pilot) -> None:
        assert first() == 109
        for column, pid in (
            ("resident", 100),
            ("pid", 100),
            ("process", 100),
            ("command", 100),
            ("touched", 109),
        ):
            await pilot.press("s")
            await pilot.pause()
            assert any(f"by {column}" in line for line in text_of(app))
            assert first() == pid

    on_screen(app, do, (60, 24))


@pytest.mark.parametrize("size", SIZES)
def test_help_has_the_keys_of_the_screen(size: tuple[int, int]) -> None:
    """Its own key is the first in the last line, which a narrow terminal cuts; any key takes the help away."""
    app = app_of(ten_postgres(), several=True)

    async def do(pilot: Pilot) -> None:
        assert "? keys" in text_of(app)[-1]
        await pilot.press("question_mark")
        await pilot.pause()
        shown = "\n".join(text_of(app))
        for what in ("sort by the next column", "begin a recording", "another budget", "quit"):
            assert what in shown
        await pilot.press("x")
        await pilot.pause()
        assert "another budget" not in "\n".join(text_of(app))

    on_screen(app, do, size)


def beyond_ascii(app: Any) -> set[str]:
    return {char for line in text_of(app) for char in line if not char.isascii()}


def test_without_utf_8_nothing_but_ascii_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """One target, the list, its help, a question, a notice, and what could be watched."""
    monkeypatch.setenv("LC_ALL", "C")
    session, _ = session_with(FakeEngine())
    session.start(WatchRequest())
    posted(session.state, *started(0), *(window(seq, 20, 3) for seq in range(60)))
    app = app_of(session.state, session, several=True)

    async def do(pilot: Pilot) -> None:
        assert not beyond_ascii(app)
        for keys in (("question_mark",), ("x", "enter"), ("i",), ("0", "s", "enter"), ("space",)):
            await pilot.press(*keys)
            await pilot.pause()
            assert beyond_ascii(app) == set(), keys
        assert any("@@@@" in line or "####" in line for line in text_of(app))

    on_screen(app, do)
    session.stop()
    offer = [WatchableProcess(ProcessId(1, 100), "some", 1 << 20, "/bin/some –x")]
    chooser = app_of(LiveState(), offer=lambda: offer)

    async def look(pilot: Pilot) -> None:
        assert not beyond_ascii(chooser)

    on_screen(chooser, look)


def test_with_utf_8_there_are_blocks() -> None:
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        assert {"▀", "█"} <= beyond_ascii(app)

    on_screen(app, do)
