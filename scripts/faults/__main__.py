"""Planted faults: does a suite of tests notice them?

python -m scripts.faults list                           the faults
python -m scripts.faults record [--suite NAME]          which test executes which line, once (minutes)
python -m scripts.faults run [--suite NAME…] [--only ID…] [--stage selected|whole|guest] [--again]
python -m scripts.faults table                          docs/faults.md from what was found
python -m scripts.faults mutate --seed N [--number N]   other faults by cosmic-ray, as text for mutations.toml

`run` takes the tests that execute what a fault changes; `--stage whole` runs all tests of the host for the faults that
those miss, `--stage guest` the tests in the guest that a fault names, where the host's miss it. What was found is kept
in .work/faults and not run again while fault, source and tests are the same.
"""

from __future__ import annotations

import argparse
import sys

from scripts.faults import catalogue, recording, table
from scripts.faults.catalogue import Fault, FaultsError
from scripts.faults.place import Place
from scripts.faults.running import Results, Runner
from scripts.faults.suites import SUITES
from scripts.faults.verdicts import CAUGHT

STAGES = ("selected", "whole", "guest")


def run(suites: list[str], only: list[str], stage: str, *, again: bool) -> None:
    faults = catalogue.chosen(only)
    results = Results()
    for name in suites or list(SUITES):
        place = Place(SUITES[name])
        with place.held():
            runner = Runner(place, results)
            for fault in faults:
                _run_one(runner, fault, stage, again=again)


def _run_one(runner: Runner, fault: Fault, stage: str, *, again: bool) -> None:
    results, suite, key = runner.results, runner.suite.name, runner.key(fault)
    if runner.suite.includes:
        less = results.get(fault, runner.suite.includes, stage)
        if less is not None and less.verdict == CAUGHT and not again:
            return
    if stage != "selected":
        before = results.get(fault, suite, "selected")
        if before is None or before.verdict == CAUGHT or (stage == "guest" and not fault.guest):
            return
    found = None if again else results.get(fault, suite, stage, key)
    if found is None:
        work = {"selected": runner.selected, "whole": runner.whole, "guest": runner.guest}
        found = work[stage](fault)
        results.put(found)
    print(
        f"{suite:6}  {fault.id:24}  {found.verdict:7}  {found.seconds:6.1f} s  {found.by or found.detail}",
        flush=True,
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("table")
    record = commands.add_parser("record")
    record.add_argument("--suite", choices=SUITES, default="test")
    running = commands.add_parser("run")
    running.add_argument("--suite", nargs="+", choices=SUITES, default=[])
    running.add_argument("--only", nargs="+", default=[], metavar="ID")
    running.add_argument("--stage", choices=STAGES, default="selected")
    running.add_argument("--again", action="store_true")
    mutate = commands.add_parser("mutate")
    mutate.add_argument("--seed", type=int, required=True)
    mutate.add_argument("--number", type=int, default=10)
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "list":
                for fault in catalogue.load():
                    print(f"{fault.id:24}  {fault.part:12}  {fault.file:42}  {fault.breaks}")
            case "table":
                print(table.write(Results()))
            case "record":
                place = Place(SUITES[given.suite])
                with place.held():
                    print(recording.record(place))
            case "run":
                run(given.suite, given.only, given.stage, again=given.again)
            case "mutate":
                from scripts.faults import mutate as tool  # needs cosmic-ray

                print(tool.generate(given.seed, given.number))
    except FaultsError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
