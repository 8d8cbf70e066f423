"""The live view on a made-up screen: posted snapshots are drawn, and keys do what they say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.unit.live.test_state import ANON, HEAP, MIB, FakeEngine, posted, session_with, started, window
from tests.unit.report.test_wss import START, snap
from udamon.errors import CannotError
from udamon.linux.procfs import ProcessId
from udamon.live.largest import WatchableProcess
from udamon.live.session import WatchRequest
from udamon.live.state import LiveState
from udamon.model import Event
from udamon.record.reader import Recording

pytest.importorskip("textual", reason="the extra `live` is not installed")

Pilot = Any
GOLDEN = Path(__file__).parent / "golden"


def on_screen(app: Any, do: Callable[[Pilot], Awaitable[None]], size: tuple[int, int] = (100, 30)) -> None:
    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await do(pilot)

    asyncio.run(main())


def text_of(app: Any) -> list[str]:
    """What the screen shows as lines of text, without colours: from Textual's own export."""
    places: dict[float, dict[int, str]] = {}
    svg = app.export_screenshot()
    pattern = r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>'
    for x, y, text in re.findall(pattern, svg):
        places.setdefault(float(y), {})[round(float(x) / 12.2)] = unescape(text).replace("\xa0", " ")
    lines = []
    for y in sorted(places):
        line = ""
        for column, text in sorted(places[y].items()):
            line = line.ljust(column) + text
        lines.append(line.rstrip())
    return lines


def app_of(state: LiveState, session: Any = None, **more: Any) -> Any:
    from udamon.live.app import LiveApp

    return LiveApp(state, session, now=lambda: 0.0, **more)


def detail_state() -> LiveState:
    """A heap that is always hot; anonymous memory that becomes hot after forty windows."""
    state = posted(LiveState(), *started(0))
    state.choose(0)
    posted(state, *(window(seq, 20, 20 if seq >= 40 else 2) for seq in range(60)))
    cost = {
        "elapsed_ns": 10**10,
        "cpu_ns": 3 * 10**8,
        "monitor_cpu_ns": 10**8,
        "max_rss_bytes": 64 << 20,
        "checks": 1234,
    }
    return posted(state, Event(0, "attrs", {"aggr_us": 100_000}), Event(0, "cost", cost))


def golden(name: str, lines: list[str]) -> None:
    """The picture is as it was when somebody looked at it last; the file is there to be looked at."""
    file = GOLDEN / f"{name}.txt"
    assert lines == file.read_text().splitlines()


def test_detail() -> None:
    """Head, working set, heatmap and mappings, each at its place."""
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        golden("live_detail", text_of(app)[:-1])  # the last line is Textual's own footer

    on_screen(app, do)


def test_what_others_touched_is_said_of_a_region_in_several_mappings() -> None:
    """One region over the heap and a smaller file, which refs cannot tell from the touches of others."""
    rows = [
        [HEAP, HEAP + 3 * MIB, "rw-p", 0, 0, "[heap]"],
        [HEAP + 3 * MIB, HEAP + 4 * MIB, "r--s", 0, 0, "/f"],
    ]
    state = LiveState()
    state.begin(0, ("refs", None))
    posted(state, Event(START, "mappings", {"target": 0, "add": rows, "remove": []}))
    posted(state, snap(0, [(HEAP, HEAP + 4 * MIB, 20, 0, 4 * MIB)]))

    async def do(pilot: Pilot) -> None:
        assert "at most 4.0 MiB touched" in text_of(app)[0]

    app = app_of(state)
    on_screen(app, do)


def test_list() -> None:
    state = posted(
        LiveState(), *started(0, "idle"), *started(1, "busy"), window(0, 1, 0), window(0, 20, 9, 1)
    )
    app = app_of(state, several=True)

    async def do(pilot: Pilot) -> None:
        golden("live_list", text_of(app)[:5])

    on_screen(app, do)


def test_a_narrow_screen_has_the_grain_and_what_was_missed() -> None:
    """Costs, which are longer, were before these, and the end of the lines is cut."""
    session, _ = session_with(FakeEngine(), FakeEngine())
    session.start(WatchRequest())
    missed = {"processes_seen": 1, "processes_missed": 36, "bytes_missed": 267 << 20, "exact": True}
    cost = {"monitor_cpu_ns": 10**7, "cpu_ns": 2 * 10**7, "elapsed_ns": 10**9, "max_rss_bytes": 55 << 20}
    posted(session.state, window(0, 1, 0), Event(0, "coverage", missed), Event(0, "cost", cost))
    app = app_of(session.state, session)

    async def do(pilot: Pilot) -> None:
        first = app.cost_line().plain[:60]
        assert first.startswith("grain: mappings")
        assert "36 processes not seen (267.0 MiB)" in first

    on_screen(app, do, (60, 24))
    session.stop()


