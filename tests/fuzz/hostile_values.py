"""Values chosen to break the code that reads them: words of a command line, and raw JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

TERMINAL = "\x1b[2J\x07\u202e\u2028\r\nok 1 B\x9b31m\udcff"
"""What a terminal obeys, lines that forge rows, and a byte that is not UTF-8."""

WORDS = (
    "", " ", "-", "--", "-1", "-0", "0", "1", "+5", " 7 ", "1_000", "\u0663", "\uff11\uff12", "\xb2", "1e3", "1e400",
    "1e-400", "nan", "inf", "-inf", "infinity", "0x10", "0x" + "f" * 16, "0x" + "f" * 17, "0x" + "f" * 40, "0b1",
    "0o7",
    *(str(n) for n in (2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**18)),
    "9" * 39, "9" * 40, "9" * 4299, "9" * 5000, "0." + "0" * 400 + "1", ".5", "5.", "5.5", "1,000",
    ",", "1,0,0", "0,0,0",
    "nan,nan,nan", "9" * 20 + ",1,1", "1e308,1e308,1e308", "0%", "100%", "101%", "-1%", "nan%", "1%", "0.5",
    "0-0", "5-", "-5", "5-1", "1s-", "-1s", "1-1-1", "min-max", "nan-nan", "0-" + "f" * 16, "0x8000000000000000-max",
    "f" * 16 + "-max", "0-0x10000000000000000", "0-" + "9" * 39, "0-99999999999999EiB", "99999999999999d-max",
    "1s", "5 ms", "0s", "1ns", "9" * 18 + "d", "9" * 39 + "h", "1e9s", "0.001d", "4KiB", "1TiB", "9" * 39 + "EiB",
    "-1GiB",
    "40x20", "0x0", "1x1", "-1x5", "9" * 18 + "x" + "9" * 18, "100000x100000", "nanxnan", "4%,3,5ms,10s", "0-5", "1-3",
    "0-99999999999999", "heap=50%", "=", "heap=nan", "=1%", "*=1%", "[", "**", "a" * 5000, TERMINAL, "\udcff",
    "%s%n", "{0}", "${x}", "../../x", "2026-11-29", "0000-00-00", "9999-12-31", "2026-02-30", "\u0662026-11-29",
)  # fmt: skip

LARGE = (
    "0", "-1", "1", "1e308", "nan", "inf", "1000000000", "9" * 18, "1" + "0" * 30, "9" * 10_000, "9" * 18 + "s",
    "9" * 30 + "d", "9" * 12 + "GiB", "1ns", "100%", "\u0663", "1_000",
)  # fmt: skip
"""Numbers of flags by which work may grow."""

RAW = (
    "null", "true", "-1", "0", "-0", "1.5", "-0.0", "1e308", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    "5e-324",
    *(str(n) for n in (2**31, 2**32, 2**53 + 1, 2**61, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1)),
    "9" * 39, "9" * 40, "9" * 5000, '""', '" "', '"x"', '"1"', json.dumps(TERMINAL), '"\\ud800"', '"\\u0000"',
    '"=1+1"', '"</script><script>alert(1)</script>"', '"]]>&amp;<!--"', json.dumps("x" * 70_000), "[]", "{}", "[[]]",
    "[null]", "[1, 2]", '{"a": 1, "a": 2}', '{"": {"": []}}', "[" * 31 + "]" * 31, "[" * 200 + "]" * 200, "[" * 100_000,
    '{"a":' * 60 + "1" + "}" * 60, "[0," * 20_000, "", "x", "0x10", "1_000", "\u0663",
    '[[0, 4096, "rw-p", 0, 0, "[heap]"]]', '[[4096, 0, "rw-p", 0, 0, ""]]', "[[null, null]]",
    f'[[{2**63}, {2**64 - 1}, "rw-p", {2**63}, {2**63}, {json.dumps("/" + TERMINAL)}]]',
    f"[[{2**63}, {2**64 - 4096}, 4096, 4096, 0]]",
)  # fmt: skip
"""Texts in the place of a JSON value; some are none."""

KEYS = (
    '"\\u001b[2J\\n"',
    '"\\udcff"',
    '"\\ud800"',
    '""',
    '"__proto__"',
    json.dumps("k" * 70_000),
    '"=1+1"',
    "nokey",
    '"target"',
)
"""Names of keys that nothing knows."""


def word(random: Random) -> str:
    return random.choice(WORDS)


def object_with(known: dict[str, Any], key: str, random: Random) -> str:
    """JSON of an object in which `key` has a hostile value, is missing, is there twice, or has a hostile neighbour."""
    rows = [(json.dumps(name), json.dumps(value)) for name, value in known.items() if name != key]
    mine = json.dumps(key), random.choice(RAW)
    kind = random.randrange(8)
    if kind < 5:
        rows.insert(random.randrange(len(rows) + 1), mine)
    elif kind == 5:  # twice, with the good value first or last
        good = json.dumps(key), json.dumps(known.get(key))
        rows += random.choice(([good, mine], [mine, good]))
    elif kind == 6:
        rows.append((random.choice(KEYS), random.choice(RAW)))
        rows += [(json.dumps(key), json.dumps(known[key]))] if key in known else []
    return "{" + ", ".join(f"{name}: {value}" for name, value in rows) + "}"
