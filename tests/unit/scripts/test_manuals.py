"""Manual pages and completions, as man, mandoc and the shells take them."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import manuals
from tests.integration.programs import started
from tests.waiting import WAIT_LIMIT_S
from udamon.cli.completion import SHELLS
from udamon.cli.examples import EXAMPLES
from udamon.cli.parsers import COMMANDS, flags_of, parser, parser_of, whole, with_all_below

pytest.importorskip("shtab", reason="the extra `completion` is not installed")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("manuals")
    manuals.write(place)
    return place


def test_the_files_are_where_packages_look_for_them(out: Path) -> None:
    pages = {path.name for path in (out / "man/man1").iterdir()}
    assert pages >= {"udamon.1", "udamon-report-wss.1", *(f"udamon-{command}.1" for command in COMMANDS)}
    files = {str(path.relative_to(out / "completions")) for path in (out / "completions").rglob("*.*")}
    assert files == {"fish/udamon.fish"}
    assert (out / "completions/bash/udamon").is_file()
    assert (out / "completions/zsh/_udamon").is_file()


def test_a_page_has_all_flags_and_examples() -> None:
    for one in with_all_below(whole()):
        text = manuals.page(one).replace("\\-", "-")
        shown = [action for action in one._actions if action.help != argparse.SUPPRESS]
        own = [flag for action in shown for flag in action.option_strings]
        assert [flag for flag in own if rf"\fB{flag}\fR" not in text] == []
        plain = re.sub(r"\s+", " ", text)
        assert [
            line for line, _ in EXAMPLES[one.prog.partition(" ")[2]] if line.replace("\\", "\\e") not in plain
        ] == []


@pytest.mark.parametrize(
    "command",
    [("groff", "-man", "-ww", "-Tutf8", "-z"), ("mandoc", "-T", "lint", "-W", "style")],
    ids=lambda words: words[0],
)
def test_nothing_is_wrong_with_a_page(
    out: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)  # a sanitizer finds faults of troff
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for page in sorted((out / "man/man1").iterdir()):
        done = subprocess.run([*command, page], capture_output=True, text=True, check=False, timeout=60)
        said = [
            line for line in (done.stdout + done.stderr).splitlines() if "longer than 80 bytes" not in line
        ]
        assert said == []


def test_what_is_a_request_of_troff_is_text() -> None:
    assert manuals._text(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert manuals._text("a\\b 'x' –") == "a\\eb 'x' \\[u2013]"


def test_every_command_has_two_examples_that_parse() -> None:
    paths = {one.prog.partition(" ")[2] for one in with_all_below(whole())}
    assert set(EXAMPLES) == paths
    for lines in EXAMPLES.values():
        for line, _ in lines:
            words = (
                re.sub(r"^(sudo|source <\(|ssh \S+ cat \S+ \|) *", "", line)
                .split(" > ")[0]
                .rstrip(")")
                .split()
            )
            assert words[0] == "udamon", line
            own = words[1 : words.index("--")] if "--" in words else words[1:]
            if own[:1] == ["report"] and own[1].endswith(".udamon"):
                own.insert(1, "size")  # which stands for the kind that is not given
            parser(own).parse_args(own)


def test_help_fits_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for one in (whole(), *(part for name in COMMANDS for part in with_all_below(parser_of(name)))):
        wide = [line for line in one.format_help().splitlines() if len(line) > 80]
        assert wide == []
        assert "%%" not in one.format_help()  # examples are not formatted, help texts of flags are
        assert one.format_help().count("\n  udamon ") + one.format_help().count("\n  sudo ") >= 1


def in_bash(out: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        _shtab_udamon; printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", out / "completions/bash/udamon", *words],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.replace("compopt: not currently executing completion function", "").count("rror") == 0
    return done.stdout.split("\n")[:-1]


def in_fish(out: Path, *words: str) -> list[str]:
    """What fish offers, without descriptions."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"source {out / 'completions/fish/udamon.fish'}; complete -C '{' '.join(words)}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


OFFERS = {"bash": in_bash, "fish": in_fish}


