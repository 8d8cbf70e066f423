"""Tables in terminals of any width."""

from __future__ import annotations

import pytest

from udamon.report import groups
from udamon.report.terminal import LEAST_NAME, Terminal, fitted
from udamon.text import width

MIB = 1 << 20
ROWS = [
    ["service", "hosts", "cold", "share"],
    ["a-name-that-is-long-enough-to-be-cut", "8", "120.0 MiB", "12.5%"],
    ["b", "12", "1.0 MiB", "0.1%"],
]


@pytest.mark.parametrize("columns", range(20, 100, 4))
def test_a_table_fits(columns: int) -> None:
    """Names give way first, then columns, the first of those that may; what is left out is said."""
    shown, said = fitted(ROWS, "<>>>", columns, spare=(1, 3))
    widest = max(map(width, shown))
    assert widest <= max(columns, 2 + 8 + 2 + len("120.0 MiB"))
    titles = shown[0].split()
    assert titles[0] == "service"
    assert "cold" in titles
    assert titles in (
        ["service", "hosts", "cold", "share"],
        ["service", "cold", "share"],
        ["service", "cold"],
    )
    missing = [title for title in ("hosts", "share") if title not in titles]
    assert said == ([f"  left out, as the terminal is narrow: {', '.join(missing)}"] if missing else [])
    if missing:  # with the last of them it would be too wide, however short the names
        back = {"hosts": 2 + 5, "share": 2 + 5}[missing[-1]]
        assert 2 + LEAST_NAME + 2 + len("120.0 MiB") + back + (7 if missing == ["hosts"] else 0) > columns


def test_short_names_are_whole() -> None:
    shown, said = fitted([["n", "x"], ["abcdefghijklmnop", "1"]], "<>", 21)
    assert (shown[1], said) == ("  abcdefghijklmnop  1", [])


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_bars_of_bounds_end_where_the_terminal_does(columns: int) -> None:
    """Also of the largest, behind words as long as they can be."""
    low, high = ({"min": size, "max": size} for size in (1023 * MIB + MIB // 2, 1023 * MIB + 900 * 1024))
    found = groups.distribution(groups.GroupBounds(low, high, high, True, [], True), 30, Terminal(columns))
    bars = [each for each in found if "between" in each]
    assert len(bars) == 2
    assert {width(each) for each in bars} == {columns}


def test_names_that_begin_alike_stay_different() -> None:
    """Two stretches of anonymous memory, and one name that is alone: its beginning is shown, as ever."""
    names = ["29691 anonymous 7f567d000000", "29691 anonymous 7f567e000000", "29691 libpython3.11.so.1.0"]
    shown, _ = fitted([["mapping", "x"], *([name, "1"] for name in names)], "<>", 20)
    cells = [str(line)[2:].rsplit(" ", 1)[0].strip() for line in shown[1:]]
    assert cells == ["29691 ..d000000", "29691 ..e000000", "29691 libpyth.."]
    narrow, _ = fitted([["mapping", "x"], *([name, "1"] for name in names)], "<>", 10)
    assert len(set(map(str, narrow[1:]))) == 1, "there is no room for so long an end"
