"""Fuzzes what udamon reads: python -m tests.fuzz [--kind KIND]… [--cases N] [--seed S] [--only N]

Each case is a file that is read by the commands that read such files, in a process with 512 MiB more than its parent
has and 10 s of CPU time for each case: a command in a process of its own, what is only read with others. It must end
with a status of udamon's and a sentence: no traceback, no abort, no hang. A case that does not is kept, and the words
that run it again are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

from tests.fuzz import bases, fields, flips, mutate, worker, wrong
from tests.fuzz.commands import CONVERSIONS, REPORTS

FULL = {"recording": 20_000, "values": 5_000, "damo": 6_000, "perf": 6_000, "toml": 6_000, "yaml": 6_000,
        "masim": 6_000, "flips": 2_000, "fields": 6_000}  # fmt: skip

TOGETHER = 20
"""Cases that are only read, in one process."""


class Case:
    """A file in a directory of its own, and what reads it."""

    def __init__(self, place: Path, seed: str) -> None:
        self.random = Random(seed)
        self.place = place
        self.file = place / "case"

    def command(self, words: str) -> int:
        from udamon.cli.main import main

        out = self.place / "out"
        out.unlink(missing_ok=True)
        return main(words.format(self.file, out).split())

    def read(self) -> int:
        """What every report begins with, and nothing more."""
        from udamon.errors import UdamonError
        from udamon.record.opening import open_recording
        from udamon.report.catalog import Catalog
        from udamon.report.owners import owners_of

        try:
            recording = open_recording(self.file)
            for _ in recording.snapshots():
                pass
            Catalog(recording)
            owners_of(recording)
            return len(recording.damaged) and 1
        except UdamonError as error:
            print(error, file=sys.stderr)
            return error.status

    def spoiled_recording(self, base: list[bytes]) -> None:
        data = mutate.data(self.random.choice(base), self.random)
        self.file.write_bytes(bases.resealed(data) if self.random.random() < 0.5 else data)

    def wrong_values(self) -> None:
        self.file.write_bytes(wrong.recording(self.random))

    def spoiled_text(self, make: Callable[[Random], str], suffix: str = "") -> None:
        self.file = self.file.with_name(f"case{suffix}")
        text = mutate.text(make(self.random), self.random)
        data = text.encode("utf-8", "surrogatepass")
        if suffix == ".json.z":
            import zlib

            packed = zlib.compress(data)
            data = mutate.data(packed, self.random) if self.random.random() < 0.3 else packed
        self.file.write_bytes(data)

    def load(self, kind: str) -> int:
        from udamon.errors import UdamonError
        from udamon.schemes.config.reading import load_schemes
        from udamon.workload.config import load

        try:
            load(self.file) if kind == "masim" else load_schemes(self.file)
        except UdamonError as error:
            print(error, file=sys.stderr)
            return error.status
        return 0


def case_of(
    kind: str, place: Path, seed: str, base: list[bytes], share: float
) -> tuple[Case, Callable[[], int], bool]:
    """The case with its file written, what to run on it, and whether that is a command: for about a `share` of them."""
    case = Case(place, seed)
    if kind == "recording":
        case.spoiled_recording(base)
    elif kind == "values":
        case.wrong_values()
    elif kind == "damo":
        case.spoiled_text(bases.damo_text, case.random.choice((".json", ".json.z")))
    elif kind == "perf":
        case.spoiled_text(bases.perf_text)
    elif kind == "masim":
        case.spoiled_text(lambda _: bases.MASIM, ".masim")
    else:
        case.spoiled_text(lambda _: bases.TOML if kind == "toml" else bases.YAML, f".{kind}")
    if kind in ("masim", "toml", "yaml"):
        return case, partial(case.load, kind), False
    if case.random.random() >= share:
        return case, case.read, False
    return case, partial(case.command, case.random.choice((*REPORTS, *CONVERSIONS))), True


def _judged(
    kind: str, numbers: Iterable[int], place: Path, seed: str, share: float
) -> Iterator[tuple[int, Case, worker.Outcome]]:
    """Each case and how it ended; its file is there until the next is asked for."""
    one, two = bases.recording(place / "base"), bases.recording(place / "base", targets=3, flushes=4)
    sites = bases.recording(place / "base", flushes=3, sites=True)
    base = [one, one, two, sites, bases.unsealed(one), bases.earlier(place / "base")]
    waiting = list[tuple[int, Case, Callable[[], int]]]()

    def run() -> Iterator[tuple[int, Case, worker.Outcome]]:
        outcomes = worker.run_all([action for _, _, action in waiting], place / "said")
        for (number, case, _), outcome in zip(waiting, outcomes, strict=True):
            yield number, case, outcome
            shutil.rmtree(case.place)
        waiting.clear()

    for number in numbers:
        own = place / str(number)
        own.mkdir()
        case, action, command = case_of(kind, own, f"{seed}/{kind}/{number}", base, share)
        if command or len(waiting) == TOGETHER:
            yield from run()
        waiting.append((number, case, action))
        if command:
            yield from run()
    yield from run()


def fuzz(kind: str, cases: int, seed: str, share: float, only: int | None = None) -> int:
    """Run the cases of a kind; how many ended as they should not."""
    begin, statuses, failures = time.monotonic(), Counter[int](), 0
    with tempfile.TemporaryDirectory(prefix="udamon-fuzz-") as directory:
        place = Path(directory)
        if kind == "fields":
            return fields.run(place, cases, seed, only)
        if kind == "flips":
            return flips.run(place, cases, seed)
        numbers = range(cases) if only is None else [only]
        for number, case, outcome in _judged(kind, numbers, place, seed, share):
            statuses[outcome.status] += 1
            if outcome.wrong is not None:
                failures += 1
                _keep(kind, number, seed, case.file, outcome)
    spread = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items()))
    print(
        f"{kind}: {cases} cases, seed {seed}, {time.monotonic() - begin:.0f} s: {spread}; {failures} failed",
        flush=True,
    )
    return failures


def _keep(kind: str, number: int, seed: str, file: Path, outcome: worker.Outcome) -> None:
    kept = Path(tempfile.gettempdir(), f"udamon-fuzz-{kind}-{number}{file.suffix}")
    with contextlib.suppress(OSError):
        kept.write_bytes(file.read_bytes())
    print(f"{kind} {number}: {outcome.wrong}; {kept}\n{outcome.said[-3000:]}")
    print(f"again: python -m tests.fuzz --kind {kind} --seed {seed} --only {number}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", action="append", choices=FULL, help="only these (default all)")
    parser.add_argument("--cases", type=int, help="of each kind (default the full numbers)")
    parser.add_argument(
        "--seed", default=f"{SystemRandom().randrange(1 << 32):x}", help="default a fresh one"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="of cases on which a command is run (default 0.5)"
    )
    parser.add_argument("--only", type=int, help="only this case")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    worker.warm()
    failures = 0
    for kind in args.kind or FULL:
        cases = FULL[kind] if args.cases is None else args.cases // (2 if kind == "fields" else 1)
        failures += fuzz(kind, cases, args.seed, args.share, args.only)
    return min(1, failures)


if __name__ == "__main__":
    sys.exit(main())
