"""Reads the text that `perf script` prints of DAMON's trace events (damo's format `perf_script`).

    kdamond.0  4452 [000] 82877.315633: damon:damon_aggregated: target_id=0 nr_regions=17 4096-8192: 0 864

One line is one region. Lines of several targets and kdamonds may be mixed in any way: a snapshot is complete
when its target has as many regions as each of its lines says. Only ends are told: a snapshot begins where the one
before it of the same target ended; the first is as long as the second. It ends at the time of its first line.
The length of a tick is that of `damon_monitor_intervals_tune` once such a line came, else a twentieth of the
snapshot (DAMON's default ratio). Lines of `damos_before_apply` tell again what `damon_aggregated` tells and are
read only where a file has none of those. Every other line is passed over.

Lines in the usual form, which are nearly all, are read in C (native/trace.c), run by run; the expressions here read
the others, and a file of them would read the same.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.native import _native
from udamon.native._native import trace_scan
from udamon.record.chunks import Progress, chunks, silent
from udamon.record.damo.reader import DEFAULT_TICKS, US
from udamon.record.damo.values import FARTHEST, check_window
from udamon.record.limits import DEFAULT, ReadLimits
from udamon.record.schema import VERSION
from udamon.record.timeline import Targets, Timeline
from udamon.record.values import check_event

AGGREGATED, BEFORE_APPLY, TUNE = (
    b"damon_aggregated:",
    b"damos_before_apply:",
    b"damon_monitor_intervals_tune:",
)

_HEAD = re.compile(rb"\s*(\S.*?)\s+([0-9]{1,20})\.([0-9]{6,9}):\s+(?:damon:)?")
_REGION = (
    rb"\s+nr_regions=([0-9]{1,20})\s+([0-9]{1,20})-([0-9]{1,20}):\s+([0-9]{1,20})(?:\s+([0-9]{1,20}))?\s*"
)
_AGGREGATED = re.compile(AGGREGATED + rb"\s+target_id=([0-9]{1,20})" + _REGION)
_BEFORE_APPLY = re.compile(
    BEFORE_APPLY
    + rb"\s+ctx_idx=([0-9]{1,20})\s+scheme_idx=([0-9]{1,20})\s+target_idx=([0-9]{1,20})"
    + _REGION
)
_TUNE = re.compile(TUNE + rb"\s+sample_us=([0-9]{1,15})\s*")
UNNAMED = b"<...>"
"""What the kernel writes where it has forgotten the name of a thread: some lines of a text, or all of them."""
_THREAD = re.compile(
    rb"(?m)^[ \t]{0,64}((\S.{0,64}?)(?:[ \t]{1,64}|-)([1-9][0-9]{0,9}))[ \t]{1,64}\[[0-9]{1,9}\]"
)
_PID = re.compile(rb"[0-9]+\Z")
_KDAMOND = re.compile(rb"kdamond\.([0-9]{1,9})(?![0-9])")
LONGEST_LINE, LONGEST_HEAD = 1 << 16, 1 << 9
MOST_TARGETS = 20_000
"""Each is kept in mind to the end; DAMON has one for each process that it watches."""


def metadata() -> dict[str, object]:
    """What is known of a recording that was read from such a text."""
    return {"version": VERSION, "via": "kernel", "ops": None, "policy": "damon", "read_from": "perf script",
            "derived": ["begin", "seq", "ticks", "touched"]}  # fmt: skip


def read(path: Path, progress: Progress = silent, limits: ReadLimits = DEFAULT) -> Iterator[Snapshot | Event]:
    """The snapshots and events of a file, about in the order of their ends. Raises RecordingError with the line."""
    event = AGGREGATED if has(path, AGGREGATED) else BEFORE_APPLY
    return _ScriptReader(path, event, limits).all(progress)


def has(path: Path, word: bytes) -> bool:
    """Whether a file has the word in it."""
    tail = b""
    for chunk in chunks(path, compressed=False):
        if word in tail + chunk:
            return True
        tail = chunk[-len(word) :]
    return False


def _whole_lines(path: Path, progress: Progress) -> Iterator[bytes]:
    """The text in pieces of whole lines, each with its end."""
    rest = b""
    for chunk in chunks(path, compressed=False, progress=progress):
        text = rest + chunk
        done = text.rfind(b"\n") + 1
        if done:
            yield text[:done]
        rest = text[done:]
        if len(rest) > LONGEST_LINE:
            raise RecordingError(
                f"{path} has a line that does not end; give the text that perf script prints."
            )
    if rest:
        yield rest + b"\n"


CODES = "qQQIIQ"


class ScriptRows(NamedTuple):
    """Columns of regions; times in ns."""

    times: array[int]
    starts: array[int]
    ends: array[int]
    counts: array[int]
    ages: array[int]
    touched: array[int]


def _no_rows() -> ScriptRows:
    return ScriptRows(*(array(code) for code in CODES))


@dataclass(slots=True)
class _PendingSnapshot:
    """A snapshot whose lines still come. Times in ns."""

    end_ns: int
    sample_ns: int | None
    expected: int
    rows: ScriptRows = field(default_factory=_no_rows)


@dataclass(slots=True)
class _ScriptTarget:
    """One target of one kdamond: `first` waits for a second snapshot, which tells how long it was."""

    index: int
    open: _PendingSnapshot | None = None
    first: _PendingSnapshot | None = None
    last_ns: int | None = None


class _ScriptReader:
    def __init__(self, path: Path, event: bytes, limits: ReadLimits) -> None:
        self._path, self._event, self._limits = path, event, limits
        self._waiting = 0  # regions of snapshots that are not complete
        self._pattern = _AGGREGATED if event == AGGREGATED else _BEFORE_APPLY
        self._numbers, self._timeline = Targets(), Timeline()
        self._targets: dict[tuple[bytes, tuple[int, ...]], _ScriptTarget] = {}
        self._kdamonds: dict[bytes, int] = {}
        self._sample_ns: dict[bytes, int] = {}
        self._lost = 0
        self._named = _named(path) if has(path, UNNAMED) else {}

    def all(self, progress: Progress) -> Iterator[Snapshot | Event]:
        event = _native.AGGREGATED if self._event == AGGREGATED else _native.BEFORE_APPLY
        count = 0
        for text in _whole_lines(self._path, progress):
            scan = trace_scan(text=text, event=event)
            rows = ScriptRows(scan.time, scan.start, scan.end, scan.nr_accesses, scan.age, scan.touched)
            at = 0
            for what, number, expected, ids in scan.runs:
                if number:
                    # The other event has three.
                    key = (self._known(what), ids if event == _native.BEFORE_APPLY else ids[:1])
                    yield from self._regions(key, expected, rows, at, at + number)
                    at += number
                else:
                    yield from self._line(count + expected, what)
            count += scan.lines
        yield from self._rest()

    def _line(self, count: int, line: bytes) -> Iterator[Snapshot | Event]:
        """One line that is not in the usual form."""
        place = line.find(self._event)
        if place >= 0:
            match = self._pattern.fullmatch(line, place)
            if match is None:
                raise self._wrong(count, "a trace line of DAMON does not have the form that is known")
            thread, time_ns = self._head(count, line[:place])
            *ids, expected, start, end, nr, age = (int(group or 0) for group in match.groups())
            try:
                if start >= end:
                    raise OverflowError
                values = (time_ns, start, end, nr, age, end - start if nr else 0)
                rows = ScriptRows(*(array(code, [value]) for code, value in zip(CODES, values, strict=True)))
            except OverflowError:
                raise self._wrong(count, "a region or a count of it is not possible") from None
            yield from self._regions((thread, tuple(ids)), expected, rows, 0, 1)
            return
        place = line.find(TUNE)
        match = _TUNE.fullmatch(line, place)
        if match is None:
            raise self._wrong(count, "a line of tuned intervals does not have the form that is known")
        thread, time_ns = self._head(count, line[:place])
        if thread not in self._sample_ns and len(self._sample_ns) == MOST_TARGETS:
            raise self._impossible(f"there are more than {MOST_TARGETS:,} threads with tuned intervals")
        self._sample_ns[thread] = max(1, int(match[1]) * US)
        yield Event(time_ns, "attrs", {"sample_us": int(match[1]), "why": "tuned"})

    def _rest(self) -> Iterator[Snapshot | Event]:
        """What waits at the end of the text."""
        for target in self._targets.values():
            if target.open is not None:
                self._lost += 1
                yield from self._close(target)
            if target.first is not None:  # there was no second: DAMON's default aggregation, 100 ms
                ticks_ns = target.first.sample_ns or 5_000_000
                yield self._snapshot(target, target.first, target.first.end_ns - DEFAULT_TICKS * ticks_ns)
        if self._lost:
            text = f"{self._lost} snapshots lack regions: trace lines were lost."
            yield Event(
                max((t.last_ns or 0 for t in self._targets.values()), default=0), "note", {"text": text}
            )

    def _wrong(self, line: int, what: str) -> RecordingError:
        return RecordingError(
            f"{self._path}:{line}: {what}; give the text that perf script prints, as it is."
        )

    def _head(self, line: int, head: bytes) -> tuple[bytes, int]:
        """Which thread, and when in ns."""
        match = _HEAD.fullmatch(head) if len(head) <= LONGEST_HEAD else None
        if match is None:
            raise self._wrong(line, "the head of a trace line does not have the form that is known")
        who, seconds, fraction = match.groups()
        if (time_ns := _time(seconds, fraction)) > FARTHEST:
            raise self._wrong(line, "a time is too far from now")
        return self._known(_thread(who)), time_ns

    def _known(self, thread: bytes) -> bytes:
        """The thread as other lines name it, where this one does not."""
        pid = _PID.search(thread) if self._named and thread.startswith(UNNAMED) else None
        return thread if pid is None else self._named.get(pid[0], thread)

    def _regions(
        self, key: tuple[bytes, tuple[int, ...]], expected: int, rows: ScriptRows, at: int, end: int
    ) -> Iterator[Snapshot | Event]:
        """Take in ascending regions; what is complete with them."""
        target = self._targets.get(key)
        if target is None:
            target = self._new(key)
            yield self._event_of(target, key, rows.times[at])
        while at < end:
            regions = target.open
            # Only lost lines leave a snapshot open when the next one of its target begins.
            if regions is not None and (
                expected != regions.expected or rows.starts[at] < regions.rows.ends[-1]
            ):
                self._lost += 1
                yield from self._close(target)
                regions = None
            if regions is None:
                regions = target.open = _PendingSnapshot(
                    rows.times[at], self._sample_ns.get(key[0]), expected
                )
            until = min(end, at + max(1, expected - len(regions.rows.starts)))
            for mine, more in zip(regions.rows, rows, strict=True):
                mine.extend(more[at:until])
            self._waiting += until - at
            at = until
            if self._waiting > self._limits.piece_rows:
                raise self._impossible(
                    f"snapshots with more than {self._limits.piece_rows:,} regions are not complete (--max-memory)"
                )
            if len(regions.rows.starts) >= expected:
                yield from self._close(target)

    def _impossible(self, what: str) -> RecordingError:
        return RecordingError(f"{self._path}: {what}; give the text that perf script prints, as it is.")

    def _new(self, key: tuple[bytes, tuple[int, ...]]) -> _ScriptTarget:
        thread, ids = key
        if len(self._targets) == MOST_TARGETS:
            raise self._impossible(f"there are more than {MOST_TARGETS:,} targets")
        self._kdamonds.setdefault(thread, _kdamond(thread, len(self._kdamonds)))
        target = self._targets[key] = _ScriptTarget(self._numbers.index(key, ids[-1]))
        return target

    def _event_of(self, target: _ScriptTarget, key: tuple[bytes, tuple[int, ...]], time_ns: int) -> Event:
        thread, ids = key
        context, scheme = (ids[0], ids[1]) if len(ids) == 3 else (0, None)
        about = {"kdamond_idx": self._kdamonds[thread], "context_idx": context, "scheme_idx": scheme}
        data = {"target": target.index, **about, "target_id": ids[-1], "intervals": None}
        try:
            check_event("damo_record", data)
        except ValueError as error:
            raise self._impossible(str(error)) from error
        return Event(time_ns, "damo_record", data)

    def _close(self, target: _ScriptTarget) -> Iterator[Snapshot]:
        regions, target.open = target.open, None
        assert regions is not None
        self._waiting -= len(regions.rows.starts)
        if target.last_ns is None:
            target.first, target.last_ns = regions, regions.end_ns
            return
        if target.first is not None:
            window = max(1, regions.end_ns - target.first.end_ns)
            yield self._snapshot(target, target.first, target.first.end_ns - window)
            target.first = None
        yield self._snapshot(target, regions, target.last_ns)
        target.last_ns = regions.end_ns

    def _snapshot(self, target: _ScriptTarget, regions: _PendingSnapshot, begin_ns: int) -> Snapshot:
        window = max(1, regions.end_ns - begin_ns)
        sample, rows = regions.sample_ns, regions.rows
        least = DEFAULT_TICKS if sample is None else max(1, round(window / sample))
        ticks = max(least, *rows.counts)  # times are told when the kernel had time for that
        begin_ns, sample_ns = min(begin_ns, regions.end_ns), sample or max(1, window // ticks)
        try:
            check_window(begin_ns, regions.end_ns, sample_ns, ticks)
        except ValueError as error:
            raise self._impossible(str(error)) from error
        return Snapshot(
            target=target.index, pid=None, seq=self._timeline.number(target.index, regions.end_ns, window),
            begin_ns=begin_ns, end_ns=regions.end_ns, sample_ns=sample_ns, ticks=ticks,
            starts=rows.starts, ends=rows.ends, nr_accesses=rows.counts, ages=rows.ages, touched=rows.touched,
        )  # fmt: skip


def _named(path: Path) -> dict[bytes, bytes]:
    """pid → what stands at the head of lines that name this thread, of the first name. Pid 0 is nobody's."""
    found: dict[bytes, bytes] = {}
    for text in _whole_lines(path, silent):
        for match in _THREAD.finditer(text):
            if match[2] != UNNAMED:
                found.setdefault(match[3], match[1])
    return found


def _time(seconds: bytes, fraction: bytes) -> int:
    """ns from what stands before and after the point; perf prints six digits, or nine with --ns."""
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))


def _thread(who: bytes) -> bytes:
    """What tells one kdamond from another in the head of a line: without its processor."""
    head, bracket, _ = who.partition(b"[")
    return head.rstrip() if bracket else who


def _kdamond(thread: bytes, count: int) -> int:
    """The number in the thread's name, else how many came before."""
    match = _KDAMOND.search(thread)
    return int(match[1]) if match else count
