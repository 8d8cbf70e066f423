"""Sentences about what looks do not see, each said once."""

from __future__ import annotations

from collections.abc import Hashable


class Notes:
    """What is to be said, in order; nothing about the same thing twice."""

    def __init__(self) -> None:
        self._said: set[Hashable] = set()
        self._new: list[str] = []

    def say(self, about: Hashable, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._new.append(text)

    def news(self) -> list[str]:
        """What was not told yet."""
        told, self._new = self._new, []
        return told

    def forget(self) -> None:
        """What these were about is gone."""
        self._said.clear()