@pytest.mark.parametrize("via", ["refs", "idle"])
def test_the_list_marks_upper_bounds(via: str) -> None:
    """Of the process that touched its file, by refs; not of the one that touched its heap alone."""
    state = LiveState()
    state.begin(way=(via, None))
    for index, name in enumerate(("own", "both")):
        rows = [[HEAP, HEAP + 4 * MIB, "rw-p", 0, 0, "[heap]"], [ANON, ANON + 4 * MIB, "r--p", 0, 7, "/data"]]
        posted(
            state,
            Event(0, "target_start", {"target": index, "pid": 100 + index, "comm": name}),
            Event(0, "mappings", {"target": index, "remove": [], "add": rows}),
            window(0, 20, 20 * index, index),
        )
    app = app_of(state, several=True)

    async def do(pilot: Pilot) -> None:
        lines = text_of(app)
        marked = {name: "≤" in line for name in ("own", "both") for line in lines if name in line.split()}
        assert marked == {"own": False, "both": via == "refs"}

    on_screen(app, do)


def test_what_was_missed_and_the_grain_are_shown() -> None:
    """On both screens, and not of the monitor before; a total over processes says what it is."""
    session, _ = session_with(FakeEngine(), FakeEngine())
    session.start(WatchRequest())
    missed = {"processes_seen": 1, "processes_missed": 36, "bytes_missed": 267 << 20, "exact": True}
    posted(session.state, window(0, 1, 0), Event(0, "coverage", missed))
    app = app_of(session.state, session, several=True)
    summed = "0 B to 102.4 KiB touched in the last window (shared memory counted once)"

    async def do(pilot: Pilot) -> None:
        for keys in ((), ("enter",)):
            await pilot.press(*keys)
            await pilot.pause()
            (line,) = [line for line in text_of(app) if "grain: mappings" in line]
            assert "36 processes not seen (267.0 MiB)" in line
        await pilot.press("escape")
        assert not any(summed in line for line in text_of(app))
        posted(session.state, *started(1), window(0, 1, 0, 1))
        app.redraw()
        await pilot.pause()
        assert any(summed in line for line in text_of(app))
        session.start(WatchRequest())
        app.redraw()
        await pilot.pause()
        assert not any("not seen" in line for line in text_of(app))

    on_screen(app, do, (140, 30))
    session.stop()


def cell_styles(app: Any) -> list[tuple[str, str | None, str | None]]:
    """(sign, foreground, background) of the heatmap's first line."""
    from udamon.live.widgets import LABEL, Heat

    found = []
    for segment in app.screen.query_one(Heat).render_line(0):
        style = segment.style
        colours = [None if part is None else part.name for part in (style.color, style.bgcolor)]
        found += [(sign, *colours) for sign in segment.text]
    return found[LABEL:]


def test_colours_of_the_heatmap() -> None:
    """The newest window is at the right; hot is the scale's last colour."""
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        cells = cell_styles(app)
        assert len(cells) == 80
        assert cells[-1][:2] == ("▀", "#fabe3c")
        assert cells[0][0] == " "  # sixty windows do not fill eighty columns
        assert cells[20][1] == "#fabe3c"  # the heap was hot then, too

    on_screen(app, do)


@pytest.mark.parametrize("size", [(80, 24), (30, 8), (200, 60), (20, 5)])
def test_any_size(size: tuple[int, int]) -> None:
    """Narrow or low, nothing fails and no line is wider than the screen."""
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        assert all(len(line) <= size[0] for line in text_of(app))

    on_screen(app, do, size)


def test_new_snapshots_are_drawn() -> None:
    state = detail_state()
    app = app_of(state)

    async def do(pilot: Pilot) -> None:
        before = cell_styles(app)
        posted(state, window(60, 0, 0))
        app.redraw()
        await pilot.pause()
        after = cell_styles(app)
        assert after[-2] == before[-1]
        assert after[-1][1] == "#181230"

    on_screen(app, do)


def test_it_ends_after_its_duration() -> None:
    app = app_of(detail_state(), duration=0.01)

    async def wait(pilot: Pilot) -> None:
        while app.is_running:
            await asyncio.sleep(0.01)

    on_screen(app, lambda pilot: asyncio.wait_for(wait(pilot), 60))


def test_pause_holds_the_picture() -> None:
    state = detail_state()
    app = app_of(state)

    async def do(pilot: Pilot) -> None:
        await pilot.press("space")
        held = cell_styles(app)
        assert any("paused" in line for line in text_of(app))
        posted(state, window(60, 0, 0))
        app.redraw()
        await pilot.pause()
        assert cell_styles(app) == held
        await pilot.press("space")
        assert cell_styles(app) != held

    on_screen(app, do)


def test_down_into_one_and_back() -> None:
    state = posted(
        LiveState(), *started(0, "idle"), *started(1, "busy"), window(0, 1, 0), window(0, 20, 9, 1)
    )
    app = app_of(state, several=True)

    async def do(pilot: Pilot) -> None:
        await pilot.press("down", "enter")
        await pilot.pause()
        assert text_of(app)[0].strip().startswith("idle (pid 100)")
        await pilot.press("escape")
        await pilot.pause()
        assert text_of(app)[0].strip().startswith("2 targets")
        assert state.detail() is None

    on_screen(app, do)


