"""Reclaims cold memory from services in rounds: the memory that the watching agent reports as cold, class by class.

Amounts come from the agent's private socket; the kernel chooses the pages (memory.reclaim). Each class has its quota,
its watermarks and a governor, which stops it while its services or the machine wait for memory. A service is backed
off for BACKOFF_NS when too much of it is refaulted.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from udamon.agent.acting.service import ReclaimAccount, ReportedService
from udamon.agent.acting.settings import MEMORY_RECLAIM, NEEDS_RECLAIM, ReclaimSettings
from udamon.agent.settings import Settings
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.errors import CannotError, NotSupported, UsageError
from udamon.linux.cgroup.memory import memory_cgroup, read_reclaimed, reclaim
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE
from udamon.scheme_metrics.fault_counter import cgroup_major_faults, stalls
from udamon.scheme_metrics.machine import MachineMetrics
from udamon.schemes.governor import Governor, PressureSample
from udamon.schemes.quota import ChargedQuota
from udamon.schemes.watermarks import WatermarkState
from udamon.units import format_size

ROUND_S = 10.0
PIECE = 16 << 20
"""Bytes of one request. The governor is asked between two requests."""

_GONE = frozenset((errno.ENOENT, errno.ENODEV))
"""Errors of a control group that has ended."""

Ask = Callable[[], Mapping[str, Any]]
Say = Callable[[str], None]


class ActingUnit:
    """`ask` gives the watching agent's document and raises CannotError; `say` gets sentences for people.

    Raises UsageError where no class says what to do.
    """

    def __init__(
        self,
        settings: Settings,
        ask: Ask,
        say: Say,
        *,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._ask, self._say = ask, say
        self._roots, self._now_ns = roots, now_ns
        self._metrics = MachineMetrics(roots)
        self._services: dict[str, ReclaimAccount] = {}
        self._said: dict[str, str] = {}
        self._said_of: dict[str, str] = {}
        """What was said last, of the agent and of classes; and of services, by key."""
        self._classes: dict[str, _Class] = {}
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Go on with these. Raises UsageError as when made; all stays as it was then."""
        wanted = {
            one.name: one.reclaim for one in (*settings.classes, settings.default) if one.reclaim is not None
        }
        if not wanted:
            raise UsageError(
                "--act does what classes say in a table `reclaim`, and none has one; write "
                'reclaim = { min_age = "10m" } into a class, or into [default], and add apply = true when what it '
                "would take is right."
            )
        self._classes = {
            name: known
            if (known := self._classes.get(name)) is not None and known.settings == one
            else _Class(one, self._now_ns)
            for name, one in wanted.items()
        }

    def run(self, stopped: threading.Event, hang_up: threading.Event, reread: Callable[[], Settings]) -> None:
        """Until `stopped`; `hang_up`: settings are read again. Raises CannotError where no agent answers at first."""
        first = True
        while not stopped.is_set():
            if hang_up.is_set():
                hang_up.clear()
                try:
                    self.apply(reread())
                except UsageError as error:
                    self._say(f"{error} The settings stay as they were.")
            try:
                self.round()
                self._tell("agent", "")
            except CannotError as error:
                if first:
                    raise
                self._tell("agent", str(error))
            first = False
            stopped.wait(ROUND_S)

    def round(self) -> None:
        """Ask the agent, and act on what it says. Raises CannotError."""
        found = self._ask()
        services = list(self._told(found.get("services")))
        present = {one.key for one in services}
        self._services = {key: one for key, one in self._services.items() if key in present}
        self._said_of = {key: text for key, text in self._said_of.items() if key in present}
        for name, one in self._classes.items():
            self._act(name, one, [each for each in services if each.of_class == name])

    def close(self) -> None:
        self._metrics.close()

    def _told(self, found: object) -> Iterable[ReportedService]:
        for one in found if isinstance(found, list) else ():
            try:
                yield ReportedService.of(one)
            except (KeyError, TypeError, ValueError, OverflowError):
                raise CannotError(
                    "the agent's answer makes no sense; is it of another version? Start both of one."
                ) from None

    def _act(self, name: str, one: _Class, services: list[ReportedService]) -> None:
        now_ns = self._now_ns()
        places = {each.key: place for each in services if (place := self._place(each)) is not None}
        one.governor.observe(self._pressure_sample(now_ns, places))
        for each in services:
            if each.key in places:
                self._refaults(one, each, places[each.key], now_ns)
        if one.watermark.check(self._metrics.free_mem_permil) or one.governor.why or not one.ready:
            self._tell(
                f"class {name}", f"class {name}: {one.watermark.why or one.governor.why}." if one.why else ""
            )
            one.ready = True  # a governor's first totals say nothing
            return
        waiting = bool(services) and all(each.safe_s is None for each in services)
        why = f"class {name}: no safe age of its services is known yet, which takes an hour of watching."
        self._tell(f"class {name}", why if waiting else "")
        one.quota.window(now_ns, lambda goal: None)
        wanted = []
        for each in services:
            if each.key in places:
                if (ages := each.ages(one.settings)) and all(map(each.is_old, ages)):
                    self._tell_of(
                        each,
                        f"{each.key}: what is cold was measured too long ago, as where a recording has it; nothing is "
                        "taken out of it until it is measured again.",
                    )
                wanted.append((self._acted(each).amount(each, one.settings, now_ns), each))
        for size, each in sorted(wanted, key=lambda pair: -pair[0]):
            self._take(one, each, places[each.key], size)

    def _take(self, one: _Class, told: ReportedService, place: Path, size: int) -> None:
        """Within the quota, piece by piece."""
        asked = moved = 0
        while asked < size and not one.quota.full:
            piece = min(size - asked, PIECE, one.quota.room if one.quota.is_set else PIECE)
            piece -= piece % PAGE_SIZE
            if piece <= 0:
                break
            began_ns, got = self._now_ns(), piece
            if one.settings.apply:
                found = self._reclaim(one, told, place, piece)
                if found is None:
                    break
                got = found
            took_ns = self._now_ns() - began_ns
            one.quota.charge(one.target, Region(0, piece), piece, got, took_ns)
            self._acted(told).asked(began_ns, piece, got if one.settings.apply else 0)
            asked, moved = asked + piece, moved + got
            if got < piece // 2:
                break  # the kernel finds no more that it would take
        if asked:
            done = "took" if one.settings.apply else "would take"
            self._say(f"{told.key}: {done} {format_size(moved)} of {format_size(size)} that are cold.")

    def _reclaim(self, one: _Class, told: ReportedService, place: Path, size: int) -> int | None:
        """Bytes that went; None where nothing can be done to it."""
        try:
            before = read_reclaimed(place)
            reclaim(place, size, anonymous=not one.settings.skip_anon)
            return max(0, read_reclaimed(place).stolen - before.stolen)
        except PermissionError:
            self._tell_of(
                told,
                f"{place}/{MEMORY_RECLAIM} may not be written by this user, so nothing is taken out of {told.key}; run "
                "udamon agent --act as its owner.",
            )
        except OSError as error:
            if error.errno not in _GONE:
                old = error.errno == errno.EINVAL and one.settings.skip_anon
                remedy = "skip_anon takes Linux 6.10" if old else "nothing is taken out of it"
                self._tell_of(told, f"{told.key}: {MEMORY_RECLAIM} failed ({error.strerror}); {remedy}.")
        return None

    def _refaults(self, one: _Class, told: ReportedService, place: Path, now_ns: int) -> None:
        try:
            refaulted = read_reclaimed(place).refaulted
        except OSError:
            return
        share = self._acted(told).refaults(now_ns, refaulted, told, one.settings.max_refaults)
        if share is not None:
            self._say(
                f"{told.key} is backed off: {share:.2%} of its working set a minute was refaulted, above the limit of "
                f"{one.settings.max_refaults:.2%}."
            )

    def _pressure_sample(self, now_ns: int, places: Mapping[str, Path]) -> PressureSample:
        faults = [found for place in places.values() if (found := cgroup_major_faults(place)) is not None]
        return PressureSample(now_ns, sum(faults) if faults else None, stalls(places, self._roots))

    def _place(self, told: ReportedService) -> Path | None:
        """Its directory, once it was seen that it is one of a control group that can be told to give memory back."""
        try:
            place = memory_cgroup(str(told.cgroup), MEMORY_RECLAIM, self._roots.proc)
        except NotSupported:
            self._tell_of(
                told,
                f"{told.key} has no {MEMORY_RECLAIM}, which needs {NEEDS_RECLAIM}; "
                "nothing is taken out of it.",
            )
            return None
        except CannotError:
            return None  # it has ended
        return place

    def _acted(self, told: ReportedService) -> ReclaimAccount:
        return self._services.setdefault(told.key, ReclaimAccount())

    def _tell(self, about: str, text: str) -> None:
        """Once, until it is another text."""
        self._tell_once(self._said, about, text)

    def _tell_of(self, told: ReportedService, text: str) -> None:
        self._tell_once(self._said_of, told.key, text)

    def _tell_once(self, said: dict[str, str], about: str, text: str) -> None:
        if text and said.get(about) != text:
            self._say(text)
        said[about] = text


class _Class:
    """Of one class: what it may do, and what it has used up."""

    def __init__(self, settings: ReclaimSettings, now_ns: Callable[[], int]) -> None:
        self.settings = settings
        self.quota = ChargedQuota(settings.quota(), PAGE_SIZE)
        self.watermark = WatermarkState(settings.watermarks())
        self.governor = Governor(settings.limits())
        self.target = Target(0)
        self.ready = False

    @property
    def why(self) -> str:
        return self.watermark.why or self.governor.why
