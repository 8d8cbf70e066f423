"""Documents with a hostile value in one place, and what reads them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.fuzz import bases, mutate
from tests.fuzz.hostile_values import RAW, TERMINAL, WORDS, object_with
from tests.unit.fleet.rows import NOON, service
from tests.unit.report.fleet.made import put
from tests.unit.snapshots import INTERVALS, damo_record, damo_region, damo_snapshot
from udamon.cli.parsers import parser_of, with_all_below
from udamon.fleet.objects import digest_of, parquet
from udamon.fleet.tables import DEPLOYS, SERVICES, Type

DAMO_KEYS = (
    "kdamond_idx", "context_idx", "intervals", "scheme_idx", "target_id", "scheme_filters", "snapshots", "new",
    "start_time", "end_time", "regions", "sample_interval_us", "start", "end", "nr_accesses", "age", "sz_bp",
)  # fmt: skip
PERF_FIELDS = ("task", "pid", "cpu", "time", "event", "target_id", "nr_regions", "range", "count", "age")


def make_base(base: Path) -> None:
    """A recording, a workload and a fleet that are good."""
    base.mkdir()
    (base / "recording").write_bytes(bases.recording(base / "made", targets=2, sites=True))
    (base / "short.masim").write_text("a, 1M\n\none\n200\na, 1, 64, 1\n")
    (base / "fleet").mkdir()
    put(base / "fleet", "services", [service(host=f"h{at}", window=at) for at in range(3)])
    put(base / "fleet", "deploys", [_deploy()])


def _deploy(**other: Any) -> dict[str, Any]:
    return {"deploy": "d1", "namespace": "shop", "workload": "front", "service": "web", "host": "", "time": NOON,
            **other}  # fmt: skip


def has_json(path: Sequence[str]) -> bool:
    """Whether the command takes --json."""
    for one in with_all_below(parser_of(path[0])):
        if one.prog.split()[1:] == list(path):
            return any("--json" in action.option_strings for action in one._actions)
    return False


def damo(key: str, random: Random) -> bytes:
    """damo's JSON in which the values of a key are hostile."""
    region = damo_region("4,096", "8,192", 1, "5")
    snapshot = damo_snapshot("0", "100000000", [region, damo_region("8,192", "12,288", 0, "1")])
    record = damo_record([snapshot], target_id=0, intervals=INTERVALS)
    text = json.dumps([record])
    raw = random.choice((*RAW, *(json.dumps(each) for each in WORDS)))
    for one in (region, snapshot, record):
        if key in one:
            return text.replace(json.dumps({key: one[key]})[1:-1], f"{json.dumps(key)}: {raw}", 1).encode(
                "utf-8", "surrogatepass"
            )
    return ("[" + object_with(record, key, random) + "]").encode("utf-8", "surrogatepass")


def perf(name: str, random: Random) -> bytes:
    """Trace text in which a field of a line is hostile; half of the time of all lines."""
    always = random.random() < 0.5
    value = random.choice(WORDS)
    lines = []
    for seq in range(4):
        got = {"task": "kdamond.0", "pid": "4452", "cpu": "000", "time": f"{82877 + seq}.123456",
               "event": "damon:damon_aggregated", "target_id": "0", "nr_regions": "1", "range": "4096-8192",
               "count": "3", "age": "5"}  # fmt: skip
        if always or seq == 2:
            got[name] = value
        lines.append(
            "{task}  {pid} [{cpu}] {time}: {event}: target_id={target_id} nr_regions={nr_regions} "
            "{range}: {count} {age}".format(**got)
        )
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _said(problem: object) -> int:
    from udamon import console

    console.say(str(problem))
    return 1


