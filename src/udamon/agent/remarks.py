"""What is not as it should be, told to people once, and again when it has passed and comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class Remarks:
    """`say` gets sentences. Two that differ in numbers alone are one remark: counts change all the time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[str] = set()

    def tell(self, sentences: Iterable[str]) -> None:
        """All that holds now."""
        found = {re.sub(r"\d+", "0", sentence): sentence for sentence in sentences}
        for each in found.keys() - self._told:
            self._say(found[each])
        self._told = set(found)
