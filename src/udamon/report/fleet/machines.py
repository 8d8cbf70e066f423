"""Which machines are taken for which, over the table nodes: several of one name, several of one identity, or both."""

from __future__ import annotations

from udamon.fleet.tables import WINDOW_SECONDS
from udamon.report.source import double


def doubled(same: str) -> str:
    """Whether rows of a key are of two agents at once: they differ, and were watched for longer than a window together.
    Those of an agent that began anew share the window. `same` begins the window of rows, up to its end."""
    differ = " OR ".join(
        f"MIN({name}) {same}) <> MAX({name}) {same})" for name in ("available_bytes", "agent_resident_bytes")
    )
    return f"MIN(seconds) {same}) + MAX(seconds) {same}) > {double(1.1 * WINDOW_SECONDS)} AND ({differ})"


def shared_hosts() -> str:
    """Names of hosts that several machines have in the same window, over the table nodes."""
    return """
        SELECT host FROM (
            SELECT host, window_begin FROM nodes GROUP BY host, window_begin HAVING MIN(machine) <> MAX(machine)
        ) AS twice GROUP BY host ORDER BY host
    """


def shared_machines() -> str:
    """Machines, by their identity, that several names of hosts have in the same window, and these names, over the table
    nodes: disks that were copied with their identity."""
    return """
        SELECT machine, host FROM nodes WHERE machine IN (
            SELECT machine FROM (
                SELECT machine, window_begin FROM nodes GROUP BY machine, window_begin HAVING MIN(host) <> MAX(host)
            ) AS twice
        ) GROUP BY machine, host ORDER BY machine, host
    """


def doubled_hosts() -> str:
    """Names of hosts of which two agents wrote rows of one key, over the table nodes."""
    return "SELECT host FROM nodes WHERE doubled GROUP BY host ORDER BY host"
