"""What is mutated: small recordings as a monitor writes them, and texts of the other formats."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from random import Random

from arro3.core import RecordBatch

from tests.unit.snapshots import INTERVALS, damo_record, damo_region, damo_snapshot
from udamon.model import Event, Rates, Sharing, Snapshot
from udamon.record import seal
from udamon.record.limits import DEFAULT
from udamon.record.messages import OpenFile
from udamon.record.reader import Recording
from udamon.record.schema import FIRST_COLUMNS, METADATA_KEY, schema_of
from udamon.record.seal import PREFIX
from udamon.record.stream import whole_stream
from udamon.record.writer import Writer

FLUSHES = 12
MS = 1_000_000


def shot(seq: int, target: int = 0, regions: int = 40) -> Snapshot:
    """A snapshot with some regions, half of them resident and touched; of those of target 0 it is known what others
    share of them: anonymous memory, then a file, with page frames and without."""
    begin = (1 << 40) + seq * 100 * MS
    starts = [(1 << 30) + 8192 * (i + 100 * target) for i in range(regions)]
    return Snapshot(
        target=target, pid=100 + target, seq=seq, begin_ns=begin, end_ns=begin + 100 * MS, sample_ns=5 * MS, ticks=20,
        starts=array("Q", starts), ends=array("Q", [start + 4096 * (1 + i % 2) for i, start in enumerate(starts)]),
        nr_accesses=array("I", [(i * 7 + seq) % 21 for i in range(regions)]),
        ages=array("I", [i % 5 + seq for i in range(regions)]),
        touched=array("Q", [4096 * ((i + seq) % 2) for i in range(regions)]),
        resident=array("Q", [4096] * regions), sharing=None if target or not regions else sharing(regions),
        rates=None if target or not regions else rates(regions),
        touched_low=None if target or not regions else 4096 * (regions // 4),
        touched_high=None if target or not regions else 4096 * regions,
        idle_checks=None if target or not regions else 200, idle_hits=None if target or not regions else seq % 3,
        idle_bytes=None if target or not regions else 4096 * regions,
        idle_mixed=None if target or not regions else 4096 * (seq % 2),
    )  # fmt: skip


def rates(regions: int) -> Rates:
    """How often pages of so many regions are accessed; of the last one nothing is known."""
    known = [(i % 4 / 8, i % 4 / 16, i % 4 / 4) for i in range(regions - 1)]
    return Rates.of(zip(*known, (None,) * 3, strict=True))


def sharing(regions: int) -> Sharing:
    """What is known of so many regions; of the last one nothing is."""
    known = [
        (4096 * (i % 2), 4096, 0, i % 3, None if i % 3 == 0 else 4096 * i, None if i % 4 else 4096)
        for i in range(regions - 1)
    ]
    return Sharing.of(zip(*known, (None,) * 6, strict=True))


def events(target: int) -> list[Event]:
    """What begins a target."""
    start = 1 << 40
    who = {"target": target, "pid": 100 + target, "comm": "x", "cmdline": ["x", "-y"], "user": "root"}
    add = [
        [(1 << 30), (1 << 30) + (1 << 20), "rw-p", 0, 0, "[heap]"],
        [(1 << 31), (1 << 31) + (1 << 20), "r-xp", 0, 9, "/usr/lib/libc.so.6"],
    ]
    return [
        Event(start, "target_start", {**who, "start_time": 5}),
        Event(start, "mappings", {"target": target, "add": add, "remove": []}),
    ]


def allocations() -> list[Event]:
    """What `record --sites` and `--cgroup` write beside: two stacks, one of which calls Python, and what lives."""
    start = 1 << 40
    about = {"image": 0, "pid": 100, "mean": 4096, "begin": start, "parent": None, "parent_ns": None}
    lost = {"lost_allocated": 1, "lost_bytes": 4096, "lost_freed": 0}
    rows = [[start + 1, (1 << 30) + 64, 8192, 8192, 0], [start + 2, (1 << 30) + 16384, 4096, 4096, 1],
            [start + 3, (1 << 30) + 16384]]  # fmt: skip
    modules = [[0, "/usr/bin/x", "ab"], [1, "[python]", ""]]
    cache = {
        "file_bytes": 8192,
        "mapped_bytes": 4096,
        "hot_bytes": 4096,
        "only_read_bytes": 0,
        "kernel_bytes": 0,
    }
    return [
        Event(
            start,
            "allocation_stacks",
            {"modules": modules, "stacks": [[0, [0, 16, 1, 32, -1, 8]], [1, [0, 64]]]},
        ),
        Event(
            start, "symbols", {"module": 0, "symbols": [[16, [["f", "/f.c", 5]]], [64, [["g", None, None]]]]}
        ),
        Event(start, "symbols", {"module": 1, "symbols": [[32, [["h", "/h.py", 7]]]]}),
        Event(start, "allocations", {**about, **lost, "rows": rows, "whole": True}),
        Event(start, "allocations_unseen", {"pid": 101, "comm": "y", "why": "it is static"}),
        Event(start, "page_cache", {**cache, "source": "memory.stat"}),
    ]


ATTRS = {
    "sample_us": 5000,
    "aggr_us": 100000,
    "update_us": 1000000,
    "min_nr_regions": 10,
    "max_nr_regions": 1000,
}
COVERAGE: dict[str, object] = {
    "processes_missed": 1, "bytes_missed": None, "exact": False, "why": "they ended before they were seen",
}  # fmt: skip
METADATA: dict[str, object] = {
    "via": "refs", "ops": "vaddr", "policy": None, "sees": "reads and writes",
    "attrs": ATTRS,
    "command_line": ["udamon", "record"], "startup_cpu_ns": 1000,
}  # fmt: skip


def recording(path: Path, targets: int = 1, flushes: int = FLUSHES, *, sites: bool = False) -> bytes:
    """A recording of so many flushes with a snapshot of each target in each; with `sites`, of allocations, too."""
    with Writer(path, METADATA, force=True) as writer:
        for target in range(targets):
            for event in events(target):
                writer.event(event)
        for event in allocations() if sites else ():
            writer.event(event)
        for seq in range(flushes):
            for target in range(targets):
                writer.snapshot(shot(seq, target))
            if seq % 5 == 1:
                writer.event(Event((1 << 40) + seq, "coverage", {**COVERAGE, "processes_seen": targets}))
            if seq % 3 == 0:
                writer.event(
                    Event((1 << 40) + seq, "cost", {"cpu_ns": seq, "max_rss_bytes": 1 << 25, "checks": seq})
                )
            writer.flush()
        writer.event(Event(1 << 41, "target_end", {"target": 0, "pid": 100, "why": "exited"}))
    return path.read_bytes()


def unsealed(data: bytes) -> bytes:
    """The same recording as it was written before there were checksums."""
    at, parts = 0, list[bytes]()
    while at < len(data):
        marker, length = PREFIX.unpack_from(data, at)
        if not length:
            return b"".join([*parts, data[at:]])
        after = _end(data, at)
        head_end = at + PREFIX.size + length
        parts += [PREFIX.pack(marker, length - seal.SIZE), data[at + PREFIX.size : head_end - seal.SIZE]]
        parts.append(data[head_end:after])
        at = after
    return b"".join(parts)


def earlier(path: Path) -> bytes:
    """The recording as it was written before anything was known of what is shared, and without checksums."""
    found = Recording(path)
    schema = schema_of(len(FIRST_COLUMNS)).with_metadata({METADATA_KEY: json.dumps(found.metadata).encode()})
    names = list(FIRST_COLUMNS)
    return whole_stream(
        schema,
        [
            RecordBatch.from_arrays([batch[name] for name in names], schema=schema)
            for batch in found.batches()
        ],
    )


def _end(data: bytes, at: int) -> int:
    from udamon.record.heads import kind_and_body

    length = PREFIX.unpack_from(data, at)[1]
    metadata = data[at + PREFIX.size : at + PREFIX.size + length]
    return int(at + PREFIX.size + length + kind_and_body(metadata)[2])


def resealed(data: bytes) -> bytes:
    """The same bytes with checksums that hold, as far as messages can be told apart."""
    out, at = bytearray(data), 0
    while at + PREFIX.size <= len(out):
        marker, length = PREFIX.unpack_from(out, at)
        if marker != 0xFFFF_FFFF or not seal.SIZE < length <= len(out):
            return bytes(out)
        try:
            after = _end(bytes(out), at)
        except ValueError:
            return bytes(out)
        begin = at + PREFIX.size + length
        mark = seal.read(bytes(out[at + PREFIX.size : begin]))
        if mark is not None and after <= len(out):
            body = bytes(out[begin:after])
            message = (
                PREFIX.pack(marker, length - seal.SIZE)
                + bytes(out[at + PREFIX.size : begin - seal.SIZE])
                + body
            )
            out[at:after] = seal.sealed(message, mark.sequence, mark.snapshots, mark.first)
        at = after
    return bytes(out)


def flushes(path: Path) -> list[tuple[int, int, int, int]]:
    """Offset, end, first snapshot and number of snapshots of each batch of snapshots."""
    found = OpenFile(path, DEFAULT).messages
    return [(m.offset, m.end, m.first or 0, m.snapshots or 0) for m in found if not m.events]


def damo_text(random: Random) -> str:
    """damo's JSON with one or two records."""
    shots = [
        damo_snapshot(
            str(seq * 100 * MS), str((seq + 1) * 100 * MS),
            [damo_region(f"{i * 8192:,}", f"{i * 8192 + 4096:,}", i % 21, str(i)) for i in range(random.randrange(6))],
        )
        for seq in range(3)
    ]  # fmt: skip
    records = [damo_record(shots, target_id=i, intervals=INTERVALS) for i in range(random.randrange(1, 3))]
    return json.dumps(records, indent=random.choice([None, 4]))


