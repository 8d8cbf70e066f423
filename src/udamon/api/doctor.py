"""What this machine offers for monitoring."""

from __future__ import annotations

from udamon.availability.findings import Findings, examine
from udamon.linux.roots import Roots


def doctor() -> Findings:
    """Report what this machine offers for monitoring, as `udamon doctor` does. Changes nothing.

    `primitives` maps each access-check primitive to whether it is `usable`, with `why` and `fix` as sentences; `auto`
    is the one that `via="auto"` chooses (None: none is usable), `auto_why` the reason; `actions` are those of schemes;
    `kernel` says who uses in-kernel DAMON; `conflicts` are sentences. Takes about 0.2 s, because it watches a small
    child process that it starts.
    """
    return examine(Roots())
