"""Any text is a workload or a ConfigError; any workload can be written and read; its truth lies in its layout."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from udamon.errors import ConfigError
from udamon.model import PAGE_SIZE
from udamon.workload.config import parse
from udamon.workload.layout import Kind, place
from udamon.workload.spec import MODES, Pattern, Workload, WorkloadPhase, WorkRegion, format_workload
from udamon.workload.truth import Truth

NAMES = st.from_regex(r"[a-z][a-z0-9_./é-]{0,8}( [a-z]{1,3})?", fullmatch=True)
SHARES = st.floats(0, 1)
POSITIVE = st.floats(0.001, 1e15)
TICK = 5_000_000

SNIPPETS = st.sampled_from(
    ["a", "a, 4096", "b, 1M", "\n", "\n\n", "p", "100", "a, 1, 64, 1", "a, 0, 64, 1", "# udamon: ", "chance=", "rate=",
     "window=5% period=1s", "resident=", "1%", "0", "1e9", "9" * 30, "-", ",", " ", "٣", "\0", "\r", "#", "=", "none"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(SNIPPETS, max_size=40).map("".join)))
def test_the_parser_raises_nothing_but_config_errors(text: str) -> None:
    try:
        workload = parse(text)
    except ConfigError as error:
        message = str(error)
    else:
        Truth(workload, place(workload)).expected(0, 3, TICK)
        return
    assert message.startswith("<text>:")


@st.composite
def patterns(draw: st.DrawFn, names: list[str]) -> Pattern:
    random = draw(st.booleans())
    window = None if random else draw(st.none() | st.floats(0.001, 1))
    return Pattern(
        draw(st.sampled_from(names)),
        random,
        draw(st.integers(1, 1 << 16)),
        draw(st.floats(0, 1e15)),
        draw(st.sampled_from(MODES)),
        draw(st.none() | SHARES),
        window,
        None if window is None else draw(st.integers(1, 10**14)),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    inits = st.none() | st.sampled_from(["none", "/some file"])
    regions = [
        WorkRegion(name, draw(st.integers(1, 60)) * PAGE_SIZE, draw(inits), draw(SHARES)) for name in names
    ]
    phases = [
        WorkloadPhase(
            draw(NAMES),
            draw(st.integers(1, 10**8)),
            tuple(draw(st.lists(patterns(names), max_size=4))),
            draw(st.none() | POSITIVE),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    return Workload(tuple(regions), tuple(phases), draw(POSITIVE))


@given(workloads())
def test_what_is_written_reads_back(workload: Workload) -> None:
    assert parse(format_workload(workload)) == workload


@given(workloads(), st.sampled_from(["one", "separate"]), st.integers(0, 10**12), st.integers(1, 30))
def test_truth_is_sorted_disjoint_and_resident(workload: Workload, kind: Kind, t_ns: int, ticks: int) -> None:
    truth = Truth(workload, place(workload, kind))
    resident = {page for start, end in truth.resident() for page in range(start, end, PAGE_SIZE)}
    for stretches in (truth.pieces(t_ns, TICK), truth.expected(t_ns, ticks, TICK)):
        last = 0
        for start, end, *chances in stretches:
            assert last <= start < end
            assert start in resident
            assert end - PAGE_SIZE in resident
            assert start % PAGE_SIZE == end % PAGE_SIZE == 0
            assert all(0 <= chance <= 1 + 1e-9 for chance in chances)
            last = end


@given(workloads(), st.integers(0, 10**10))
def test_an_aggregation_of_one_tick_is_that_tick(workload: Workload, t_ns: int) -> None:
    truth = Truth(workload, place(workload))
    pieces = {page: p.chance for p in truth.pieces(t_ns, TICK) for page in range(p.start, p.end, PAGE_SIZE)}
    means = {page: e.mean for e in truth.expected(t_ns, 1, TICK) for page in range(e.start, e.end, PAGE_SIZE)}
    assert means.keys() == pieces.keys()
    assert all(abs(means[page] - pieces[page]) < 1e-12 for page in pieces)


@given(workloads(), st.integers(0, 10**10))
def test_segments_and_windows_say_the_same_as_pieces(workload: Workload, t_ns: int) -> None:
    truth = Truth(workload, place(workload))
    starts, ends, chances, windows, begin, end = truth.segments(t_ns, TICK)
    assert begin <= t_ns < end
    miss = {
        page: 1 - chance
        for start, stop, chance in zip(starts, ends, chances, strict=True)
        for page in range(start, stop, PAGE_SIZE)
    }
    for window in windows:
        for start, stop in window.parts(t_ns - begin):
            for page in range(start, stop, PAGE_SIZE):
                miss[page] = miss.get(page, 1.0) * (1 - window.chance)
    pieces = {page: p.chance for p in truth.pieces(t_ns, TICK) for page in range(p.start, p.end, PAGE_SIZE)}
    assert {page for page, missed in miss.items() if missed < 1} == pieces.keys()
    assert all(abs(1 - miss[page] - chance) < 1e-12 for page, chance in pieces.items())
