"""The page of a recording as data: cells, bytes and times by hand; nothing of a recording is markup."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.test_heatmap import ANON, HEAP, MIB, two_bands
from tests.unit.report.test_wss import START, record, snap
from tests.unit.snapshots import recorded
from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.record.reader import Recording
from udamon.report import diff, size
from udamon.report.filters import Filters
from udamon.report.page import cells as page_cells
from udamon.report.page import comparison
from udamon.report.page import curves as page_curves
from udamon.report.page import document as page
from udamon.report.page import html as page_html
from udamon.report.source import RecordingSource

SECOND = 1_000_000_000


def document_of(
    recording: Recording, filters: Filters | None = None, rows: int = 10, columns: int = 100
) -> dict[str, Any]:
    with RecordingSource(recording, filters) as source:
        return page.document(page.measure(source, rows, columns))


def codes(document: dict[str, Any], name: str) -> list[list[int]]:
    """The picture's codes, a list for each row."""
    flat = zlib.decompress(b64decode(document["picture"][name]))
    columns = document["picture"]["columns"]
    return [list(flat[at : at + columns]) for at in range(0, len(flat), columns)]


def test_cells(tmp_path: Path) -> None:
    """A heap hot in the first of two windows, and anonymous memory at half rate in the second."""
    found = document_of(two_bands(tmp_path / "a"), rows=4, columns=100)
    full, half = 254, 1 + round(0.5 * 253)
    assert found["picture"]["columns"] == 2  # no more columns than there are moments
    assert codes(found, "rates") == [[full, 0], *[[0, half]] * 3]
    assert [row["label"] for row in found["picture"]["rows"]] == ["heap", *["anonymous"] * 3]
    assert [int(row["start"], 16) for row in found["picture"]["rows"]] == [
        HEAP,
        *(ANON + n * MIB for n in range(3)),
    ]
    assert (found["picture"]["begin"], found["picture"]["end"]) == (0, 0.2)


def test_cells_are_means_by_bytes_and_time(tmp_path: Path) -> None:
    """One cell: (1 x 1.0 + 3 x 0) MiB in one window and (1 x 0 + 3 x 0.5) MiB in the other, of the bands."""
    with RecordingSource(two_bands(tmp_path / "a")) as source:
        picture = page_cells.measure(source, 1, 1)
    assert list(picture.rates) == [page_cells.rate_code(0.5), page_cells.rate_code(0.25)]


def test_a_window_longer_than_a_column_fills_it(tmp_path: Path) -> None:
    """Windows need not be of one length: the second lasts four times as long as the first."""
    from dataclasses import replace

    short = snap(0, [(0, MIB, 20, 0, 0)])
    longer = replace(snap(1, [(0, MIB, 10, 0, 0)]), end_ns=START + 500_000_000)
    tail = replace(snap(2, [(0, MIB, 0, 0, 0)]), begin_ns=longer.end_ns, end_ns=START + 600_000_000)
    with RecordingSource(record(tmp_path / "a", [short, longer, tail])) as source:
        picture = page_cells.measure(source, 1, 3)
    # Columns of 200 ms: half of it at 1.0 and half at 0.5; 0.5; half at 0.5 and half at 0.
    assert list(picture.rates) == [page_cells.rate_code(rate) for rate in (0.75, 0.5, 0.25)]


def test_memory_that_was_not_there(tmp_path: Path) -> None:
    shots = [snap(0, [(0, MIB, 20, 0, 0)]), snap(1, [(0, MIB, 20, 0, 0), (MIB, 2 * MIB, 0, 0, 0)])]
    found = document_of(record(tmp_path / "a", [*shots]), rows=2, columns=2)
    assert codes(found, "rates") == [[254, 254], [page_cells.NOTHING, 0]]


@pytest.mark.parametrize("seconds", [0.001, 0.1, 3.0, 3600.0, 86_400.0 * 30])
def test_ages_are_kept_to_five_percent(seconds: float) -> None:
    """The script reads an age code as 2 ** ((code - 1) / 8) ms."""
    code = page_cells.age_code(seconds)
    assert 0 < code < 255
    assert 2 ** ((code - 1) / 8) / 1000 == pytest.approx(seconds, rel=0.05)