def perf_text(random: Random) -> str:
    """perf script's text."""
    lines = []
    for seq in range(4):
        for target in range(random.randrange(1, 3)):
            head = f"kdamond.{target}  4452 [000] {82877 + seq}.{random.randrange(10**6):06}: damon:damon_aggregated: "
            count = random.randrange(1, 5)
            lines += [
                f"{head}target_id={target} nr_regions={count} {4096 * i}-{4096 * (i + 1)}: {i} {seq}"
                for i in range(count)
            ]
        lines.append(
            f"kdamond.0  4452 [000] {82877 + seq}.999999: damon:damon_monitor_intervals_tune: sample_us=5000"
        )
    return "\n".join(lines) + "\n"


TOML = """
[[schemes]]
action = "pageout"
apply_interval = "1s"
[schemes.access_pattern]
sz = {min = "4 KiB", max = "max"}
nr_accesses = {max = "0%"}
age = {min = "5s"}
[schemes.quotas]
bytes = "64 MiB"
reset_interval_ms = "1s"
weights = {sz = 1, nr_accesses = 2, age = 3}
goals = [{target_metric = "user_input", target_value = 5}]
[schemes.watermarks]
metric = "free_mem_rate"
interval = "5s"
high = "50%"
mid = 400
low = 50
[[schemes.ops_filters]]
type = "anon"
matching = true
"""
YAML = """
schemes:
  - action: pageout
    access_pattern:
      sz: {min: 4 KiB}
      nr_accesses: {max: 0%}
      age: &a {min: 5s}
    quotas: {bytes: 64 MiB, reset_interval_ms: 1s}
    core_filters:
      - {type: addr, addr_start: 4096, addr_end: 8192, matching: yes}
  - action: migrate_hot
    target_nid: 1
    access_pattern: {age: *a}
"""
MASIM = """# udamon: rate=5000
a, 10M
b, 4096K, none  # udamon: resident=50%

first
100
a, 1, 64, 1
b, 0, 4096, 2, ro  # udamon: window=10% period=2s

second
2000
b, 1, 64, 0.5, rw  # udamon: chance=0.5
"""
