"""What this machine offers for monitoring."""

from __future__ import annotations

from udamon.availability.findings import Findings, examine
from udamon.linux.roots import Roots


def doctor() -> Findings:
    """Look at what this machine offers for monitoring, as `udamon doctor` does: nothing is changed.

    `primitives` maps each access-check primitive to whether it is `usable`, with `why` and `fix` as sentences; `auto`
    is the one that `via="auto"` means (None: none can be used), `auto_why` the reason; `actions` are those of schemes;
    `kernel` says who has in-kernel DAMON; `conflicts` are sentences. Takes about 0.2 s: it watches a small child of its
    own.
    """
    return examine(Roots())
