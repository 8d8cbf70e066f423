"""The C hot path of udamon.

Functions that are called by keywords are described in C (native/interface.h), and `INTERFACES` says what of: for each
its arguments and its results as (name, item, access, shape), access and shape None for what is no array.
An item is a letter of `array`; an access "read", "write", or "maybe" (None, or an array that is written to); a shape
such as "512", "n+1" or "10s" how long an array must be, where arrays that have a letter alone are of one length.
Arrays of another item, or that are not contiguous, raise TypeError or ValueError, which name them; so do lengths that
do not fit. Results are arrays (bytes where items are 'B'); where there are several they come as the named tuples below.
"""

from array import array
from typing import NamedTuple, NewType

from typing_extensions import Buffer

Field = tuple[str, str, str | None, str | None]

INTERFACES: dict[str, tuple[tuple[Field, ...], tuple[Field, ...]]]
PAGE_SIZE: int
"""Of this machine, in bytes: a power of two."""

# What a check answers; NO_PAGE: nothing that could be observed backed the address.
NOT_ACCESSED: int
ACCESSED: int
NO_PAGE: int
# In place of a page map's descriptor: its process is gone; addresses are physical.
GONE: int
PHYSICAL: int
WITHHELD: int  # counted among errnos: a frame number was not told
ERRNOS: int  # how many are counted
MOST_TICKS: int  # of a stretch
MOST_ADVISED: int  # ranges that one call of process_madvise is given
# Points: their size, bits of their kind, how many kinds there are; and of the tables of a fit.
POINT_BYTES: int
HIT: int
WHOLE: int
HOLE: int
KINDS: int
NOTHING: int  # the state of a hole
MOST_PAGES: int  # of a point, and so of a hole
STATES: int  # at most
GAPS: int
AGES: int
MOVED: int
RESTED: int
# A page's byte, see page_tables_look.
PAGE_MAPPED: int
PAGE_ACCESSED: int
PAGE_DIRTY: int
PAGE_HUGE: int
PAGE_GIANT: int
PAGE_NOT_COUNTED: int
PAGE_UNKNOWN: int
MACHINE_X86: int
MACHINE_ARM: int
# Page tables: their entries and bytes, where the parts of the window begin, and sizes of pages as powers of two.
TABLE_ENTRIES: int
TABLE_BYTES: int
WINDOW_STATUS_AT: int
WINDOW_OWN_AT: int
WINDOW_TABLES_AT: int
WINDOW_WORDS_AT: int
WINDOW_WORDS: int  # how many
WINDOW_BYTES: int
TABLE_PAGE_SHIFT: int
TABLE_PART_BYTES: int
BLOCK_SHIFT: int
GIB_SHIFT: int
# Of the ring of allocations: see native/sites/format.h.
RING_HEAD: int
RING_READ_AT: int
RING_MAX_FRAMES: int
RING_MAX_BUILD_ID: int
RING_MAX_NAME: int
RING_MAX_FUNCTION: int
RING_MAX_FILE: int
RING_PYTHON_CALL_BIT: int
RING_ALLOCATED: int
RING_FREED: int
RING_STACK: int
RING_MODULE: int
RING_PYTHON: int
# Bits of the kinds of page_runs.
RESIDENT: int
TOUCHED: int
# Events of trace_scan.
AGGREGATED: int
BEFORE_APPLY: int
SMALLEST_PAGE: int  # of all machines, in bytes: the grain of recordings
ROW_STATE_BYTES: int  # of the state of check_rows, for each target
MOST_AMOUNTS: int  # of add_cells

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

def visit_cpus(*, cpus: Buffer) -> int:
    """Run on each of the processors (array 'i') for 0.1 ms, so that nothing of another address space is left in its
    TLB; as a real-time thread where that is permitted, else when it is this thread's turn there. On x86-64 the first
    visit starts ten small processes named udamon-tlb, which end with this one. The interpreter's lock is released.
    Returns how many were visited: not those on which the thread may not run.
    """

def switching_ns() -> int:
    """CPU time of those processes so far, ns."""

class HotSet(NamedTuple):
    """A child's pid and the address of its mapping."""

    pid: int
    address: int

