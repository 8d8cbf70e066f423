#!/usr/bin/env python3
"""What can this machine see, and what would have to be done for more?"""

from udamon import doctor

found = doctor()
for name, primitive in found.primitives.items():
    print(f"{name:<10} {'yes' if primitive.usable else 'no':<4} {primitive.why} {primitive.fix}")
print("auto means", found.auto)
