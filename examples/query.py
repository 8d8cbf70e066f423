#!/usr/bin/env python3
"""Ask DuckDB about a recording; recording.pandas() and recording.arrow() have the same columns."""

import tempfile

from udamon import Monitor, MonitorSpec, Recording

with tempfile.TemporaryDirectory() as directory:
    path = directory + "/one.udamon"
    with Monitor(MonitorSpec(ops="sim", command=("one",), sample=0.005, duration=0.6)) as monitor:
        monitor.record(path)
        list(monitor)
    regions = Recording(path).duckdb()
    rates = regions.aggregate("mapping, round(avg(rate), 1) AS rate, max(touched)", "mapping")
    print(rates.order("rate DESC"))
