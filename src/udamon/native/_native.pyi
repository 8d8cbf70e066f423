"""The C hot path of udamon."""

from collections.abc import Sequence
from typing import NewType

from typing_extensions import Buffer

def touch(
    memory: Buffer,
    patterns: tuple[tuple[int, int, int, int, float, bool, int], ...],
    cursors: Buffer,
    deadline_ns: int,
    rate: float,
    seed: int,
) -> list[int]:
    """Access `memory` until `deadline_ns` on CLOCK_MONOTONIC, the interpreter's lock released.

    A pattern is (offset, length, region, stride, weight, random, mode): bytes from the start of `memory`,
    the index of its region in `cursors` (array 'Q', bytes, kept up to date), mode 1 read, 2 write, 3 both.
    `rate` limits all patterns together to so many accesses a second, 0 not at all. Returns the accesses
    made, one number a pattern. Signal handlers run at least every 50 ms; what they raise ends the call.
    Raises ValueError for a pattern that reaches outside the memory.
    """

def populate(memory: Buffer, offset: int, length: int) -> None:
    """Write one byte of every page of that part of `memory`, bytes from its start. Raises ValueError."""

def guard(memory: Buffer, offset: int, length: int) -> None:
    """Make whole pages of `memory` inaccessible. Raises ValueError, or OSError as mprotect does."""

def address_of(buffer: Buffer) -> int:
    """The address of the buffer's first byte."""

def visit_cpus(cpus: Sequence[Buffer], /) -> int:
    """Run on each of the processors (one array 'i') for 0.1 ms, so that nothing of another address space is left in its
    TLB; as a real-time thread where that is permitted, else when it is this thread's turn there. The interpreter's lock
    is released. Returns how many were visited: not those on which the thread may not run.
    """

def hot_set_start(control: Buffer, size: int, cpu: int, /) -> tuple[int, int]:
    """Fork a child that touches a hot set, a byte of each of its pages, for ever; it ends with its parent.

    The set is the beginning of a private mapping of `size` bytes of small pages with guard pages around it; what was
    hot once stays resident. `control` (shared memory, two 'Q') has the bytes that are hot, which may change at any
    time, and the rounds that were completed. `cpu` is where it runs, -1 anywhere. Returns its pid and the mapping's
    address; the caller ends and collects it. Raises OSError, ValueError.
    """

def sim_sample(
    buffers: Sequence[Buffer], ticks: int, first_tick: int, truth_seed: int, draw_seed: int, /
) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    """Checks on a simulated space. `buffers` are, in this order, native-endian arrays of

    sets of truth ('I' first tick, 'I' first segment, 'I' first window), segments ('Q' start, 'Q' end,
    'd' chance per tick), windows (six 'd': base, length, width, position on tick 0, step a tick, chance),
    resident ranges ('Q' start, 'Q' end), slots ('Q' start, 'Q' end, 'I' checks, 'I' span).

    Returns, as bytes: per slot hits 'I' and no_page 'I'; per check slot 'I', address 'Q', span 'I' and
    answer 'B'. Raises ValueError for arrays that do not fit together. The interpreter's lock is released.
    """

def idle_sample(
    buffers: Sequence[Buffer],
    flags_fd: int,
    bitmap_fd: int,
    event_fd: int,
    begin_ns: int,
    ticks: int,
    tick_ns: int,
    seed: int,
    /,
) -> tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]:
    """Run `ticks` ticks of checks by idle page tracking; tick k begins at begin_ns + k * tick_ns (monotonic).

    `buffers` are native-endian arrays: page map descriptors 'i' (one a target; -1 gone, -2 addresses are
    physical), slots ('I' target, 'Q' start, 'Q' end, 'I' checks, 'I' span), and processors 'i' to visit after
    each tick's preparations. `flags_fd` is kpageflags, `bitmap_fd` the idle bitmap. A write to the eventfd
    `event_fd` ends the call within one tick.

    Returns the ticks done, then as bytes: per slot hits 'I' and no_page 'I'; per check slot 'I', address 'Q',
    span 'I', answer 'B' and shift 'B'; per tick lateness 'q' in ns; per target 1 where the address space
    ended 'B'; 256 counts 'I' of failed calls by errno, the last one of frame numbers withheld; and the
    calls made 'Q': page map reads, flag reads, bitmap writes, bitmap reads. Raises ValueError for slots
    that make no sense, MemoryError. The interpreter's lock is released.
    """

