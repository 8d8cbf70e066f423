"""What the policy keeps of one target."""

from __future__ import annotations

from dataclasses import dataclass, field

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.newcomers import Newcomers
from udamon.core.adaptive.relay import Relay
from udamon.core.adaptive.steps import Steps
from udamon.model import PAGE_SIZE


@dataclass(slots=True)
class TargetModel:
    """The model of a target: its steps, ages, amount of exploration, and checks that outlast a stretch.

    `waited` aggregations since its last turn. `slots` are its slots of the running stretch. `shaped` regions were made
    of what is known, of the `wanted` ones that there would be without other targets; None where they are to be made
    anew; of those told as idle, `idle_mixed` bytes are not, or not for so long.
    """

    steps: Steps
    explorer: Explorer
    newcomers: Newcomers
    relay: Relay = field(default_factory=Relay)
    waited: int = 0
    slots: range = range(0)
    shaped: int | None = None
    wanted: int = 0
    idle_mixed: int = 0

    @property
    def weight(self) -> int:
        """Its part of the checks: a step is found to the page in as many halvings as its pages have bits."""
        return (self.steps.space.total // PAGE_SIZE).bit_length()
