"""Processes by pid, by name, and self."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from udamon.cli import targets
from udamon.cli.main import main
from udamon.errors import UsageError
from udamon.targets.named import NameMatch, find

NAME = f"udamon-named-{os.getpid()}"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[int, ...]]:
    """Two processes whose first argument is a path that ends with NAME."""
    with ExitStack() as stack:
        both = [
            stack.enter_context(subprocess.Popen([f"/a/{NAME}", "1000"], executable="/bin/sleep"))
            for _ in range(2)
        ]
        yield tuple(sorted(process.pid for process in both))
        for process in both:
            process.kill()


def test_pids_names_and_lines(pair: tuple[int, ...]) -> None:
    """As $(pgrep NAME) gives them: a line each; a word is looked up once."""
    first, second = pair
    assert find([f"{first}\n{second}"]) == [
        NameMatch(str(first), (first,)),
        NameMatch(str(second), (second,)),
    ]
    assert find([f"{NAME}, {first} {NAME}"]) == [NameMatch(NAME, pair), NameMatch(str(first), (first,))]
    assert find(["self"]) == [NameMatch("self", (os.getppid(),))]


def test_the_program_file_is_a_name() -> None:
    with subprocess.Popen(["whatever", "1000"], executable="/bin/sleep") as process:
        try:
            program = os.path.basename(os.path.realpath("/bin/sleep"))
            assert process.pid in find([program])[0].pids
        finally:
            process.kill()


def test_this_process_is_not_found_by_its_name() -> None:
    mine = os.path.basename(os.path.realpath(sys.executable))
    try:
        assert os.getpid() not in find([mine])[0].pids
    except UsageError:
        pass  # no other process of that name


@pytest.mark.parametrize(
    "word", ["abc-nobody-is-called-so", "-5", "1.5", "1e3", "udamon-name", "../x", "\x1b[31m"]
)
def test_what_is_neither(word: str) -> None:
    with pytest.raises(UsageError, match="is not a pid, and no process is called so"):
        find([word])


def test_several_are_listed(pair: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["stat", "-p", NAME, "--via", "refs", "--aggr", "50ms", "--duration", "1s", "--json"])
    told = capsys.readouterr().err
    assert f"2 processes are called {NAME}: {pair[0]}, {pair[1]}." in told
    assert status in (0, 1), told  # refs may not be there


def test_many_are_listed_in_part() -> None:
    assert targets._several(NameMatch("x", tuple(range(1, 11)))) == (
        "10 processes are called x: 1, 2, 3, 4, 5, 6, 7, 8 and 2 more."
    )
