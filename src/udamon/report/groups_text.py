"""How the bounds of a group's total are told to people."""

from __future__ import annotations

from udamon.report.groups import GroupBounds
from udamon.report.levels import told
from udamon.report.terminal import Terminal
from udamon.units import format_size


def distribution(group: GroupBounds, snapshots: int, terminal: Terminal) -> list[str]:
    """A line for each level: the bar is full up to the lower bound and light up to the upper one."""
    top = max(group.high["max"], 1)
    room = max(10, terminal.width - 40)
    lines = []
    for name, most in told(group.high, snapshots).items():
        if most is None:
            continue
        least = group.low[name]
        words = between(least, most)
        sure = terminal.bar(least / top, room)
        rest = ("░" if terminal.blocks else ".") * (round(most / top * room) - len(sure))
        lines.append(f"  {name:4}  {words:>31}  {sure}{rest}".rstrip())
    return [*lines, *_why(group)]


def between(least: float, most: float) -> str:
    """Two bounds for people; one size where they look alike."""
    low, high = format_size(least), format_size(most)
    return high if low == high else f"between {low} and {high}"


def _why(group: GroupBounds) -> list[str]:
    there = format_size(group.resident["max"])
    bounds = "" if group.exact else ", so these are bounds"
    lines = [f"  Pages that several mappings have count once{bounds}."]
    if group.frames_seen:
        lines.append(f"  {there} were resident at most, counted by page frames.")
    elif not group.shared_known:
        lines.append("  The recording does not tell which memory is shared: they are wide.")
    else:
        lines.append(
            "  Page frames are counted in recordings made as root and reported without filters: then they are closer."
        )
    return lines
