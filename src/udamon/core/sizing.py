"""The buffer that is added to memory that was seen to be needed."""

from __future__ import annotations

from math import ceil

from udamon.units import MIB

BUFFER = 0.15
"""Of what was seen: the safety margin of Kubernetes' Vertical Pod Autoscaler for memory."""


def with_buffer(size: int) -> int:
    """`size` bytes and the buffer, rounded up to MiB."""
    return max(1, ceil(size * (1 + BUFFER) / MIB)) * MIB
