#!/usr/bin/env python3
"""Which region policy finds the hot memory of a workload sooner, and by how many checks?"""

from udamon import evaluate

for policy in ("adaptive", "damon"):
    found = evaluate("stairs", policy, seed=1, duration=10)
    figures = found.summary()
    print(f"{policy:<9} F1 {figures['f1_mean']:.3f}, {found.scored[-1].checks:,} checks")
