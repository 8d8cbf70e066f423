#!/usr/bin/env python3
"""Look more closely once there is something to look at."""

from udamon import Monitor, MonitorSpec

with Monitor(MonitorSpec(ops="sim", command=("one",), sample=0.01, aggr=0.2)) as monitor:
    for snapshot in monitor:
        window = snapshot.ticks * snapshot.sample_ns / 1e9
        print(f"a window of {window:g} s: {len(snapshot)} regions")
        if snapshot.seq == 0:
            monitor.update(sample=0.002, aggr=0.04, max_regions=200)
        elif window < 0.2:
            break
