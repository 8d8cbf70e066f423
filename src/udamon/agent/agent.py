"""The agent: rotation, pages, socket and state put together, until it is told to stop."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udamon.agent.budget import Budget
from udamon.agent.config import address_of
from udamon.agent.control import Answer, Control
from udamon.agent.discovery.model import Discovery
from udamon.agent.looks import ProcLooks
from udamon.agent.metrics import CONTENT_TYPE, MetricsPage
from udamon.agent.node import node_figures
from udamon.agent.remarks import Remarks
from udamon.agent.rotation import Rotation
from udamon.agent.server import PLAIN, Page, Pages, Server
from udamon.agent.settings import AT_START, NO_MACHINE, Settings
from udamon.agent.spending import Spending
from udamon.agent.state import SavedFigures, check_place, claim_spool, claim_state
from udamon.agent.status import document
from udamon.agent.usage import GroupUsage
from udamon.agent.watched import Tools, WatchedService
from udamon.agent.ways.choice import check_ways, open_ways
from udamon.core.clock import MonotonicClock
from udamon.errors import CannotError, OutOfFiles, OutputError, TargetBusy
from udamon.files.exclusive import Exclusive
from udamon.handover import default_socket
from udamon.linux import cpu_time
from udamon.linux.cgroup.memory import limit_of
from udamon.linux.machine_id import machine_digest
from udamon.linux.procfs import resident_bytes
from udamon.linux.roots import Roots
from udamon.lock import take_lock
from udamon.ops.tlb import way

if TYPE_CHECKING:
    from udamon.agent.otlp import Pushing
    from udamon.agent.windows import Windows

MAX_STEP_NS = 60_000_000_000
"""After a longer step the agent counts as unhealthy: a look waits for a target that holds its own lock."""
SAVE_EVERY_NS = 300_000_000_000
REMARK_EVERY_NS = 10_000_000_000
_WAIT_LIMIT_S = 5.0
_MIN_SLEEP_NS = 1_000_000
"""Between two steps, so that threads that wait for the lock get it."""

Say = Callable[[str], None]


class Agent:
    """Of the services that `discovery` finds. `say` gets sentences for people.

    Raises CannotError: MissingExtra, no socket, no address, no state, no spool.
    """

    def __init__(self, settings: Settings, discovery: Discovery, say: Say, roots: Roots = Roots()) -> None:  # noqa: B008
        self._roots = roots
        self._say = say
        self._at_start = settings
        self._waits_for_start: list[str] = []
        self._discovery, self._remarks = discovery, Remarks(say)
        self._clock = MonotonicClock()
        self._began_ns = self._stepped_ns = self._saved_ns = self._remarked_ns = self._clock.now_ns()
        budget = Budget(settings.budget, self._began_ns)
        self._spent = Spending(budget, cpu_time.process_ns)
        self._looks = ProcLooks(roots, way())
        tools = Tools(self._looks, self._lock, self._spent, Counter())
        self._ways = open_ways(settings, discovery.groups, roots, say)
        usage = GroupUsage(roots.proc)
        self._rotation = Rotation(discovery, tools, self._clock, budget, settings, usage, self._ways)
        self._state = None if settings.state is None else SavedFigures(settings.state)
        self._claims: list[Exclusive] = []
        self._load()
        if settings.spool is not None:
            self._claims.append(claim_spool(settings.spool))
        self._windows: Windows | None = None
        self._spool_failure: str | None = None
        metrics = MetricsPage(self._rotation, self._spent, self._node, self._wall_ns)
        path = default_socket(roots) if settings.socket is None else Path(settings.socket)
        self._control = Control(path, self._answer, self._rotation.take_back)
        try:
            host, port = address_of(settings.listen)
            tls = (settings.certificate, settings.key) if settings.certificate and settings.key else None
            pages = Pages(lambda: self._metrics(metrics), self._healthy, self._ready)
            self._server = Server(host, port, pages, tls)
        except BaseException:
            self._control.close()
            raise
        self._pushing: Pushing | None = None
        self._push_failure: str | None = None
        try:
            if settings.spool is not None:
                self._windows = self._spooling(settings.spool)
            if settings.otlp is not None:
                self._pushing = self._pushed(settings.otlp, settings.otlp_interval / 1e9, metrics)
        except BaseException:
            self.close()
            raise
        self.listen = f"{f'[{host}]' if ':' in host else host}:{self._server.port}"

    def run(self, stopped: threading.Event, hang_up: threading.Event, reread: Callable[[], Settings]) -> None:
        """Until `stopped`; `hang_up`: settings are read again."""
        while not stopped.is_set():
            if hang_up.is_set():
                hang_up.clear()
                self._apply(reread())
            due_ns = self._rotation.step()
            now_ns = self._clock.now_ns()
            self._stepped_ns = now_ns
            self._write_windows(now_ns)
            if now_ns - self._remarked_ns >= REMARK_EVERY_NS:
                self._remarked_ns = now_ns
                self._remarks.tell(self._discovery.remarks())
            if now_ns - self._saved_ns >= SAVE_EVERY_NS:
                self._save()
            stopped.wait(max(_MIN_SLEEP_NS, due_ns - now_ns) / 1e9)

    def _apply(self, settings: Settings) -> None:
        try:
            check_ways(settings, self._ways)
        except CannotError as error:
            self._say(f"{error} The settings stay as they were.")
        else:
            self._rotation.apply(settings)
            before, now = self._waits_for_start, settings.differing(self._at_start, AT_START)
            if now and now != before:
                self._say(f"What is new of {', '.join(now)} holds from the next start of the agent on.")
            self._waits_for_start = now

    def close(self) -> None:
        """Locks are given back, and what outlives a restart is written."""
        self._server.close()
        self._control.close()
        if self._pushing is not None:
            self._pushing.close()
        self._save()
        if self._windows is not None:
            self._windows.spool.close()
        self._rotation.close()
        self._ways.close()
        self._looks.close()
        for claim in self._claims:
            claim.close()

    def status(self) -> dict[str, Any]:
        damaged = None if self._windows is None else self._windows.spool.damaged
        return document(
            self._rotation, self._spent, self.listen, self._began_ns,
            resident_bytes("self", self._roots.proc), damaged,
        )  # fmt: skip

    def _lock(self, pid: int, start_time: int) -> Callable[[], None] | None:
        try:
            return take_lock(f"{pid}-{start_time}", f"process {pid}", self._roots).release
        except TargetBusy:
            return None

    def _node(self) -> Any:
        return node_figures(self._rotation.services.values(), self._roots)

    def _wall_ns(self) -> int:
        return time.time_ns() - self._clock.now_ns()

    # State

    def _load(self) -> None:
        state = self._state
        if state is None:
            return
        check_place(state.path)
        self._claims.append(claim_state(state.path))
        state.load(time.time_ns(), self._clock.now_ns())
        self._tell_problem(state)

        def coming(one: WatchedService) -> None:
            state.came(one, self._clock.now_ns())
            self._tell_problem(state)

        self._rotation.coming = coming
        self._rotation.going = lambda one: state.ended(one, self._clock.now_ns())

    def _tell_problem(self, state: SavedFigures) -> None:
        problem, state.problem = state.problem, None
        if problem is not None:
            self._say(problem)

    def _save(self) -> None:
        self._saved_ns = self._clock.now_ns()
        if self._state is None:
            return
        with self._rotation.guard:
            try:
                self._state.save(self._rotation.services.values(), time.time_ns(), self._saved_ns)
            except OutputError as error:
                self._rotation.dropped["state"] += 1
                self._say(str(error))

    def _spooling(self, directory: str) -> Windows:
        """Arrow is loaded only where it is wanted: it takes some 10 MiB."""
        from udamon.agent.windows import Windows
        from udamon.fleet.spool import Spool

        host, named = socket.gethostname(), self._rotation.settings.machine
        machine = machine_digest() if named is None else None if named == NO_MACHINE else named
        return Windows(Spool(directory, host), host, limit_of, roots=self._roots, machine=machine)

    def _pushed(self, endpoint: str, every_s: float, metrics: MetricsPage) -> Pushing:
        """OpenTelemetry is loaded only where it is wanted: it takes some 8 MiB."""
        from udamon.agent.otlp import Pushing

        return Pushing(endpoint, every_s, metrics.families, self._tell_push)

    def _tell_push(self, failure: str | None) -> None:
        if failure is not None:
            self._rotation.dropped["otlp"] += 1
            if failure != self._push_failure:
                self._say(failure)
        self._push_failure = failure

    def _write_windows(self, now_ns: int) -> None:
        if self._windows is None:
            return
        with self._rotation.guard:
            try:
                self._windows.advance(self._rotation.services.values(), now_ns, time.time_ns())
            except OutOfFiles:
                self._rotation.dropped["descriptors"] += 1
            self._rotation.dropped["spool"] = self._windows.spool.dropped_rows
        failure = self._windows.spool.failure
        if failure is not None and failure != self._spool_failure:
            self._say(failure)
        self._spool_failure = failure

    # Pages

    def _metrics(self, metrics: MetricsPage) -> Page:
        if not self._rotation.guard.acquire(timeout=_WAIT_LIMIT_S):
            return 503, PLAIN, b"a look at a target takes long\n"
        try:
            return 200, CONTENT_TYPE, metrics.text()
        finally:
            self._rotation.guard.release()

    def _healthy(self) -> Page:
        if self._clock.now_ns() - self._stepped_ns > MAX_STEP_NS:
            return 503, PLAIN, b"a look at a target does not return\n"
        return 200, PLAIN, b"ok\n"

    def _ready(self) -> Page:
        if not self._rotation.steps:
            return 503, PLAIN, b"services are not known yet\n"
        return 200, PLAIN, b"ok\n"

    # Questions on the socket

    def _answer(self, question: Answer, given: list[str]) -> Answer:
        what = question.get("do")
        if what == "status":
            return self.status()
        if what == "give":
            pid = question.get("pid")
            if (
                not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 1 << 31
            ):  # `true` is no process 1
                return self._give(None, given)
            return self._give(self._rotation.key_of(pid), given)
        if what == "watch":
            return self._watch(str(question.get("service")), given)
        return {"error": "there is no such question; known here: status, give, watch."}

    def _watch(self, name: str, given: list[str]) -> Answer:
        with self._rotation.guard:
            found = [
                key
                for key, one in self._rotation.services.items()
                if name == key
                or name in one.service.labels.values()
                or name == "/".join(one.service.labels.values())
            ]
        if len(found) != 1:
            many = f"{len(found)} services are" if found else "no service is"
            return {"error": f"{many} called {name}; see udamon agent status, and give its key."}
        return self._give(found[0], given)

    def _give(self, key: str | None, given: list[str]) -> Answer:
        with self._rotation.guard:
            one = None if key is None else self._rotation.services.get(key)
            if key is None or one is None:
                return {"given": False}
            self._rotation.give([key])
            given.append(key)
            return {
                "given": True,
                "cgroup": str(one.service.cgroup),
                "via": "auto" if one.way.via == "lru_gen" else one.way.via,
            }
