"""What the commands print as JSON is what docs/schemas describes: real documents of real runs, key by key."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.imports import ROOT
from tests.integration.recorder import held_until
from udamon.availability.primitives import probe
from udamon.cli.main import main
from udamon.cli.report_kinds import KINDS

jsonschema = pytest.importorskip("jsonschema", reason="the extra `test` is not installed")
referencing = pytest.importorskip("referencing", reason="the extra `test` is not installed")

SCHEMAS = ROOT / "docs" / "schemas"
SOON = ("--aggr", "50ms", "--duration", "2s", "-q")
"""Short windows: at least one is complete in that time, also where start-up is slow."""
OWN = frozenset({"footprint", "footprints", "nr_regions", "diff", "sites"})
"""Kinds of reports without a schema of the same name, and those that need more than a recording of any process."""
REPORTS: list[tuple[str, tuple[str, ...]]] = [
    ("report-wss", ("wss", "--over-time")), ("report-wss", ("wss", "--by", "mapping")),
    ("report-wss", ("footprint",)), ("report-wss", ("footprint", "--by", "mapping", "--over-time")),
    ("report-nr-regions", ("nr-regions", "--over-time")), ("report-heatmap", ("heatmap", "--resol", "4x5")),
    ("report-access-groups", ("access", "--by", "mapping")),
    ("report-access-groups", ("access", "--by", "process")),
    ("report-access-style", ("access", "--style", "temperature-sz-hist")),
    ("report-access-style", ("access", "--style", "recency-percentiles")),
    ("report-times", ("times", "--every")), ("report-parts", ("ages", "--by", "mapping")),
    *((f"report-{kind}", (kind,)) for kind in sorted(KINDS - OWN)),
    *(("report-parts", (kind, "--by", "process")) for kind in ("heatmap", "mappings", "phases", "times", "holistic")),
    ("report-parts", ("right-size", "--by", "mapping")),
    ("report-parts", ("heatmap", "--by", "mapping", "--by-top", "2")),
]  # fmt: skip


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not name: a document may have more, a test wants to know."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if "properties" in found and "type" in found and isinstance(found["properties"], dict):
        found.setdefault("additionalProperties", False)
    return found


def resources() -> Iterator[tuple[str, Any]]:
    for path in SCHEMAS.glob("*.json"):
        yield path.name, referencing.Resource.from_contents(closed(json.loads(path.read_text())))


@functools.cache
def validator(name: str) -> Any:
    registry = referencing.Registry().with_resources(resources())
    return jsonschema.Draft202012Validator(registry.contents(f"{name}.json"), registry=registry)


def check(name: str, document: Any) -> None:
    """Fails where `document` is not as the schema of this name says, or has a key that it does not name."""
    errors = list(validator(name).iter_errors(document))
    assert not errors, "\n".join(f"{error.json_path}: {error.message[:300]}" for error in errors)


def told(capsys: pytest.CaptureFixture[str], *words: str | Path, statuses: tuple[int, ...] = (0,)) -> Any:
    """The document that a command prints."""
    capsys.readouterr()
    assert main([str(word) for word in words]) in statuses
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module", params=["simulated", "a process and its child"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without names of memory, and with names and memory that is shared."""
    file = tmp_path_factory.mktemp("recording") / "a.udamon"
    how = ["--sim", "demo", "--aggr", "50ms", "--duration", "2s"]
    if request.param == "simulated":
        assert main(["record", *how, "-o", str(file), "-q"]) == 0
        return file
    if not probe("refs").usable:
        pytest.skip("refs cannot be used here")
    how = ["--via", "refs", "--aggr", "100ms", "--update", "100ms", "--children", "-o", str(file), "-q"]
    with held_until(file, 2, 30, 31) as (begun, first, second):  # what runs while it is watched is seen
        command = f"cat {begun}; cat {first} & cat {second}; wait"
        assert main(["record", *how, "--", "sh", "-c", command]) == 0
    return file


