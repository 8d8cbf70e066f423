"""Hot and cold bytes by site, worked out by hand; and the files that other viewers read."""

from __future__ import annotations

import gzip
from array import array
from dataclasses import replace
from math import expm1
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.snapshots import recorded
from udamon.cli.main import main
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.report import pprof, sites
from udamon.report.charts import flame
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.svg import svg
from udamon.report.terminal import Terminal

S = 1_000_000_000
MIB = 1 << 20
MEAN = 1 << 19
STACKS = {
    "modules": [[0, "/bin/a", "00ff"]],
    "stacks": [[0, [0, 16, 0, 32]], [1, [0, 48, 0, 32]], [2, [-1, 5]]],
}
SYMBOLS = {
    "module": 0,
    "symbols": [
        [16, [["operator new(unsigned long)", None, None], ["hot", "/src/a.c", 3]]],
        [32, [["main", "/src/a.c", 9]]],
        [48, [["cold", "/src/b.c", 5]]],
    ],
}


def told(*rows: list[int], image: int = 0, pid: int = 7, begin: int = 0, **more: Any) -> Event:
    about = {"image": image, "pid": pid, "mean": MEAN, "begin": begin, "parent": None, "parent_ns": None}
    lost = {"lost_allocated": 0, "lost_bytes": 0, "lost_freed": 0}
    return Event(1, "allocations", about | lost | {"rows": list(rows)} | more)


def window(end: int, *regions: tuple[int, int, int], target: int = 0, pid: int = 7) -> Snapshot:
    """A second that ends at `end` s: start, end and touched of regions, all of them resident."""
    starts, ends, touched = ([row[at] for row in regions] for at in range(3))
    return Snapshot(
        target, pid, end, (end - 1) * S, end * S, S // 20, 20, array("Q", starts), array("Q", ends),
        array("I", [20 if some else 0 for some in touched]), array("I", [0] * len(starts)), array("Q", touched),
        array("Q", [high - low for low, high in zip(starts, ends, strict=True)]),
    )  # fmt: skip


def start(target: int = 0, pid: int = 7) -> Event:
    return Event(0, "target_start", {"target": target, "pid": pid, "comm": "a"})


CODE = [Event(1, "allocation_stacks", STACKS), Event(1, "symbols", SYMBOLS)]
FOUR = [  # 40 MiB at 16 MiB, hot; 32 at 64 MiB, touched two seconds ago; one that is freed; one without a name
    [1, 16 * MIB, 40 * MIB, 40 * MIB, 0],
    [1, 64 * MIB, 32 * MIB, 32 * MIB, 1],
    [2, 128 * MIB, 32 * MIB, 32 * MIB, 1],
    [3, 128 * MIB],
    [1, 256 * MIB, 16 * MIB, 16 * MIB, 2],
]
WINDOWS = [
    window(1, (16 * MIB, 56 * MIB, 40 * MIB), (64 * MIB, 96 * MIB, 32 * MIB)),
    window(2, (16 * MIB, 56 * MIB, 40 * MIB), (64 * MIB, 96 * MIB, 8 * MIB)),
    window(4, (16 * MIB, 56 * MIB, 40 * MIB), (64 * MIB, 96 * MIB, 0)),
]


