#!/usr/bin/env python3
"""Errors are sentences, and their classes say what can be done about them."""

from udamon import Monitor, MonitorSpec, UdamonError
from udamon.errors import TargetGone

for spec in (MonitorSpec(), MonitorSpec(pids=(1 << 22,), via="refs"), MonitorSpec(paddr=True, via="refs")):
    try:
        with Monitor(spec) as monitor:
            print(next(iter(monitor)))
    except TargetGone as error:
        print("too late:", error)
    except UdamonError as error:
        print(type(error).__name__, error)