@pytest.mark.parametrize(
    ("name", "words"), REPORTS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else value
)
def test_reports(
    recording: Path, name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    document = told(capsys, "report", words[0], recording, "--json", *words[1:])
    assert "sees" in document
    check(name, document)
    for part in document["parts"] if name == "report-parts" else ():
        if part["report"] is not None:
            check(f"report-{words[0]}", part["report"])


@pytest.mark.needs("clear_refs", "compiler")
def test_sites(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)  # a sanitizer's, which wants to be first in the program
    (tmp_path / "a.c").write_text(
        "#include <fcntl.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        "int main(int n, char **v) {\n"
        "    char *p = calloc(9, 1 << 20), *none[] = {0};\n"
        '    if (!fork()) execle("/bin/cat", "cat", v[n - 1], (char *)0, none);\n'
        "    return read(open(v[n - 1], O_RDONLY), p, 1);\n"
        "}\n"
    )
    subprocess.run(["gcc", "-g", "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    file = tmp_path / "a.udamon"
    how = [
        "--sites",
        "--via",
        "refs",
        "--aggr",
        "200ms",
        "--update",
        "100ms",
        "--children",
        "-q",
        "-o",
        str(file),
    ]
    with held_until(file, 6) as (pipe,):  # a cleaned environment has no library of ours
        assert main(["record", *how, "--", str(tmp_path / "a"), str(pipe)]) == 0
    document = told(capsys, "report", "sites", file, "--json")
    assert document["sites"][0]["bytes"] == 9 << 20
    assert document["unseen"]
    check("report-sites", document)
    check("report-diff-sites", told(capsys, "report", "diff", file, file, "--by", "site", "--json"))


def test_diff_and_check(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check("report-diff", told(capsys, "report", "diff", recording, recording, "--json"))
    limits = ("--max-wss", "1GiB", "--min-snapshots", "1", "--max-cold-share", "50%", "--cold-age", "1s")
    check("check", told(capsys, "check", recording, *limits, "--json", statuses=(0, 1, 3)))
    check("check", told(capsys, "check", recording.parent / "no", *limits, "--json", statuses=(1,)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("doctor", ("doctor",)),
        ("stat", ("stat", "--sim", "demo", *SOON)),
        ("report-size", ("size", "--sim", "demo", *SOON)),
        ("acting", ("schemes", "--sim", "demo", "--action", "pageout", *SOON)),
        (
            "acting",
            ("schemes", "--sim", "demo", "--action", "pageout", "--all", "--apply", *SOON),
        ),
        ("acting", ("schemes", "--sim", "demo", "--action", "stat", *SOON)),
        ("acting", ("reclaim", "--sim", "demo", "--min-age", "500ms", *SOON)),
        ("acting", ("lru-sort", "--sim", "demo", "--cold-only", *SOON)),
        ("eval", ("eval", "one", "--duration", "0.5")),
        ("eval", ("eval", "one", "--policy", "damon,adaptive", "--duration", "0.5")),
        ("eval", ("eval", "demo", "--bound", "--duration", "0.5")),
        ("eval", ("eval", "one", "demo", "--together", "--duration", "0.5")),
        ("eval-truth", ("eval", "demo", "--truth-only")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_other_commands(name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    check(name, told(capsys, *words, "--json"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight nodes for four days, one of which dies; each day compacted, since every report opens all objects."""
    pytest.importorskip("numpy", reason="the extra `test` is not installed")
    from bench.fleet.__main__ import main as make

    place = tmp_path_factory.mktemp("fleet")
    words = ["--nodes", "8", "--services", "2", "--days", "4", "--deploys", "1", "--density", "100%"]
    assert make([*words, "-o", str(place / "fleet"), "--truth", str(place / "truth")]) == 0
    assert main(["fleet", "compact", str(place / "fleet"), "--grace", "0s", "--closed", "0s"]) == 0
    return place / "fleet"


@pytest.mark.parametrize(
    "kind", ["cold", "can-shrink", "percentiles", "outliers", "coverage", "after deploy-00"]
)
def test_fleet_reports(kind: str, fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, "fleet", "report", *kind.split(), fleet, "--json")
    assert document["rows"] or kind == "outliers"
    check("fleet-report", document)


def test_fleet_upload_compact_and_deploy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.unit.fleet.rows import service
    from udamon.fleet.spool import Spool

    spool = Spool(tmp_path / "spool", "h1")
    spool.add("services", [service(window=window) for window in (0, 12)])
    spool.close()
    where = ("--spool", tmp_path / "spool", tmp_path / "fleet", "--json")
    uploaded = told(capsys, "fleet", "upload", *where)
    assert uploaded["objects"] == 2
    check("fleet-upload", uploaded)
    compacted = told(
        capsys, "fleet", "compact", tmp_path / "fleet", "--json", "--grace", "0s", "--closed", "0s"
    )
    check("fleet-compact", compacted)
    check(
        "fleet-deploy", told(capsys, "fleet", "deploy", "d1", tmp_path / "fleet", "--service", "a", "--json")
    )


def test_the_log_of_a_workload(tmp_path: Path) -> None:
    log = tmp_path / "truth"
    assert main(["workload", "hint", "--truth", str(log), "--duration", "100ms", "--quiet"]) == 0
    for line in log.read_text().splitlines():
        check("workload-truth", json.loads(line))


def test_every_schema_is_tried() -> None:
    """A new file needs a document in this test (agent-status in agent/test_status.py, stat-groups in
    cli/test_group_ages.py)."""
    there = {path.stem for path in SCHEMAS.glob("*.json")} - {"common"}
    tried = {name for name, _ in REPORTS} | {"report-diff", "report-diff-sites", "check", "workload-truth"}
    tried |= {"doctor", "stat", "stat-groups", "acting", "eval", "eval-truth", "report-sites", "agent-status"}
    tried |= {"fleet-report", "fleet-upload", "fleet-compact", "fleet-deploy"}
    assert there == tried
    for path in SCHEMAS.glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("spoil", [{"auto": 3}, {"more": 1}, {"locks": [{}]}])
def test_a_wrong_document_is_noticed(spoil: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, "doctor", "--json")
    with pytest.raises(AssertionError, match=r"\$"):
        check("doctor", document | spoil)
