"""Another user against the files that root writes: the races of tests/integration/races.py, for as long as wanted.

python -m bench.races [--seconds 600] [NAME…]      as root

Ends with an error where a race was lost. The control, which looks first and opens then, should lose some: where it
loses none, the other figures say little.
"""

from __future__ import annotations

import argparse
import sys

from tests.integration.races import RACES, Ground, naive
from tests.integration.recorder import place_of_nobody


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.races", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of each race (default 600)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RACES)} (default: all)")
    args = parser.parse_args(words)
    for name in args.names or RACES:
        with place_of_nobody() as place:
            ground = Ground(place)
            RACES[name](ground, args.seconds)
            print(f"{name}: {ground.tries} tries, {ground.refused} refused, none lost", flush=True)
    with place_of_nobody() as place:
        ground = Ground(place)
        lost = naive(ground, min(args.seconds, 20.0))
        print(f"control: {ground.tries} tries, {lost} lost")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