def hot_set_start(*, control: Buffer, size: int, cpu: int) -> HotSet:
    """Fork a child that touches a hot set, a byte of each of its pages, for ever; it ends with its parent.

    The set is the beginning of a private mapping of `size` bytes of small pages with guard pages around it; what was
    hot once stays resident. `control` (shared memory, two words) has the bytes that are hot, which may change at any
    time, and the rounds that were completed. `cpu` is where it runs, -1 anywhere. The caller ends and collects the
    child. Raises OSError, ValueError.
    """

class ProcessLooks(NamedTuple):
    """Of each process: an errno or 0; bytes; how long the look and the clearing took, by the wall clock."""

    error: array[int]
    resident: array[int]
    proportional: array[int]
    private: array[int]
    anonymous: array[int]
    merged: array[int]
    huge: array[int]
    shmem: array[int]
    swapped: array[int]
    referenced: array[int]
    look_ns: array[int]
    clear_ns: array[int]
    guest: bytes
    idle: array[int]
    sure: array[int]

LOOK_GUEST: int
LOOK: int
LOOK_CLEAR: int
LOOK_FLUSH: int
LOOK_SPLIT: int

def look_processes(*, proc: int, pid: Buffer, start_time: Buffer, what: Buffer) -> ProcessLooks:
    """Look at processes (pid 'i', start_time 'Q' in ticks), one after the other, the interpreter's lock released.

    `proc` is a descriptor of /proc. `what` ('B') has for each: LOOK_GUEST, tell whether it runs a virtual machine (by
    its mappings); LOOK, read smaps_rollup, and with LOOK_SPLIT smaps, too; then LOOK_CLEAR, clear its referenced pages,
    and LOOK_FLUSH, its soft-dirty bits too unless it was found to run a virtual machine. Errors are those of the system
    calls; ESRCH: that process has ended. What failed leaves 0 in the results. Bytes are those of the kernel:
    `proportional` Pss, `private` clean and dirty, `merged` by KSM, `huge` in huge pages of any kind, `shmem` and
    `swapped` proportional. `idle`: private and not referenced, at least; `sure`: private, anonymous, not merged and
    referenced, at least; both tighter by LOOK_SPLIT.
    """

class Simulated(NamedTuple):
    """Per slot the checks answered ACCESSED and NO_PAGE; per check its slot, page, ticks and answer."""

    hits: array[int]
    no_page: array[int]
    slot: array[int]
    address: array[int]
    span: array[int]
    answer: bytes

def sim_sample(
    *,
    set_tick: Buffer,
    set_segment: Buffer,
    set_window: Buffer,
    segment_start: Buffer,
    segment_end: Buffer,
    segment_chance: Buffer,
    windows: Buffer,
    resident_start: Buffer,
    resident_end: Buffer,
    slot_start: Buffer,
    slot_end: Buffer,
    slot_checks: Buffer,
    slot_span: Buffer,
    ticks: int,
    first_tick: int,
    truth_seed: int,
    draw_seed: int,
) -> Simulated:
    """Checks on a simulated space. What is true from `set_tick` on begins at the segment and the window of its set.

    Segments have a chance per tick; windows are six 'd' each: base, length, width, position on tick 0, step a tick,
    chance. Raises ValueError for arrays that do not fit together. The interpreter's lock is released.
    """

class Sampled(NamedTuple):
    """Ticks done; per slot and per check as in Simulated; then the pages' log2 of bytes, per tick lateness in ns, per
    target 1 where the address space ended, failed calls by errno (the last: frame numbers withheld), and calls made:
    page map reads, flag reads, bitmap writes, bitmap reads; and the longest time that a page map read took."""

    done: int
    hits: array[int]
    no_page: array[int]
    slot: array[int]
    address: array[int]
    span: array[int]
    answer: bytes
    shift: bytes
    late_ns: array[int]
    gone: bytes
    errnos: array[int]
    calls: array[int]
    longest_ns: int

def idle_sample(
    *,
    pagemaps: Buffer,
    slot_target: Buffer,
    slot_start: Buffer,
    slot_end: Buffer,
    slot_checks: Buffer,
    slot_span: Buffer,
    visited: Buffer,
    flags_fd: int,
    bitmap_fd: int,
    event_fd: int,
    begin_ns: int,
    ticks: int,
    tick_ns: int,
    seed: int,
) -> Sampled:
    """Run `ticks` ticks of checks by idle page tracking; tick k begins at begin_ns + k * tick_ns (monotonic).

    `pagemaps` are descriptors of page maps (one a target; GONE, PHYSICAL), `visited` processors to visit after each
    tick's preparations. `flags_fd` is kpageflags, `bitmap_fd` the idle bitmap. A write to the eventfd `event_fd` ends
    the call within one tick. Raises ValueError for slots that make no sense, MemoryError. The interpreter's lock is
    released.
    """

