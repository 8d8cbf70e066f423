"""Which system call clears the accessed bits of a target now, via pte: one rule, and a note when the answer changes.

MADV_COLD deactivates what it clears. While memory is short, more hot memory is reclaimed after it than after clear_refs
(docs/benchmarks-checks.md#refaults-while-accessed-bits-are-cleared). So unless the user asked for it, it is used only
where clear_refs would stop the target for too long, and only once memory has not been short for SHORTAGE_HOLD_NS, so
that the way does not change with every window.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

Clear = Literal["auto", "refs", "cold", "idle"]
Way = Literal["refs", "cold", "left out"]

SHORTAGE_HOLD_NS = 60_000_000_000


class Chosen(NamedTuple):
    """`why`: the rest of a sentence, "" for what needs none; `temporary`: the target may be cleared later as it is."""

    way: Way
    why: str
    temporary: bool = False


def choose(
    asked: Clear, too_long: str | None, short: str | None, *, may_advise: bool, backed_off: bool = False
) -> Chosen:
    """How to clear a target.

    `too_long`: a sentence where clear_refs would stop the target for longer than allowed, or has done so and is tried
    again later (`backed_off`); `short`: how memory is short for it; `may_advise`: MADV_COLD clears all of it.
    """
    if asked == "cold" and may_advise:
        return Chosen("cold", "")
    if too_long is None:
        return Chosen("refs", "")
    if asked != "auto" or not may_advise:
        return Chosen("left out", too_long, backed_off)
    if short is None:
        return Chosen("cold", "clear_refs would stop it for longer than --max-pause")
    why = f"{too_long.rstrip('.')}; nor is MADV_COLD used while memory is short ({short})."
    return Chosen("left out", why, temporary=True)


class Clearing:
    """The choice for each target, and the notes about changes."""

    def __init__(self) -> None:
        self._last: dict[int, Way] = {}
        self._short: dict[int, tuple[int, str]] = {}  # target index → when it was last, and how
        self._news: list[str] = []

    def short(self, index: int, found: str | None, now_ns: int) -> str | None:
        """How memory is short for a target, or was until a moment ago; `found`: how it is now."""
        if found is not None:
            self._short[index] = (now_ns, found)
        last, how = self._short.get(index, (now_ns - SHORTAGE_HOLD_NS, ""))
        return how if now_ns - last < SHORTAGE_HOLD_NS else None

    def chose(self, index: int, pid: int | None, chosen: Chosen) -> None:
        """Keep the choice, and add a note if it differs from the one before. There is no note about a way that the user
        asked for, nor about a skipped target, which PauseTooLong reports."""
        before = self._last.get(index, "refs")
        self._last[index] = chosen.way
        if chosen.way == before or chosen.way == "left out" or (chosen.way == "cold" and not chosen.why):
            return
        name = {"cold": "MADV_COLD, by pieces", "refs": "clear_refs, all at once"}[chosen.way]
        why = f": {chosen.why}" if chosen.why else ""
        self._news.append(f"accessed bits of process {pid} are cleared by {name} from now on{why}.")

    def news(self) -> list[str]:
        told, self._news = self._news, []
        return told

    def forget(self, index: int) -> None:
        """This target is gone."""
        self._last.pop(index, None)
        self._short.pop(index, None)

    def keep(self, known: Collection[int]) -> None:
        """Forget the other targets."""
        for remembered in (self._last, self._short):
            for index in remembered.keys() - known:
                del remembered[index]
