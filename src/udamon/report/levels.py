"""The levels by which a series over all windows is told."""

from __future__ import annotations

LEVELS = ("min", "p25", "p50", "p75", "p90", "max", "mean")
PERCENTS = ("p25", "p50", "p75", "p90")
FEWEST = 20
"""Windows, for percentiles and intervals of confidence: of fewer they say more of chance than of the program."""
SPARE = 1.2
"""Windows may take longer than is planned, and the first is not always complete."""
WINDOW_S = 10.0
"""Where mappings are the finest that is seen, few long windows tell more than many short ones: of one window it is
known how much was touched, of several only bounds follow."""


def too_few(windows: int, what: str) -> str:
    """A sentence: why there is no `what` of this number of windows."""
    are = "1 window is" if windows == 1 else f"{windows} windows are"
    return f"{are} too few for {what}, which take{'' if what.endswith('s') else 's'} {FEWEST}"


def told(levels: dict[str, int], snapshots: int) -> dict[str, int | None]:
    """The levels of a series over `snapshots` windows, without its percentiles (None) where these are too few."""
    few = snapshots < FEWEST
    return {name: None if few and name in PERCENTS else size for name, size in levels.items()}
