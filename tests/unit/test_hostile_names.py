"""Every text that a command prints, of names that were chosen to fool who reads it.

A text has no character that a terminal obeys, except newlines and udamon's own colours, and as many lines as the same
text of harmless names. `TEXTS` and the tests below it cover all commands and kinds of reports; a new one that is in
neither fails `test_all_outputs_are_covered`.
"""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings

from tests.hostile import BITS, bad_characters, events, names
from tests.imports import SOURCE
from tests.unit.snapshots import MS, recorded, snap
from udamon import console
from udamon.availability.findings import Findings
from udamon.availability.primitives import Usable
from udamon.cli import doctor, report, report_kinds
from udamon.cli.acting import report as acting_report
from udamon.cli.main import main
from udamon.cli.parsers import COMMANDS, parser_of, subcommands
from udamon.cli.progress_line import ProgressLine
from udamon.control import perf
from udamon.core.scheme import Action, Scheme, SchemeStats, SchemeStatus
from udamon.linux.sysfs_damon import KernelDamon
from udamon.live.state import LiveState
from udamon.lock import HeldLocks
from udamon.model import Event
from udamon.modules.dry_run import PassWatch
from udamon.record.reader import Recording
from udamon.text import width

HARMLESS = tuple(f"name{at}" for at in range(len(BITS)))
PAGE = 4096
MIB = 1 << 20

REPORTS: dict[str, Sequence[Sequence[str]]] = dict.fromkeys(sorted(report_kinds.KINDS), ([],)) | {
    "wss": [[], ["--over-time"], ["--by", "mapping"]],
    "footprint": [[], ["--by", "mapping"]],
    "footprints": [],
    "nr-regions": [[], ["--by", "mapping", "--by-top", "1"]],
    "nr_regions": [],
    "heatmap": [
        ["--resol", "40x20"], ["--resol", "40x20", "--color", "always"], ["--by", "mapping", "--by-top", "2"],
    ],
    "access": [
        *(["--style", style] for style in report.STYLES), ["--by", "process"], ["--by", "mapping"],
        ["--sort", "hot", "--top", "5"], ["--style", "simple-boxes", "--by", "mapping", "--by-top", "2"],
    ],
    "mappings": [["--top", "50"]],
    "ages": [[], ["--by", "process"], ["--by", "mapping", "--by-top", "2"]],
    "times": [["--every"], ["--by", "process"]],
    "diff": [[], ["--by", "site"]],
    "sites": [["--top", "50"]],
}  # fmt: skip
"""Flags of each kind of report that make another text."""

CHECK = ["--max-wss", "1GiB", "--min-wss", "1TiB", "--max-rate", "*=100%"]

ELSEWHERE = {
    "doctor", "record", "schemes", "reclaim", "lru-sort", "stat", "size", "live", "fleet", "convert", "control",
    "workload", "eval", "completion", "agent",
}  # fmt: skip
"""Commands whose texts have tests of their own below, or are sentences (test_sentences)."""