def _agent_state(random: Random, place: Path) -> int:
    from udamon.agent.figures import Figures  # noqa: F401
    from udamon.agent.state import FORMAT, SavedFigures
    from udamon.errors import UdamonError

    good: dict[str, Any] = {
        "format": FORMAT,
        "wall_ns": 5,
        "services": {"web": {"hours": 0, "figures": {"promotions": [[1]]}}},
    }
    key = random.choice((*good, "new"))
    text = object_with(good, key, random)
    if key == "services" and random.random() < 0.5:
        inside = object_with(good["services"]["web"], random.choice(("hours", "figures")), random)
        text = json.dumps(good | {"services": 0}).replace('"services": 0', f'"services": {{"web": {inside}}}')
    (place / "state").write_bytes(text.encode("utf-8", "surrogatepass"))
    state = SavedFigures(str(place / "state"))
    try:
        state.load(1 << 60, 1 << 50)
    except UdamonError as error:
        return _said(error)
    return 0 if state.problem is None else _said(state.problem)


def _note(random: Random, place: Path) -> int:
    from udamon.claim.note import NAME, ClaimNote

    good: dict[str, Any] = {"boot_id": "x", "owner": [1, 2], "node": None, "kdamond": None, "starting": None,
                            "instance": None, "allowed": {"a": ["1"]}}  # fmt: skip
    path = place / "run" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(
        object_with(good, random.choice((*good, "new")), random).encode("utf-8", "surrogatepass")
    )
    path.chmod(0o600)
    note = ClaimNote.read(SimpleNamespace(run=place / "run"))  # type: ignore[arg-type]
    if note is not None:
        json.dumps([note.owner, note.node, note.kdamond, note.starting, note.instance, note.allowed]).encode()
    return 0


def _container_state(random: Random, place: Path) -> int:
    """Docker's, containerd's and podman's files of a container with a hostile value somewhere."""
    from tests.unit.agent.discovery.runtimes import Node
    from udamon.agent.discovery.names import name_of
    from udamon.agent.discovery.state import ContainerLookup

    container = "a" * 64
    node = Node(place)
    node.docker(container, "web", {"com.docker.compose.service": "front"})
    for path in sorted(place.rglob("*.json")):
        if random.random() < 0.7:
            _spoil(path, random)
    found = name_of(f"system.slice/docker-{container}.scope", ContainerLookup(node.places))
    json.dumps([found.labels, found.annotations])
    return 0


def _spoil(path: Path, random: Random) -> None:
    """A hostile value in the place of one of the file's."""
    document = json.loads(path.read_text())
    inside = document
    while isinstance(inside, dict) and inside:
        key = random.choice(list(inside))
        if not isinstance(inside[key], dict) or random.random() < 0.3:
            break
        inside = inside[key]
    if not isinstance(inside, dict) or not inside:
        path.write_bytes(random.choice(RAW).encode("utf-8", "surrogatepass"))
        return
    inside[key] = "THE PLACE"
    text = json.dumps(document).replace('"THE PLACE"', random.choice(RAW))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _pods(random: Random, place: Path) -> int:
    """The kubelet's answer, with faults in its bytes and in its lengths."""
    from tests.unit.agent.discovery.fake_kubelet import field, pod
    from udamon.agent.discovery.kubelet import read_pods

    try:
        good = field(1, pod("web-0", "shop", {"a" * 64: "web"}, {"a": "b"}, {"c": "d"}))
        found = read_pods(mutate.data(good, random))
    except ValueError as error:
        return _said(error)
    json.dumps({name: list(each) for name, each in found.items()}, default=dict).encode()
    return 0


READERS: dict[str, Callable[[Random, Path], int]] = {
    "agent state": _agent_state, "note": _note, "container state": _container_state, "pods": _pods,
}  # fmt: skip
"""What reads a hostile document of each kind; a status."""


def fleet(name: str, random: Random, place: Path, base: Path) -> list[str]:
    """A fleet in which something is hostile, and the words of a report of it."""
    location = place / "fleet"
    shutil.copytree(base / "fleet", location)
    _FLEET[name](location, random)
    kind = random.choice(("cold", "can-shrink", "percentiles", "outliers", "coverage", "after"))
    form = random.choice((["--json"], [], [f"--html={place / 'out'}"]))
    return ["fleet", "report", kind, *(["d1"] if kind == "after" else []), str(location), *form]


