"""Names that somebody chose to fool who looks, and what must not be left of them in a text."""

from __future__ import annotations

import re
from unicodedata import category

from hypothesis import strategies as st

from udamon.model import Event

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
PAINT = re.compile(r"\x1b\[(?:0|1|31|32|48;5;\d{1,3}|48;2;\d{1,3};\d{1,3};\d{1,3})m")
"""The colours that udamon itself makes, in their exact form."""

BITS = (
    "\x1b[2J", "\x1b]0;owned\x07", "\x1b[31m", "\x1b[0m", "\a", "\b\b\b", "\r", "\n", "\r\nok    working set 1 B",
    "\t", "\x7f", "\x85", "\x9b31m", "\u202e", "\u2066", "\u200b", "\u2028", "\u2029", "\ue000", "\U000e0001",
    "\udcff", "[bold red]", "[/]", "[@click=app.quit]x[/]", "é", "漢字", "e\u0301", "%s", "{0}", "\\",
)  # fmt: skip

names = (
    st.lists(st.sampled_from(BITS) | st.text("abc/. ", max_size=4), min_size=1, max_size=6)
    .map("".join)
    .filter(bool)
)


def bad_characters(text: str, *, ascii_only: bool = False) -> list[str]:
    """The characters of `text`, beside newlines and udamon's own colours, that must have been escaped."""
    return [
        char
        for char in PAINT.sub("", text)
        if char != "\n" and (category(char) in HIDDEN or (ascii_only and not char.isascii()))
    ]


def events(name: str, pid: int = 4242) -> list[Event]:
    """What a recording tells of a process with everything called `name`: of every kind of mapping one, and notes."""
    start = {
        "target": 0, "pid": pid, "comm": name, "cmdline": [name, f"--{name}"], "user": name,
    }  # fmt: skip
    mapped = (
        name,
        f"/{name}",
        f"/lib/{name}.so.6",
        f"[anon:{name}]",
        f"/memfd:{name}",
        f"[{name}]",
        "",
        "[heap]",
    )
    rows = [
        [0x1000_0000 + at * 0x100_0000, 0x1000_0000 + at * 0x100_0000 + 0x10_0000, "rw-p", 0, at, each]
        for at, each in enumerate(mapped)
    ]
    return [
        Event(0, "target_start", start),
        Event(0, "mappings", {"target": 0, "add": rows, "remove": []}),
        Event(0, "target_start", start | {"target": 1, "pid": pid + 1}),
        Event(0, "mappings", {"target": 1, "add": rows, "remove": []}),
        Event(0, "note", {"text": f"note of {name}"}),
        Event(0, "subscriber", {"what": name, "why": name}),
    ]
