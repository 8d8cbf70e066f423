"""The screen without a target: which processes could be watched. None is until one is chosen."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from udamon.linux.procfs import ProcessId
from udamon.live.keys import HELP
from udamon.live.largest import WatchableProcess
from udamon.live.listing import ListScreen, LiveView, name_cell
from udamon.live.words import EscapedText
from udamon.record.naming import title_of
from udamon.units import counted, format_size

AGAIN_S = 10.0
"""The list is made again so often: reading /proc of a thousand processes takes some 20 ms."""


class ChoiceScreen(ListScreen):
    """Processes that could be watched, the largest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        HELP, Binding("enter", "watch", "watch it", priority=True, key_display="enter"),
        Binding("q", "app.quit", "quit"),
    ]  # fmt: skip
    COLUMNS = NARROW = ("pid", "process", "resident", "command")

    def __init__(self, live: LiveView) -> None:
        super().__init__(live)
        self._listed: dict[int, ProcessId] = {}

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(AGAIN_S, self._again)

    def on_screen_resume(self) -> None:
        self.show()

    def _again(self) -> None:
        if self.app.screen is self:
            self.show()

    def show(self) -> None:
        offered = self.live.offered()
        self._listed = {one.pid: one.process for one in offered}
        head = f"{counted(len(offered), 'process', 'processes')} to choose from; none is watched. Enter watches one."
        self.fill(EscapedText(head), [(one.pid, _cells(one)) for one in offered])

    def action_watch(self) -> None:
        pid = self.under_cursor()
        if pid is not None:
            self.live.choose(self._listed[pid])


def _cells(one: WatchableProcess) -> list[EscapedText]:
    return [
        EscapedText(str(one.pid), right=True),
        name_cell(one.comm),
        EscapedText(format_size(one.resident), right=True),
        EscapedText(title_of(one.command)),
    ]
