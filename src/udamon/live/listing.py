"""What the screens of the live view have in common, and those with a list of processes, one under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from udamon.linux.procfs import ProcessId
from udamon.live.largest import WatchableProcess
from udamon.live.state import LiveState
from udamon.live.words import EscapedText
from udamon.report.terminal import shorten

WIDE = 80
NAME = 16
"""Columns of a process's name: as many as the kernel keeps bytes. With escapes it could have 90, and push the figures
out of the picture."""


def name_cell(comm: str) -> EscapedText:
    """The name of a process in a table."""
    return EscapedText(shorten(comm, NAME))


class LiveView(Protocol):
    """What screens show, and what can be asked for there."""

    state: LiveState

    @property
    def how(self) -> str:
        """By which primitive the targets are watched."""

    def cost_line(self) -> EscapedText:
        """What the monitor takes, and what else is to be said of it."""

    def look(self, index: int) -> None:
        """Look at one of the targets."""

    def offered(self) -> Sequence[WatchableProcess]:
        """What could be watched."""

    def choose(self, process: ProcessId) -> None:
        """Begin a monitor of exactly this process."""


class LiveScreen(Screen[None]):
    """Shows what there is when it is mounted, and whenever it is asked to."""

    def __init__(self, live: LiveView) -> None:
        super().__init__()
        self.live = live

    def on_mount(self) -> None:
        self.show()

    def show(self) -> None:
        """Show what there is now."""
        raise NotImplementedError


class ListScreen(LiveScreen):
    """Lines of text above a table with `COLUMNS`, one row a process."""

    CSS = """
    #about { height: auto; min-height: 2; max-height: 50%; padding: 0 1; }
    DataTable { height: 1fr; overflow-x: hidden; }
    """
    COLUMNS: ClassVar[tuple[str, ...]]
    NARROW: ClassVar[tuple[str, ...]]
    """Of a terminal of less than WIDE columns."""

    def __init__(self, live: LiveView) -> None:
        super().__init__(live)
        self._columns: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="about")
        table: DataTable[EscapedText] = DataTable(cursor_type="row", zebra_stripes=True)
        yield table
        yield Footer()

    def on_resize(self) -> None:
        self.show()

    def shown_columns(self) -> tuple[str, ...]:
        """The columns that there is room for."""
        return self.COLUMNS if self.app.size.width >= WIDE else self.NARROW

    def fill(self, about: Text, rows: Sequence[tuple[int, Sequence[EscapedText]]]) -> None:
        """Fill the table again, (number, cells) each; a cursor that was moved stays on its number, else it is on the
        first row."""
        self.query_one("#about", Static).update(about)
        table = self.query_one(DataTable)
        chosen = self.under_cursor() if table.cursor_row > 0 else None
        changed = self.shown_columns() != self._columns
        table.clear(columns=changed)
        if changed:
            self._columns = self.shown_columns()
            table.add_columns(*self._columns)
        for number, cells in rows:
            table.add_row(*cells, key=str(number))
        table.move_cursor(row=next((row for row, one in enumerate(rows) if one[0] == chosen), 0))

    def under_cursor(self) -> int | None:
        """The number of the row there; None in an empty table."""
        table = self.query_one(DataTable)
        if not table.row_count:
            return None
        return int(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or 0)