class PteSampled(NamedTuple):
    """As Sampled; and words of page tables that were read, ranges that were advised, calls that this took. The longest
    time is that of one of these calls."""

    done: int
    hits: array[int]
    no_page: array[int]
    slot: array[int]
    address: array[int]
    span: array[int]
    answer: bytes
    shift: bytes
    late_ns: array[int]
    gone: bytes
    errnos: array[int]
    calls: array[int]
    reads: int
    advised: int
    advice_calls: int
    longest_ns: int

def pte_sample(
    *,
    pagemaps: Buffer,
    slot_target: Buffer,
    slot_start: Buffer,
    slot_end: Buffer,
    slot_checks: Buffer,
    slot_span: Buffer,
    visited: Buffer,
    flags_fd: int,
    bitmap_fd: int,
    event_fd: int,
    begin_ns: int,
    ticks: int,
    tick_ns: int,
    seed: int,
    pidfds: Buffer,
    roots: Buffer,
    anonymous_target: Buffer,
    anonymous_start: Buffer,
    anonymous_end: Buffer,
    large_order: int,
    most_advised: int,
    fd: int,
    bpf: bool,
    window: Buffer,
    segments: Buffer,
    words_fd: int,
    machine: int,
    levels: int,
    mask: int,
) -> PteSampled:
    """The same by page tables: `fd` to `mask` as page_tables_look has them, `words_fd` reads single words.

    Of each target `pidfds` has a pidfd and `roots` the physical address of the topmost table; GONE and 0 where there is
    none. `bitmap_fd` is -1 where idle pages are not tracked. `anonymous_…` are ranges of anonymous memory, sorted by
    target and address; large pages in it that are mapped in small ones have 2^`large_order` small pages or more, and
    begin at a multiple of that in memory and in the address space. A call of process_madvise takes at most
    `most_advised` ranges. Raises OSError where kernel memory cannot be read any more.
    """

def points_take(
    *,
    points: Buffer,
    slot: Buffer,
    address: Buffer,
    span: Buffer,
    answer: Buffer,
    shift: Buffer,
    slot_target: Buffer,
    hole_start: Buffer,
    hole_end: Buffer,
    drop_start: Buffer,
    drop_end: Buffer,
    drop_age: Buffer,
    outdate: Buffer,
    bounds: Buffer,
    seen: Buffer,
    least: float,
    target: int,
    whole: int,
    older: int,
    limit: int,
    begin: int,
    end: int,
) -> bytearray:
    """Points sorted by address, with new answers among them. `points` are those before, packed as in native/points.h;
    answers name slots, and `slot_target` each slot's target; in the ranges to drop, points that are at least so old
    are dropped; with `outdate`, a bit for each reason, those that spanned an aggregation become outdated instead.

    Only answers of slots of `target` are taken; one whose span is at least `whole` ticks spans all. Points
    grow `older` aggregations older, up to 255, and are forgotten beyond `limit`, except in segments (`bounds` has the
    ends of all) of which less than `least` was `seen`, a weight of checks. Of a huge page only the part in
    [begin, end) is taken. Raises ValueError.
    """

class JudgedChecks(NamedTuple):
    """New checks that spanned the aggregation: how many, accesses among them, the sum of the touched shares at their
    places, and of the squares of the differences; and how many older ones there are."""

    checks: float
    hits: float
    expected: float
    squares: float
    older: int

def judge_spanning(*, points: Buffer, place: Buffer, touched: Buffer) -> JudgedChecks:
    """New points that spanned the aggregation (see points_take), by the steps at `place` and the touched shares of the
    segments between them, one more. Raises ValueError."""

