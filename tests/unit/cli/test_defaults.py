"""Defaults of flags: what counts before what, and what is refused, with its place."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from udamon.cli.defaults import PER_RUN, Defaults, keys
from udamon.cli.main import main, parsed
from udamon.cli.parsers import COMMANDS, parser_of, with_all_below
from udamon.configuration import files
from udamon.errors import ConfigError, UdamonError

Write = Callable[[str, str], None]
NOBODY = str(1 << 22)
"""No process has this number, so that none is watched where a test fails."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the machine's file ("system") or the user's ("user")."""
    system, user = tmp_path / "system.toml", tmp_path / "user.toml"
    monkeypatch.setattr(files, "SYSTEM", str(system))
    user.touch(0o600)
    monkeypatch.setenv("UDAMON_CONFIG", str(user))
    load = files.of_system
    monkeypatch.setattr(files, "of_system", lambda path=None, owner=0: load(path, os.getuid()))

    def to(which: str, text: str) -> None:
        path = {"system": system, "user": user}[which]
        path.write_text(text)
        path.chmod(0o600)

    return to


def args(line: str) -> argparse.Namespace:
    return parsed(line.split())[0]


def test_what_counts_before_what(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in < machine's file < user's file < environment < flag; one by one, each seen to win."""
    command = "record -p 1"
    assert args(command).max_size is None
    write("system", 'max_size = "1 MiB"\n')
    assert args(command).max_size == "1 MiB"
    write("system", 'max_size = "1 MiB"\n[record]\nmax_size = "2 MiB"\n')
    assert args(command).max_size == "2 MiB"
    write("user", 'max_size = "3 MiB"\n')  # wide, and still before the narrow one of the machine
    assert args(command).max_size == "3 MiB"
    write("user", 'max_size = "3 MiB"\n[record]\nmax-size = "4 MiB"\n')
    assert args(command).max_size == "4 MiB"
    monkeypatch.setenv("UDAMON_RECORD_MAX_SIZE", "5 MiB")
    assert args(command).max_size == "5 MiB"
    assert args(f"{command} --max-size 6MiB").max_size == "6MiB"


def test_each_kind_of_value(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("user", '[record]\nquiet = true\nmin_regions = 7\noverhead = 0.02\nvia = "refs"\n')
    found = args("record -p 1")
    assert (found.quiet, found.min_regions, found.overhead, found.via) == (True, 7, "0.02", "refs")
    write("user", "[reclaim]\nskip_anon = true\nquiet = false\n")
    monkeypatch.setenv("UDAMON_RECLAIM_QUIET", "1")
    found = args("reclaim -p 1")
    assert (found.skip_anon, found.quiet) == (True, True)
    assert args("reclaim -p 1 --no-skip-anon").skip_anon is False
    monkeypatch.setenv("UDAMON_RECLAIM_MIN_REGIONS", "3")
    monkeypatch.setenv("UDAMON_RECLAIM_MAX_REGIONS", "1")  # no switch
    assert (args("reclaim -p 1").min_regions, args("reclaim -p 1").max_regions) == (3, 1)


def test_a_report_has_a_table_of_its_own(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("user", 'max_rows = 5\n[report]\nmax_rows = 6\n[report.wss]\nmax_rows = 7\ndefinition = "damo"\n')
    assert args("check x").max_rows == 5
    assert args("report info x").max_rows == 6
    assert (args("report wss x").max_rows, args("report wss x").definition) == (7, "damo")
    monkeypatch.setenv("UDAMON_REPORT_MAX_ROWS", "8")
    assert (args("report info x").max_rows, args("report wss x").max_rows) == (8, 8)
    monkeypatch.setenv("UDAMON_REPORT_WSS_MAX_ROWS", "9")
    assert (args("report info x").max_rows, args("report wss x").max_rows) == (8, 9)


@pytest.mark.parametrize(
    ("line", "dropped"),
    [("--sample 5ms", True), ("--intervals-goal 4%,3,5ms,10s", True), ("--overhead 3%", False), ("", False)],
)
def test_a_default_gives_way_to_a_flag_that_excludes_it(write: Write, line: str, dropped: bool) -> None:
    write("user", '[record]\noverhead = "2%"\n')
    found = args(f"record -p 1 {line}")
    assert found.overhead == (None if dropped else "3%" if line else "2%")


def test_a_default_gives_way_to_one_that_counts_before_it(write: Write) -> None:
    write("system", 'overhead = "2%"\n')
    write("user", 'aggr = "1s"\n')
    found = args("record -p 1")
    assert (found.overhead, found.aggr, found.sample) == (None, "1s", None)


def test_a_simulation_is_not_looked_at_by_default(write: Write) -> None:
    write("user", 'via = "refs"\n')
    assert args("record --sim demo").via == "auto"
    assert args("record --sim demo --via refs").via == "refs"  # which is refused later, as without a file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\noverhaed = "2%"\n', "2: overhaed: there is no such flag of any command: did you mean overhead?"),
        ('[record]\n\nmax_szie = "1M"\n', "3: record.max_szie: there is no such flag of udamon record: "),
        ("[recrod]\n", "1: recrod: there is no such command: did you mean record?"),
        ("[report.heatmpa]\n", "1: report.heatmpa: there is no such part of udamon report: "),
        ('[record]\npid = "1"\n', "2: record.pid: this is said on the command line each time"),
        ("[record]\nforce = true\n", "2: record.force: this is said on the command line each time"),
        ("[record]\nquiet = 1\n", "2: quiet: '1' is neither true nor false."),
        ("[record]\nmin_regions = 1.5\n", "2: min_regions: '1.5' is not a whole number."),
        ('[record]\nvia = "reffs"\n', "2: via: 'reffs' is none of auto, "),
        ("[record]\noverhead = [1]\n", "2: record.overhead: this is a list, where one value belongs."),
        ("max_rows = 1\nmax-rows = 2\n", "2: max-rows: this says again what max_rows says"),
        ("allow_kernel_memory = true\n", "1: allow_kernel_memory: only "),
    ],
)
def test_what_is_refused_has_its_line(
    write: Write, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("user", text)
    words = ["report", "info", NOBODY] if "report" in text else ["record", "-p", NOBODY]
    assert main(words) == 2
    assert f"{tmp_path}/user.toml:{said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[record]\noverhead = "some"\n', "2: --overhead: 'some' is not a share"),
        ('[record]\n\nsample = "5"\n', "3: --sample: the time '5' has no unit"),
        ('overhead = "2%"\naggr = "1s"\n', "1: --overhead chooses the intervals; leave it or"),
    ],
)
def test_what_a_command_finds_wrong_has_its_line_too(
    write: Write, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("user", text)
    assert main(["record", "-p", NOBODY]) == 2
    assert capsys.readouterr().err.startswith(f"udamon: {tmp_path}/user.toml:{said}")


def test_the_place_is_that_of_the_report_that_was_asked_for(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not that of another one with the same flag."""
    write("user", '[report.heatmap]\nresol = "x"\nmax_memory = "1 XB"\n[report.wss]\n\nmax_memory = "2 XB"\n')
    for kind, line in (("heatmap", 3), ("wss", 6)):
        assert main(["report", kind, str(tmp_path / "none")]) == 2
        assert f"user.toml:{line}: " in capsys.readouterr().err


def test_a_wrong_flag_is_not_blamed_on_a_file(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("user", '[record]\noverhead = "2%"\n')
    assert main(["record", "-p", NOBODY, "--overhead", "some"]) == 2
    assert "user.toml" not in capsys.readouterr().err


def test_the_environment_is_as_strict(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UDAMON_RECORD_OVERHAED", "2%")
    assert main(["record", "-p", NOBODY]) == 2
    assert "did you mean UDAMON_RECORD_OVERHEAD?" in capsys.readouterr().err
    assert args("stat -p 1").overhead is None  # none of its business
    monkeypatch.delenv("UDAMON_RECORD_OVERHAED")
    monkeypatch.setenv("UDAMON_RECORD_OVERHEAD", "some")
    assert main(["record", "-p", NOBODY]) == 2
    assert "UDAMON_RECORD_OVERHEAD: --overhead: 'some' is not a share" in capsys.readouterr().err
    monkeypatch.setenv("UDAMON_RECORD_OVERHEAD", "")
    assert args("record -p 1").overhead is None


def test_no_default_is_a_consent(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernel memory is read where the command line asks for it, or the machine's file allows it."""
    write("user", 'via = "pte"\n')
    with pytest.raises(ConfigError, match=r"user.toml:1: via: pte reads kernel memory.*no consent"):
        args("record -p 1")
    write("system", "allow_kernel_memory = true\n")
    assert args("record -p 1").via == "pte"


def test_help_does_not_read_files(write: Write) -> None:
    write("user", "= =")
    with pytest.raises(SystemExit) as ended:
        main(["record", "--help"])
    assert ended.value.code == 0


def test_doctor_tells_what_is_in_force(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("user", 'max_size = "3 MiB"\n[report.wss]\ndefinition = "damo"\n')
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["configuration"]
    assert [file["values"] for file in found["files"] if file["read"]] == [
        {"max_size": "3 MiB", "report.wss.definition": "damo"}
    ]
    write("user", "[stat]\nnonsense = 1\n")  # of another command
    assert main(["doctor"]) == 2
    assert "user.toml:2: stat.nonsense" in capsys.readouterr().err


def test_every_flag_has_a_default_or_is_said_each_time() -> None:
    """PER_RUN names flags that there are, and no key stands for two flags of one command."""
    flags = set()
    for command in COMMANDS:
        for parser in with_all_below(parser_of(command)):
            assert len({action.dest for action in keys(parser).values()}) == len(keys(parser))
            flags |= {
                flag.removeprefix("--").replace("-", "_")
                for action in parser._actions
                for flag in action.option_strings
            }
    assert flags | {"version"} >= PER_RUN


def test_a_file_of_everything_is_taken(write: Write) -> None:
    """Each flag that may have a default, with the one it has: no parser and no command objects."""
    for command in COMMANDS:
        for parser in with_all_below(parser_of(command)):
            lines = []
            for key, action in keys(parser).items():
                value = action.default
                if value is None:
                    switch = isinstance(action, argparse.BooleanOptionalAction)
                    value = True if switch else next(iter(action.choices)) if action.choices else 1
                lines.append(f"{key} = {json.dumps(value)}")
            path = parser.prog.split()[1:]
            write("user", f"[{'.'.join(path)}]\n" + "\n".join(lines))
            fresh = parser_of(command)
            try:
                Defaults.read().apply(fresh)
            except UdamonError as error:
                pytest.fail(str(error))
