"""Reads damo's records (formats `json` and `json_compressed`) as a stream of snapshots and events.

A record is what damo calls the snapshots of one (kdamond, context, scheme, target). What its format does not
say follows from what it says:

| of a snapshot | taken from                                                                                    |
|---------------|-----------------------------------------------------------------------------------------------|
| ticks         | intervals: aggr_us / sample_us, which tuning keeps; without them the length of the snapshot   |
|               | over sample_interval_us; without either the default, 20, or the largest count where that is more |
| sample_ns     | sample_interval_us, else the record's sample_us, else the snapshot's length over the ticks    |
| touched       | damo's definition: all bytes of a region that was accessed at all                             |
| seq           | udamon.record.timeline                                                                        |

Each record begins with an event `attrs` and ends with `damo_record`: what damo says of it beside its snapshots.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udamon.model import Event, Snapshot
from udamon.record.chunks import Progress, silent
from udamon.record.damo.text import Columns, DamoText, items, members
from udamon.record.damo.values import check_window, number, time_in
from udamon.record.limits import DEFAULT, ReadLimits
from udamon.record.schema import VERSION
from udamon.record.timeline import Targets, Timeline
from udamon.record.values import check_event

US = 1_000
DEFAULT_TICKS = 20
"""Ticks of an aggregation at DAMON's default intervals, 5 ms and 100 ms."""

_KEYS = ("kdamond_idx", "context_idx", "scheme_idx", "target_id")
_ABOUT = (*_KEYS, "scheme_filters", "data_source", "intervals")


def metadata(form: str) -> dict[str, object]:
    """What is known of a recording that was read from damo's file; `form` is json or json_compressed."""
    return {"version": VERSION, "via": "kernel", "ops": None, "policy": "damon", "read_from": f"damo {form}",
            "derived": ["seq", "ticks", "touched"]}  # fmt: skip


MOST_RECORDS = 20_000
"""A record is one target of one scheme of one context; each is kept in mind to the end."""


def read(
    path: Path, *, compressed: bool, progress: Progress = silent, limits: ReadLimits = DEFAULT
) -> Iterator[Snapshot | Event]:
    """The snapshots and events of a file, record by record. Raises RecordingError with the place."""
    return _DamoReader(path, compressed, progress, limits).all()


@dataclass(slots=True)
class _Record:
    """What is known of a record while its snapshots are read."""

    about: dict[str, Any] = field(default_factory=dict)
    target: int = 0
    begin_ns: int | None = None
    sample_ns: int | None = None
    ticks: int | None = None

    def understand(self) -> None:
        """Take the intervals apart. Raises ValueError."""
        intervals = self.about.get("intervals")
        if isinstance(intervals, dict):
            self.sample_ns = max(1, time_in(US, intervals["sample_us"]))
            self.ticks = max(1, round(time_in(US, intervals["aggr_us"]) / self.sample_ns))


