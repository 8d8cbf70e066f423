"""A monitoring context: what one kdamond works on."""

from __future__ import annotations

from dataclasses import dataclass, field

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.engine.acting import Acting
from udamon.engine.watch import Watch
from udamon.ops.base import OperationsSet


@dataclass(slots=True)
class Context:
    """One operations set, its attributes and targets, the way their accesses are watched, and what is done about it."""

    ops: OperationsSet
    watch: Watch
    attrs: Attrs
    targets: list[Target] = field(default_factory=list)
    schemes: Acting | None = None

    def valid(self) -> bool:
        """True while some target exists, or may still come."""
        return any(self.ops.valid(target) for target in self.targets) or self.ops.expecting()
