"""Filters: what of a recording a report looks at, as one SQL view of its rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from udamon.arguments import named
from udamon.errors import UsageError
from udamon.record.schema import BOUND_COLUMNS, IDLE_COLUMNS
from udamon.units import parse_duration_ns, parse_share, parse_size, parse_time_ns

Span = tuple[int | float | None, int | float | None]
"""A closed interval; None is open on that side."""

TICKS = "CAST(nr_accesses AS DOUBLE) / NULLIF(ticks, 0)"
"""A region's share of ticks with an access (by a census without rates: udamon.report.grain)."""

ALL: Span = (None, None)


def parse_span(text: str, parse: Callable[[str], int | float], example: str) -> Span:
    """MIN-MAX with units, e.g. "4KiB-1MiB"; "min", "max" or nothing leaves a side open. Raises UsageError."""
    low, dash, high = text.partition("-")
    low, high = low.strip(), high.strip()
    if not dash or not (low or high):
        raise UsageError(f"{text!r} is not a range; write it MIN-MAX, like {example}.")
    span = (
        None if low in ("", "min") else parse(low),
        None if high in ("", "max") else parse(high),
    )
    if span[0] is not None and span[1] is not None and span[0] > span[1]:
        raise UsageError(f"the range {text!r} ends before it begins; write it MIN-MAX, like {example}.")
    return span


def _span(flag: str, text: str | None, parse: Callable[[str], int | float], example: str) -> Span:
    return ALL if text is None else named(flag, lambda text: parse_span(text, parse, example), text)


def parse_address(text: str) -> int:
    """An address: 0x…, or hexadecimal digits as /proc/PID/maps has them; or a size (4GiB). UsageError."""
    try:
        address = int(text, 16) if re.fullmatch(r"[0-9a-fA-F]{6,16}", text) else parse_size(text)
    except UsageError:
        raise UsageError(
            f"{text!r} is not an address; write it like 0x7f0000000000, or as a size like 4GiB."
        ) from None
    if address > 1 << 64:
        raise UsageError(f"{text!r} is behind the last address, 0xffffffffffffffff.")
    return min(address, (1 << 64) - 1)


@dataclass(frozen=True, slots=True)
class Filters:
    """Spans of: time (ns since the recording's start), address and size (bytes), rate (0..1), age (ns).

    Time, target and warm-up choose snapshots. The others choose regions: a snapshot stays, with what is left of it,
    so that percentiles stay over all snapshots. A region that lies partly in `address` is cut to it, and its
    touched and resident bytes are taken to be spread evenly.
    """

    time: Span = ALL
    address: Span = ALL
    size: Span = ALL
    rate: Span = ALL
    age: Span = ALL
    targets: tuple[int, ...] = ()
    mapping: str | None = None
    """A pattern (with * and ?) for the name, label or kind of mappings; regions are cut to what they share
    with those, as with `address`."""

    include_warmup: bool = field(default=False, compare=False)
    """Whether windows of a recording's warm-up are looked at."""

    since_ns: int | None = None
    """Only windows that begin then or later, ns on CLOCK_MONOTONIC: the end of the warm-up (see `past_warmup`)."""

    pieces: tuple[tuple[int, int, int], ...] = ()
    """(target, start, end): only this memory, sorted and disjoint; it takes the place of `mapping`."""

    @property
    def timed(self) -> bool:
        """Whether a span of time was given."""
        return self.time != ALL

    @property
    def cuts(self) -> bool:
        """Whether regions are cut to pieces of memory, by a join with the table `wanted_mappings`."""
        return self.mapping is not None or bool(self.pieces)

    @classmethod
    def parse(
        cls,
        *,
        time: str | None = None,
        address: str | None = None,
        size: str | None = None,
        rate: str | None = None,
        age: str | None = None,
        targets: tuple[int, ...] = (),
        mapping: str | None = None,
        include_warmup: bool = False,
    ) -> Filters:
        """From what people write. Raises UsageError."""
        if mapping == "":  # as of a variable that is not set; it would match what has no name
            raise UsageError("--mapping is empty; give a name, a label or a kind, such as heap or anonymous, "
                             "or leave it out.")  # fmt: skip
        return cls(
            time=_span("--time", time, parse_duration_ns, "5s-10s"),
            address=_span("--address", address, parse_address, "0x7f0000000000-0x7f0000200000"),
            size=_span("--size", size, parse_size, "4KiB-1MiB"),
            rate=_span("--rate", rate, parse_share, "50%-100%"),
            age=_span("--age", age, parse_time_ns, "1s-10s"),
            targets=targets,
            mapping=mapping,
            include_warmup=include_warmup,
        )

    @property
    def whole_snapshots(self) -> bool:
        """Whether of each snapshot all or nothing is left."""
        return self == Filters(time=self.time, since_ns=self.since_ns, targets=self.targets)

    @property
    def whole_moments(self) -> bool:
        """Whether of each moment all or nothing is left."""
        return self == Filters(time=self.time, since_ns=self.since_ns)

    @property
    def once(self) -> str:
        """SQL over rows with `same_as`: whether no other target that is looked at has the same address space, whose
        rows describe the same memory."""
        if not self.targets:
            return "same_as IS NULL"
        return f"(same_as IS NULL OR same_as NOT IN ({', '.join(map(str, self.targets))}))"

    def repeats(self, same_as: int | None) -> bool:
        """Whether a snapshot with this `same_as` describes memory again: what `once` is not."""
        return same_as is not None and (not self.targets or same_as in self.targets)

    def past_warmup(self, until_ns: int | None) -> Filters:
        """These filters for a recording whose warm-up lasts until then; None where it has none."""
        return replace(self, since_ns=None if self.include_warmup else until_ns)

    def view(
        self, start_ns: int, rows: str = "recording", *, sharing: bool = False, rate: str = TICKS
    ) -> str:
        """The query behind the view `regions`; `start_ns` is the recording's start on CLOCK_MONOTONIC, and
        `rows` what it is a view of; with `sharing`, also what is known of others who have the same pages. `rate` is
        the SQL of a region's access rate.

        Columns as in udamon.record.schema without the events'; a row whose `start` is null is a snapshot
        in which no region is left.
        """
        low, high = self.address
        start = "start" if low is None else f"greatest(start, CAST({low} AS UBIGINT))"
        end = '"end"' if high is None else f'least("end", CAST({high} AS UBIGINT))'
        share = "" if self.address == ALL else f' * (CAST({end} AS DOUBLE) - {start}) / ("end" - start)'
        keep = self._keep(start, end, rate)
        # Of a part of a snapshot nothing follows from the bounds of all of it.
        none = "CAST(NULL AS UBIGINT) AS "
        whole = (*BOUND_COLUMNS, *IDLE_COLUMNS)
        bounds = "".join(f", {'' if self.whole_snapshots else none}{name}" for name in whole)
        more = (
            ""
            if not sharing
            else f""",
                CASE WHEN {keep} THEN private{share} END AS private,
                CASE WHEN {keep} THEN anonymous{share} END AS anonymous,
                CASE WHEN {keep} THEN touched_min{share} END AS touched_min,
                CASE WHEN {keep} THEN object END AS object,
                CASE WHEN {keep} THEN file_offset + ({start} - start) END AS file_offset,
                CASE WHEN {keep} THEN "distinct"{share} END AS "distinct",
                same_as{bounds}"""
        )
        return f"""
            SELECT time, "begin", seq, target, pid, ticks, sample_ns,
                CASE WHEN {keep} THEN {start} END AS start,
                CASE WHEN {keep} THEN {end} END AS "end",
                CASE WHEN {keep} THEN nr_accesses END AS nr_accesses,
                CASE WHEN {keep} THEN age END AS age,
                CASE WHEN {keep} THEN touched{share} END AS touched,
                CASE WHEN {keep} THEN resident{share} END AS resident,
                CASE WHEN {keep} THEN access_rate END AS access_rate,
                CASE WHEN {keep} THEN rate_low END AS rate_low,
                CASE WHEN {keep} THEN rate_high END AS rate_high{more}
            FROM {rows}
            WHERE event IS NULL AND {self._which(start_ns)}
        """

    def _which(self, start_ns: int) -> str:
        tests = _between("time", *(None if side is None else side + start_ns for side in self.time))
        tests += _between('"begin"', self.since_ns, None)
        if self.targets:
            tests.append(f"target IN ({', '.join(map(str, self.targets))})")
        return " AND ".join(tests) or "TRUE"

    def _keep(self, start: str, end: str, rate: str) -> str:
        tests = [] if self.address == ALL else [f"{start} < {end}"]
        tests += _between('"end" - start', *self.size)
        tests += _between(rate, *self.rate)
        tests += _between("CAST(age AS DOUBLE) * ticks * sample_ns", *self.age)
        return " AND ".join(tests) or "TRUE"