def _manifest(location: Path, random: Random) -> None:
    """With a hostile value, with faults in its bytes, or a link in its place."""
    date = "2026-11-29"
    paths = [str(each.relative_to(location)) for each in sorted((location / "services").rglob("*.parquet"))]
    compacted = f"services/v1/date={date}/compact.0a1b2c3d4e5f.parquet"
    (location / compacted).write_bytes((location / paths[0]).read_bytes())
    good: dict[str, Any] = {
        "schema": 1, "date": date, "generation": 1, "objects": random.choice(([], [compacted], [compacted] * 2)),
        "replaces": random.choice(([], paths, [compacted], ["../x"])),
    }  # fmt: skip
    path = location / "services" / "v1" / "_manifest" / f"{date}.{random.choice(('000001', '999999'))}.json"
    path.parent.mkdir()
    kind = random.randrange(4)
    if kind == 0:
        path.symlink_to(random.choice((path.name, "missing", ".", "/proc/self/mem")))
    elif kind == 1:
        path.write_bytes(mutate.data(json.dumps(good).encode(), random))
    else:
        text = object_with(good, random.choice((*good, "new")), random)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _object(location: Path, random: Random) -> None:
    victim = random.choice(sorted(location.rglob("*.parquet")))
    data = mutate.data(victim.read_bytes(), random)
    victim.write_bytes(data)


def _rows(location: Path, random: Random) -> None:
    """An object of rows with a hostile value, of services or of deploys."""
    table = random.choice((SERVICES, DEPLOYS))
    row = service() if table is SERVICES else _deploy()
    column = random.choice(table.columns)
    numbers = (0, -1, 1, *(n for n in mutate.NUMBERS if -(1 << 63) <= n < 1 << 63))
    values: dict[Type, tuple[Any, ...]] = {
        Type.INT64: numbers, Type.TIME: numbers, Type.STRING: (*WORDS, TERMINAL, "'; DROP TABLE services; --"),
        Type.DOUBLE: (0.0, -1.0, 1e308, -1e308, float("inf"), float("nan")),
        Type.INT64_LIST: ([], [1], [-1] * 11, [(1 << 63) - 1] * 11, [0] * 1000, None),
    }  # fmt: skip
    row[column.name] = random.choice(values[column.type])
    if column.required and row[column.name] is None:
        row[column.name] = 0
    data = parquet(table, table.batch([row]))
    path = location / table.name / "v1" / "date=2026-11-29" / f"web-1.20261129T14.{digest_of(data)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _link(location: Path, random: Random) -> None:
    where = random.choice(sorted(location.rglob("*.parquet"))).parent
    name = random.choice(("web-9.20261129T14.0a1b2c3d4e5f.parquet", "x.parquet", "date=2026-11-30"))
    (where / name).symlink_to(random.choice((name, "missing", "..", "/proc/self/mem")))


def _date(location: Path, random: Random) -> None:
    victim = random.choice(sorted(location.rglob("*.parquet")))
    names = (
        "date=2026-13-45",
        "date=",
        "date=x",
        "date=0000-00-00",
        "date=2026-02-30",
        "2026-11-29",
        "date=9999-99-99",
    )
    where = victim.parents[1] / random.choice(names)
    where.mkdir()
    hour = random.choice(("20261345T99", "20261129T25", "00000000T00", "x"))
    (where / f"web-1.{hour}.0a1b2c3d4e5f.parquet").write_bytes(victim.read_bytes())
    (where / victim.name).write_bytes(victim.read_bytes())


def _names(location: Path, random: Random) -> None:
    where = random.choice(sorted(location.rglob("*.parquet"))).parent
    name = random.choice((TERMINAL, "\udcff", "=1+1", "a" * 240, "-x")).replace("/", "")
    (where / f"{name}.parquet").write_bytes(random.choice((b"", b"PAR1", b"x" * 100)))
    os.mkdir(os.fsencode(where / f"{name}.d"))


_FLEET: dict[str, Callable[[Path, Random], None]] = {
    "manifest": _manifest, "object": _object, "rows": _rows, "link": _link, "date": _date, "names": _names,
}  # fmt: skip
FLEET_FIELDS = tuple(_FLEET)