def points_take(
    buffers: Sequence[Buffer], target: int, whole: int, older: int, limit: int, begin: int, end: int, /
) -> bytearray:
    """Points sorted by address, with new answers among them. `buffers`: the points before (packed as in
    points.h: 'Q' start, 'I' pages, 'B' kind, 'B' age, 2 bytes); answers ('I' slot, 'Q' address, 'I' span,
    'B' answer, 'B' shift), each slot's target 'I'; holes ('Q' start, 'Q' end); and ranges ('Q' start,
    'Q' end, 'B' age) in which points that are at least so old are dropped.

    Only answers of slots of `target` are taken; one whose span is at least `whole` ticks spans all. Points
    grow `older` aggregations older, and are forgotten beyond `limit`. Of a huge page only the part in
    [begin, end) is taken. Raises ValueError.
    """

def steps_fit(
    buffers: Sequence[Buffer],
    unchanged: int,
    begin: int,
    end: int,
    ticks: int,
    prior: float,
    drift: float,
    change: float,
    least_change: float,
    surprise: float,
    suspect_age: int,
    /,
) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]:
    """The most probable steps behind points (packed, see points_take). `buffers` go on with the tables of
    core.adaptive.likelihood, all 'd': answers by kind, old and new, and state; entering a state; a step in
    a distance; the weight of an age; the rate of a state. Then the steps before: 'Q' place, low,
    high and reach, 'd' height. A step that is found again keeps its gap, wider by `drift` of the smaller
    segment beside it. States from `unchanged` on are those of a change, of which only new points count.
    The space is [begin, end); an aggregation has `ticks` ticks; `prior` checks' weight goes to the level.

    Where the points of a segment from before some time speak for a level that differs by more than
    `least_change`, and two levels explain them by more than `change` nats better, only those since count.
    Without points, all is one segment of the first state that is not accessed.

    Returns, as bytes: per segment the state 'B' (255 a hole), and for how many aggregations it has had its
    rate 'B' (0 where no change is known); per step its place 'Q'; per segment rate,
    touched share and weight of one-tick checks 'd'; per step low, high, reach, and the place it had
    before (2^64 - 1: none) 'Q'; and three addresses
    'Q' for each answer, at most `suspect_age` aggregations old, whose log-chance is below -`surprise`:
    end of the point before, its own start, start of the point after. Raises ValueError, MemoryError.
    """

def regions_cut(
    buffers: Sequence[Buffer],
    limit: int,
    granularity: int,
    ticks: int,
    latest: int,
    aggregation: int,
    used: float,
    /,
) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    """Regions of at most `limit` bytes, cut at multiples of `granularity` bytes. `buffers`: ranges to cover
    ('Q' start, 'Q' end), where to cut 'Q', the bounds of n segments 'Q' (n + 1), rate 'd' and touched share
    'd' of each, the starts of ages 'Q' and since when they count 'q'; all sorted.

    Returns, as bytes, all 'Q': start, end, accesses in `ticks` ticks x 10 000, touched bytes, whole accesses (at
    least 1 from half an access on, or from a share of `used` of touched bytes), and age: whole times `aggregation`
    from when its first byte counts to `latest`, ages beginning at such multiples, too. The last segment and age also
    hold beyond their end. Raises ValueError.
    """

def regions_cuts(
    buffers: Sequence[Buffer], end: int, nothing: int, unseen: float, level: float, age: float, /
) -> tuple[bytearray, bytearray]:
    """Where regions may be cut, ascending 'Q', and what is at stake there 'd', as bytes. `buffers`: the bounds of n
    segments 'Q' (n + 1), state 'B' of each, heights of the steps between them 'd' (n - 1), and the starts of ages
    'Q', the last of which ends at `end`.

    At a step that is the smaller of the segments beside it, times its height and `level`; beside a hole (state
    `nothing`) one lower than `unseen` is no place to cut. Where only ages differ it is the smaller of those, times
    `age`. Raises ValueError.
    """

