"""Regions of a moment, their mappings, and what `info` says of a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_wss import START, record, snap
from tests.unit.snapshots import recorded
from tests.unit.snapshots import snap as snapshot
from udamon.cli.main import main
from udamon.model import Event, Rates, Snapshot
from udamon.record.naming import kind_of
from udamon.record.reader import Recording
from udamon.report import access, access_groups, info
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.mappings import MappingTable, label_of
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal


def lines(
    recording: Recording, filters: Filters | None = None, **options: object
) -> list[tuple[int, str | None]]:
    """(start, mapping name) of the lines of the report."""
    with RecordingSource(recording, filters) as source:
        report = access.measure(source, **options)  # type: ignore[arg-type]
    return [(line.start, line.mapped.name if line.mapped else None) for line in report.lines]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Three windows; between the second and the third, "/lib/a.so" goes and "/lib/b.so" comes in its place."""
    regions = [(0x1000, 0x3000, 20, 1, 100), (0x3000, 0x4000, 0, 9, 0), (0x8000, 0x10000, 5, 3, 700)]
    add = [[0x1000, 0x2800, "r-xp", 0, 1, "/lib/a.so"], [0x2800, 0x4000, "rw-p", 0, 0, "[heap]"]]
    later = START + 250_000_000
    return record(
        tmp_path / "a",
        [
            Event(START, "target_start", {"target": 0, "pid": 100, "comm": "x", "cmdline": ["x", "-y"], "user": "u"}),
            Event(START, "mappings", {"target": 0, "add": add, "remove": []}),
            snap(0, regions),
            snap(1, regions),
            Event(later, "mappings", {"target": 0, "add": [[0x1000, 0x2800, "r-xp", 0, 2, "/lib/b.so"]],
                                      "remove": [0x1000]}),
            snap(2, regions),
            Event(later + 1, "cost", {"cpu_ns": 1_500_000, "max_rss_bytes": 1 << 20, "checks": 60, "snapshots": 3}),
            Event(later + 2, "target_end", {"target": 0, "pid": 100, "why": "exited"}),
        ],
    )  # fmt: skip


def test_last_moment_with_its_mappings(recording: Recording) -> None:
    """The last snapshot by default; each region with the mapping it shares most bytes with."""
    assert lines(recording) == [(0x1000, "/lib/b.so"), (0x3000, "[heap]"), (0x8000, None)]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_rows_end_where_the_terminal_does(tmp_path: Path, columns: int) -> None:
    """A long name is cut; where there is room it is whole."""
    name = "/usr/lib/python3.11/lib-dynload/mmap.cpython-311-x86_64-linux-gnu.so"
    add = [[0x7F0000001000, 0x7F0000003000, "r-xp", 0, 1, name]]
    steps: list[Snapshot | Event] = [
        Event(START, "mappings", {"target": 0, "add": add, "remove": []}),
        snap(0, [(0x7F0000001000, 0x7F0000003000, 20, 1, 8192)]),
    ]
    recording = record(tmp_path / "b", steps)
    with RecordingSource(recording) as source:
        row = access.render(access.measure(source), Catalog(recording), columns).splitlines()[3]
    assert len(row) <= columns
    assert row.endswith("mmap.cpython-311-x86_64-linux-gnu.so") == (columns == 120)


def test_a_name_that_comes_after_the_window(tmp_path: Path) -> None:
    """What was mapped within a window is named by the next update; what came later than that is another's."""
    regions = [(0x1000, 0x3000, 20, 1, 100), (0x8000, 0x9000, 5, 3, 700)]
    add = [[0x1000, 0x3000, "r--p", 0, 1, "/data"]], [[0x8000, 0x9000, "r--p", 0, 2, "/later"]]
    steps: list[Snapshot | Event] = [
        snap(0, regions), Event(START + 150_000_000, "mappings", {"target": 0, "add": add[0], "remove": []}),
        snap(1, regions), Event(START + 250_000_000, "mappings", {"target": 0, "add": add[1], "remove": []}),
        snap(2, regions),
    ]  # fmt: skip
    recording = record(tmp_path / "b", steps)
    assert lines(recording, at_ns=100_000_000) == [(0x1000, "/data"), (0x8000, None)]
    assert lines(recording) == [(0x1000, "/data"), (0x8000, "/later")]


@pytest.mark.parametrize(
    ("at", "name"),
    [(0, "/lib/a.so"), (150, "/lib/a.so"), (299, "/lib/a.so"), (300, "/lib/b.so"), (9999, "/lib/b.so")],
)
def test_at_a_moment(recording: Recording, at: int, name: str) -> None:
    """--at takes the last window that ended by then (the first, when none did) and its mappings."""
    assert lines(recording, at_ns=at * 1_000_000)[0] == (0x1000, name)


