"""Turn a recording into another format, and files of DAMON's tools into recordings."""

from __future__ import annotations

import argparse

from udamon import console
from udamon.cli import reading
from udamon.errors import UsageError
from udamon.record.converting import ENDINGS, FORMATS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon convert`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a recording, or damo's json, json_compressed or perf script's text; - is standard input",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="the file to write; - is standard output"
    )
    parser.add_argument(
        "--to",
        choices=FORMATS,
        help=f"the format (default: as the end of the name says, {', '.join(ENDINGS)}); "
        + "; ".join(f"{name}: {text}" for name, text in FORMATS.items()),
    )
    parser.add_argument(
        "--compress", action="store_true", help="damo-json: compressed, as damo records by itself"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="csv: text as it is; by default an apostrophe stands before text that a spreadsheet would run as a "
        "formula (it begins with = + - @, a tab or CR)",
    )
    reading.configure(parser)
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Read, write; 0. Raises UdamonError."""
    import sys

    from udamon.cli.progress_line import ProgressLine
    from udamon.files.ending import removing
    from udamon.files.names import identities
    from udamon.record.converting import MARKED, RANGES_ALONE, check, convert, has_rates, largest
    from udamon.record.metadata import warmup_until
    from udamon.record.opening import open_recording
    from udamon.units import format_size

    args.to = args.to or _format_of(args.output)
    limits = reading.limits(args)
    check(args.file, args.output, args.to, compress=args.compress, force=args.force, raw=args.raw)
    with removing(), ProgressLine.of_work(sys.stderr) as line:
        recording = open_recording(args.file, line.step, limits)
        warm = warmup_until(recording.metadata, recording.path) is not None
        with reading.telling_damage([recording]):
            convert(
                recording,
                args.output,
                args.to,
                compress=args.compress,
                force=args.force,
                raw=args.raw,
                inputs=identities([args.file]),
                progress=line.step("writing"),
            )
    if args.to in RANGES_ALONE and (found := largest(recording)) is not None:
        size, resident, touched = map(format_size, found)
        console.say(
            f"{args.to} holds ranges of addresses alone: {size} in the largest window, of which {resident} were "
            f"resident and {touched} touched; who reads it takes all of a region for both."
        )
    if args.to in RANGES_ALONE and has_rates(recording):
        console.say(f"{args.to} counts accesses in whole ticks: rates and their intervals are not in it.")
    if warm:
        kept = "" if args.to in MARKED else f", and {args.to} cannot mark it"
        console.say(f"the warm-up of {args.file} is converted, too{kept}.")
    return 0


def _format_of(path: str) -> str:
    """Raises UsageError where the end of the name says none."""
    for ending, name in ENDINGS.items():
        if path.endswith(ending):
            return name
    raise UsageError(f"the name of {path} does not say its format; give --to {', '.join(FORMATS)}.")
