#!/usr/bin/env python3
"""The largest working set of a command, from its start to its end."""

import sys

from udamon import Monitor, MonitorSpec

work = """
import time
memory, end = bytearray(32 << 20), time.monotonic() + 0.8
while time.monotonic() < end:
    memory[::4096] = memory[::4096]
"""
with Monitor(MonitorSpec(command=(sys.executable, "-c", work), via="refs", aggr=0.1)) as monitor:
    largest = max((sum(snapshot.touched) for snapshot in monitor), default=0)
print(f"at most {largest / 2**20:.0f} MiB in {monitor.aggr} s; ended by its {monitor.ended_by}")