@pytest.mark.parametrize(
    ("sort", "starts"),
    [
        ("address", [0x1000, 0x3000, 0x8000]),
        ("size", [0x8000, 0x1000, 0x3000]),
        ("rate", [0x1000, 0x8000, 0x3000]),
        ("age", [0x3000, 0x8000, 0x1000]),
        ("touched", [0x8000, 0x1000, 0x3000]),
    ],
)
def test_sort_and_top(recording: Recording, sort: str, starts: list[int]) -> None:
    """Each order, largest first; --top keeps the first of them."""
    assert [start for start, _ in lines(recording, sort=sort)] == starts
    assert [start for start, _ in lines(recording, sort=sort, top=2)] == starts[:2]


def test_filters(recording: Recording) -> None:
    """Regions by size, rate and age."""
    assert [start for start, _ in lines(recording, Filters.parse(size="8KiB-"))] == [0x1000, 0x8000]
    assert [start for start, _ in lines(recording, Filters.parse(rate="-50%"))] == [0x3000, 0x8000]
    assert [start for start, _ in lines(recording, Filters.parse(age="300ms-800ms"))] == [0x8000]


def test_regions_of_several_targets_are_not_told_as_those_of_the_first(tmp_path: Path) -> None:
    """Where --top leaves regions of one target alone."""
    one = snap(0, [(0x1000, 0x2000, 20, 1, 100)])
    found = record(tmp_path / "a", [one, replace(one, target=1)])
    with RecordingSource(found) as source:
        report = access.measure(source, top=1)
    text = access.render(report, Catalog(found))
    assert text.startswith("at ")
    assert "1 of 2 regions" in text
    assert "target 0" in text.splitlines()[-1]


def test_document_and_text(recording: Recording) -> None:
    """The promised keys; text with sizes, rates, names."""
    with RecordingSource(recording) as source:
        report = access.measure(source)
    found = access.document(report)
    assert found["time"] == (START + 300_000_000) / 1e9
    assert found["regions"][0] == {
        "target": 0, "pid": 100, "start": 0x1000, "end": 0x3000, "nr_accesses": 20, "rate": 1.0, "age": 1,
        "access_rate": None, "rate_low": None, "rate_high": None,
        "touched_bytes": 100, "upper_bound": False, "bounds": None, "resident_bytes": None,
        "temperature": 10_010_000,
        "mapping": "/lib/b.so", "kind": "library",
    }  # fmt: skip
    text = access.render(report, Catalog(recording))
    assert (
        f"pid 100 x, at 300 ms{Catalog(recording).wall(report.time_ns)}: 3 regions, 44.0 KiB, 800 B touched"
        in text
    )
    assert "100%" in text
    assert "b.so" in text


def test_rates_with_their_interval(tmp_path: Path) -> None:
    """Where they are known, the text has them in place of nr_accesses / ticks, and between which values they are."""
    shot = snapshot(0, [(0x1000, 0x2000, 7, 0), (0x3000, 0x4000, 0, 0)])
    rates = Rates.of([[1 / 3, None], [0.21, None], [0.4, None]])
    recording = recorded(tmp_path / "a", [replace(shot, rates=rates)], via="pte")
    with RecordingSource(recording) as source:
        report = access.measure(source)
    first, second = access.document(report)["regions"]
    assert (first["access_rate"], first["rate_low"], first["rate_high"]) == (1 / 3, 0.21, 0.4)
    assert (second["access_rate"], second["rate_low"], second["rate_high"]) == (None, None, None)
    shown = access.render(report, Catalog(recording)).splitlines()
    assert shown[2].split()[:4] == ["start", "size", "rate", "between"]
    assert shown[3].split()[:5] == ["1000", "4.0", "KiB", "33%", "21%-40%"]
    assert shown[4].split()[3:5] == ["0%", "-"]
    with RecordingSource(recording, Filters.parse(address="0x1000-0x1800")) as source:
        assert access.measure(source).lines[0].rates == (1 / 3, 0.21, 0.4), "a part is accessed as often"