class Fit(NamedTuple):
    """Per segment its state (NOTHING a hole), for how many aggregations it has had its rate (0 where no change is
    known), its rate, touched share, the same as `fitted` before checks were judged by it, weight of one-tick checks,
    and standard error of the touched share; `bounds` has the ends of all of them. Per step its low, high, reach, and
    the difference of the rates. Of steps that were elsewhere before: where, and where they are `now`; a page of each
    island that appeared. Four addresses for each outlier: end of the point before, its own start and end, start of the
    point after. `appeared` steps were nowhere before, `accessed` segments have a rate above `quiet`; `error` is the
    standard error of all touched bytes, as a share of them; `share` is the touched share of all bytes by `fitted`,
    `known` of all bytes outside of the lowest level, `told_share` by `touched`. `quiet_checks` of the new
    checks that spanned the aggregation lie in memory that was of the lowest level before and is so now, or is an
    island; `met` of these met an access. `quiet_bytes` are of the lowest level now."""

    state: bytes
    since: bytes
    rested: bytes
    rested_start: array[int]
    rested_end: array[int]
    rate: array[float]
    touched: array[float]
    fitted: array[float]
    seen: array[float]
    doubt: array[float]
    unmoved: array[float]
    bounds: array[int]
    low: array[int]
    high: array[int]
    reach: array[int]
    height: array[float]
    was: array[int]
    now: array[int]
    islands: array[int]
    outliers: array[int]
    appeared: int
    accessed: int
    error: float
    share: float
    known: float
    told_share: float
    quiet_checks: int
    met: int
    quiet_bytes: int

def steps_fit(
    *,
    points: Buffer,
    table: Buffer,
    enter: Buffer,
    jump: Buffer,
    weight: Buffer,
    level: Buffer,
    old_state: Buffer,
    old_rate: Buffer,
    old_fitted: Buffer,
    old_place: Buffer,
    old_low: Buffer,
    old_high: Buffer,
    old_reach: Buffer,
    old_height: Buffer,
    unchanged: int,
    begin: int,
    end: int,
    ticks: int,
    prior: float,
    drift: float,
    change: float,
    rest: float,
    used: float,
    least_change: float,
    surprise: float,
    outlier_age: int,
    outlier_room: int,
    settled: int,
    reach_keep: float,
    quiet: float,
    near: int,
    density: float,
    judged_checks: float,
    judged_hits: float,
    judged_expected: float,
    judged_shares: float,
    judged_known: float,
    judged_met: float,
    judge: bool,
    judged_errors: float,
    moved: int,
    moved_share: float,
) -> Fit:
    """The most probable steps behind points (see points_take), by the tables of core.adaptive.likelihood.

    A step that is found again keeps its gap, wider by `drift` of the smaller segment beside it, and `reach_keep` of its
    reach. States from
    `unchanged` on are those of a change, of which only new points count. The space is [begin, end); an aggregation has
    `ticks` ticks; `prior` checks' weight goes to the level.

    `jump` is of `density` steps per byte. Where the `near` steps from before on each side are closer to each other, a
    distance counts as that many times longer; `near` 0: nowhere.

    The judged sums are those of core.adaptive.judged, without the accesses that new checks (if any: `judge`) met in
    quiet memory, which are returned. Where fewer were accessed than expected, by more than `judged_errors` standard
    errors, touched shares become smaller. `moved` aggregations ago (AGES: never) the share `moved_share` of the memory
    changed: older checks of a segment that spanned an aggregation count with the chance that it did not, `unmoved`.

    Where the points of a segment from before some time speak for a level that differs by more than
    `least_change`, and two levels explain them by more than `change` nats better, only those since count. A segment has
    `rested` since, or no more, where of the checks that spanned an aggregation a share of at least `used` were accesses
    before and less since, or the other way round, and two levels explain that by more than `change` nats better, or
    than `rest` if it was at most `moved` aggregations ago; from `rested_start` to `rested_end`, where such accesses
    lay.
    Without points, all is one segment of the first state that is not accessed. An island appeared where
    both its steps were nowhere, beside it no rate is above `quiet`, nor one before where it is, and its own is above 0
    by `least_change`. Outliers are answers, at most
    `outlier_age` aggregations old, whose log-chance is below -`surprise`: one of a page that gave no other answer, and
    whose neighbours are `outlier_room` bytes apart at least, or whose answers together are below 3 times that.
    Raises ValueError, MemoryError.
    """

class Regions(NamedTuple):
    """Start, end, accesses in all ticks x 10 000, touched bytes, whole accesses, and age in aggregations. Of all that
    count as idle, `idle_mixed` bytes are not quiet, or are younger than their region is told to be."""

    start: array[int]
    end: array[int]
    count_bp: array[int]
    touched: array[int]
    count: array[int]  # type: ignore[assignment]  # a field; the method of tuples is not there
    age: array[int]
    idle_mixed: int

