"""Ways to spoil bytes and texts."""

from __future__ import annotations

import re
import struct
from random import Random

NUMBERS = (
    0, 1, -1, 2, 7, 8, 255, 256, 4095, 4096, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
    1 << 40, (1 << 62), (1 << 63) - 1, -(1 << 63), 1 << 63, (1 << 64) - 1,
)  # fmt: skip

_WORD = re.compile(r"[0-9][0-9.,]*|\w+|[^\w\s]|\s+")
_TEXTS = (
    "0", "-1", "1e999", "-1e999", "NaN", "Infinity", "null", "true", "", " ", '""', "[]", "{}", "9" * 20, "9" * 50,
    "9" * 5000, "0x" + "f" * 30, "0." + "0" * 400 + "1", "18446744073709551615", "18446744073709551616",
    "4,096", "4 KiB",
    "99999999999999 EiB", "1 d", "5000000000 h", "\\ud800", "\\u0000", "\x1b[2J", "é", "漢字", "'", '"', "#", "&a",
    "*a",
    "<<: *a", "[" * 40, "{" * 40, "]" * 5, "!!python/object:os.system", "!!binary x", "? ", "- ", ": ", ",", "%", "\t",
    "1979-05-27T07:32:00Z", "inf", "nan", '"""', "'''", "a.b", "a." * 50 + "a", "kdamond.", "target_id=", "nr_regions=",
)  # fmt: skip


def data(bytes_: bytes, random: Random) -> bytes:
    """Bytes with one to four faults."""
    out = bytearray(bytes_)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if len(out) < 16:
            return bytes(out)
        at, kind = random.randrange(len(out)), random.randrange(9)
        if kind == 0:
            out[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            out[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif kind in (2, 3, 4):
            form = random.choice("bhiq")
            at -= at % struct.calcsize(form)
            size = struct.calcsize(form)
            value = (random.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            out[at : at + size] = value
        elif kind == 5:
            out[at : at + random.choice((1, 8, 16, 64, 1000))] = random.randbytes(
                random.choice((0, 1, 8, 16, 64))
            )
        elif kind == 6:
            other, length = random.randrange(len(out)), random.choice((8, 16, 64, 1000, 5000))
            out[at : at + length] = out[other : other + length]
        elif kind == 7:
            del out[at:]
        else:
            end = min(len(out), at + random.choice((16, 100, 5000)))
            out[at:end] = bytes(end - at) if random.random() < 0.5 else b"\xff" * (end - at)
    return bytes(out)


def text(words: str, random: Random) -> str:
    """Text with one to six faults in its words and lines."""
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        parts = _WORD.findall(words)
        if not parts:
            return random.choice(_TEXTS)
        at, kind = random.randrange(len(parts)), random.randrange(10)
        if kind <= 3:
            parts[at] = random.choice(_TEXTS)
        elif kind == 4:
            parts[at] = str(random.choice(NUMBERS))
        elif kind == 5:
            del parts[at : at + random.choice((1, 1, 3, 20))]
        elif kind == 6:
            parts.insert(at, random.choice(_TEXTS))
        elif kind == 7:
            end = at + random.choice((1, 5, 40))
            parts[at:at] = parts[at:end] * random.choice((1, 2, 50))
        elif kind == 8:
            other = random.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        else:
            numbers = [i for i, part in enumerate(parts) if part[0].isdigit()]
            if numbers:
                parts[random.choice(numbers)] = random.choice((*_TEXTS[:20], str(random.choice(NUMBERS))))
        words = "".join(parts)[: 1 << 20]
    return words