def test_info(recording: Recording) -> None:
    """Counts, length, cost of the monitor, targets."""
    with RecordingSource(recording) as source:
        report = info.measure(source, Catalog(recording))
    found = info.document(report)
    assert (found["snapshots"], found["regions"], found["seconds"]) == (3, 9, pytest.approx(0.3))
    assert found["via"] == "sim"
    assert found["monitor"] == {"cpu_seconds": 0.0015, "max_rss_bytes": 1 << 20, "checks": 60}
    assert found["truncated"] is False
    assert found["targets"][0]["cmdline"] == ["x", "-y"]
    assert found["targets"][0]["ended"] == "exited"
    text = info.render(report, Terminal())
    assert "3 snapshots, 3 regions each" in text
    (length,) = (
        words for name, words in info.facts(replace(report, snapshots=1, regions=5)) if name == "length"
    )
    assert length.endswith("1 snapshot, 5 regions")
    assert "60 checks" in text


def test_the_cost_is_that_of_all_the_time(tmp_path: Path) -> None:
    """The totals of a rotated recording are of more time than it has left; the start is told beside the share.
    So is what the targets lost: 12 s of 600 are 2 %."""
    begun, seconds = 7 * 10**9, 600
    cost = {"cpu_ns": 6_200_000_000, "max_rss_bytes": 1 << 20, "checks": 1, "snapshots": 5000}
    cost |= {"target_cost_ns": 12 * 10**9, "longest_pause_ns": 10**6}
    windows = [snapshot(5, [(0, 4096, 1, 0)], begin=begun + (seconds - 1) * 10**9, window=10**9)]
    recording = recorded(
        tmp_path / "a",
        [*windows, Event(begun + seconds * 10**9, "cost", cost)],
        monotonic_ns=begun,
        startup_cpu_ns=200_000_000,
        part=7,
    )
    with RecordingSource(recording) as source:
        text = info.render(info.measure(source, Catalog(recording)), Terminal())
    assert "6.2 s of CPU, 200 ms of it to start (1.00% of one CPU after that), 1.0 MiB resident" in text
    assert "lost about 12 s (2.00% of one CPU) by an estimate" in text


def test_costs_that_are_not_told_are_left_out(tmp_path: Path) -> None:
    """CPU time alone: nothing is said of memory or checks, which were told as 0."""
    steps: list[Snapshot | Event] = [
        snapshot(0, [(0, 4096, 1, 0)]),
        Event(START, "cost", {"cpu_ns": 10**9, "elapsed_ns": 10**11}),
    ]
    recording = recorded(tmp_path / "a", steps, via="idle", policy="adaptive")
    with RecordingSource(recording) as source:
        words = dict(info.facts(info.measure(source, Catalog(recording))))
    assert words["monitor"] == "1 s of CPU (1.00% of one CPU)"


def test_regions_of_snapshots_that_have_unlike_numbers(tmp_path: Path) -> None:
    """1 and 3: none has the 2 that they have on average."""
    rows = [[(0, 4096, 1, 0)], [(at * 4096, (at + 1) * 4096, 1, 0) for at in range(3)]]
    recording = recorded(tmp_path / "a", [snapshot(seq, rows[seq]) for seq in range(2)])
    with RecordingSource(recording) as source:
        words = dict(info.facts(info.measure(source, Catalog(recording))))
    assert words["length"] == "200 ms, 2 snapshots, 2 regions on average"


def test_mappings_that_are_told_again_count_once(tmp_path: Path) -> None:
    """A heap that grew, and the beginning of the next part of a rotated recording."""
    heap, file = [4096, 8192, "rw-p", 0, 0, "[heap]"], [16384, 20480, "r--p", 0, 7, "/data"]
    grown = [4096, 12288, "rw-p", 0, 0, "[heap]"]
    events = [
        Event(1, "mappings", {"target": 0, "add": [heap, file], "remove": []}),
        Event(2, "mappings", {"target": 0, "add": [grown], "remove": [4096]}),
        Event(3, "mappings", {"target": 0, "add": [grown, file], "remove": []}),
        Event(4, "mappings", {"target": 1, "add": [file], "remove": []}),
    ]
    with RecordingSource(recorded(tmp_path / "a", events)) as source:
        assert info.document(info.measure(source, Catalog(source.recording)))["mappings"] == 3


SUMMED = [
    ("heatmap",), ("access",), ("access", "--style", "hot"), ("access", "--style", "recency-percentiles"),
    ("access", "--style", "temperature-sz-hist"), ("wss", "--definition", "damo"), ("footprint", "--what", "monitored"),
    ("wss", "--definition", "damo", "--by", "mapping"),
]  # fmt: skip


