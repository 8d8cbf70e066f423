"""Every field of every kind of input with hostile values: keys of events and heads of recordings, columns, keys of
other JSON, numbers of other formats, flags of all parsers, their variables, names of files, what a terminal says."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from arro3.core import Array, RecordBatch

from tests.fuzz import bases, documents, outputs, worker, wrong
from tests.fuzz.commands import CONVERSIONS, REPORTS
from tests.fuzz.flags import flag_fields, words_of, working_fields, working_words
from tests.fuzz.hostile_values import LARGE, TERMINAL, object_with, word
from udamon.record.buffer import PendingRows
from udamon.record.metadata import machine
from udamon.record.schema import COLUMNS, METADATA_KEY, SCHEMA, TYPES
from udamon.record.stream import Stream, whole_stream
from udamon.record.values import _METADATA

_AS_JSON = tuple(f"report {kind} {{0}} --json" for kind in (
    "wss", "heatmap", "access", "info", "mappings", "times", "phases", "right-size", "footprint", "nr-regions", "sites",
    "ages", "size", "holistic"))  # fmt: skip
TERMINALS = (
    "COLUMNS",
    "LINES",
    "LANG",
    "LC_ALL",
    "TERM",
    "COLORTERM",
    "FORCE_COLOR",
    "NO_COLOR",
    "PYTHONIOENCODING",
)


class Field(NamedTuple):
    """`kind` of input, and what of it is hostile."""

    kind: str
    name: tuple[str, ...]


class Ready(NamedTuple):
    """What runs a case, and its words for people."""

    run: Callable[[], int]
    words: list[str]


def all_fields() -> list[Field]:
    """Of all kinds, in an order that is always the same."""
    events = [(name, key) for name, known in wrong.known_events().items() for key in (*known, "new")]
    return [
        *(Field("event", one) for one in [*events, ("unknown", "target")]),
        *(Field("head", (key,)) for key in (*_METADATA, "version", "command_line", "warmup_until_ns", "new")),
        *(Field("column", (name,)) for name in COLUMNS),
        *(Field("damo", (key,)) for key in documents.DAMO_KEYS),
        *(Field("perf", (key,)) for key in documents.PERF_FIELDS),
        *(Field("document", (key,)) for key in documents.READERS),
        *(Field("fleet", (key,)) for key in documents.FLEET_FIELDS),
        *(Field("flag", one) for one in flag_fields()),
        *(Field("work", one) for one in working_fields()),
        *(Field("variable", one) for one in flag_fields()),
        *(Field("terminal", (name,)) for name in TERMINALS),
        *(Field("file", (name,)) for name in ("recording", "output", "missing", "directory")),
    ]


def prepared(field: Field, random: Random, place: Path, base: Path) -> Ready:
    """The case of a field, with its files written into `place`; `base` has a good recording and a fleet."""
    make = _MAKE[field.kind]
    return make(field, random, place, base)


def _command(words: list[str], place: Path, environ: dict[str, str] | None = None) -> Ready:
    from udamon.cli.main import main

    def run() -> int:
        os.chdir(place)
        for name in (*TERMINALS, "UDAMON_CONFIG"):
            os.environ.pop(name, None)
        os.environ |= {"UDAMON_CONFIG": "", "COLUMNS": "80"} | (environ or {})
        as_json = "--json" in words and not {"--html", "--svg", "--png"} & set(words)
        return outputs.judged(lambda: main(words), as_json=as_json, files=place / "out")

    said = " ".join(f"{name}={value!a}" for name, value in (environ or {}).items())
    return Ready(run, [said, *words])


def _reading(random: Random, file: Path, place: Path) -> Ready:
    """One of the commands that read recordings; JSON as often as all else."""
    text = random.choice((random.choice(_AS_JSON), random.choice((*REPORTS, *CONVERSIONS))))
    return _command(text.format(file, place / "out").split(), place)


def _event(field: Field, random: Random, place: Path, base: Path) -> Ready:
    name, key = field.name
    known = wrong.known_events().get(name, {})
    data = object_with(known, key, random)
    stream, begin = Stream(), PendingRows()
    parts = [stream.head(machine() | bases.METADATA)]
    for event in (*bases.events(0), *bases.allocations()):
        if event.name == name and random.random() < 0.7:
            begin.add_event(event.time_ns, 0, name, data)
        else:
            begin.add_event(event.time_ns, 0, event.name, json.dumps(dict(event.data)))
    shown = random.choice((TERMINAL, "x" * 70_000, "")) if name == "unknown" else name
    begin.add_event(1 << 40, 0, shown.encode("utf-8", "backslashreplace").decode(), data)
    parts.append(stream.flush(begin))
    for seq in range(3):
        rows = PendingRows()
        rows.add_snapshot(bases.shot(seq))
        parts.append(stream.flush(rows))
    (place / "case").write_bytes(b"".join([*parts, stream.end()]))
    return _reading(random, place / "case", place)


def _head(field: Field, random: Random, place: Path, base: Path) -> Ready:
    known = machine() | bases.METADATA | {"version": 1}
    raw = object_with(known, field.name[0], random).encode("utf-8", "surrogatepass")
    rows = PendingRows()
    rows.add_snapshot(bases.shot(0))
    schema = SCHEMA.with_metadata({METADATA_KEY: raw})
    batches = [
        RecordBatch.from_arrays([batch[name] for name in COLUMNS], schema=schema) for batch in rows.batches()
    ]
    (place / "case").write_bytes(whole_stream(schema, batches))
    return _reading(random, place / "case", place)


def _column(field: Field, random: Random, place: Path, base: Path) -> Ready:
    (name,) = field.name
    rows = PendingRows()
    for seq in range(3):
        rows.add_snapshot(bases.shot(seq, regions=random.choice((1, 5, 40))))
    (batch,) = rows.batches()
    columns: dict[str, list[Any]] = {each: list(batch[each].to_pylist()) for each in COLUMNS}
    value, count = wrong.value(name, random), batch.num_rows
    for at in range(count) if random.random() < 0.4 else [random.randrange(count)]:
        columns[name][at] = value
    if name in ("start", "end") and random.random() < 0.5:  # possible, and beyond what is signed
        top = random.choice(((1 << 63) - 4096 * 20, 1 << 63, (1 << 64) - 8192 * 200))
        columns["start"] = [top + 8192 * at for at in range(count)]
        columns["end"] = [top + 8192 * at + 4096 for at in range(count)]
    stream, begin = Stream(), PendingRows()
    for event in bases.events(0):
        begin.add_event(event.time_ns, 0, event.name, json.dumps(dict(event.data)))
    low, high = columns["start"][0], columns["end"][-1]
    if isinstance(low, int) and isinstance(high, int) and low < high:  # reports look where mappings are
        add = [[low, high, "rw-p", 0, 0, "[stack]"]]
        begin.add_event(1 << 40, 0, "mappings", json.dumps({"target": 0, "add": add, "remove": []}))
    made = RecordBatch.from_arrays([Array(columns[each], TYPES[each]) for each in COLUMNS], schema=SCHEMA)
    parts = [
        stream.head(machine() | bases.METADATA),
        stream.flush(begin),
        stream.batch(made, 3),
        stream.end(),
    ]
    (place / "case").write_bytes(b"".join(parts))
    return _reading(random, place / "case", place)


def _damo(field: Field, random: Random, place: Path, base: Path) -> Ready:
    (place / "case").write_bytes(documents.damo(field.name[0], random))
    return _reading(random, place / "case", place)


def _perf(field: Field, random: Random, place: Path, base: Path) -> Ready:
    (place / "case").write_bytes(documents.perf(field.name[0], random))
    return _reading(random, place / "case", place)


def _document(field: Field, random: Random, place: Path, base: Path) -> Ready:
    read = documents.READERS[field.name[0]]
    seed = random.random()
    return Ready(
        lambda: outputs.judged(lambda: read(Random(seed), place), as_json=False), [f"read {field.name[0]}"]
    )


def _fleet(field: Field, random: Random, place: Path, base: Path) -> Ready:
    words = documents.fleet(field.name[0], random, place, base)
    return _command(words, place)


def _flag(field: Field, random: Random, place: Path, base: Path) -> Ready:
    *path, flag = field.name
    value = word(random)
    words = words_of(path, base, place)
    given = [f"{flag}={value}"] if flag.startswith("--") and random.random() < 0.7 else [flag, value]
    more = ["--json"] if random.random() < 0.4 and documents.has_json(path) and flag != "--html" else []
    return _command([*words, *given, *more], place)


def _work(field: Field, random: Random, place: Path, base: Path) -> Ready:
    """A number by which the work of a command may grow, with work that is short without it."""
    *path, flag = field.name
    value = random.choice(LARGE)
    given = [f"{flag}={value}"] if flag.startswith("--") else [flag, value]
    return _command([*working_words(path, base, place), *given], place)


def _variable(field: Field, random: Random, place: Path, base: Path) -> Ready:
    *path, flag = field.name
    key = flag.lstrip("-").replace("-", "_")
    value = word(random)
    words = words_of(path, base, place)
    if random.random() < 0.5:
        name = "_".join(("udamon", *path, key)).replace("-", "_").upper()
        return _command(words, place, {name: value})
    table = ".".join(path)
    text = (
        f"[{table}]\n{key} = {random.choice((json.dumps(value), value, '1', 'true', '[]', '1e400', 'nan'))}\n"
    )
    (place / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    return _command(words, place, {"UDAMON_CONFIG": str(place / "config.toml")})


def _terminal(field: Field, random: Random, place: Path, base: Path) -> Ready:
    ready = random.choice(REPORTS).format(base / "recording", place / "out").split()
    return _command(ready, place, {field.name[0]: word(random)})


def _file(field: Field, random: Random, place: Path, base: Path) -> Ready:
    name = random.choice(
        (TERMINAL.replace("\n", ""), TERMINAL, "\udcff", "-x", "a b", "=1+1", "x" * 255, "x" * 300)
    )
    (what,) = field.name
    path = place / name
    if what == "output":
        flag = random.choice(("--html", "--svg", "--png"))
        return _command(["report", "wss", str(base / "recording"), f"{flag}={path}"], place)
    try:
        if what == "directory":
            path.mkdir()
        elif what == "recording":
            path.write_bytes((base / "recording").read_bytes())
    except OSError:
        pass
    text = random.choice((*_AS_JSON, *REPORTS, *CONVERSIONS))
    return _command(
        [str(path) if each == "{0}" else each.format("", place / "out") for each in text.split()], place
    )


_MAKE: dict[str, Callable[[Field, Random, Path, Path], Ready]] = {
    "event": _event, "head": _head, "column": _column, "damo": _damo, "perf": _perf, "document": _document,
    "fleet": _fleet, "flag": _flag, "work": _work, "variable": _variable, "terminal": _terminal, "file": _file,
}  # fmt: skip


def chosen(fields: list[Field], number: int, seed: str) -> Field:
    """The field of a case: kinds take turns, and within one all fields do, in an order that the seed shuffles."""
    kinds = list(_MAKE)
    kind, turn = kinds[number % len(kinds)], number // len(kinds)
    of_kind = [field for field in fields if field.kind == kind]
    Random(f"{seed}/{kind}").shuffle(of_kind)
    return of_kind[turn % len(of_kind)]


TOGETHER = 8
"""Cases in one process: a fork takes as long as some commands. Each sets its own environment and directory."""


def cases(
    place: Path, numbers: Iterable[int], seed: str
) -> Iterator[tuple[int, Field, Ready, worker.Outcome]]:
    """Each case and how it ended."""
    base = place / "base"
    documents.make_base(base)
    fields, waiting = all_fields(), list[tuple[int, Field, Ready]]()

    def together() -> Iterator[tuple[int, Field, Ready, worker.Outcome]]:
        outcomes = worker.run_all([ready.run for _, _, ready in waiting], place / "said")
        for one, outcome in zip(waiting, outcomes, strict=True):
            yield (*one, outcome)
            shutil.rmtree(place / str(one[0]))
        waiting.clear()

    for number in numbers:
        own = place / str(number)
        own.mkdir()
        field = chosen(fields, number, seed)
        waiting.append((number, field, prepared(field, Random(f"{seed}/{number}"), own, base)))
        if len(waiting) == TOGETHER:
            yield from together()
    yield from together()


def run(place: Path, count: int, seed: str, only: int | None = None) -> int:
    """Run so many cases, or one of them; how many ended as they should not."""
    begin, statuses, failures = time.monotonic(), Counter[int](), 0
    numbers = range(count) if only is None else [only]
    for number, field, ready, outcome in cases(place, numbers, seed):
        statuses[outcome.status] += 1
        if outcome.wrong is None:
            continue
        failures += 1
        words = " ".join(each[:200] for each in ready.words)
        print(f"fields {number}: {field.kind} {' '.join(field.name)}: {outcome.wrong}; {words!a}")
        print(outcome.said[-3000:])
        print(f"again: python -m tests.fuzz --kind fields --seed {seed} --only {number}", flush=True)
    spread = ", ".join(f"{times} with {status}" for status, times in sorted(statuses.items()))
    passed = time.monotonic() - begin
    print(f"fields: {count} cases, seed {seed}, {passed:.0f} s: {spread}; {failures} failed", flush=True)
    return failures
