"""The live view: it shows the state, and passes what the user wants on to the session."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.css.query import NoMatches

from udamon.errors import UdamonError, UsageError
from udamon.linux.procfs import ProcessId
from udamon.live.asking import Question
from udamon.live.choosing import ChoiceScreen
from udamon.live.keys import KeysScreen
from udamon.live.largest import WatchableProcess
from udamon.live.screens import DetailScreen, TargetsScreen, cost_words
from udamon.live.session import Session, WatchRequest
from udamon.live.state import LiveState
from udamon.live.words import EscapedText, TellingApp
from udamon.model import grain
from udamon.targets.coverage import document, short
from udamon.text import ours
from udamon.units import counted, parse_share, parse_time_us

REDRAW_S = 0.25
KEEP_UP_S = 1.0


class LiveApp(TellingApp):
    """Shows `state`. Without a session no monitor runs: what is posted to the state is shown.

    With `offer`, the first screen lists what that returns and nothing is watched until one is chosen; with
    `several` it is the list of targets, else target 0. It ends after `duration` seconds.
    """

    TITLE = "udamon live"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]

    def __init__(
        self,
        state: LiveState,
        session: Session | None = None,
        *,
        several: bool = False,
        offer: Callable[[], Sequence[WatchableProcess]] | None = None,
        duration: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.state, self.session = state, session
        self.paused = False
        self._several, self._offer, self._now = several, offer, now
        self._duration = duration
        self._shown = -1
        self._told_end = False

    @property
    def how(self) -> str:
        """By which primitive the targets are watched."""
        watched = None if self.session is None else self.session.watched
        return f"via {watched.via}" if watched is not None else "not watched"

    def on_mount(self) -> None:
        if self._offer is not None:
            self.push_screen(ChoiceScreen(self))
        else:
            self.push_screen(TargetsScreen(self) if self._several else DetailScreen(self))
        self.set_interval(REDRAW_S, self._redraw_often)
        self.set_interval(KEEP_UP_S, self.keep_up)
        if self._duration is not None:
            self.set_timer(self._duration, self.exit)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # As q does: else the terminal stays as it is drawn on, and a recording has no end.
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                asyncio.get_running_loop().add_signal_handler(number, self.exit)

    def _redraw_often(self) -> None:
        # A table takes more than a picture, and who reads it wants it to stand still for a while.
        if not isinstance(self._shows(), TargetsScreen):
            self.redraw()

    def redraw(self) -> None:
        """Show what is new, unless paused."""
        screen = self._shows()
        version = self.state.version
        if screen is not None and not self.paused and version != self._shown:
            self._shown = version
            with suppress(NoMatches):  # a timer may tick while the screen's widgets come or go
                screen.show()

    def _shows(self) -> TargetsScreen | DetailScreen | None:
        """The screen on top; None while a question is asked, and at the very end, when timers still tick."""
        top = self.screen_stack[-1] if self.screen_stack else None
        return top if isinstance(top, TargetsScreen | DetailScreen) else None

    def keep_up(self) -> None:
        """Flush a recording, tell the cost, say so when the monitor ended, and show what is new."""
        self._keep_up()
        self.redraw()

    def _keep_up(self) -> None:
        if self.session is None or (self._offer is not None and self.session.watched is None):
            return
        try:
            self.session.keep_up()
        except UdamonError as error:
            self._tell(error)
        if self._told_end:
            return
        try:
            self._told_end = self.session.ended()
            if self._told_end:
                self.notify("No target is left: this is the last that was seen.")
        except UdamonError as error:  # what made it end, which is raised each time
            self._told_end = True
            self._tell(error)

    def cost_line(self) -> EscapedText:
        """The grain, what was missed, the recording, the pause, what it costs, and the latest note: on a narrow screen
        the end is cut, so what the figures mean comes first."""
        watched = None if self.session is None else self.session.watched
        text = EscapedText("" if watched is None else f"grain: {grain(watched.via)}s", style="dim")
        if missed := short(document(self.state.coverage)):
            text.append(f"  {missed}", style="bold not dim")
        if self.session is not None and self.session.recording is not None:
            text.append(f"{ours('  ● recording')} {self.session.recording}", style="bold red not dim")
        if self.paused:
            text.append(ours("  ❚❚ paused"), style="bold not dim")
        if words := cost_words(dict(self.state.cost), dict(self.state.attrs)):
            text.append(f"  {words}" if text.plain else words)
        notes = self.state.notes
        if len(notes) > 1:
            text.append(f"  {counted(len(notes), 'note')} (key ?), the latest:")
        return text.append(f"  {notes[-1]}") if notes else text

    def offered(self) -> Sequence[WatchableProcess]:
        """What could be watched; empty where a target was given."""
        return () if self._offer is None else self._offer()

    def choose(self, process: ProcessId) -> None:
        """Begin a monitor of exactly this process."""
        if self.session is None:
            return
        chosen = replace(self.session.watch_request, pid=process.pid, start_time=process.start_time)
        if self._begin(chosen, 0):
            self.push_screen(DetailScreen(self))

    def look(self, index: int) -> None:
        """Look at one of the list."""
        self.state.choose(index)
        self.push_screen(DetailScreen(self))

    def action_list(self) -> None:
        """From one target to the list, where there is one; what was chosen from an offer is not watched any more."""
        if not self._several and self._offer is None:
            return
        self.paused = False
        if self._offer is not None and self.session is not None:
            self._end()
        else:
            self.state.choose(None)
        self.pop_screen()
        self._shown = -1

    def _end(self) -> None:
        assert self.session is not None
        recorded = self.session.recording
        try:
            self.session.stop()
            if recorded is not None:
                self.notify(f"{recorded} is written.")
        except UdamonError as error:
            self._tell(error)
        self.state.begin(None)

    def action_keys(self) -> None:
        """Show the keys of the screen on top."""
        self.push_screen(KeysScreen(self.screen.BINDINGS, self.state.notes))

    def action_pause(self) -> None:
        """Hold the picture; the monitor goes on, and so does a recording."""
        self.paused = not self.paused
        self._shown = -1
        screen = self._shows()
        if screen is not None:
            screen.show()

    def action_interval(self) -> None:
        """Ask for an aggregation interval, and begin anew with it."""
        hint = "like 500ms or 2s; the budget is given up"
        self.push_screen(Question("Aggregation interval (one window)", hint), self._interval)

    def _interval(self, answer: str | None) -> None:
        if answer is not None and self._above_zero(parse_time_us, answer, "interval; give at least 1us"):
            self._change(WatchRequest(aggr=answer))

    def action_budget(self) -> None:
        """Ask for a share of a CPU, and begin anew with it."""
        hint = "like 1% or 0.5%; it chooses the intervals"
        self.push_screen(Question("Budget of the monitor, of one CPU", hint), self._budget)

    def _budget(self, answer: str | None) -> None:
        if answer is not None and self._above_zero(parse_share, answer, "budget; give at least 0.01%"):
            self._change(WatchRequest(overhead=answer))

    def action_record(self) -> None:
        """Begin a recording, or end it."""
        if self.session is None or self.session.watched is None:
            self.notify("Nothing is watched, so there is nothing to record.", severity="warning")
        elif self.session.recording is not None:
            path = self.session.recording
            try:
                self.session.stop_recording()
                self.notify(f"{path} is written.")
            except UdamonError as error:
                self._tell(error)
        else:
            name = time.strftime("live-%Y%m%d-%H%M%S.udamon", time.localtime(self._now()))
            self.push_screen(Question("Record to", "a new file, for udamon report", name), self._record)

    def _record(self, answer: str | None) -> None:
        if answer is None or self.session is None:
            return
        try:
            self.session.record(answer)
        except UdamonError as error:
            self._tell(error)

    def _change(self, watch_request: WatchRequest) -> None:
        if self.session is None:
            return
        detail = self.state.detail()
        self._begin(
            replace(self.session.watch_request, aggr=watch_request.aggr, overhead=watch_request.overhead),
            None if detail is None else detail.index,
        )

    def _begin(self, watch_request: WatchRequest, chosen: int | None) -> bool:
        assert self.session is not None
        recorded = self.session.recording
        try:
            self.session.start(watch_request, chosen)
        except UdamonError as error:
            self._tell(error)
            return False
        finally:
            self._shown = -1
            self._told_end = False
        if recorded is not None:
            self.notify(f"{recorded} is written: a recording ends with the monitor it was begun with.")
        return True

    def _above_zero(self, parse: Callable[[str], float], text: str, otherwise: str) -> bool:
        try:
            if parse(text) > 0:
                return True
            raise UsageError(f"{text} is no {otherwise}.")
        except UdamonError as error:
            self._tell(error)
            return False

    def _tell(self, error: UdamonError) -> None:
        self.notify(str(error), severity="error", timeout=10)