def test_ages_in_cells(tmp_path: Path) -> None:
    """Age 30 aggregations of 20 ticks of 5 ms is 3 s."""
    found = document_of(record(tmp_path / "a", [snap(0, [(0, MIB, 1, 30, 0)])]), rows=1, columns=1)
    assert codes(found, "ages") == [[page_cells.age_code(3.0)]]


def test_over_time(tmp_path: Path) -> None:
    """Four moments in two bins: least, mean and most of touched bytes."""
    shots = [snap(seq, [(0, MIB, 1, 0, touched)]) for seq, touched in enumerate((100, 300, 0, 50))]
    with RecordingSource(record(tmp_path / "a", [*shots])) as source:
        bins = page_curves.over_time(source, START, START + 400_000_000, 2)
    assert [(one.bin, one.low, one.mean, one.high) for one in bins] == [(0, 100, 200, 300), (1, 0, 25, 50)]
    assert all(one.resident is None for one in bins)


def test_histograms(tmp_path: Path) -> None:
    """Bytes of a mean snapshot: idle 2 MiB of age 0, full rate 1 MiB of age 5 s, in one of two snapshots."""
    shots = [snap(0, [(0, 2 * MIB, 0, 0, 0), (2 * MIB, 3 * MIB, 20, 50, MIB)]), snap(1, [])]
    with RecordingSource(record(tmp_path / "a", [*shots])) as source:
        found = page_curves.histograms(source)
    assert found.by_rate == [(MIB, 0.0), *[(0.0, 0.0)] * 9, (0.0, MIB / 2)]
    assert found.by_age == [(MIB, 0.0), (0.0, 0.0), (0.0, MIB / 2), *[(0.0, 0.0)] * 4]


def test_a_page_by_mappings_says_so(tmp_path: Path) -> None:
    """What its scripts call a rate, of which mappings it is at most, and why there are no percentiles."""
    from tests.unit.report.test_shares import MAPPED, WINDOW
    from tests.unit.snapshots import recorded

    found = document_of(recorded(tmp_path / "a", [MAPPED, WINDOW], via="refs"))
    assert (found["rate_word"], found["few"], found["fewest"]) == (
        "share", "1 window is too few for percentiles, which take 20", 20,
    )  # fmt: skip
    assert [(one["label"], one["upper_bound"], one["rate"]) for one in found["mappings"]] == [
        ("data", True, 0.02), ("heap", False, 0.01),
    ]  # fmt: skip
    pages = document_of(two_bands(tmp_path / "b"))
    assert (pages["rate_word"], {one["upper_bound"] for one in pages["mappings"]}) == ("rate", {False})


def test_mappings(tmp_path: Path) -> None:
    """As report mappings has them, those that touched most first, of these the hottest."""
    anon, heap = document_of(two_bands(tmp_path / "a"))["mappings"]
    assert (anon["label"], anon["kind"], anon["size"]) == (f"anonymous {ANON:x}", "anonymous", 3 * MIB)
    assert (anon["touched"], anon["rate"]) == (MIB / 2, 0.25)
    assert (heap["name"], heap["size"], heap["touched"], heap["rate"]) == ("[heap]", MIB, MIB / 2, 0.5)
    assert (heap["last"], anon["last"]) == (0.1, 0.2)
    assert (int(heap["start"], 16), int(heap["end"], 16)) == (HEAP, HEAP + MIB)


def test_offsets_of_files(tmp_path: Path) -> None:
    """Where in a file memory was accessed, neighbours as one; nothing where all of it was."""
    rows = [[MIB, 2 * MIB, "r--p", 0, 5, "/data"], [3 * MIB, 4 * MIB, "r--p", 0, 6, "/all"]]
    quarter = MIB // 4
    shot = snap(
        0, [(MIB, MIB + quarter, 9, 0, 9), (MIB + quarter, 2 * MIB, 0, 0, 0), (3 * MIB, 4 * MIB, 9, 0, 5)]
    )
    steps: list[Snapshot | Event] = [Event(START, "mappings", {"target": 0, "add": rows}), shot]
    data, whole = document_of(record(tmp_path / "a", steps))["mappings"]
    assert (data["name"], data["offsets"]) == ("/data", [[0, quarter]])
    assert (whole["name"], whole["offsets"]) == ("/all", [])