class _DamoReader:
    def __init__(self, path: Path, compressed: bool, progress: Progress, limits: ReadLimits) -> None:
        self._path, self._compressed, self._limits = path, compressed, limits
        self._text = DamoText(path, compressed=compressed, progress=progress, limits=limits)
        self._above = 0  # counts that were above the ticks of their window
        self._targets, self._timeline = Targets(), Timeline()
        self._ahead: list[dict[str, Any]] | None = None

    def all(self) -> Iterator[Snapshot | Event]:
        for index in items(self._text):
            self._text.where = f"in record {index}"
            if index == MOST_RECORDS:
                raise self._text.wrong(f"there are more than {MOST_RECORDS:,} records")
            record = _Record()
            self._text.begin()
            for key in members(self._text):
                if key == "snapshots":
                    yield from self._snapshots(index, record)
                else:
                    record.about[key] = self._text.value()
            if record.begin_ns is not None:
                about = {key: record.about.get(key) for key in _ABOUT}
                yield self._event(record.begin_ns, "damo_record", {"target": record.target, **about})
        self._text.end()
        if self._above:
            text = f"{self._above} counts were above the ticks of their window and are taken for all of them."
            yield Event(0, "note", {"text": text})

    def _event(self, time_ns: int, name: str, data: dict[str, Any]) -> Event:
        """An event whose data are possible. Raises RecordingError."""
        try:
            check_event(name, data)
        except ValueError as error:
            raise self._text.wrong(str(error)) from error
        return Event(time_ns, name, data)

    def _snapshots(self, index: int, record: _Record) -> Iterator[Snapshot | Event]:
        if not {*_KEYS, "intervals"} <= record.about.keys():
            record.about = self._look_ahead()[index]  # keys after the snapshots: not as damo writes it
        for count in items(self._text):
            self._text.where = f"in record {index}, snapshot {count}"
            self._text.begin()
            value = self._text.value()
            try:
                if not count:
                    record.understand()
                    yield self._begin(record, value)
                yield self._snapshot(record, value)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise self._text.wrong(what) from error

    def _begin(self, record: _Record, first: dict[str, Any]) -> Event:
        ids = [0 if record.about.get(key) is None else number(record.about[key]) for key in _KEYS]
        key = (*ids[:2], record.about.get("scheme_idx"), ids[3])
        record.target = self._targets.index(key, ids[3])
        time_ns = time_in(1, first["start_time"])
        check_window(time_ns, time_ns, 1, 1)
        record.begin_ns = time_ns
        intervals = record.about.get("intervals")
        if isinstance(intervals, dict):
            names = {"sample_us": "sample_us", "aggr_us": "aggr_us", "update_us": "ops_update_us"}
            attrs = {
                name: time_in(US, intervals[key]) // US for name, key in names.items() if key in intervals
            }
            return self._event(time_ns, "attrs", {**attrs, "why": "the record's intervals"})
        return Event(time_ns, "note", {"text": "A record has no intervals: ticks are derived."})

    def _snapshot(self, record: _Record, value: dict[str, Any]) -> Snapshot:
        begin, end = time_in(1, value["start_time"]), time_in(1, value["end_time"])
        if not isinstance(value["regions"], int):
            raise ValueError("its regions are not a list")
        (starts, ends, counts, ages, touched), odd = self._text.columns.take(value["regions"])
        sample, ticks = record.sample_ns, record.ticks
        if value.get("sample_interval_us") is not None:
            if (sample := time_in(US, value["sample_interval_us"])) <= 0:
                raise ValueError(f"{value['sample_interval_us']!r} is no sampling interval")
            ticks = ticks or max(1, round((end - begin) / sample))
        ticks = ticks or max([DEFAULT_TICKS, *counts])
        sample = sample or max(1, (end - begin) // ticks)
        for row, (usec, percent) in odd.items():
            counts[row] = round(percent / 100 * ticks) if percent >= 0 else counts[row]
            ages[row] = round(usec * US / (ticks * sample)) if usec >= 0 else ages[row]
        check_window(begin, end, sample, ticks)
        if any(after < before for before, after in zip(ends, starts[1:], strict=False)):
            raise ValueError("its regions overlap or are out of order")
        if counts and max(counts) > ticks:  # the kernel may fit one more sample in
            self._above += sum(count > ticks for count in counts)
            counts = array("I", [min(count, ticks) for count in counts])
        return Snapshot(
            target=record.target, pid=None, seq=self._timeline.number(record.target, end, end - begin),
            begin_ns=begin, end_ns=end, sample_ns=sample, ticks=ticks,
            starts=starts, ends=ends, nr_accesses=counts, ages=ages, touched=touched,
        )  # fmt: skip

    def _look_ahead(self) -> list[dict[str, Any]]:
        """All that records say beside their snapshots, by reading the file once more."""
        if self._ahead is None:
            text, self._ahead = DamoText(self._path, compressed=self._compressed, limits=self._limits), []
            for index in items(text):
                if index == MOST_RECORDS:
                    raise text.wrong(f"there are more than {MOST_RECORDS:,} records")
                about: dict[str, Any] = {}
                text.begin()
                for key in members(text):
                    if key != "snapshots":
                        about[key] = text.value()
                        continue
                    for _ in items(text):
                        text.begin()
                        text.value()
                        text.columns = Columns()
                self._ahead.append(about)
        return self._ahead
