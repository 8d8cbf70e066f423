"""Says where a scheme asks for a shorter age than a window can tell."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.model import Emit, Event, Snapshot
from udamon.schemes.config.pattern import QuantityUnit, WantedScheme
from udamon.units import format_time


class ShortAges:
    """Subscribes to a monitor and emits one note for each least age that is shorter than a window.

    An age is known in whole windows, and parts of one are dropped. The least that a pattern finds is what was so for
    one whole window: never less than was asked for, but more where windows are longer.
    """

    def __init__(self, wanted: Sequence[WantedScheme], emit: Emit) -> None:
        self.wanted = wanted
        self._emit = emit
        self._told: set[tuple[int, int]] = set()  # scheme, and its least age in µs

    def snapshot(self, snapshot: Snapshot) -> None:
        window_us = snapshot.ticks * snapshot.sample_ns // 1_000
        for index, scheme in enumerate(self.wanted):
            least = scheme.age.min
            asked = int(least.value)
            if least.unit is not QuantityUnit.US or not 0 < asked < window_us or (index, asked) in self._told:
                continue
            self._told.add((index, asked))
            window = format_time(window_us / 1e6)
            self._emit("note", {
                "text": f"scheme {index} asks for an age of {format_time(asked / 1e6)}, and a window takes {window}: "
                f"it takes what was so for a whole window. Choose a shorter --aggr, or a larger --overhead."
            })  # fmt: skip

    def event(self, event: Event) -> None:
        """Events have no windows."""