def test_summary(tmp_path: Path) -> None:
    found = document_of(two_bands(tmp_path / "a"))
    assert found["title"] == "pid 7 redis"
    assert found["snapshots"] == 2
    assert found["working_set"]["max"] == MIB
    assert found["monitor"] == {"share": None}
    assert ["length", "200 ms, 2 snapshots, 2 regions each"] in found["facts"]
    assert not found["filtered"]
    assert document_of(two_bands(tmp_path / "b"), Filters.parse(time="0s-"))["filtered"]


def test_cost_of_the_monitor(tmp_path: Path) -> None:
    """2 ms of CPU in 100 ms."""
    cost = Event(START, "cost", {"cpu_ns": 2_000_000})
    steps: list[Snapshot | Event] = [snap(0, [(0, MIB, 1, 0, 0)]), cost]
    recording = recorded(tmp_path / "a", steps, monotonic_ns=START)
    assert document_of(recording)["monitor"] == {"share": 0.02}


def test_notes_are_those_of_texts(tmp_path: Path) -> None:
    """Whatever must be said beside a figure is said beside those of a page."""
    about = {
        "via": "refs",
        "marked_by_others": "yes",
        "taken_by_others": ["DAMON_STAT"],
        "sees": "writes only",
    }
    recording = recorded(tmp_path / "a", [snap(0, [(0, MIB, 1, 0, 0)])], **about)
    notes = document_of(recording)["notes"]
    assert [note.split()[0] for note in notes] == ["Grain:", "Writes", "In-kernel", "Accessed"]
    other = recorded(tmp_path / "b", [snap(0, [(0, MIB, 1, 0, 0)])], read_from="damo's json")
    assert document_of(other)["notes"][0].startswith("Grain: regions of another tool's file")


def test_what_it_answers(tmp_path: Path) -> None:
    """Size, limit and phases are those of their reports; the clock on the wall is that of the first window."""
    steps = [snap(seq, [(HEAP, HEAP + MIB, 20, 0, MIB), (ANON, ANON + MIB, 0, 9, 0)]) for seq in range(20)]
    recording = recorded(tmp_path / "a", steps, via="idle", monotonic_ns=START - 10**9, wall_ns=50 * 10**9)
    found = document_of(recording)
    assert found["wall"] == 51
    with RecordingSource(recording) as source:
        assert found["size"] == size.totals(size.measure(source))
    assert found["size"]["needed_bytes"] == {"low": MIB, "high": MIB}
    assert found["right_size"]["limit_bytes"] == 3 * MIB  # 2 * 1.15
    assert [one["high"] for one in found["right_size"]["curve"]][-1] == MIB
    assert [(one["begin"], one["moved"]) for one in found["phases"]] == [(0, [])]


def test_nothing_was_accessed(tmp_path: Path) -> None:
    """There is a page still, which says that nothing is needed; and no time on a wall, for none was recorded."""
    found = document_of(recorded(tmp_path / "a", [snap(0, [(HEAP, HEAP + MIB, 0, 0, 0)])], via="idle"))
    assert found["right_size"] is None
    assert found["wall"] is None
    assert found["size"]["needed_bytes"] == {"low": 0, "high": 0}


def compared(before: Recording, after: Recording) -> dict[str, Any]:
    with RecordingSource(before) as first, RecordingSource(after) as second:
        return comparison.document(diff.measure(first, second), (first, second))