def test_what_could_be_watched_is_watched_when_it_is_chosen() -> None:
    """Without a target nothing is watched until Enter, and nothing any more after Esc."""
    engines = FakeEngine(), FakeEngine()
    session, wishes = session_with(*engines)
    offered = [
        WatchableProcess(ProcessId(7, 70), "big", 64 << 20, "big --one"),
        WatchableProcess(ProcessId(8, 100), "small", 9 << 20, "small"),
    ]
    app = app_of(session.state, session, offer=lambda: offered)

    async def do(pilot: Pilot) -> None:
        app.keep_up()
        lines = [line.split() for line in text_of(app)]
        assert ["7", "big", "64.0", "MiB", "big", "--one"] in lines
        assert ["8", "small", "9.0", "MiB", "small"] in lines
        assert (wishes, session.watched, list(app._notifications)) == ([], None, [])
        await pilot.press("down", "enter")
        await pilot.pause()
        assert ([(one.pid, one.start_time) for one in wishes], engines[0].running) == ([(8, 100)], True)
        await pilot.press("escape")
        await pilot.pause()
        assert (len(wishes), engines[0].running, session.watched) == (1, False, None)
        assert any("none is" in line for line in text_of(app))
        await pilot.press("enter")
        await pilot.pause()
        assert ([watch_request.pid for watch_request in wishes][1:], engines[1].running) in (
            ([7], True),
            ([8], True),
        )

    on_screen(app, do)
    session.stop()


def answering(text: str) -> list[str]:
    names = {
        " ": "space",
        ".": "full_stop",
        "%": "percent_sign",
        "-": "minus",
        "/": "slash",
        "_": "underscore",
    }
    return [*(names.get(sign, sign) for sign in text), "enter"]


def test_interval_and_budget() -> None:
    """They begin a new monitor; what makes no sense is told, and changes nothing."""
    session, wishes = session_with(*(FakeEngine() for _ in range(3)))
    session.start(WatchRequest(), 0)
    app = app_of(session.state, session)

    async def do(pilot: Pilot) -> None:
        await pilot.press("i", *answering("250ms"))
        await pilot.pause()
        assert wishes[-1] == WatchRequest(aggr="250ms")
        await pilot.press("b", *answering("2%"))
        await pilot.pause()
        assert wishes[-1] == WatchRequest(overhead="2%")
        for key, answer in (("i", "soon"), ("b", "0%"), ("b", "200%")):
            await pilot.press(key, *answering(answer))
            await pilot.pause()
        await pilot.press("i", "escape")
        await pilot.pause()
        assert len(wishes) == 3

    on_screen(app, do)
    session.stop()


def test_a_question_stands_in_the_middle() -> None:
    app = app_of(detail_state())

    async def do(pilot: Pilot) -> None:
        await pilot.press("i")
        await pilot.pause()
        box = app.screen.children[0].region
        assert abs(box.x - (100 - box.right)) <= 1
        assert abs(box.y - (30 - box.bottom)) <= 1
        assert box.height < 10

    on_screen(app, do, (100, 30))


def test_record_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """r asks for a file, r again ends it; a name that is taken is refused without harm."""
    monkeypatch.chdir(tmp_path)
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    app = app_of(session.state, session)

    async def do(pilot: Pilot) -> None:
        await pilot.press("r", "enter")
        await pilot.pause()
        assert session.recording is not None
        app.keep_up()
        app.redraw()
        await pilot.pause()
        assert any("● recording live-19" in line for line in text_of(app))
        engine.bus.snapshot(window(0, 1, 1))
        await pilot.press("r")
        assert session.recording is None
        await pilot.press("r", "enter")
        await pilot.pause()
        assert session.recording is None

    on_screen(app, do, (160, 30))
    session.stop()
    (file,) = tmp_path.iterdir()
    assert [one.seq for one in Recording(file).snapshots()] == [0]


def test_an_error_that_ended_the_monitor_is_told_once() -> None:
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    app = app_of(session.state, session)

    async def do(pilot: Pilot) -> None:
        engine.failure = CannotError("the file of frames is gone; begin again.")
        app.keep_up()
        app.keep_up()
        await pilot.pause()
        assert [note.message for note in app._notifications] == ["the file of frames is gone; begin again."]

    on_screen(app, do)
    session.stop()


def test_the_end_of_all_targets_is_told() -> None:
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    app = app_of(session.state, session)

    async def do(pilot: Pilot) -> None:
        engine.running = False
        app.keep_up()
        app.keep_up()
        await pilot.pause()
        assert [note.message for note in app._notifications] == [
            "No target is left: this is the last that was seen."
        ]

    on_screen(app, do)
    session.stop()
