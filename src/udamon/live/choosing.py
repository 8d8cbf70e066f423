"""The screen without a target: which processes could be watched. None is until one is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from udamon.live.words import EscapedText
from udamon.units import format_size

if TYPE_CHECKING:
    from udamon.live.app import LiveApp
    from udamon.live.largest import WatchableProcess

AGAIN_S = 10.0
"""The list is made again so often: reading /proc of a thousand processes takes some 20 ms."""


class ChoiceScreen(Screen[None]):
    """Processes that could be watched, the largest first."""

    CSS = """
    ChoiceScreen #about { height: 2; padding: 0 1; }
    ChoiceScreen DataTable { height: 1fr; overflow-x: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "watch", "watch it", priority=True), Binding("q", "app.quit", "quit"),
    ]  # fmt: skip
    COLUMNS = ("pid", "process", "resident", "command")

    def compose(self) -> ComposeResult:
        yield Static(id="about")
        table: DataTable[EscapedText] = DataTable(cursor_type="row", zebra_stripes=True)
        table.add_columns(*self.COLUMNS)
        yield table
        yield Footer()

    def on_mount(self) -> None:
        self.show()
        self.set_interval(AGAIN_S, self._again)

    def on_screen_resume(self) -> None:
        self.show()

    def _again(self) -> None:
        if self.app.screen is self:
            self.show()

    @property
    def live(self) -> LiveApp:
        return cast("LiveApp", self.app)

    def show(self) -> None:
        """Fill the table again; a cursor that was moved stays on its process, else it is on the first."""
        offered = self.live.offered()
        table = self.query_one(DataTable)
        chosen = self._under_cursor() if table.cursor_row > 0 else None
        table.clear()
        for one in offered:
            table.add_row(*_cells(one), key=str(one.pid))
        table.move_cursor(row=next((row for row, one in enumerate(offered) if one.pid == chosen), 0))
        head = f"{len(offered)} processes could be watched; none is. Enter watches one of them."
        self.query_one("#about", Static).update(EscapedText(head))

    def _under_cursor(self) -> int | None:
        table = self.query_one(DataTable)
        if not table.row_count:
            return None
        return int(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or 0)

    def action_watch(self) -> None:
        pid = self._under_cursor()
        if pid is not None:
            self.live.choose(pid)


def _cells(one: WatchableProcess) -> list[EscapedText]:
    return [
        EscapedText(str(one.pid), right=True),
        EscapedText(one.comm),
        EscapedText(format_size(one.resident), right=True),
        EscapedText(one.command),
    ]
