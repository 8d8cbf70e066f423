#!/usr/bin/env python3
"""How much of this very process is in use? The same works in a notebook."""

import os

from udamon import Monitor, MonitorSpec

used = bytearray(16 << 20)
spec = MonitorSpec(pids=(os.getpid(),), via="refs", aggr=0.2, duration=1.0)
with Monitor(spec) as monitor:
    for snapshot in monitor:
        used[::4096] = used[::4096]  # touches each page
        print(f"{sum(snapshot.touched) >> 20} of {sum(snapshot.resident or ()) >> 20} MiB in use")