def measured(recording: Recording, idle_s: float = 60, filters: Filters | None = None) -> sites.Sites:
    with RecordingSource(recording, filters) as source:
        return sites.measure(source, round(idle_s * S))


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return recorded(tmp_path / "a", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")


def test_by_hand(recording: Recording) -> None:
    report = measured(recording, 2.5)
    document = sites.document(report)
    found = {site["function"]: site for site in document["sites"]}
    assert list(found) == ["hot", "cold", None]
    hot, cold, unnamed = document["sites"]
    assert (hot["bytes"], hot["touched_bytes"], hot["cold_bytes"], hot["age_seconds"]) == (
        40 * MIB,
        40 * MIB,
        0,
        0,
    )
    assert (hot["file"], hot["line"], hot["module"]) == ("/src/a.c", 3, "/bin/a")
    assert [call["function"] for call in hot["stack"]] == ["operator new(unsigned long)", "hot", "main"]
    # In the last 2.5 s only a quarter was touched; two seconds ago.
    assert (cold["touched_bytes"], cold["cold_bytes"], cold["age_seconds"]) == (8 * MIB, 24 * MIB, 2)
    assert unnamed["resident_bytes"] == 0  # no window saw memory there
    assert (unnamed["accessed"], unnamed["age_seconds"]) == (False, pytest.approx(4))
    assert document["bytes"] == 88 * MIB
    assert document["idle_seconds"] == 2.5


def test_cold_is_of_the_time_that_was_asked_for(recording: Recording) -> None:
    """All that was recorded is less than a minute; half a second is the last window alone."""
    assert [site.cold for site in measured(recording).sites] == [0, 0, 0]
    assert measured(recording).idle_ns == 4 * S
    assert [site.cold for site in measured(recording, 0.5).sites] == [0, 32 * MIB, 0]


def test_the_usual_time_is_one_that_the_recording_can_tell_of(recording: Recording) -> None:
    """4 s were recorded: 2 s is the longest round time of at most half of it, in which only what is hot was touched.
    That is said, and how long it may be."""
    with RecordingSource(recording) as source:
        report = sites.measure(source)
    assert (report.idle_ns, [site.cold for site in report.sites]) == (2 * S, [0, 32 * MIB, 0])
    text = sites.render(report, Terminal(80, 0, False), 9)
    assert "cold: not touched for 2 s (--idle TIME: up to 4 s), or since it was allocated\n" in text
    assert "within the\ninterval of the column 95 %" in text
    assert "all that was recorded" in sites.render(measured(recording), Terminal(80, 0, False), 9)
    assert [sites.usual_idle(round(length * S)) for length in (0.8, 2, 9, 119, 120, 9000)] == [
        0.4 * S, S, 2 * S, 30 * S, 60 * S, 60 * S,
    ]  # fmt: skip


def test_bounds_have_signs(tmp_path: Path) -> None:
    """By refs, 16 of 64 MiB were touched, by either of two sites; what has a mapping of its own is exact."""
    rows = [
        [1, 16 * MIB, 32 * MIB, 32 * MIB, 0], [1, 48 * MIB, 32 * MIB, 32 * MIB, 0], [1, 128 * MIB, 8 * MIB, 8 * MIB, 1]
    ]  # fmt: skip
    regions = [window(1, (16 * MIB, 80 * MIB, 16 * MIB), (128 * MIB, 136 * MIB, 0))]
    report = measured(recorded(tmp_path / "a", [start(), *CODE, told(*rows), *regions], via="refs"))
    text = sites.render(report, Terminal(80, 0, False), 9)
    assert "≤32.0 MiB" in text
    assert "≥32.0 MiB" in text
    assert [row.split()[4:8] for row in text.splitlines() if row.strip().startswith("8.0 MiB")] == [
        ["0", "B", "8.0", "MiB"]
    ]


def test_an_earlier_moment(recording: Recording) -> None:
    """--time: what was alive then, though it was freed since."""
    early = recorded(recording.path.with_name("b"), [start(), *CODE, told([1, 4096, MIB, MIB, 0], [3 * S, 4096]),
                                                     *WINDOWS], via="pte")  # fmt: skip
    assert [site.size.low for site in measured(early, filters=Filters(time=(None, 2 * S))).sites] == [MIB]
    assert measured(early).sites == []


def test_mappings_leave_bounds(tmp_path: Path) -> None:
    """refs: of a mapping of two sites of which a quarter was touched, either may be it, and neither is for sure."""
    rows = [[1, 16 * MIB, 32 * MIB, 32 * MIB, 0], [1, 48 * MIB, 32 * MIB, 32 * MIB, 1]]
    regions = [window(1, (16 * MIB, 80 * MIB, 16 * MIB))]
    report = measured(recorded(tmp_path / "a", [start(), *CODE, told(*rows), *regions], via="refs"))
    for site in report.sites:
        assert (site.touched_low, site.touched) == (0, 16 * MIB)
        assert (site.cold, site.cold_high) == (16 * MIB, 32 * MIB)
    assert any("cannot be told apart" in note and "root" in note for note in report.notes)


def test_small_objects_stand_for_many(tmp_path: Path) -> None:
    """64 samples of 64 bytes, 512 KiB apart: 32 MiB, half of it on pages that were touched."""
    rows = [[1, MIB + 4096 * number, 64, 64, number % 2] for number in range(64)]
    regions = [(MIB + 4096 * number, MIB + 4096 * (number + 1), 4096 * (number % 2)) for number in range(64)]
    report = measured(recorded(tmp_path / "a", [start(), *CODE, told(*rows), window(1, *regions)], via="pte"))
    touched = {
        (site.call.function if site.call else None): (site.touched, site.cold) for site in report.sites
    }
    each = pytest.approx(16 * MIB, rel=1e-3)
    assert touched == {"hot": (0, each), "cold": (each, 0)}
    assert report.total.low < 28 * MIB < 32 * MIB < 36 * MIB < report.total.high


def test_two_sites_on_one_page(tmp_path: Path) -> None:
    """Of 64 pages one site has the first half of each, another one the second of 32: where the first is touched, so
    seems the second, and what is cold of it are the pages where neither was."""
    rows = [[1, MIB + 4096 * page, 2048, 2048, 0] for page in range(64)]
    rows += [[1, MIB + 4096 * page + 2048, 2048, 2048, 1] for page in range(0, 64, 2)]
    regions = [(MIB + 4096 * page, MIB + 4096 * (page + 1), 4096 * (page % 4 == 0)) for page in range(64)]
    report = measured(recorded(tmp_path / "a", [start(), *CODE, told(*rows), window(1, *regions)], via="pte"))
    found = {site.call and site.call.function: (site.touched, site.cold) for site in report.sites}
    each = 2048 / -expm1(-2048 / MEAN)
    assert found["hot"] == pytest.approx((16 * each, 48 * each))
    assert found["cold"] == pytest.approx((16 * each, 16 * each))
    assert sites.SMALL in report.notes


def test_the_programs_own_python_code_names_a_site(tmp_path: Path) -> None:
    """Not functions of C, of packages or of the standard library; these where there is nothing else."""
    calls = [
        [1, [["zeros", "/v/lib/python3.11/site-packages/numpy/core.py", 7]]],
        [2, [["table", "/home/a/job.py", 12]]],
        [3, [["run", "/usr/lib/python3.11/threading.py", 4]]],
    ]
    code = {
        "modules": [[0, "/bin/a", "00ff"], [1, "[python]", ""]],
        "stacks": [[0, [0, 16, 1, 1, 1, 2, 1, 3]], [1, [0, 16, 1, 1, 1, 3]]],
    }
    events = [
        Event(1, "allocation_stacks", code),
        Event(1, "symbols", SYMBOLS),
        Event(1, "symbols", {"module": 1, "symbols": calls}),
    ]
    report = measured(recorded(tmp_path / "a", [start(), *events, told(*FOUR[:2]), *WINDOWS], via="pte"))
    assert [site.call and site.call.function for site in report.sites] == ["table", "zeros"]
    assert "table (job.py:12) < run" in sites.render(report, Terminal(width=80), 5)


def test_an_exec_ends_what_was_alive(tmp_path: Path) -> None:
    """Unless the new program has told something itself."""
    executed = Event(3 * S, "target_exec", {"target": 0, "pid": 7, "comm": "b"})
    old = told([1, 16 * MIB, 32 * MIB, 32 * MIB, 0])
    report = measured(recorded(tmp_path / "a", [start(), *CODE, old, executed, *WINDOWS], via="pte"))
    assert report.sites == []
    new = told([3 * S, 64 * MIB, 32 * MIB, 32 * MIB, 1], image=1, begin=3 * S)
    report = measured(recorded(tmp_path / "b", [start(), *CODE, old, new, executed, *WINDOWS], via="pte"))
    assert [site.call and site.call.function for site in report.sites] == ["cold"]


def test_never_an_empty_table(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no allocations; record them"):
        measured(recorded(tmp_path / "a", [start(), *WINDOWS], via="pte"))
    unseen = Event(5 * S, "allocations_unseen", {"pid": 7, "comm": "a", "why": "it is static"})
    with pytest.raises(RecordingError, match=r"No allocation was seen in 7 \(a\): it is static"):
        measured(recorded(tmp_path / "b", [start(), unseen, *WINDOWS], via="pte"))


def test_a_shell_around_a_program_that_allocates(tmp_path: Path) -> None:
    """That of the shell nothing was seen is not all there is to say."""
    unseen = Event(5 * S, "allocations_unseen", {"pid": 7, "comm": "sh", "why": "it allocated too little"})
    other = told([1, 4096, MIB, MIB, 0], image=1, pid=8)
    with pytest.raises(
        RecordingError,
        match=r"in 7 \(sh\): it allocated too little; allocations of 1 more process were recorded, .* --children",
    ):
        measured(recorded(tmp_path / "a", [start(), *CODE, other, unseen, *WINDOWS], via="pte"))


def test_processes_that_were_not_watched_are_told(tmp_path: Path) -> None:
    other = told([1, 4096, MIB, MIB, 0], image=1, pid=8)
    report = measured(recorded(tmp_path / "a", [start(), *CODE, told(*FOUR), other, *WINDOWS], via="pte"))
    assert report.allocations.unwatched == 1
    assert any("--children" in note for note in report.notes)


def shared(shot: Snapshot, private: int) -> Snapshot:
    """One region, so many bytes of which nothing else maps."""
    size = shot.ends[0] - shot.starts[0]
    rows: list[list[int | None]] = [[private], [size], [shot.touched[0]], [1], [None], [None]]
    return replace(shot, sharing=Sharing.of(rows))


@pytest.mark.parametrize(
    ("private", "resident", "touched"),
    [((0, 0), 32, 16), ((8, 12), 32 - 8 + 8 + 12, 16), ((32, 32), 64, 16)],
    ids=["shared", "copied in part", "copied"],
)
def test_what_a_forked_process_inherited_counts_once(
    tmp_path: Path, private: tuple[int, int], resident: int, touched: int
) -> None:
    """32 MiB, of which the parent touched 4 and the child 12, and 16 MiB of the child alone. They share what is not
    copied: at least as much as the parent has of that."""
    own = told([1, 16 * MIB, 32 * MIB, 32 * MIB, 0])
    child = told([3, 64 * MIB, 16 * MIB, 16 * MIB, 1], image=1, pid=8, begin=2, parent=0, parent_ns=2)
    shots = [
        shared(window(4, (16 * MIB, 48 * MIB, 4 * MIB)), private[0] * MIB),
        shared(window(4, (16 * MIB, 48 * MIB, 12 * MIB), target=1, pid=8), private[1] * MIB),
    ]
    events = [start(), start(1, 8), *CODE, own, child]
    report = measured(recorded(tmp_path / "a", [*events, *shots], via="pte"))
    inherited = next(site for site in report.sites if site.size.estimate == 32 * MIB)
    assert (inherited.samples, inherited.resident, inherited.touched) == (1, resident * MIB, touched * MIB)
    assert (inherited.touched_low, inherited.cold) == (12 * MIB, (resident - touched) * MIB)
    assert report.total.estimate == pytest.approx(48 * MIB)
    assert any("counts once" in note for note in report.notes)
    alone = measured(recorded(tmp_path / "b", [*events, *shots], via="pte"), filters=Filters(targets=(1,)))
    assert alone.total.estimate == pytest.approx(48 * MIB)
    assert alone.sites[0].touched == 12 * MIB


@pytest.mark.parametrize(("sizes", "said"), [((40, 41), True), ((40, 40), False)])
def test_most_memory_may_be_of_no_site(tmp_path: Path, sizes: tuple[int, int], said: bool) -> None:
    """40 MiB of a site are there, and 41 or 40 MiB of nobody's."""
    low, high = 16 * MIB, 256 * MIB
    regions = [(low, low + sizes[0] * MIB, 0), (high, high + sizes[1] * MIB, 0)]
    shot = window(4, *regions)
    rows: list[list[int | None]] = [
        [0, 0],
        [size * MIB for size in sizes],
        [0, 0],
        [1, 1],
        [None, None],
        [None, None],
    ]
    own = told([1, low, 40 * MIB, 40 * MIB, 0])
    events: list[Event | Snapshot] = [start(), *CODE, own, replace(shot, sharing=Sharing.of(rows))]
    report = measured(recorded(tmp_path / "a", events, via="pte"))
    assert sites.document(report)["anonymous_bytes"] == sum(sizes) * MIB
    assert any("of no site" in note or "taken otherwise" in note for note in report.notes) is said


def test_filters_of_regions_make_no_sense(recording: Recording) -> None:
    with pytest.raises(UsageError, match="only --time and --target"):
        measured(recording, filters=Filters(size=(1, 2)))


def test_text_has_80_columns(recording: Recording) -> None:
    text = sites.render(measured(recording), Terminal(width=80), 20)
    assert max(map(len, text.splitlines())) <= 80
    assert "hot (a.c:3) < main" in text


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of protobuf at a place, and where it ends."""
    value = shift = 0
    while data[at] >= 0x80:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | data[at] << shift, at + 1


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """A message: its fields, numbers and bytes."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value: int | bytes
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + int(value)], at + int(value)
        found.append((key >> 3, value))
    return found


def packed(data: int | bytes) -> list[int]:
    assert isinstance(data, bytes)
    at, found = 0, []
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def test_pprof(recording: Recording) -> None:
    """Read back by the field numbers of profile.proto (github.com/google/pprof, proto/profile.proto)."""
    profile = fields(gzip.decompress(pprof.profile(measured(recording, 2.5), 5 * S)))
    strings = [bytes(value).decode() for field, value in profile if field == 6 and isinstance(value, bytes)]
    assert strings[0] == ""
    functions = {}
    for field, value in profile:
        if field == 5 and isinstance(value, bytes):
            row = dict(fields(value))
            functions[row[1]] = (strings[int(row[2])], strings[int(row.get(4, 0))])
    assert set(functions.values()) >= {("hot", "/src/a.c"), ("main", "/src/a.c"), ("cold", "/src/b.c")}
    locations = {}
    for field, value in profile:
        if field == 4 and isinstance(value, bytes):
            row = dict(fields(value))
            line = dict(fields(bytes(row[4])))
            locations[row[1]] = (functions[line[1]][0], line.get(2, 0), row[3])
    samples = [dict(fields(value)) for field, value in profile if field == 2 and isinstance(value, bytes)]
    stacks = [[locations[place][0] for place in packed(sample[1])] for sample in samples]
    assert stacks[:2] == [["operator new(unsigned long)", "hot", "main"], ["cold", "main"]]
    assert ("hot", 3, 16) in locations.values()
    assert ("cold", 5, 48) in locations.values()
    types = [dict(fields(value)) for field, value in profile if field == 1 and isinstance(value, bytes)]
    assert [strings[int(one[1])] for one in types] == ["live", "touched", "cold"]
    assert dict(profile)[9] == 5 * S


@pytest.mark.parametrize(
    ("clocks", "time_ns"), [({"wall_ns": 1000 * S, "monotonic_ns": S}, 1003 * S), ({}, None)]
)
def test_pprof_has_the_time_of_the_end(tmp_path: Path, clocks: dict[str, int], time_ns: int | None) -> None:
    """The windows end 4 s after the clock's zero, which was 999 s after 1970; without clocks no time is known."""
    recorded(tmp_path / "a", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte", **clocks)
    out = tmp_path / "profile"
    assert main(["report", "sites", str(tmp_path / "a"), "--pprof", str(out)]) == 0
    assert dict(fields(gzip.decompress(out.read_bytes()))).get(9) == time_ns


def test_pprof_of_a_module_that_nothing_tells_of(tmp_path: Path) -> None:
    """The event that names module 5 is missing: its location has no mapping, and its address all the same."""
    stacks = Event(1, "allocation_stacks", {"modules": [], "stacks": [[0, [5, 16]]]})
    rows = told([1, 16 * MIB, 40 * MIB, 40 * MIB, 0])
    report = measured(recorded(tmp_path / "a", [start(), stacks, rows, *WINDOWS], via="pte"), 2.5)
    profile = fields(gzip.decompress(pprof.profile(report, 5 * S)))
    (location,) = (dict(fields(value)) for field, value in profile if field == 4 and isinstance(value, bytes))
    assert (location.get(2, 0), location[3]) == (0, 16)
    assert not [value for field, value in profile if field == 3]


def test_flame_graph(recording: Recording) -> None:
    """A box for each call, callers as wide as what they call; well-formed, whatever functions are called."""
    report = measured(recording, 2.5)
    for site in report.sites:
        site.calls = [
            call._replace(function=call.function and f'{call.function}<&"\x1b') for call in site.calls
        ]
    root = ElementTree.fromstring(svg(flame.drawing(report)))
    boxes = {}
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        title = box.find("{http://www.w3.org/2000/svg}title")
        if title is not None and title.text is not None:
            boxes[title.text.split(":")[0].split("<")[0]] = float(box.attrib["width"])
    assert boxes["main"] == pytest.approx(boxes["hot"] + boxes["cold"], abs=1)
    assert boxes["all"] == pytest.approx(1180, abs=1)
