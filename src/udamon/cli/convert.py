"""Turn a recording into another format, and files of DAMON's tools into recordings."""

from __future__ import annotations

import argparse

from udamon.record.converting import FORMATS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon convert`."""
    parser.add_argument(
        "file", metavar="FILE", help="a recording, or damo's json, json_compressed or perf script's text"
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write")
    parser.add_argument("--to", choices=FORMATS, required=True,
                        help="; ".join(f"{name}: {text}" for name, text in FORMATS.items()))  # fmt: skip
    parser.add_argument(
        "--compress", action="store_true", help="damo-json: compressed, as damo records by itself"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Read, write; 0. Raises UdamonError."""
    import sys
    from pathlib import Path

    from udamon.cli.bar import Bar
    from udamon.record.converting import MARKED, check, convert
    from udamon.record.metadata import warmup_until
    from udamon.record.opening import open_recording

    output = Path(args.output)
    check(Path(args.file), output, args.to, compress=args.compress, force=args.force)
    with Bar(sys.stderr) as bar:
        recording = open_recording(args.file, bar.step)
        convert(
            recording, output, args.to, compress=args.compress, force=args.force, progress=bar.step("writing")
        )
    if warmup_until(recording.metadata, recording.path) is not None:
        kept = "" if args.to in MARKED else f", and {args.to} cannot mark it"
        print(f"udamon: the warm-up of {args.file} is converted, too{kept}.", file=sys.stderr)
    return 0