def test_a_page_of_two(tmp_path: Path) -> None:
    """One MiB of the heap was touched before, and a quarter after."""
    rows = [[HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"]]
    sides = []
    for name, touched in (("a", MIB), ("b", MIB // 4)):
        about: list[Snapshot | Event] = [
            Event(START, "target_start", {"target": 0, "pid": 7, "comm": name}),
            Event(START, "mappings", {"target": 0, "add": rows, "remove": []}),
        ]
        shots = [snap(seq, [(HEAP, HEAP + MIB, 20, 0, touched)]) for seq in range(20)]
        sides.append(recorded(tmp_path / name, [*about, *shots], via="idle"))
    found = compared(*sides)
    assert found["title"] == "a against b"
    (moved,) = found["moved"]
    assert moved == {
        "label": "heap", "kind": "heap", "before": MIB, "after": MIB // 4, "upper_bounds": (False, False),
        "shared": (False, False),
    }  # fmt: skip
    assert found["levels"][0] == {
        "name": "working set p50",
        "before": {"low": MIB, "high": MIB},
        "after": {"low": MIB // 4, "high": MIB // 4},
    }
    assert [side["windows"] for side in found["sides"]] == [20, 20]
    assert found["sides"][1]["curve"][0][1:] == [MIB // 4, MIB // 4]


def test_nothing_of_two_recordings_is_markup(tmp_path: Path) -> None:
    text = page_html.comparison(compared(evil(tmp_path / "a"), evil(tmp_path / "b")))
    harmless = page_html.comparison(compared(two_bands(tmp_path / "c"), two_bands(tmp_path / "d")))
    assert Elements(text).names == Elements(harmless).names
    assert (
        EVIL.rsplit("/", 1)[-1].replace("\u2028", "\\u2028")
        in json.loads(
            re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]  # type: ignore[index]
        )["moved"][0]["label"]
    )


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no snapshot"):
        document_of(record(tmp_path / "a", []))


EVIL = "/tmp/</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>&\u2028"


class Elements(HTMLParser):
    """Which elements and attributes a document has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def evil(path: Path) -> Recording:
    """Names and command lines that try to be markup."""
    rows = [[HEAP, HEAP + MIB, "rw-p", 0, 0, EVIL]]
    start = {"target": 0, "pid": 7, "comm": "<script>x", "cmdline": [EVIL, "\udcff"], "user": "<b>"}
    steps: list[Snapshot | Event] = [
        Event(START, "target_start", start),
        Event(START, "mappings", {"target": 0, "add": rows}),
        Event(START, "note", {"text": EVIL}),
        snap(0, [(HEAP, HEAP + MIB, 20, 0, MIB)]),
    ]
    return record(path, steps)


def test_nothing_of_a_recording_is_markup(tmp_path: Path) -> None:
    """The elements are those of a page with harmless names, and the names arrive whole."""
    text = page_html.html(document_of(evil(tmp_path / "a")))
    harmless = page_html.html(document_of(two_bands(tmp_path / "b")))
    assert Elements(text).names == Elements(harmless).names
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    shown = EVIL.replace("\u2028", "\\u2028")
    assert data["mappings"][0]["name"] == shown
    assert data["targets"][0]["command"] == rf"{shown} \xff"
    text.encode()  # a name that is no UTF-8 does not keep the page from being written


def test_no_network_and_only_its_own_script(tmp_path: Path) -> None:
    """The policy allows nothing but the script and the style that are there, by their hashes."""
    text = page_html.html(document_of(two_bands(tmp_path / "a")))
    found = Elements(text)
    assert not [name for name, _ in found.attributes if name in ("src", "srcset") or name.startswith("on")]
    assert [value for name, value in found.attributes if name == "href"] == ["#heat"]
    assert "url(" not in text
    assert "@import" not in text
    policy = next(
        value for name, value in found.attributes if name == "content" and value and "default-src" in value
    )
    assert "default-src 'none'" in policy
    for element, kind in (("script", "script"), ("style", "style")):
        body = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert len(body) == 1
        assert f"{kind}-src 'sha256-{b64encode(sha256(body[0].encode()).digest()).decode()}'" in policy


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else float(((part + 0.055) / 1.055) ** 2.4) for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_both_scales_read_in_order_without_colour() -> None:
    """Dark to bright in dark, pale to dark in light, from end to end."""
    text = (files("udamon.report.page") / "assets" / "colours.js").read_text()
    for name, falls in (("dark", False), ("light", True)):
        found = re.search(rf"{name}: \[(.*?)\]", text)
        assert found
        lights = [luminance(stop) for stop in re.findall(r"#[0-9a-f]{6}", found[1])]
        assert len(lights) == 8
        assert lights == sorted(lights, reverse=falls)
        assert min(lights) < 0.02
        assert max(lights) > 0.9


def test_an_hour_is_no_larger_than_its_picture(tmp_path: Path) -> None:
    """The size of a page follows from its cells, not from the length of the recording."""
    few, many = (
        record(tmp_path / str(count), [snap(seq, [(0, MIB, seq % 21, seq, seq)]) for seq in range(count)])
        for count in (100, 1000)
    )
    small, large = (len(page_html.html(document_of(each, rows=8, columns=50))) for each in (few, many))
    assert large < small + 500
