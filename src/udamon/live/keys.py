"""The help of the live view: the keys of the screen below it, and what the monitor noted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from udamon.live.words import EscapedText

HELP = Binding("question_mark", "app.keys", "keys", key_display="?")
"""What shows them, first of the keys of a screen: a narrow terminal cuts the last ones off."""


_NOTE_WIDTH, _FRAME = 74, 6


class KeysScreen(ModalScreen[None]):
    """Goes away at any key."""

    CSS = """
    KeysScreen { align: center middle; }
    KeysScreen > Vertical { width: auto; max-width: 100%; height: auto; max-height: 100%; padding: 1 2;
        background: $panel; border: round $primary; }
    KeysScreen Static { width: auto; }
    KeysScreen #notes { padding-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave")]

    def __init__(self, bindings: Iterable[BindingType], notes: Sequence[str] = ()) -> None:
        """`notes`: what the monitor said, the latest last."""
        super().__init__()
        self._notes = notes
        self._rows = [
            (one.key_display or one.key, HELP_OF.get(one.action, one.description))
            for one in bindings
            if isinstance(one, Binding)
        ]

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(EscapedText.lines(EscapedText(f"{key:<6} {what}") for key, what in self._rows))
            if self._notes:
                notes = Static(EscapedText.lines(map(EscapedText, reversed(self._notes))), id="notes")
                notes.styles.max_width = min(_NOTE_WIDTH, max(10, self.app.size.width - _FRAME))
                yield notes

    def on_key(self) -> None:
        self.dismiss(None)


HELP_OF = {
    "app.keys": "this list; any key takes it away",
    "look": "look at the process under the cursor",
    "watch": "watch the process under the cursor",
    "sort": "sort by the next column",
    "app.list": "back to the list",
    "app.pause": "hold the picture; the monitor goes on",
    "app.budget": "another budget (share of a CPU)",
    "app.interval": "another aggregation interval",
    "app.record": "begin a recording, or end it",
    "app.quit": "quit",
}
"""More than the one word of the last line."""