def regions_cut(
    *,
    range_start: Buffer,
    range_end: Buffer,
    cuts: Buffer,
    bounds: Buffer,
    state: Buffer,
    rate: Buffer,
    touched: Buffer,
    age_start: Buffer,
    since: Buffer,
    limit: int,
    granularity: int,
    ticks: int,
    aggregation: int,
    latest: int,
    used: float,
    idle: float,
) -> Regions:
    """Regions of at most `limit` bytes that cover the ranges, cut at multiples of `granularity` bytes near `cuts`.

    Segments lie between `bounds`, and have a state (0: quiet), a rate and a touched share; ages begin at `age_start`
    and count since `since`; all are sorted. Whole accesses are at least 1 from half an access on, or from a share of
    `used` of touched bytes; with none, a region counts as idle up to a share of `idle` of touched bytes. An age is
    whole times `aggregation` from when its first byte counts to `latest`, ages beginning at multiples of the
    granularity, too. The last segment and age also hold beyond their end. Raises ValueError.
    """

class Cuts(NamedTuple):
    """Where regions may be cut, ascending, and what is at stake there."""

    place: array[int]
    stake: array[float]

def regions_cuts(
    *,
    bounds: Buffer,
    state: Buffer,
    height: Buffer,
    age_start: Buffer,
    end: int,
    unseen: float,
    level: float,
    age: float,
    room: int,
) -> Cuts:
    """Where regions may be cut: at the steps between segments, and where ages begin, the last of which ends at `end`.
    Of these it is the `room` places with most at stake, and of places with as much the first ones.

    At a step that is the smaller of the segments beside it, times its height and `level`; beside a hole one lower than
    `unseen` is no place to cut. Where only ages differ it is the smaller of those, times `age`. Raises ValueError.
    """

class Strata(NamedTuple):
    """Places."""

    start: array[int]
    end: array[int]

class Spread(NamedTuple):
    """Places, in their order by address."""

    start: array[int]
    end: array[int]

class Told(NamedTuple):
    """Rates of segments, and differences between one and the next."""

    rate: array[float]
    height: array[float]

def told_rates(
    *, bounds: Buffer, rate: Buffer, touched: Buffer, error: Buffer, hot: float, least: float, errors: float
) -> Told:
    """The rates of segments as regions tell them: their own; of a texture that counts as hot, that of what is touched.

    A texture is a segment with a rate below `hot` whose touched pages have a higher one: even if the touched share is
    `errors` times its standard `error` larger. Those whose touched share is at least `least` count as hot as long as
    that makes the expected F1 of hot bytes larger. Raises ValueError where bounds descend, MemoryError.
    """

def strata(*, start: Buffer, end: Buffer, offset: int, cell: int, width: int, inside: int) -> Strata:
    """Places of `width` bytes: one `offset` bytes into the ranges taken together, then one every `cell` bytes. None
    reaches beyond its range: of a place that lies in several, it is the part in which its byte `inside` lies. Raises
    ValueError.
    """

def spread(*, start: Buffer, end: Buffer, first: int, count: int, grain: int) -> Spread:
    """Pages at the places `first`, `first` + 1, … of one sequence, at most `count` of them and one in each unit of
    `grain` bytes of the ranges taken together. Consecutive places are spread evenly over the ranges, and so are those
    of several calls that follow each other. Raises ValueError.
    """

class Gaps(NamedTuple):
    """Starts and ends, height times bytes, and how many checks to make there."""

    start: array[int]
    end: array[int]
    stake: array[float]
    checks: array[int]

def steps_gaps(
    *,
    bounds: Buffer,
    low: Buffer,
    high: Buffer,
    reach: Buffer,
    height: Buffer,
    exact: int,
    finest: float,
    once: int,
    room: int,
) -> Gaps:
    """The gaps of steps that are not known well enough (see core.adaptive.steps.Steps), `once` checks in each, twice as
    many where the step may have moved; together at most `room`: those with most at stake, in the order of addresses.

    A gap is [low - reach, high + reach], cut to the segments beside it. It is known well enough when it is at
    most `exact` bytes, or `finest` times smaller than the smaller of them. Raises ValueError.
    """