def strata(
    buffers: Sequence[Buffer], offset: int, cell: int, width: int, inside: int, /
) -> tuple[bytes, bytes]:
    """Starts and ends, 'Q' as bytes, of places of `width` bytes: one `offset` bytes into the ranges ('Q' start,
    'Q' end) taken together, then one every `cell` bytes. None reaches beyond its range: of a place that lies in
    several, it is the part in which its byte `inside` lies. Raises ValueError.
    """

def steps_gaps(buffers: Sequence[Buffer], exact: int, finest: float, /) -> tuple[bytes, bytes, bytes, bytes]:
    """The gaps of steps that are not known well enough. `buffers`: the bounds of n + 1 segments 'Q' (n + 2); of
    each of the n steps between them low, high and reach 'Q', and height 'd' (core.adaptive.steps.Steps).

    A gap is [low - reach, high + reach], cut to the segments beside it. It is known well enough when it is at
    most `exact` bytes, or `finest` times smaller than the smaller of them. Returns, as bytes: starts and ends of
    the others 'Q', height times bytes 'd', and 1 where reach is not 0 'B'. Raises ValueError.
    """

def overlaps(buffers: Sequence[Buffer], /) -> bytes:
    """Bytes, 'Q', that each of the ranges ('Q' start, 'Q' end) shares with others ('Q' start, 'Q' end); both are
    sorted and disjoint. Raises ValueError.
    """

def add_cells(
    schema: object,
    batch: object,
    places: Sequence[Buffer],
    cells: Buffer,
    columns: int,
    amounts: int,
    begin_ns: int,
    width_ns: float,
    first_ns: int,
    last_ns: int,
    /,
) -> None:
    """Add the regions of a record batch to the cells of a heatmap, the interpreter's lock released.

    `schema` and `batch` are the capsules of Arrow's C data interface, with columns as in udamon.record.schema.
    `places` are, in this order, arrays of the target 'i', the addresses [low 'Q', high 'Q') and the line 'i' of each
    place; they are sorted by target and address and disjoint within a target. `cells` (array 'd', changed) has for
    each of `columns` columns of each line, line after line, `amounts` sums over all regions: bytes, bytes times
    access rate (nr_accesses / ticks), and with three of them bytes times age (ns); each times the ns that the
    region's window has in the column. Column k is the time from begin_ns + k * width_ns on; windows that end
    before `first_ns` or after `last_ns` are left out. Rows without a region (events) or ticks count nothing.
    Raises ValueError.
    """

def check_rows(
    schema: object, batch: object, state: Buffer, strict: bool, /
) -> tuple[str | None, int, int, int]:
    """What is wrong with the rows of a recording's batch (None for nothing), the row, and its snapshots and events.

    `schema` and `batch` are the capsules of Arrow's C data interface, with the columns of udamon.record.schema.
    Rows are those of events, or of whole snapshots: windows, ticks and targets that are possible, regions in the
    order of their addresses, no more touched or resident bytes than there are. `state` (bytearray, changed, 24 bytes
    for each of some targets, zeros at first) has the last snapshots: numbers of aggregations grow for each target.
    With `strict` times do, too, and regions are whole pages. Raises ValueError where a column is missing.
    """

def trace_scan(
    text: Buffer, event: int, /
) -> tuple[
    int,
    int,
    list[tuple[bytes, int, int, tuple[int, int, int]]],
    tuple[bytes, bytes, bytes, bytes, bytes, bytes],
]:
    """Scan the whole lines of text that perf script prints, the interpreter's lock released, for lines of DAMON's
    event 0 (damon_aggregated) or 1 (damos_before_apply).

    Returns how many bytes and how many lines are done (give the rest again with more behind it), and runs. A run is
    (thread, rows, nr_regions, ids): so many neighbouring lines of one thread (the head of the line up to the
    processor in brackets) with the same nr_regions and ids (one of event 0, three of event 1, the others 0), the
    regions ascending and disjoint. Or it is (line, 0, number, …): a line with that event or with
    damon_monitor_intervals_tune in it, but not in the form that is usual; `number` counts lines from 1. All other lines
    are passed over. Last come the columns of all rows: time 'q' (ns), start 'Q', end 'Q', nr_accesses 'I', age 'I'
    (0 where none is given), touched 'Q'. Raises ValueError for another event.
    """

