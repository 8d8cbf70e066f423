"""Reads masim configurations, with udamon's directives in comments.

The format: paragraphs separated by empty lines; `#` starts a comment anywhere. The first paragraph has
one region a line, `name, bytes[, initfile|none]`. Each later one is a phase: a line with its name, one
with its length in milliseconds, then patterns, `region, random (1) or sequential (0), stride in bytes,
weight[, ro|wo|rw]` (write-only unless stated). Sizes may be written `100M`; a size that is not a multiple
of the page is rounded up to one. Weights may be decimal.

A comment `# udamon: key=value …` is a directive. At the end of a line it holds for that line; on a line
of its own, for the lines after it in its paragraph; a paragraph of nothing but comments belongs to the
next one. (masim itself knows only comments that are whole lines.)

| key       | on        | means                                                                          |
|-----------|-----------|--------------------------------------------------------------------------------|
| rate=     | anywhere  | accesses per second of all patterns together: before the first phase's name    |
|           |           | for the whole workload, inside a later paragraph for that phase                |
| resident= | a region  | share of the region that has pages; they are at its start                      |
| chance=   | a pattern | chance of a page to be accessed per sampling interval; its weight is then only |
|           |           | its share of a real run                                                        |
| window=   | sequential| a share of the region, in which all is accessed, slides through it …           |
| period=   | pattern   | … once in this time                                                            |

Memory that is mapped and not resident is said with `resident=` alone: 200 patches in 1 TiB are 200 regions
of about 5 GiB, each with `resident=1%`, and a fifth of them is hot when 40 of the regions have a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from udamon.configuration.tree import decoded, refuse_binary
from udamon.errors import CannotError, ConfigError
from udamon.model import PAGE_SIZE
from udamon.units import format_size
from udamon.workload.fields import MAX_BYTES, ConfigLine, Fields
from udamon.workload.spec import DEFAULT_RATE, MODES, Pattern, Workload, WorkloadPhase, WorkRegion

MAX_TEXT, MAX_LINES = 16 << 20, 250_000
"""Three times what the largest workload here has."""

_MAX_UNPACKING = 128 << 20
"""Bytes that unpacking xz may take: the file says how many it needs."""

_MAX_MS = 10**12
_REGION_KEYS = frozenset({"resident"})
_PATTERN_KEYS = frozenset({"chance", "window", "period"})


def load(path: Path) -> Workload:
    """The workload in the file at `path`; one that ends in .xz is packed.

    Raises ConfigError, or CannotError if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = _unpacked(file, path) if path.suffix == ".xz" else file.read(MAX_TEXT + 1)
    except OSError as error:
        raise CannotError(f"cannot read the workload {path}: {error.strerror}.") from error
    refuse_binary(data, str(path))
    if len(data) > MAX_TEXT or data.count(b"\n") > MAX_LINES:
        raise ConfigError(
            f"{path}:1: this is longer than udamon reads, which is {format_size(MAX_TEXT)} and {MAX_LINES:,} lines; "
            "use fewer regions and phases."
        )
    return parse(decoded(data, str(path)), str(path))


def _unpacked(file: BinaryIO, path: Path) -> bytes:
    import lzma  # no other workload needs it

    unpacker, text = lzma.LZMADecompressor(memlimit=_MAX_UNPACKING), b""
    try:
        while not unpacker.eof and len(text) <= MAX_TEXT:
            packed = file.read(1 << 16) if unpacker.needs_input else b""
            if unpacker.needs_input and not packed:
                raise EOFError("it ends within its data")
            text += unpacker.decompress(packed, MAX_TEXT + 1 - len(text))
    except (lzma.LZMAError, EOFError) as error:
        raise ConfigError(f"{path}:1: this is not a whole file of xz: {error}.") from error
    return text


def parse(text: str, name: str = "<text>") -> Workload:
    """The workload that `text` describes; `name` stands for the file in messages. Raises ConfigError."""
    return _Parser(name).workload(text)