class Asked(NamedTuple):
    """Starts and ends, and how many checks to make there."""

    start: array[int]
    end: array[int]
    checks: array[int]

def segments_doubtful(
    *,
    bounds: Buffer,
    rate: Buffer,
    seen: Buffer,
    hot: float,
    least: float,
    errors: float,
    room: int,
    most: int,
) -> Asked:
    """Segments whose rate, measured by `seen` checks, is above `least` and within `errors` standard errors of `hot`:
    each has its part of `room` checks by its bytes, and at most `most`. Raises ValueError where bounds descend.
    """

class Refresh(NamedTuple):
    """Starts and ends; checks in each; how many of the first are known; accesses expected there, and their variance."""

    start: array[int]
    end: array[int]
    each: int
    known: int
    hits: float
    variance: float

def segments_refresh(
    *,
    bounds: Buffer,
    rate: Buffer,
    seen: Buffer,
    least: float,
    enough: float,
    checks: int,
    room: int,
    turn: int,
) -> Refresh:
    """Segments with a rate above `least`, first those that `enough` checks or more were seen of; `checks` in each.

    Where these are more than `room`, one check in some of them, and in others each `turn`.
    """

class Agreement(NamedTuple):
    """Bytes of regions that are hot and truly so, bytes of those that are hot, and errors of rates times bytes."""

    both: int
    predicted: int
    error: float

def agreement(
    *,
    start: Buffer,
    end: Buffer,
    count: Buffer,
    true_start: Buffer,
    true_end: Buffer,
    mean: Buffer,
    ticks: int,
    hot: float,
) -> Agreement:
    """Regions, accessed in `count` of `ticks`, held against ranges with a `mean` rate; both sorted and disjoint.

    From `hot` on a rate is hot. Outside of either a rate is 0. Raises ValueError.
    """

def overlaps(*, start: Buffer, end: Buffer, other_start: Buffer, other_end: Buffer) -> array[int]:
    """Bytes that each of some ranges shares with others; both are sorted and disjoint. Raises ValueError."""

def add_objects(
    *,
    start: Buffer,
    end: Buffer,
    since: Buffer,
    most: Buffer,
    least: Buffer,
    resident: Buffer,
    last: Buffer,
    region_start: Buffer,
    region_end: Buffer,
    touched: Buffer,
    there: Buffer,
    begin_ns: int,
    end_ns: int,
    alike: bool,
    counted: bool,
) -> None:
    """Add what one window [begin_ns, end_ns) tells of objects in memory, which are there `since` a time in ns.

    Objects and regions are sorted and disjoint; a region has bytes that were `touched` and that are `there`. Sums of
    each object, which are added to: touched at `most` and at `least`, `resident` as of this window, and when it was
    `last` touched, perhaps (ns, 0: never). An object that came after the window's end is left alone, and of one that
    came within it nothing is touched for sure.

    Of a region that an object has a part of, the part is touched like the whole where pages are `alike`; else any of
    it may be. `counted`: whether the window counts for touched bytes, of which those at most are a sum over windows up
    to the object's size, those at least the most of one window. Raises ValueError.
    """

def add_cells(
    *,
    schema: object,
    batch: object,
    target: Buffer,
    low: Buffer,
    high: Buffer,
    line: Buffer,
    cells: Buffer,
    columns: int,
    amounts: int,
    shares: int,
    begin_ns: int,
    width_ns: float,
    first_ns: int,
    last_ns: int,
) -> None:
    """Add the regions of a record batch to the cells of a heatmap, the interpreter's lock released.

    `schema` and `batch` are the capsules of Arrow's C data interface, with columns as in udamon.record.schema.
    Places have a target, addresses [low, high) and a line; they are sorted by target and address and disjoint within a
    target. `cells` (changed) has for each of `columns` columns of each line, line after line, `amounts` sums over all
    regions: bytes, bytes times access rate (nr_accesses / ticks; with `shares` touched / resident, where something is
    resident), and with three of them bytes times age (ns); each times the ns that the region's window has in the
    column. Column k is the time from begin_ns + k * width_ns on; windows that end before `first_ns` or after `last_ns`
    are left out. Rows without a region (events) or ticks count nothing. Raises ValueError.
    """

class RowsChecked(NamedTuple):
    """What is wrong (None: nothing), in which row, and how many snapshots and events there are."""

    why: str | None
    row: int
    snapshots: int
    events: int

