"""`python -m udamon`, and the command `udamon`."""

import signal
import sys


def main() -> int:
    """As udamon.cli.main.main. While that is imported, and once it has done its work, a Ctrl-C ends the process as it
    ends any other: a handler would raise within an import, or within the interpreter's end."""
    try:
        own = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where it is ignored
        if own:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        from udamon.cli import interrupts
        from udamon.cli.main import main as run

        try:
            if own:
                interrupts.handle(main.__code__)
            return run()
        finally:
            if own:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
