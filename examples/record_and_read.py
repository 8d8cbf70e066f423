#!/usr/bin/env python3
"""Record this process, then add up what was touched in each mapping."""

import os
import tempfile
import time
from collections import Counter

from udamon import Monitor, MonitorSpec, Recording

touched: Counter[str] = Counter()
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "me.udamon")
    with Monitor(MonitorSpec(pids=(os.getpid(),), via="refs", aggr=0.1)) as monitor:
        monitor.record(path)
        time.sleep(0.5)
    for region in Recording(path).regions():
        touched[region.mapping or "anonymous"] += region.touched
for mapping, size in touched.most_common(5):
    print(f"{size >> 10:8} KiB  {mapping}")