def check_rows(*, schema: object, batch: object, state: Buffer, strict: bool) -> RowsChecked:
    """What is wrong with the rows of a recording's batch.

    `schema` and `batch` are the capsules of Arrow's C data interface, with the columns of udamon.record.schema.
    Rows are those of events, or of whole snapshots: windows, ticks and targets that are possible, regions in the
    order of their addresses, no more touched or resident bytes than there are. `state` (bytearray, changed,
    ROW_STATE_BYTES for each of some targets, zeros at first) has the last snapshots: numbers of aggregations grow for
    each target. With `strict` times do, too, and regions are whole pages. Raises ValueError where a column is missing.
    """

class TraceLines(NamedTuple):
    """Bytes and lines done, runs, and the columns of all rows: times in ns, age 0 where none is given."""

    done: int
    lines: int
    runs: list[tuple[bytes, int, int, tuple[int, int, int]]]
    time: array[int]
    start: array[int]
    end: array[int]
    nr_accesses: array[int]
    age: array[int]
    touched: array[int]

def trace_scan(*, text: Buffer, event: int) -> TraceLines:
    """Scan the whole lines of text that perf script prints, the interpreter's lock released, for lines of DAMON's
    event AGGREGATED or BEFORE_APPLY. Give what is not done again with more behind it.

    A run is (thread, rows, nr_regions, ids): so many neighbouring lines of one thread (the head of the line up to the
    processor in brackets) with the same nr_regions and ids (one of damon_aggregated, three of damos_before_apply, the
    others 0), the regions ascending and disjoint. Or it is (line, 0, number, …): a line with that event or with
    damon_monitor_intervals_tune in it, but not in the form that is usual; `number` counts lines from 1. All other lines
    are passed over. Raises ValueError for another event.
    """

class DamoRegions(NamedTuple):
    """Bytes done and the new `inside`; the JSON around the regions without spaces, `"regions":COUNT` for each of their
    arrays; the columns of the regions, ages in aggregations; and, where samples or aggregations are not given, three
    numbers: index of the region, age in us and nr_accesses in per cent, negative where not given."""

    done: int
    inside: int
    skeleton: bytes
    start: array[int]
    end: array[int]
    nr_accesses: array[int]
    age: array[int]
    touched: array[int]
    odd: array[float]

