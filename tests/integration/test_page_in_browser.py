"""The page of a recording in a real browser: it draws, answers keys and the pointer, and asks no network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.integration.browser import SHIFT, Browser, browser
from tests.unit.report.test_heatmap import ANON, HEAP, MIB
from tests.unit.report.test_page import EVIL, evil
from tests.unit.report.test_sites import CODE, FOUR, WINDOWS, start, told
from tests.unit.report.test_wss import START, of_private_memory_and_a_file, record, snap
from tests.unit.snapshots import recorded
from udamon.cli.main import main
from udamon.model import Event, Snapshot

pytestmark = pytest.mark.needs("chromium")

MOMENTS = 40
ACTIVE = "document.activeElement"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heap that is always hot beside anonymous memory that is hot in the second half."""
    file = tmp_path_factory.mktemp("page") / "a"
    rows = [[HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"], [ANON, ANON + 3 * MIB, "rw-p", 0, 0, ""]]
    steps: list[Snapshot | Event] = [
        Event(START, "target_start", {"target": 0, "pid": 7, "comm": "redis", "cmdline": ["redis", "-x"]}),
        Event(START, "mappings", {"target": 0, "add": rows, "remove": []}),
    ]
    for seq in range(MOMENTS):
        hot = 20 if seq >= MOMENTS // 2 else 0
        steps.append(
            snap(seq, [(HEAP, HEAP + MIB, 20, seq, MIB), (ANON, ANON + 3 * MIB, hot, 0, hot * MIB // 8)])
        )
    record(file, steps)
    return made(file)


@pytest.fixture(scope="module")
def compared(page: Path) -> Path:
    """The page of that recording against itself."""
    file, out = str(page.with_suffix("")), page.with_suffix(".diff.html")
    assert main(["report", "diff", file, file, "--html", str(out)]) == 0
    return out


def made(recording: Path, report: str = "heatmap") -> Path:
    out = recording.with_suffix(".html" if report == "heatmap" else f".{report}.html")
    assert main(["report", report, str(recording), "--html", str(out)]) == 0
    return out


def test_tiles_have_both_bounds(tab: Browser, tmp_path: Path) -> None:
    """By refs, of what other processes may have touched; of a primitive that knows there is one figure."""
    for via, most in (("refs", "40.0 KiB to 236.0 KiB"), ("idle", "236.0 KiB")):
        tab.open(made(recorded(tmp_path / via, of_private_memory_and_a_file(), via=via).path))
        found = tab.value(
            "[...document.querySelectorAll('#tiles div')].map((one) => one.innerText.split('\\n'))"
        )
        assert ["working set, most", most] in found


def test_sizes_and_times_as_in_texts(tab: Browser, page: Path) -> None:
    """tests/unit/test_units.py has those of texts."""
    tab.open(page)
    script = resources.files("udamon.report.page").joinpath("assets", "units.js").read_text()
    sizes = "[0, 1023, 1023.6, 2 ** 20 - 1, 2 ** 20 - 53, 2 ** 30 - 4096, 2 ** 57, 2 ** 64].map(size)"
    times = "[0, 0.0025, 0.9994, 0.9996, 59.94, 59.96, 119.7, 3599.6, 7260].map(time)"
    assert tab.value(f"(() => {{ {script}; return [{sizes}, {times}]; }})()") == [
        ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1023.9 KiB", "1.0 GiB", "128.0 PiB", "16.0 EiB"],
        ["0 s", "2.5 ms", "999 ms", "1 s", "59.9 s", "1 m", "2 m", "1 h", "2 h 1 m"],
    ]


def text(tab: Browser, element: str) -> str:
    return str(tab.value(f"document.getElementById({element!r}).textContent"))


def pixel(tab: Browser, x: float, y: float) -> list[int]:
    """Red, green and blue of the heatmap at a share of its plot (its place: MARGIN and leftOf in view.js)."""
    found: list[int] = tab.value(
        f"""(() => {{
        const canvas = document.getElementById("heat");
        const [x, y] = [176 + (canvas.width - 186) * {x}, 6 + (canvas.height - 28) * {y}];
        return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
        }})()"""
    )
    return found


def place(tab: Browser, x: float, y: float) -> tuple[float, float]:
    """Where in the window a share of the heatmap's plot is."""
    box: dict[str, Any] = tab.value("document.getElementById('heat').getBoundingClientRect().toJSON()")
    return box["left"] + 176 + (box["width"] - 186) * x, box["top"] + 6 + (box["height"] - 28) * y


@pytest.mark.parametrize("dark", [False, True])
def test_it_draws_in_both_schemes(tab: Browser, page: Path, dark: bool) -> None:
    """Hot memory has the scale's last colour, idle memory its first; dark and light differ."""
    tab.open(page, dark=dark)
    idle, hot = ([24, 18, 48], [252, 255, 164]) if dark else ([250, 246, 234], [27, 12, 65])
    assert pixel(tab, 0.1, 0.6) == idle
    assert pixel(tab, 0.9, 0.6) == hot
    assert pixel(tab, 0.1, 0.1) == hot
    background = tab.value("getComputedStyle(document.documentElement).backgroundColor")
    assert background == ("rgb(20, 20, 26)" if dark else "rgb(255, 255, 255)")


def test_it_asks_no_network_and_throws_nothing(tab: Browser, page: Path) -> None:
    tab.requests.clear()
    tab.errors.clear()
    tab.open(page)
    assert tab.requests == [page.resolve().as_uri()]
    assert tab.errors == []
    assert text(tab, "command") == "redis -x"
    assert tab.value("document.title") == "pid 7 redis · udamon"


def test_hover_tells_address_mapping_rate_and_age(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.point(*place(tab, 0.999, 0.004))
    words = tab.value("document.getElementById('tip').innerText").splitlines()
    assert words[1] == "heap"
    assert words[2].startswith(f"{HEAP:x}–")
    assert words[3:] == [
        "accessed in 100 % of ticks",
        "age 3.76 s",
    ]  # 3.9 s, to the next eighth of a doubling
    tab.point(5, 5)
    assert tab.value("document.getElementById('tip').hidden")


def test_keys_move_zoom_and_reset(tab: Browser, page: Path) -> None:
    """All that the pointer can do, the keys can."""
    tab.open(page)
    tab.value("document.getElementById('heat').focus()")
    tab.press("ArrowRight")  # the cursor appears in the middle, one column on
    assert text(tab, "readout").startswith("2.1 s – 2.2 s · anonymous")
    tab.press("ArrowLeft", SHIFT)
    assert text(tab, "readout").startswith("1.1 s – 1.2 s")
    tab.press("Home")
    assert text(tab, "readout").startswith("0 s – 100 ms")
    assert pixel(tab, 0.9, 0.62) == [27, 12, 65]
    for _ in range(6):
        tab.press("]")  # time alone: what is hot later goes out of sight
    assert pixel(tab, 0.9, 0.62) == [250, 246, 234]
    tab.press("ArrowRight", SHIFT)
    tab.press("ArrowRight", SHIFT)
    tab.press("ArrowRight", SHIFT)  # and comes back where the cursor goes
    assert pixel(tab, 0.5, 0.62) == [27, 12, 65]
    tab.press("0")
    assert pixel(tab, 0.1, 0.62) == [250, 246, 234]
    tab.press("Escape")
    assert text(tab, "readout") == ""


def test_everything_can_be_reached_by_tab(tab: Browser, page: Path) -> None:
    """Skip link, buttons, heatmap, check box, filter, headings: in this order, and the focus can be seen."""
    tab.open(page)
    seen: list[str] = []
    for _ in range(14):
        tab.press("Tab")
        seen.append(
            tab.value("[one.id, one.dataset.column, one.className].find(Boolean)".replace("one", ACTIVE))
        )
        if seen[-1] == "heat":
            assert tab.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    expected = ["skip", "zoom-in", "zoom-out", "zoom-reset", "heat", "filter", "name", "size"]
    assert [name for name in seen if name in expected] == expected


def test_every_control_has_a_name(tab: Browser, page: Path) -> None:
    """The browser's own accessibility tree: no button, table or picture without one."""
    tab.open(page)
    tab.call("Accessibility.enable")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    wanted = ("button", "checkbox", "searchbox", "application", "image", "img")
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in wanted]
    assert len(controls) >= 12
    assert [node["role"] for node in controls if not node.get("name", {}).get("value")] == []


def test_table_sorts_and_filters(tab: Browser, page: Path) -> None:
    tab.open(page)
    names = "[...document.querySelectorAll('#mappings tbody td:first-child')].map((cell) => cell.textContent)"
    assert tab.value(names) == [f"anonymous {ANON:x}", "heap"]
    tab.value("document.querySelector('[data-column=rate]').click()")
    assert tab.value(names) == ["heap", f"anonymous {ANON:x}"]
    assert tab.value("document.activeElement.dataset.column") == "rate"  # the focus stays
    box = "document.getElementById('filter')"
    tab.value(f"{box}.value = 'HEA', {box}.dispatchEvent(new Event('input'))")
    assert tab.value(names) == ["heap"]
    tab.value("document.querySelector('#mappings tbody button').click()")
    assert " · heap · " in text(tab, "readout")
    assert tab.value("document.activeElement.id") == "heat"


def test_names_that_try_to_be_markup(tab: Browser, tmp_path: Path) -> None:
    """They are shown as they are; no element, no dialogue and no error comes of them."""
    evil(tmp_path / "a")
    out = made(tmp_path / "a")
    tab.errors.clear()
    tab.requests.clear()
    tab.open(out)
    assert tab.value("document.querySelectorAll('script, img').length") == 2
    assert tab.value("document.querySelector('#mappings tbody td').title.split('\\n')[0]") == EVIL.replace(
        "\u2028", r"\u2028"
    )
    tab.point(*place(tab, 0.5, 0.5))
    assert EVIL.split("\u2028")[0] in text(tab, "tip")
    assert tab.errors == []
    assert tab.requests == [out.resolve().as_uri()]


@pytest.mark.parametrize(("report", "element"), [("ages", "ages-title"), ("mappings", "mappings-title")])
def test_it_opens_at_what_the_report_is_about(tab: Browser, page: Path, report: str, element: str) -> None:
    tab.open(page, width=800, height=300)
    top = (
        f"Math.round(document.getElementById('{element}').getBoundingClientRect().top) + 0"  # which is no -0
    )
    assert tab.value(top) > 300
    tab.open(made(page.with_suffix(""), report), width=800, height=300)
    assert 0 <= tab.value(top) < 300


@pytest.mark.parametrize("width", [360, 400, 800])
def test_it_fits_a_narrow_window(tab: Browser, page: Path, compared: Path, width: int) -> None:
    for each in (page, compared):
        tab.open(each, width=width, height=800)
        assert tab.value("document.documentElement.scrollWidth") <= width


def test_a_page_of_two(tab: Browser, compared: Path) -> None:
    """It draws, throws nothing, asks nothing, and filters what moved."""
    tab.errors.clear()
    tab.requests.clear()
    tab.open(compared)
    rows = "[...document.querySelectorAll('#moved td:first-child')].map((cell) => cell.textContent)"
    assert sorted(tab.value(rows)) == ["anonymous", "heap"]
    box = "document.getElementById('filter')"
    tab.value(f"{box}.value = 'HEA', {box}.dispatchEvent(new Event('input'))")
    assert tab.value(rows) == ["heap"]
    drawn = """(() => {
        const canvas = document.getElementById("curve");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((one) => one > 0);
    })()"""
    assert tab.value(drawn)
    assert tab.errors == []
    assert tab.requests == [compared.resolve().as_uri()]


def test_times_on_the_wall(tab: Browser, tmp_path: Path) -> None:
    """They take the place of times since the start, in tables, too; what does not know them offers none."""
    rows = [snap(seq, [(HEAP, HEAP + MIB, 20, seq, MIB)]) for seq in range(MOMENTS)]
    begun = {"wall_ns": 1_600_000_000 * 10**9, "monotonic_ns": START}
    recorded(tmp_path / "a", rows, via="idle", **begun)
    tab.open(made(tmp_path / "a"))
    first = "document.querySelector('#phases tr:nth-child(2) td').textContent"
    assert tab.value(first) == "0 s"
    assert "Recorded on 2020-09-1" in text(tab, "recorded")
    tab.value("document.getElementById('clock').click()")
    assert tab.value(f"/^\\d\\d:\\d\\d:\\d\\d$/.test({first})")
    recorded(tmp_path / "b", rows, via="idle")
    tab.open(made(tmp_path / "b"))
    assert tab.value("document.getElementById('clock-label').hidden")
    assert text(tab, "recorded") == ""


@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_fold(tab: Browser, tmp_path: Path, count: int) -> None:
    """A line for each where there are several, folded where there are many; what is searched for is shown."""
    rows = [[HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"]]
    steps: list[Snapshot | Event] = []
    for target in range(count):
        about = {"target": target, "pid": 100 + target, "comm": "server"}
        steps += [
            Event(START, "target_start", about),
            Event(START, "mappings", {"target": target, "add": rows}),
        ]
    steps += [
        snap(seq, [(HEAP, HEAP + MIB, 20, 0, MIB)], target) for seq in range(3) for target in range(count)
    ]
    recorded(tmp_path / "a", steps, via="idle")
    tab.open(made(tmp_path / "a"))
    folds = "document.querySelectorAll('#mappings .fold').length"
    shown = "document.querySelectorAll('#mappings tbody td.kind').length"
    folded = count > 4
    assert (tab.value(folds), tab.value(shown)) == (0 if count == 1 else count, 0 if folded else count)
    if count == 1:
        return
    tab.value("document.querySelector('#mappings .fold').click()")
    assert tab.value(shown) == (1 if folded else count - 1)
    assert tab.value("document.activeElement.className") == "fold"
    assert tab.value("document.activeElement.getAttribute('aria-expanded')") == str(folded).lower()
    box = "document.getElementById('filter')"
    tab.value(f"{box}.value = 'heap', {box}.dispatchEvent(new Event('input'))")
    assert tab.value(shown) == count


def test_sites_unfold_in_the_flame_graph(tab: Browser, tmp_path: Path) -> None:
    """Boxes are as wide as their bytes; a name of the table or a click shows one of them alone; a button all again."""
    recorded(tmp_path / "s", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")
    tab.errors.clear()
    tab.open(made(tmp_path / "s"))
    boxes = "[...document.querySelectorAll('#flame > div')]"
    widths = f"Object.fromEntries({boxes}.map((box) => [box.textContent, Math.round(parseFloat(box.style.width))]))"
    assert tab.value(widths) == {
        "all": 100, "main": 82, "hot": 45, "operator new(unsigned long)": 45, "cold": 36,
        "code made at run time+0x5": 18,
    }  # fmt: skip
    rows = "[...document.querySelectorAll('#sites tbody tr')].map((row) => row.cells[0].textContent)"
    assert tab.value(rows)[:2] == ["hot a.c:3 < main", "cold b.c:5 < main"]
    tab.value("document.querySelector('#sites [data-column=cold]').click()")
    assert tab.value(rows)[0] == "cold b.c:5 < main"
    tab.value("document.querySelector('#sites tbody button').click()")
    assert tab.value(widths) == {"all": 100, "main": 100, "cold": 100}
    tab.value(f"{boxes}.find((box) => box.textContent === 'main').click()")
    assert tab.value(widths) == {
        "all": 100,
        "main": 100,
        "hot": 56,
        "operator new(unsigned long)": 56,
        "cold": 44,
    }
    tab.value("document.getElementById('flame-all').click()")
    assert tab.value(widths)["main"] == 82
    assert tab.errors == []


def test_without_sites_there_is_no_section(tab: Browser, page: Path) -> None:
    tab.open(page)
    assert tab.value("document.getElementById('sites-section').hidden")
    assert not tab.value("document.getElementById('ages-section').hidden")
