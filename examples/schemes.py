#!/usr/bin/env python3
"""What would reclaiming memory that was idle for 0.3 s take? Nothing is done without apply=True."""

import os
from itertools import islice

from udamon import Monitor, MonitorSpec, Scheme

idle = Scheme("pageout", max_accesses=0.0, min_age=0.3)
spec = MonitorSpec(pids=(os.getpid(),), via="refs", aggr=0.1)
with Monitor(spec, schemes=[idle]) as monitor:
    list(islice(monitor, 10))  # windows
for status in monitor.schemes:
    print(f"{status.scheme.action}: {status.stats.sz_tried >> 10} KiB in {status.stats.nr_tried} tries")
