"""`udamon report … --by process|mapping`: what a report is divided by.

Working sets, footprints and the regions of a moment have a table for it. Any other report is made several times,
once for each process or once for each of the hottest mappings, as if --target or --mapping had chosen that one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from udamon.cli.numbers import require_shown, whole
from udamon.errors import RecordingError, UsageError
from udamon.text import Shown, lines

if TYPE_CHECKING:
    from udamon.report.filters import Filters
    from udamon.report.source import RecordingSource

Found = tuple[dict[str, Any], Callable[[], Shown]]
"""The JSON document, and what makes the text for people."""

Make = Callable[[argparse.Namespace, "RecordingSource"], Found]

TOP = 10
"""Mappings that a report is made for, unless --by-top says otherwise."""

_DEFAULT = {"wss": "process", "footprint": "process", "access": "region"}
"""Kinds that always have a table by something."""

_FOR_MAPPINGS = {"heatmap", "access", "ages", "nr-regions", "phases", "right-size"}
"""Kinds that may be made for each mapping."""

_ALSO = {"access": ("region",), "diff": ("site",)}
"""What else a kind may be divided by; its own function makes that."""

_ONE = "leave --by out"
_INDIVISIBLE = {
    ("info", "process"): f"info has a line for each process already; {_ONE}",
    ("info", "mapping"): "info is about how it was recorded, and mappings have no part in that; see report mappings",
    ("size", "process"): f"the report is by process already; {_ONE}",
    ("size", "mapping"): f"the report is by mapping already; {_ONE}",
    ("mappings", "mapping"): f"the report is by mapping already; {_ONE}",
    ("times", "mapping"): "a window is that of a whole process, the same for all of its mappings; use --by process",
    ("holistic", "mapping"): "it has mappings beside everything else; ask for one report, like heatmap --by mapping",
    ("sites", "mapping"): "what one piece of code allocates lies in many mappings; see report mappings for those",
    ("sites", "process"): "choose a process with --target",
    ("diff", "process"): "no process is in both recordings; choose some with --target",
    ("diff", "mapping"): f"what moved is by mapping already; {_ONE}, or --by site for the code that allocated it",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportPart:
    """What one of the reports is about: `about` is for JSON, `filters` choose it."""

    label: str
    about: dict[str, Any]
    filters: Filters


def configure(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the flags to the report `kind`."""
    more = _ALSO.get(kind, ())
    parser.set_defaults(by_top=None)
    group = parser.add_argument_group("divided")
    group.add_argument(
        "--by",
        choices=(*more, "process", "mapping"),
        default=_DEFAULT.get(kind),
        help="for each process, or for each mapping",
    )
    if kind in _FOR_MAPPINGS:
        group.add_argument(
            "--by-top",
            metavar="N",
            type=whole,
            help=f"with --by mapping: number of mappings, the hottest first (default {TOP})",
        )


def divided(args: argparse.Namespace) -> str | None:
    """What the report is to be made for each of, "process" or "mapping"; None when it is made once.

    Raises UsageError where it makes no sense, with the reason.
    """
    kind = {"footprints": "footprint", "nr_regions": "nr-regions"}.get(args.report, str(args.report))
    if (kind, args.by) in _INDIVISIBLE:
        raise UsageError(f"{kind} --by {args.by}: {_INDIVISIBLE[kind, args.by]}.")
    if kind == "access":
        own = args.by == "region" or (args.style == "detailed" and args.top is None)
    else:
        own = (
            args.by is None
            or kind in _DEFAULT
            or args.by in _ALSO.get(kind, ())
            or (kind, args.by) == ("nr-regions", "process")
        )
    if args.by_top is not None and (own or args.by != "mapping"):
        raise UsageError("--by-top goes with a report that is made for each mapping; leave it out.")
    require_shown("--by-top", args.by_top)
    return None if own else str(args.by)


def make(args: argparse.Namespace, source: RecordingSource, by: str, make_one: Make) -> Found:
    """The report `make_one` for each part. Raises RecordingError when there is none, or nothing to tell of any."""
    from udamon.report.source import RecordingSource

    found: list[tuple[ReportPart, Found | RecordingError]] = []
    for part in _parts(args, source, by):
        try:
            with RecordingSource(source.recording, part.filters, source) as one:
                found.append((part, make_one(args, one)))
        except (
            RecordingError
        ) as error:  # a mapping that nobody accessed, say: the others have something to tell
            found.append((part, error))
    if not found:
        raise source.nothing()
    if all(isinstance(one, RecordingError) for _, one in found):
        raise RecordingError(str(found[0][1]))
    document = {"schema": 1, "by": by, "parts": [_document(part, one) for part, one in found]}
    return document, lambda: lines(each for text in _texts(found) for each in text)


def _document(part: ReportPart, found: Found | RecordingError) -> dict[str, Any]:
    if isinstance(found, RecordingError):
        return part.about | {"report": None, "why": str(found)}
    return part.about | {"report": found[0]}


def _texts(found: Sequence[tuple[ReportPart, Found | RecordingError]]) -> Iterator[list[str]]:
    for number, (part, one) in enumerate(found):
        text = f"nothing to tell: {one}" if isinstance(one, RecordingError) else one[1]()
        yield [*(["", ""] if number else []), f"== {part.label}", "", text]


def _parts(args: argparse.Namespace, source: RecordingSource, by: str) -> Iterator[ReportPart]:
    from udamon.report.catalog import Catalog

    catalog, filters = Catalog(source.recording), source.filters
    if by == "process":
        for target in source.targets:
            info = catalog.target(target)
            about = {"target": target, "pid": info.pid, "label": info.label}
            yield ReportPart(info.label, about, replace(filters, targets=(target,)))
        return
    from udamon.report import hot_cold
    from udamon.report.owners import no_mappings

    lines = hot_cold.measure(source, offsets=False).lines[: args.by_top or TOP]
    if not lines:
        raise no_mappings(source.recording)
    many = len(catalog.targets) > 1
    for line in lines:
        owner, info = line.owner, catalog.target(line.owner.target)
        about = {
            "target": owner.target, "pid": info.pid, "mapping": owner.name or "[anon]", "label": owner.label,
            "kind": owner.kind, "guess": owner.guess, "start": owner.start,
        }  # fmt: skip
        pieces = [(owner.target, piece.start, piece.end) for piece in owner.pieces]
        yield ReportPart(
            f"{owner.place} of {info.label}" if many else owner.place,
            about,
            replace(filters, targets=(owner.target,), mapping=None, pieces=_joined(pieces)),
        )


def _joined(pieces: list[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Sorted pieces, neighbours as one: a region that lies in two stays one region."""
    found: list[tuple[int, int, int]] = []
    for target, start, end in pieces:
        if found and found[-1][2] == start:
            found[-1] = (target, found[-1][1], end)
        else:
            found.append((target, start, end))
    return tuple(found)