@pytest.mark.parametrize("words", SUMMED, ids=" ".join)
def test_a_sum_over_processes_is_told_as_one(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have the same page of shared memory, which counts in each; of one process nothing is said."""
    row = [4096, 8192, "rw-s", 0, 7, "/dev/shm/a"]
    mapped = [Event(1, "mappings", {"target": target, "add": [row], "remove": []}) for target in (0, 1)]
    windows = [snapshot(seq, [(4096, 8192, 3, 0)], target=target) for seq in range(3) for target in (0, 1)]
    path = str(recorded(tmp_path / "a", [*mapped, *windows]).path)
    summed = "Sums over processes: memory that they share counts in each."
    for more, said in ((), 1), (("--target", "0"), 0):
        assert main(["report", *words, path, *more]) == 0
        assert capsys.readouterr().out.splitlines().count(summed) == said
    if words[0] in ("heatmap", "access") and len(words) == 1:
        assert main(["report", *words, path, "--svg", str(tmp_path / "a.svg")]) == 0
        assert summed in (tmp_path / "a.svg").read_text()


def test_info_of_nothing(tmp_path: Path) -> None:
    """A recording without any snapshot is described too."""
    recording = record(tmp_path / "a", [Event(1, "note", {"text": "nothing to see"})])
    with RecordingSource(recording) as source:
        report = info.measure(source, Catalog(recording))
    assert info.document(report)["snapshots"] == 0
    assert "nothing to see" in info.render(report, Terminal())


def test_largest_overlap() -> None:
    """The larger share wins, the lower one when equal, none when nothing is shared."""
    table = MappingTable()
    table.apply({"add": [[0, 10, "", 0, 0, "a"], [10, 30, "", 0, 0, "b"], [40, 50, "", 0, 0, "c"]]})
    cases = {(0, 15): "a", (5, 30): "b", (5, 15): "a", (30, 40): None, (29, 45): "c", (60, 70): None}
    found = {span: table.largest_overlap(*span) for span in cases}
    assert {span: mapped and mapped.name for span, mapped in found.items()} == cases


@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [
        ("[heap]", "heap", "heap"),
        ("[stack]", "stack", "stack"),
        ("", "anonymous", "anonymous"),
        ("[anon:arena]", "anonymous", "anon:arena"),
        ("/usr/lib/libc.so.6", "library", "libc.so.6"),
        ("/usr/lib/libx.so (deleted)", "library", "libx.so"),
        ("/srv/data.db", "file", "data.db"),
        ("/dev/zero (deleted)", "shared", "shared"),
        ("/memfd:pool (deleted)", "shared", "memfd:pool"),
        ("/SYSV00000000 (deleted)", "shared", "shared"),
        ("[vdso]", "kernel", "vdso"),
    ],
)
def test_kinds_and_labels(name: str, kind: str, label: str) -> None:
    """What people see for the names the kernel prints."""
    assert (kind_of(name), label_of(name)) == (kind, label)


def test_by_mapping_and_by_process(recording: Recording) -> None:
    """Sums of the regions of each mapping and of each process, the most touched first."""
    with RecordingSource(recording) as source:
        report = access.measure(source)
    catalog = Catalog(recording)
    found = access_groups.groups(report, catalog, "mapping")
    assert [(group.label, group.regions, group.size, group.touched, group.rate) for group in found] == [
        ("(unknown)", 1, 0x8000, 700, 0.25), ("b.so", 1, 0x2000, 100, 1.0), ("heap", 1, 0x1000, 0, 0.0)
    ]  # fmt: skip
    (process,) = access_groups.groups(report, catalog, "process")
    assert (process.label, process.regions, process.size, process.touched) == ("pid 100 x", 3, 0xB000, 800)
    assert process.rate == pytest.approx((0x2000 + 0x8000 / 4) / 0xB000)
    assert process.age_ns == 100_000_000
    assert access_groups.document(report, found)["groups"][1]["mapping"] == "/lib/b.so"
    text = access_groups.render(report, found, catalog, Terminal(80, 0, False))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80


def test_by_refs_files_and_shared_memory_are_upper_bounds(recording: Recording) -> None:
    """What others read counts, too; anonymous memory is only the process's own, and other ways tell processes apart.

    What is in no known mapping may be of a file."""
    kinds = ("file", "library", "shared", "heap", "stack", "anonymous", "kernel")
    for via, bounds in (("refs", 3), ("idle", 0), ("kernel", 0), (None, 0)):
        recording.metadata["via"] = via
        catalog = Catalog(recording)
        assert [kind for kind in kinds if catalog.upper_bound(kind)] == list(kinds[:bounds])
    recording.metadata["via"] = "refs"
    with RecordingSource(recording) as source:
        lines = access.document(access.measure(source))["regions"]
    assert [(line["kind"], line["upper_bound"]) for line in lines] == [
        ("library", True), ("heap", False), (None, True),
    ]  # fmt: skip