class _Parser(Fields):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.rate = DEFAULT_RATE
        self.regions: dict[str, WorkRegion] = {}

    def workload(self, text: str) -> Workload:
        paragraphs = list(self.paragraphs(text))
        if not paragraphs:
            self.fail(1, "there are no regions; write one a line, like `heap, 100M`.")
        self.read_regions(paragraphs[0])
        phases = [self.phase(lines, first=i == 0) for i, lines in enumerate(paragraphs[1:])]
        if not phases:
            last = paragraphs[0][-1].number
            self.fail(last, "there is no phase after the regions; add a paragraph with a name and a length.")
        return Workload(tuple(self.regions.values()), tuple(phases), self.rate)

    def paragraphs(self, text: str) -> Iterator[list[ConfigLine]]:
        """Paragraphs with at least one line that is not a comment, comments before them included."""
        lines: list[ConfigLine] = []
        said = False
        for number, raw in enumerate(text.split("\n"), 1):
            content, _, comment = raw.partition("#")
            if not raw.strip() and said:
                yield lines
                lines, said = [], False
            elif raw.strip():
                lines.append(ConfigLine(number, content.strip(), self.directive(number, comment)))
                said = said or bool(lines[-1].text)
        if said:
            yield lines

    def directive(self, number: int, comment: str) -> dict[str, str]:
        kind, colon, rest = comment.strip().partition(":")
        if kind.strip() != "udamon" or not colon:
            return {}
        words = [word.partition("=") for word in rest.split()]
        for key, equals, value in words:
            if key in {"rate", *_REGION_KEYS, *_PATTERN_KEYS} and not value:
                self.fail(number, f"the directive {key}= has no value; write {key}=VALUE, without a blank.")
            if key not in {"rate", *_REGION_KEYS, *_PATTERN_KEYS} or not equals:
                self.fail(
                    number,
                    f"unknown directive {key!r}; use rate=, resident=, chance=, window= or period=.",
                )
        return {key: value for key, _, value in words}

    def settle(self, lines: list[ConfigLine], keys: frozenset[str]) -> Iterator[ConfigLine]:
        """The lines with content, each with all directives that hold for it."""
        held: dict[str, str] = {}
        for line in lines:
            words = {key: value for key, value in line.words.items() if key != "rate"}
            for key in words.keys() - keys:
                self.fail(line.number, f"the directive {key}= does not belong here.")
            if line.text:
                yield line._replace(words={**held, **words})
            else:
                held.update(words)

    # Regions

    def read_regions(self, lines: list[ConfigLine]) -> None:
        for line in lines:
            if "rate" in line.words:
                self.rate = self.read_rate(line.number, line.words["rate"])
        total = 0
        for line in self.settle(lines, _REGION_KEYS):
            region = self.region(line)
            if region.name in self.regions:
                self.fail(line.number, f"there are two regions named {region.name!r}.")
            self.regions[region.name] = region
            total += region.size
            if total > MAX_BYTES:
                self.fail(line.number, "the regions are more than 64 TiB together.")

    def region(self, line: ConfigLine) -> WorkRegion:
        fields = [field.strip() for field in line.text.split(",")]
        if len(fields) not in {2, 3} or not all(fields):
            self.fail(line.number, f"{line.text!r} is not a region; write `name, bytes[, initfile|none]`.")
        size = -(-self.size(line.number, "size", fields[1]) // PAGE_SIZE) * PAGE_SIZE
        resident = self.share(line, "resident")
        init = fields[2] if len(fields) == 3 else None
        return WorkRegion(fields[0], size, init, 1.0 if resident is None else resident)

    # Phases

    def phase(self, lines: list[ConfigLine], first: bool) -> WorkloadPhase:
        rate = self.phase_rate(lines, first)
        for line in [line for line in lines if line.text][:2]:
            if line.words.keys() - {"rate"}:
                self.fail(line.number, "only rate= belongs to the name and the length of a phase.")
        name, *rest = self.settle(lines, _PATTERN_KEYS)
        if not rest or "," in rest[0].text:
            self.fail(
                name.number, f"the phase {name.text!r} has no length in milliseconds on its second line."
            )
        return WorkloadPhase(name.text, self.length(rest[0]), tuple(map(self.pattern, rest[1:])), rate)

    def phase_rate(self, lines: list[ConfigLine], first: bool) -> float | None:
        rate = None
        named = False
        for line in lines:
            named = named or bool(line.text)
            if "rate" in line.words:
                value = self.read_rate(line.number, line.words["rate"])
                if first and not named:
                    self.rate = value  # still before the first phase
                else:
                    rate = value
        return rate

    def length(self, line: ConfigLine) -> int:
        value = self.number(line.number, "length in milliseconds", line.text)
        if not 0 < value <= _MAX_MS:
            self.fail(line.number, f"the length {line.text} ms must be above 0 and at most 30 years.")
        return max(1, int(Decimal(line.text) * 1_000_000))

    def pattern(self, line: ConfigLine) -> Pattern:
        fields = [field.strip() for field in line.text.split(",")]
        if len(fields) not in {4, 5}:
            self.fail(line.number, f"{line.text!r} is not `region, random 1|0, stride, weight[, ro|wo|rw]`.")
        region, random, stride, weight, mode = [*fields, "wo"][:5]
        if region not in self.regions:
            self.fail(line.number, f"there is no region named {region!r}.")
        if random not in {"0", "1"}:
            self.fail(line.number, f"{random!r} must be 1 for random or 0 for sequential access.")
        if mode not in MODES:
            self.fail(line.number, f"the mode {mode!r} must be ro, wo or rw.")
        bytes_, share = self.size(line.number, "stride", stride), self.number(line.number, "weight", weight)
        chance, window, period = self.share(line, "chance"), *self.window(line, random == "1")
        return Pattern(region, random == "1", bytes_, share, mode, chance, window, period)

    def window(self, line: ConfigLine, random: bool) -> tuple[float | None, int | None]:
        window, period = self.share(line, "window"), line.words.get("period")
        if window is None and period is None:
            return None, None
        if window is None or period is None or random or window == 0:
            self.fail(line.number, "window= and period= go together, above 0, on a sequential pattern.")
        return window, self.period_ns(line.number, period)