_CUT = """
    SELECT time, "begin", seq, rows.target, pid, ticks, sample_ns,
        CASE WHEN pieces.low IS NOT NULL THEN greatest(start, pieces.low) END AS start,
        CASE WHEN pieces.low IS NOT NULL THEN least("end", pieces.high) END AS "end",
        CASE WHEN pieces.low IS NOT NULL THEN nr_accesses END AS nr_accesses,
        CASE WHEN pieces.low IS NOT NULL THEN age END AS age,
        CASE WHEN pieces.low IS NOT NULL THEN touched * {share} END AS touched,
        CASE WHEN pieces.low IS NOT NULL THEN resident * {share} END AS resident,
        CASE WHEN pieces.low IS NOT NULL THEN access_rate END AS access_rate,
        CASE WHEN pieces.low IS NOT NULL THEN rate_low END AS rate_low,
        CASE WHEN pieces.low IS NOT NULL THEN rate_high END AS rate_high{more}
    FROM ({rows}) AS rows LEFT JOIN wanted_mappings AS pieces
        ON rows.target = pieces.target AND start < pieces.high AND "end" > pieces.low
"""
_CUT_SHARING = """,
        CASE WHEN pieces.low IS NOT NULL THEN private * {share} END AS private,
        CASE WHEN pieces.low IS NOT NULL THEN anonymous * {share} END AS anonymous,
        CASE WHEN pieces.low IS NOT NULL THEN touched_min * {share} END AS touched_min,
        CASE WHEN pieces.low IS NOT NULL THEN object END AS object,
        CASE WHEN pieces.low IS NOT NULL THEN file_offset + (greatest(start, pieces.low) - start) END AS file_offset,
        CASE WHEN pieces.low IS NOT NULL THEN "distinct" * {share} END AS "distinct",
        same_as, touched_low, touched_high, idle_checks, idle_hits, idle_bytes, idle_mixed"""
_SHARE = '(CAST(least("end", high) - greatest(start, low) AS DOUBLE) / ("end" - start))'


def cut(rows: str, *, sharing: bool = False) -> str:
    """The rows of a view, cut to the pieces of the mappings that are wanted; one in several of them is several rows."""
    query = _CUT.replace("{more}", _CUT_SHARING if sharing else "")
    return query.replace("{share}", _SHARE).replace("{rows}", rows)


def _between(value: str, low: float | None, high: float | None) -> list[str]:
    return ([f"{value} >= {low}"] if low is not None else []) + (
        [f"{value} <= {high}"] if high is not None else []
    )
