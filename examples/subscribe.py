#!/usr/bin/env python3
"""Have functions called with snapshots and events, while this thread does something else."""

import time

from udamon import Monitor, MonitorSpec, Snapshot


def tell(snapshot: Snapshot) -> None:
    """Called on the monitor's thread, which waits meanwhile: be quick."""
    print(snapshot.seq, f"{sum(snapshot.touched) >> 10} KiB")


monitor = Monitor(MonitorSpec(ops="sim", command=("one",), sample=0.005))
unsubscribe = monitor.subscribe(tell, events=lambda event: print(event.name))
with monitor:
    time.sleep(0.5)
    unsubscribe()