def damo_scan(
    text: Buffer, inside: int, /
) -> tuple[int, int, bytes, bytes, bytes, bytes, bytes, bytes, bytes]:
    """Scan UTF-8 text of damo's JSON, the interpreter's lock released. `inside` is how many regions came before
    `text` in an array of regions, -1 outside of one.

    Returns how many bytes are done (give the rest again with more behind it) and the new `inside`. Then, as bytes:
    the JSON around the regions without spaces, `"regions":COUNT` for each of their arrays; start 'Q', end 'Q',
    nr_accesses 'I', age 'I' (aggregations) and touched 'Q' (all bytes where there was an access) per region; and,
    where samples or aggregations are not given, three 'd': index of the region, age in us and nr_accesses in
    per cent, negative where not given. Raises ValueError(what, byte of `text`), MemoryError.
    """

Frames = NewType("Frames", object)
"""A set of page frames, for each object apart."""

def new_frames() -> Frames:
    """An empty set."""

def add_frames(
    frames: Frames, page_map_fd: int, object: int, first_page: int, last_page: int, /
) -> tuple[int, int]:
    """Add the frames behind the pages [first_page, last_page) of a process, the interpreter's lock released. Returns
    how many were not in the set for `object` (a number from 0 up to 2**24 - 2), and how many present pages have a
    frame that is not told (no privilege). Raises OSError, MemoryError, ValueError.
    """

def page_tables_look(
    fd: int,
    bpf: bool,
    window: Buffer,
    segments: Buffer,
    machine: int,
    levels: int,
    mask: int,
    root: int,
    start: int,
    end: int,
    states: Buffer,
    entries: Buffer | None,
) -> tuple[int, int, int, int, int]:
    """What page tables say of the pages of the first GiB from `start` on in which anything is mapped.

    `fd` is of kcore, or (`bpf`) of the program of linux/bpf.py, `window` 12 KiB and 512 tables, `segments` (array 'Q')
    RAM as physical address, size, and offset in kcore or kernel address, ascending. `machine` 0 is x86-64, 1 arm64
    with pages of 4 KiB; `mask` are the bits of a physical address in an entry; `root` is the physical address of the
    topmost of `levels` tables. Returns (first, last, tables read, changes met, unknown pages): `states` then has a byte
    for each page of [first, last), which is empty where nothing is left up to `end`, and `entries` (array 'Q') its
    leaf entry. A byte: 1 mapped, 2 accessed, 4 dirty, 8 part of a 2 MiB page, 16 of a 1 GiB page, 64 neither RAM nor
    the process's own (zero page, device), 128 unknown: it changed again and again. The interpreter's lock is released.
    Raises OSError, and ValueError where the arguments make no sense.
    """

def page_runs(states: Buffer, first: int, kinds: Buffer, pieces: Buffer, grain: int) -> bytes:
    """Runs of pages that are alike. `states` has a byte for each page from the address `first` on, `kinds` (256 bytes)
    says of each whether it is nothing (0), resident (1), or touched as well (3); `pieces` (array 'Q') are starts and
    ends in bytes, ascending, outside of which nothing is told. Parts smaller than `grain` bytes that begin in the same
    aligned block of that size, and are of the same piece, become one, with what lies between them. Returns five words
    (array 'Q') a part: the number of the piece, start, end, bytes resident, bytes touched. Raises ValueError."""

def btf_members(data: Buffer, names: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    """Offsets in bytes of (structure, member) by a kernel's BTF, members of unnamed members too; -1 for what there is
    not. The member "" is the size of the structure. Raises ValueError for what is no BTF."""
