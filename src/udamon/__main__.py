"""`python -m udamon`, and the command `udamon`."""

import sys


def main() -> int:
    """As udamon.cli.main.main, which is imported where a Ctrl-C ends in no traceback."""
    try:
        from udamon.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