def recording_of(path: Path, bits: Sequence[str]) -> Path:
    """Two processes with a mapping of each name, whose pattern of accesses changes halfway."""
    about: dict[str, Any] = dict(zip(("host", "kernel", "via", "ops", "policy", "sees"), bits, strict=False))
    about |= {"wall_ns": 1, "monotonic_ns": 0, "attrs": {"sample_us": 5000, "aggr_us": 100_000}}
    items: list[Any] = []
    for target, name in enumerate(bits[-2:]):
        pid = 100 + target
        start = {"target": target, "pid": pid, "comm": name, "cmdline": list(bits), "user": name}
        rows = [
            [(at + 1) * MIB, (at + 1) * MIB + 4 * PAGE, "rw-p", 0, at, f"/{one}{at}"]
            for at, one in enumerate(bits)
        ]
        rows.append([64 * MIB, 65 * MIB, "rw-p", 0, 0, f"[anon:{name}]"])
        items += [
            Event(0, "target_start", start),
            Event(0, "mappings", {"target": target, "add": rows, "remove": []}),
        ]
    items += [Event(0, "note", {"text": name}) for name in bits]
    items.append(Event(0, "subscriber", {"what": bits[0], "why": bits[1]}))
    for seq in range(6):
        for target in range(2):
            regions = [
                ((at + 1) * MIB, (at + 1) * MIB + 4 * PAGE, 20 if (at + seq // 3) % 2 else 3, seq)
                for at in range(len(bits))
            ]
            items.append(replace(snap(seq, regions, target=target), pid=100 + target))
    items += allocations(bits)
    items.append(Event(600 * MS, "target_end", {"target": 0, "pid": 100, "why": bits[7]}))
    items.append(Event(601 * MS, "cost", {"cpu_ns": 1, "max_rss_bytes": MIB, "checks": 5, "snapshots": 6}))
    recorded(path, items, **about)
    return path


def allocations(bits: Sequence[str]) -> Iterator[Event]:
    """A function, a file of source and one of code of each name, with an allocation by each."""
    count = len(bits)
    stacks = [[at, [at, 16, at, 32, -1, 8]] for at in range(2 * count)]
    modules = [[at, f"/{bits[at % count]}", ""] for at in range(2 * count)]
    yield Event(1, "allocation_stacks", {"modules": modules, "stacks": stacks})
    for at, one in enumerate(bits):  # the other half have no symbols
        rows = [[16, [[one, f"/{one}", 5]]], [32, [[one, None, None]]]]
        yield Event(1, "symbols", {"module": at, "symbols": rows})
    for at in range(count, 2 * count):
        yield Event(1, "symbols", {"module": at, "symbols": []})
    rows = [[1, (at + 1) * MIB, 512, 512, at] for at in range(2 * count)]
    about = {"image": 0, "pid": 100, "mean": 4096, "begin": 0, "parent": None, "parent_ns": None}
    yield Event(
        1, "allocations", about | {"lost_allocated": 1, "lost_bytes": 1, "lost_freed": 1, "rows": rows}
    )
    for at, one in enumerate(bits):
        yield Event(1, "allocations_unseen", {"pid": 200 + at, "comm": one, "why": one})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One of harmless names, and one of hostile ones, whose file has such a name, too."""
    place = tmp_path_factory.mktemp("recordings")
    return recording_of(place / "harmless", HARMLESS), recording_of(place / "a\x1b[2J\nb\u202e", BITS)


def texts(file: Path) -> Iterator[list[str]]:
    """All commands that make a text of a recording."""
    for kind, flags in REPORTS.items():
        files = [str(file), str(file)] if kind == "diff" else [str(file)]
        yield from (["report", kind, *files, *more] for more in flags)
    yield ["report", str(file)]
    yield ["check", str(file), "--allow-estimates", *CHECK]


TEXTS = [" ".join(words[:2] + words[3:]) for words in texts(Path("F"))]


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=TEXTS)
def test_texts_of_recordings(
    number: int, recordings: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for file in recordings:
        words = list(texts(file))[number]
        status = main(words)
        assert status == (1 if words[0] == "check" else 0)
        said = capsys.readouterr()
        assert bool(said.err) is (words[0] == "check")  # which says what its status means
        found.append(said.out + said.err)
    harmless, hostile = found
    assert not bad_characters(hostile)
    assert hostile.count("\n") == harmless.count("\n")


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same fleet twice: with ordinary names of services, namespaces and hosts, and with hostile ones."""
    from tests.unit.report.fleet.made import put, put_days
    from tests.unit.report.fleet.test_queries import a_deploy, deployed

    bits = ["".join(BITS[at::3]) for at in range(3)]
    places = []
    for service, namespace, host in (["web", "shop", "h"], bits):
        named = {"service": service, "namespace": namespace}
        rows = [row | named | {"host": host + row["host"]} for row in deployed(0.05, hosts=6)]
        for row in rows[:: len(rows) // 6][:1]:
            row["resident_bytes"] *= 900
        places.append(tmp_path_factory.mktemp("fleet"))
        put_days(places[-1], "services", rows)
        put(places[-1], "deploys", [a_deploy() | named])
    return places[0], places[1]


@pytest.mark.parametrize("kind", ["cold", "can-shrink", "percentiles", "outliers", "coverage", "after"])
def test_texts_of_a_fleet(kind: str, fleets: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Names of services, namespaces and hosts, in 80 columns whatever they are."""
    found = []
    for place in fleets:
        assert main(["fleet", "report", kind, *(["d1"] if kind == "after" else []), str(place)]) == 0
        found.append(capsys.readouterr().out)
    harmless, hostile = found
    assert not bad_characters(hostile)
    assert hostile.count("\n") == harmless.count("\n")
    assert max(map(width, hostile.splitlines())) <= 80


def texts_in(value: Any) -> Iterator[str]:
    """All texts of a JSON document but the names of its keys."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from texts_in(each)
        case list():
            for each in value:
                yield from texts_in(each)


DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@pytest.mark.parametrize("kind", ["heatmap", "diff"])
def test_pages(kind: str, recordings: tuple[Path, Path], tmp_path: Path) -> None:
    """In what the page's script shows, and in the title, no character turns a line around, hides or begins one."""
    files = [str(recordings[1])] * (2 if kind == "diff" else 1)
    assert main(["report", kind, *files, "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    data = DATA.search(page)
    assert data is not None
    found = "".join(texts_in(json.loads(data[1])))
    assert "\\u202e" in found
    assert "漢字" in found
    assert not [char for char in found if bad_characters(char) or char == "\n"]
    assert not bad_characters(page)


@pytest.mark.parametrize("kind", ["heatmap", "wss", "access"])
def test_charts(kind: str, recordings: tuple[Path, Path], tmp_path: Path) -> None:
    svg = tmp_path / "a.svg"
    assert main(["report", kind, str(recordings[1]), "--svg", str(svg)]) == 0
    drawn = svg.read_text()
    assert not bad_characters(drawn)
    assert "\ufffd" not in drawn
    assert ("\\x1b[2J" in drawn) == (kind == "heatmap")


def test_a_flame_graph(recordings: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    assert main(["report", "sites", str(recordings[1]), "--flame", str(out)]) == 0
    assert not bad_characters(out.read_text())
    assert "\\u202e" in out.read_text()


@pytest.mark.parametrize("kind", ["info", "mappings", "heatmap", "wss", "phases", "size"])
def test_ascii_in_the_locale_c(
    kind: str,
    recordings: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert main(["report", kind, str(recordings[1])]) == 0
    assert not bad_characters(capsys.readouterr().out, ascii_only=True)


def test_all_outputs_are_covered() -> None:
    assert set(subcommands(parser_of("report"))) == set(REPORTS)
    assert {"report", "check", *ELSEWHERE} == set(COMMANDS)


@pytest.mark.parametrize(
    "words", [[], *([name] for name in COMMANDS), *(["report", kind] for kind in REPORTS)]
)
def test_help_is_ascii_in_the_locale_c(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert not bad_characters(shown, ascii_only=True)
    assert shown.startswith("usage: udamon")
    assert "\\u" not in shown


NO_PID = "4194305"
"""Above the largest pid there is."""

SENTENCES: tuple[tuple[str, ...], ...] = (
    ("{}",), ("record", "{}"), ("record", "--{}"), ("record", "-p", "{}"), ("record", "--via", "{}"),
    ("record", "--cgroup", "{}"), ("record", "--sample", "{}", "-p", NO_PID),
    ("record", "-p", NO_PID, "-o", "/nowhere/{}"),
    ("record", "--sim", "{}"), ("record", "--range", "{}", "-p", NO_PID), ("record", "--", "/nowhere/{}"),
    ("record", "--user", "{}", "--", "true"), ("record", "--duration", "{}", "-p", NO_PID),
    ("schemes", "-p", NO_PID, "--config", "{}"), ("schemes", "-p", NO_PID, "--action", "{}"),
    ("reclaim", "-p", NO_PID, "--include", "{}"), ("reclaim", "-p", NO_PID, "--parameters", "{}"),
    ("lru-sort", "-p", NO_PID, "--max-psi", "{}"), ("stat", "--overhead", "{}", "-p", NO_PID),
    ("live", "--count", "{}"),
    ("size", "{}"), ("size", "-p", "{}"),
    ("report", "{}"), ("report", "wss", "{}"), ("report", "wss", __file__, "--time", "{}"), ("report", "info", "/{}"),
    ("report", "heatmap", __file__, "--resol", "{}"), ("check", __file__, "--max-rate", "{}"), ("check", "{}"),
    ("fleet", "{}"), ("fleet", "report", "{}"), ("fleet", "report", "cold", "/nowhere/{}"),
    ("fleet", "report", "after", "{}", "/nowhere"), ("fleet", "report", "cold", "ftp://{}"),
    ("fleet", "report", "cold", "x", "--from", "{}"), ("fleet", "report", "cold", "x", "--sql", "{}"),
    ("fleet", "deploy", "{}", "/nowhere", "--service", "x"),
    ("fleet", "deploy", "d1", "/nowhere", "--service", "x", "--time", "{}"),
    ("convert", "{}", "--to", "csv", "-o", "/nowhere/{}"), ("convert", "x", "--to", "{}", "-o", "y"),
    ("control", "{}"), ("control", "mount", "{}", "--compat", "{}"), ("workload", "{}"), ("eval", "{}"),
    ("eval", "demo", "--policy", "{}"), ("doctor", "{}"),
)  # fmt: skip


@pytest.mark.parametrize("words", SENTENCES, ids=" ".join)
def test_sentences(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused is quoted, in one line."""
    for name in ("".join(BITS), "".join(reversed(BITS)), "\x9b"):
        status = main([word.replace("{}", name.replace("\0", "")) for word in words])
        said = capsys.readouterr()
        assert status != 0
        assert not said.out
        assert said.err.count("\n") == 1, said.err
        assert not bad_characters(said.err), said.err


def findings(name: str) -> Findings:
    usable = Usable(False, name, name, True)
    kernel = KernelDamon(True, (name,), (name, name))
    return Findings(
        name,
        name,
        name,
        {name: usable},
        {name: usable},
        kernel,
        HeldLocks({name: name}, False),
        (name,),
        None,
        usable,
    )


@settings(max_examples=30)
@given(names)
def test_doctor(name: str) -> None:
    from udamon.text import lines

    found = [lines(doctor.lines(findings(one), colour=True)) for one in (name, "harmless")]
    assert not bad_characters(found[0])
    assert found[0].count("\n") == found[1].count("\n")


def account(name: str, dry: bool) -> acting_report.ActingReport:
    status = SchemeStatus(0, Scheme(action=Action.PAGEOUT), True, name, 0, None, SchemeStats())
    return acting_report.ActingReport([status], 1.0, 0.01, 0.2, dry, PassWatch(), 1, {name: 5}, 5, name)


@given(names)
def test_what_acting_tells(name: str) -> None:
    for dry in (False, True):
        found = [acting_report.summary(account(one, dry), one) for one in (name, "harmless")]
        assert not bad_characters(found[0])
        assert found[0].count("\n") == found[1].count("\n")


class Stream:
    """A standard error that is a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        self.text, self._terminal = "", terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@given(names)
def test_progress_and_notes(name: str) -> None:
    for terminal in (False, True):
        stream = Stream(terminal=terminal)
        line = ProgressLine(stream, every=0.001, now=iter(range(9)).__next__)  # type: ignore[arg-type]
        line.event(Event(0, "note", {"text": name}))
        line.show(lambda: acting_report.line(account(name, dry=False)))
        line.clear()
        assert not bad_characters(stream.text.replace("\r", ""))
        assert stream.text.count("\n") == (1 if terminal else 2)


def test_warnings_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    console.begin()
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, console.Log))
    # Handed to it alone: what pytest keeps of a log, its workers cannot pass on with lone surrogates in it.
    log = logging.getLogger("udamon.somewhere")
    handler.handle(log.makeRecord(log.name, logging.WARNING, "", 0, "refused: %s", ("".join(BITS),), None))
    try:
        raise RuntimeError("".join(BITS))
    except RuntimeError:
        handler.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "broken", (), sys.exc_info()))
    first, second, *traced = capsys.readouterr().err.splitlines()
    assert first.startswith("udamon: refused: ")
    assert second == "udamon: broken"
    assert traced
    assert all(line.startswith("  ") for line in traced)
    assert not bad_characters("".join([first, *traced]))


def test_the_stand_in_for_perf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a program of its own, without this package."""
    file = tmp_path / "events"
    file.write_bytes(b"kdamond.0 1 [0] 1.2: damon: \x1b[2J\x9b\xc3\xa9\r\nnext\n")
    assert perf.main(["script", "-i", str(file)]) == 0
    assert capsys.readouterr().out == "kdamond.0 1 [0] 1.2: damon: \\x1b[2J\\x9b\\xc3\\xa9\\r\nnext\n"
    assert perf.main(["script", "-i", str(tmp_path / "".join(BITS).replace("/", ""))]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not bad_characters(said, ascii_only=True)


def test_the_plugin(recordings: tuple[Path, Path]) -> None:
    from udamon.pytest_plugin import Recorded

    with pytest.raises(AssertionError) as failed:
        Recorded(recordings[1]).check(max_wss="1B", max_rate="*=100%")
    assert not bad_characters(str(failed.value))


@settings(max_examples=2, deadline=None)
@given(names, names)
def test_the_live_view(name: str, other: str) -> None:
    """The list, one target and a notice: escaped, and no markup."""
    pytest.importorskip("textual", reason="the extra `live` is not installed")
    from tests.unit.live.test_app import app_of, text_of

    state = LiveState()
    for each in events(name):
        state.event(each)
    regions = [(0x1000_0000 + at * 0x100_0000, 0x1010_0000 + at * 0x100_0000, 20, 0) for at in range(8)]
    for target in range(2):
        state.snapshot(replace(snap(0, regions, target=target), pid=4242 + target))

    async def look() -> list[str]:
        app = app_of(state, SimpleNamespace(watched=None, recording=other, keep_up=lambda: None, ended=lambda: False),
                     several=True)  # fmt: skip
        seen = []
        async with app.run_test(size=(160, 40)) as pilot:
            await pilot.pause()
            app.notify(f"{other} is written.")
            await pilot.pause()
            seen += text_of(app)
            await pilot.press("enter")
            await pilot.pause()
            seen += text_of(app)
        return seen

    seen = asyncio.run(look())
    assert not bad_characters("".join(seen))
    assert any("pid 4242" in line for line in seen)


@settings(max_examples=2, deadline=None)
@given(names, names)
def test_what_the_live_view_offers(name: str, other: str) -> None:
    pytest.importorskip("textual", reason="the extra `live` is not installed")
    from tests.unit.live.test_app import app_of, text_of
    from udamon.linux.procfs import ProcessId
    from udamon.live.largest import WatchableProcess

    async def look() -> list[str]:
        app = app_of(
            LiveState(),
            offer=lambda: [WatchableProcess(ProcessId(4242, 7), f"[bold]{name}", 9 << 20, f"run {other}")],
        )
        async with app.run_test(size=(160, 40)) as pilot:
            await pilot.pause()
            return text_of(app)

    seen = asyncio.run(look())
    assert not bad_characters("".join(seen))
    assert any("4242" in line and "[bold]" in line for line in seen)


def test_markup_is_shown_as_it_is() -> None:
    pytest.importorskip("textual", reason="the extra `live` is not installed")
    from tests.unit.live.test_app import app_of, text_of

    async def look() -> list[str]:
        state = LiveState()
        for each in events("[bold]n[/]"):
            state.event(each)
        app = app_of(state, several=True)
        async with app.run_test(size=(160, 40)) as pilot:
            await pilot.pause()
            app.notify("[bold]told[/]\n")
            await pilot.pause()
            assert [(note.message, note.markup) for note in app._notifications] == [
                (r"[bold]told[/]\x0a", False)
            ]
            return text_of(app)

    assert "[bold]n[/]" in "\n".join(asyncio.run(look()))


def test_phases_of_a_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a phase is the first line of its paragraph in the configuration."""
    for bit in BITS:
        if "\n" in bit or "\r" in bit or "," in bit:
            continue
        config = tmp_path / "config"
        config.write_bytes(os.fsencode(f"#regions\na, 4096\n\nph{bit}ase\n10 ms\na, 0, 4096, 100, rw\n"))
        main(["eval", str(config), "--truth-only"])
        said = capsys.readouterr()
        assert not bad_characters(said.out + said.err)


PRINTING = {"console.py", "control/perf.py"}
"""Files that may print: the first is how all others do, the second a program of its own, which escapes by itself."""


def printing(path: Path) -> Iterator[str]:
    """Calls in a source that write to a standard stream directly, or make a text that passes for escaped."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in (
            "print",
            "input",
            "Shown",
            "text.Shown",
            "traceback.print_exc",
            "logging.basicConfig",
        ) or (
            name.startswith(("sys.stdout.", "sys.stderr.", "sys.__std"))
            and not name.endswith((".isatty", ".fileno"))
        ):
            yield f"{path.relative_to(SOURCE)}:{node.lineno} calls {name}"  # type: ignore[attr-defined]


def test_only_the_console_prints() -> None:
    found = [
        text
        for path in sorted(SOURCE.rglob("*.py"))
        if str(path.relative_to(SOURCE)) not in {*PRINTING, "text.py"}
        for text in printing(path)
    ]
    assert not found, f"print by udamon.console, and make text by udamon.text: {found}"


def test_the_recordings_differ_in_names_alone(recordings: tuple[Path, Path]) -> None:
    """Else an equal number of lines says nothing; and what is hostile is really in it, unescaped."""
    said = [[str(event.data) for event in Recording(file).events()] for file in recordings]
    assert len(said[0]) == len(said[1])
    told = [event.data.get("text") for event in Recording(recordings[1]).events() if event.name == "note"]
    assert told == list(BITS)