def damo_scan(*, text: Buffer, inside: int) -> DamoRegions:
    """Scan UTF-8 text of damo's JSON, the interpreter's lock released. `inside` is how many regions came before
    `text` in an array of regions, -1 outside of one. Give what is not done again with more behind it. All bytes of a
    region are touched where there was an access. Raises ValueError(what, byte of `text`), MemoryError.
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

class FlaggedPages(NamedTuple):
    """Present pages of files and of shared memory, and those of them that smaps may call referenced although nobody
    accessed them through this page map."""

    pages: int
    flagged: int

def flagged_pages(
    *, map: int, flags: int, first: int, last: int, before: object, now: object
) -> FlaggedPages:
    """Of the pages [first, last) of a process, by its page map and /proc/kpageflags (open file descriptors), the
    interpreter's lock released. `before` (Frames) has the frames that were active at the last look, as object 0; those
    that are go into `now`. Raises OSError, MemoryError, ValueError.
    """

class TablesLooked(NamedTuple):
    """The pages [first, last) that were answered for, as addresses; tables read, changes met, unknown pages."""

    first: int
    last: int
    reads: int
    changed: int
    unknown: int

def page_tables_look(
    *,
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
) -> TablesLooked:
    """What page tables say of the pages of the first GiB from `start` on in which anything is mapped.

    `fd` is of kcore, or (`bpf`) of the program of linux/bpf.py, `window` WINDOW_BYTES, `segments` (array 'Q')
    RAM as physical address, size, and offset in kcore or kernel address, ascending. `machine` is one of MACHINE_…, with
    pages of 4 KiB; `mask` are the bits of a physical address in an entry; `root` is the physical address of the
    topmost of `levels` tables. `states` then has a byte for each page, which are none where nothing is left up to
    `end`, and `entries` (array 'Q') its leaf entry. A byte has bits PAGE_…: mapped, accessed, dirty, part of a 2 MiB
    page, of a 1 GiB page, neither RAM nor the process's own (zero page, device), unknown: it changed again and again.
    The interpreter's lock is released. Raises OSError, and ValueError where the arguments make no sense.
    """

class PageRuns(NamedTuple):
    """Parts: the number of the piece, start, end, bytes resident, bytes touched."""

    piece: array[int]
    start: array[int]
    end: array[int]
    resident: array[int]
    touched: array[int]

def page_runs(*, states: Buffer, first: int, kinds: Buffer, pieces: Buffer, grain: int) -> PageRuns:
    """Runs of pages that are alike. `states` has a byte for each page from the address `first` on, `kinds` (256 bytes)
    says of each whether it is nothing (0), RESIDENT, or TOUCHED as well; `pieces` (array 'Q') are starts and
    ends in bytes, ascending, outside of which nothing is told. Parts smaller than `grain` bytes that begin in the same
    aligned block of that size, and are of the same piece, become one, with what lies between them. Raises ValueError.
    """

def binomial_bounds(*, hits: Buffer, trials: Buffer, upper: Buffer, miss: float) -> array[float]:
    """Ends of Clopper and Pearson's interval of a share: arrays of hits ('d'), of trials ('d'), which need not be
    whole, and of which end is wanted ('B': 0 lower, 1 upper). It is missed with the chance `miss` at most. Raises
    ValueError."""

def mark_pages(*, states: Buffer, marks: Buffer, at: int, kinds: Buffer, look: int, last: bool) -> None:
    """Mark pages that read as accessed: `states` has a byte for each (page_tables_look), their marks begin at `at` in
    `marks`. `look` 0 is the one before the second clear, 1 to MOST_LOOKS number those after it. The `last` one marks
    what is there, and in `states` sets accessed where any look saw it. Pages of which `kinds` (256 bytes) says 0 are
    left as they are. Raises ValueError."""

class Marks(NamedTuple):
    """Pages that are there, those of them accessed at all, and before the second clear; and for each look after it the
    pages first seen by it."""

    there: int
    touched: int
    earlier: int
    first: array[int]

MOST_LOOKS: int

def count_marks(*, marks: Buffer, start: int, end: int) -> Marks:
    """What is known of the pages whose marks are [start, end). Raises ValueError."""

class PageAges(NamedTuple):
    """The new record; for each time the pages that were accessed last then, and those accessed again now that had been
    accessed last then, by numbers after `remap`; and resident pages for which there was no room."""

    record: bytes
    pages: array[int]
    again: array[int]
    left_out: int

AGE_TIMES: int
"""How many times a record tells apart."""
AGE_GROUP_BYTES: int
"""Of a record, for 64 pages next to each other of which any is resident; runs of such groups take 4 bytes more."""

def page_ages(
    *, states: Buffer, kinds: Buffer, record: Buffer, remap: Buffer, newest: int, room: int
) -> PageAges:
    """When each page of a GiB was accessed last, as numbers of AGE_TIMES times, in 4 bits a page.

    `states` has a byte for each page from the begin of the GiB on, `kinds` (256 bytes) says of each whether it is
    nothing (0), RESIDENT, or TOUCHED as well. `record` is what the last look gave, b"" the first time. What was
    touched, or is new, gets the number `newest`; what else is resident keeps the one that `remap` (16 bytes) gives for
    its own. Groups of 64 pages that the record has not yet are added as long as there is `room` for so many. Raises
    ValueError, MemoryError.
    """

class IdleStates(NamedTuple):
    """Pages that are present and whose frame is not told, and 1 where the address space has ended."""

    withheld: int
    gone: int

def idle_states(
    *, page_map: int, flags_fd: int, bitmap_fd: int, first: int, pieces: Buffer, states: Buffer, mark: bool
) -> IdleStates:
    """What idle page tracking says of the pages of `pieces` (array 'Q': starts and ends in bytes, ascending) from the
    address `first` on. `states` then has a byte for each page, with bits PAGE_…: mapped, accessed (not idle any more,
    or never marked), not counted (on no LRU list, where nothing is told). With `mark` they are marked idle after that.
    The interpreter's lock is released. Raises ValueError, MemoryError.
    """

def btf_members(data: Buffer, names: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    """Offsets in bytes of (structure, member) by a kernel's BTF, members of unnamed members too; -1 for what there is
    not. The member "" is the size of the structure. Raises ValueError for what is no BTF."""
