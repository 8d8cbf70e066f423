"""How a guest is booted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Machine:
    """Processors, MiB of memory, and more words for the kernel's command line."""

    smp: int = 2
    mem: int = 2048
    append: str = ""

    @property
    def name(self) -> str:
        return f"smp={self.smp},mem={self.mem}" + (f",append={self.append}" if self.append else "")
