#!/usr/bin/env python3
"""A monitor beside other tasks of asyncio."""

import asyncio

from udamon import Monitor, MonitorSpec


async def watch() -> None:
    """Print three snapshots of a simulated workload."""
    async with Monitor(MonitorSpec(ops="sim", command=("one",), sample=0.005)) as monitor:
        async for snapshot in monitor:
            print(f"{len(snapshot)} regions, {sum(snapshot.touched) >> 10} KiB accessed")
            if snapshot.seq == 2:
                break


asyncio.run(watch())
