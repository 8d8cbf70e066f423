"""Whose memory the rows of a table are."""

from __future__ import annotations

from collections.abc import Iterable

from udamon.report.catalog import Catalog
from udamon.report.terminal import shorten

_WIDTH = 14


class TargetColumn:
    """The column of a table that says of which target each row is: none where all rows are of one target."""

    def __init__(self, catalog: Catalog, targets: Iterable[int]) -> None:
        """`targets`: those that rows may be of."""
        self._catalog = catalog
        self.shown = len(set(targets)) > 1
        self.title = ["target"] if self.shown else []
        self.align = "<" if self.shown else ""

    def cell(self, target: int) -> list[str]:
        """That of a row; empty where there is no such column."""
        return [shorten(self._catalog.target(target).label, _WIDTH)] if self.shown else []
