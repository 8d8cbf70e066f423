"""One kdamond that runs for the tree: its thread with the kernel's name, and what commands ask of it."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from udamon.control.kinds import refused
from udamon.control.pausing import Pausing
from udamon.control.plan import ContextPlan
from udamon.control.spaces import ContextSpaces
from udamon.core.attrs import Attrs
from udamon.core.scheme import Goal, SchemeStatus
from udamon.core.tried import TriedRegions
from udamon.engine.kdamond import Kdamond
from udamon.errors import CannotError, NotPermitted, TargetBusy, UdamonError
from udamon.schemes.schemes import Schemes

_log = logging.getLogger(__name__)
_COMM = Path("/proc/thread-self/comm")
T = TypeVar("T")


class Running:
    """A kdamond at work. Its thread's id is its `pid`, and the thread carries `name`, as in the kernel."""

    def __init__(
        self, kdamond: Kdamond, spaces: ContextSpaces, schemes: Schemes, pausing: Pausing, plan: ContextPlan
    ) -> None:
        self.kdamond = kdamond
        self.spaces = spaces
        self.schemes = schemes
        self._pausing = pausing
        self._plan = plan
        self._thread = threading.Thread(target=self._work, name=kdamond.name, daemon=True)
        self._named = threading.Event()

    def start(self) -> None:
        """Find the targets and begin. Raises UdamonError for what cannot be watched."""
        self.kdamond.open()
        self._thread.start()
        self._named.wait()

    def _work(self) -> None:
        with suppress(OSError):  # a kernel without the file: the name is a convenience
            _COMM.write_text(self.kdamond.name)
        self._named.set()
        try:
            self.kdamond.run()
        except UdamonError as error:
            _log.error("%s has ended: %s", self.kdamond.name, error)
        except Exception:
            _log.exception("%s has ended", self.kdamond.name)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def pid(self) -> int:
        """−1 when it has ended."""
        return (self._thread.native_id or -1) if self.alive else -1

    @property
    def attrs(self) -> Attrs:
        return self.kdamond.attrs

    def stop(self) -> None:
        """End it, and wait for that. Raises OSError EPERM when it had ended before."""
        if not self.alive:
            raise refused(errno.EPERM)
        self.kdamond.stop()
        self._thread.join()

    def ask(self, request: Callable[[], T]) -> T:
        """What `request` returns, run between two ticks. Raises OSError ECANCELED when it has ended."""
        if not self.alive:
            raise refused(errno.ECANCELED)
        try:
            return self.kdamond.ask(request)
        except CannotError as error:
            if not self.alive:
                raise refused(errno.ECANCELED) from error
            raise

    def status(self) -> list[SchemeStatus]:
        """Raises OSError ECANCELED."""
        return self.ask(self.schemes.status)

    def commit(self, plan: ContextPlan) -> None:
        """Go on with another plan (docs/damon.md#commits). Raises OSError with the kernel's error number.

        Everything that can be refused is refused before anything changed, but for a target that ends meanwhile.
        """
        if plan.operations != self._plan.operations:
            raise refused(
                errno.EINVAL, "operations cannot be changed while they are at work; write off first."
            )
        try:
            self.ask(lambda: self._commit(plan))
        except UdamonError as error:
            raise refusal(error) from error

    def _commit(self, plan: ContextPlan) -> None:
        kdamond = self.kdamond
        self.schemes.check(plan.schemes)
        self.spaces.commit(plan.targets)
        self.schemes.commit(plan.schemes)
        context = kdamond.context
        context.ops.update(context.targets, kdamond.bus.emit)
        context.watch.adopt(context.targets, context.attrs)
        if plan.attrs != kdamond.attrs:
            kdamond.change_attrs(plan.attrs, "commit")
        self._pausing.paused = plan.pause
        self._plan = plan

    def commit_goals(self, goals: Sequence[tuple[Goal, ...]]) -> None:
        """Other goals for the quotas of the first schemes. Raises OSError ECANCELED."""

        def commit() -> None:
            installed = [status.scheme for status in self.schemes.status()]
            for number, own in enumerate(goals[: len(installed)]):
                scheme = installed[number]
                installed[number] = replace(scheme, quotas=replace(scheme.quotas, goals=own))
            self.schemes.commit(installed)

        self.ask(commit)

    def walk(self) -> Sequence[TriedRegions]:
        """What a full pass of every scheme tried (docs/damon.md#tried-regions). Raises OSError ECANCELED or EBUSY."""
        if self._pausing.paused:
            raise refused(errno.ECANCELED)
        answered = threading.Event()
        answers: list[Sequence[TriedRegions] | None] = []

        def take(answer: Sequence[TriedRegions] | None) -> None:
            answers.append(answer)
            answered.set()

        try:
            self.ask(lambda: self.schemes.walk(take))
        except UdamonError as error:
            raise refused(errno.EBUSY) from error
        while not answered.wait(0.1):
            if not self.alive and not answered.wait(0.1):
                break
        found = answers[0] if answers else None
        if found is None:
            raise refused(errno.ECANCELED)
        return found


def refusal(error: UdamonError) -> OSError:
    """The kernel's error number for what udamon says in words."""
    busy, permission = isinstance(error, TargetBusy), isinstance(error, NotPermitted)
    return refused(errno.EBUSY if busy else errno.EPERM if permission else errno.EINVAL, str(error))