@pytest.mark.parametrize("shell", OFFERS)
def test_what_a_shell_offers(shell: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, kinds, flags, values of choices, and recordings."""
    offers = OFFERS[shell]
    monkeypatch.chdir(tmp_path)
    Path("mine.udamon").touch()
    Path("other.txt").touch()
    assert set(offers(out, "udamon", "")) >= set(COMMANDS)
    assert offers(out, "udamon", "rec") in (["record", "reclaim"], ["reclaim", "record"]) or offers(
        out, "udamon", "reco"
    ) == ["record"]
    assert offers(out, "udamon", "report", "heat") == ["heatmap"]
    assert offers(out, "udamon", "record", "--max-p") == ["--max-pause"]
    assert set(offers(out, "udamon", "record", "--via", "")) >= {"refs", "idle", "pte"}
    assert set(offers(out, "udamon", "report", "access", "--sort", "")) >= {"hot", "cold", "rate"}
    found = offers(out, "udamon", "report", "wss", "")
    assert "mine.udamon" in found
    if shell == "bash":
        assert "other.txt" not in found
    flags = {flag for flag in flags_of(parser_of("check")) if flag.startswith("--")}
    assert set(offers(out, "udamon", "check", "--")) >= flags


@pytest.mark.parametrize("shell", OFFERS)
def test_processes_are_offered_by_number_and_name(shell: str, out: Path, tmp_path: Path) -> None:
    """Also behind a comma. A name that a shell would obey is never offered, and runs nothing."""
    offers = OFFERS[shell]
    planted = tmp_path / "planted"
    program = tmp_path / "$(touch $P)"  # what the kernel calls the process
    program.write_bytes(Path(shutil.which("sleep") or "/bin/sleep").read_bytes())
    program.chmod(0o700)
    with started([str(program), "600"], env={**os.environ, "P": str(planted)}) as process:
        os.environ["P"] = str(planted)
        found = offers(out, "udamon", "record", "-p", str(process.pid))
        assert found == [str(process.pid)]
        assert offers(out, "udamon", "record", "-p", f"1,{process.pid}") == [f"1,{process.pid}"]
        everything = offers(out, "udamon", "record", "-p", "")
        del os.environ["P"]
    assert not planted.exists()
    assert not [word for word in everything if set(word) & set("$()`;|&<>'\"\\*")]


@pytest.fixture
def zsh(out: Path, tmp_path: Path) -> Iterator[int]:
    """An interactive zsh that knows the completion; its terminal."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ |= {"TERM": "dumb", "HOME": str(tmp_path), "COLUMNS": "200", "ZDOTDIR": str(tmp_path)}
        os.execlp("zsh", "zsh", "-f", "-i")
    directory = out / "completions/zsh"
    os.write(
        terminal,
        f"fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; echo re''ady\n".encode(),
    )
    until(terminal, "ready")
    yield terminal
    os.write(terminal, b"\x03exit\n")
    os.close(terminal)
    os.waitpid(pid, 0)


def until(terminal: int, wanted: str) -> str:
    """What the terminal shows by the time that it shows `wanted`."""
    shown, end = "", time.monotonic() + WAIT_LIMIT_S
    while wanted not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("udamon reco", "udamon record "),
        ("udamon report heat", "udamon report heatmap "),
        ("udamon record --max-p", "--max-pause "),
        ("udamon record --via so", "--via softdirty"),
    ],
)
def test_what_zsh_completes(zsh: int, typed: str, shown: str) -> None:
    os.write(zsh, f"{typed}\t".encode())
    until(zsh, shown)


def test_a_script_for_each_shell_is_printed() -> None:
    assert set(manuals.COMPLETIONS) == set(SHELLS)


@pytest.mark.parametrize(("command", "passes_on"), [
    ("record", True), ("size", True), ("stat", True), ("schemes", True), ("live", False), ("report", False),
])  # fmt: skip
def test_a_page_has_the_statuses_of_its_command(command: str, passes_on: bool) -> None:
    """Those that watch a COMMAND end with its status, and with 125 to 127 where it did not come to that."""
    found = manuals.page(parser_of(command)).partition(".SH EXIT STATUS")[2].partition(".SH FILES")[0]
    assert ("\n125\n" in found, "\n126, 127\n" in found) == (passes_on, passes_on)


def test_the_usage_of_report_has_the_form_without_a_kind() -> None:
    """`udamon report FILE` is the overview; the usage had a kind alone. Those of the kinds follow from their own."""
    found = parser_of("report")
    assert found.format_usage().strip() == "usage: udamon report [REPORT] FILE [options]"
    assert parser_of("report").prog == "udamon report"
    kinds = [one.prog for one in with_all_below(found)][1:]
    assert "udamon report wss" in kinds


def test_a_question_in_the_examples_has_no_full_stop_behind_it() -> None:
    assert not [one.prog for one in with_all_below(whole()) if "?." in manuals.page(one)]
