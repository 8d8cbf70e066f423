"""In-kernel DAMON through udamon and through damo, and udamon's own monitors, on the same workloads in one guest.

python -m bench.side_by_side [--kernel 7.2] [--runs 5] [--monitors kernel,damo,idle] [--workloads …] [--write]

boots the guest, runs everything in it, and scores and prints outside, where that is fast:

    plan.py      workloads, attributes, and which runs there are        (both)
    monitors.py  the monitors: command lines, and how to read what they recorded   (both)
    inside.py    the runs themselves, as root in the guest              (inside)
    measures.py  one run's figures                                      (outside)
    tables.py    medians of all runs, as tables                         (outside)
    redis.py     a recording of Redis by each of two monitors           (both)
"""
