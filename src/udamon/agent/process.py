"""What the agent keeps of one process: a few numbers, never a page or a mapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from udamon.model import PAGE_SIZE
from udamon.native._native import ProcessLooks

if TYPE_CHECKING:
    from udamon.agent.pages import PageTimes

WATCHED, NEW, PAUSE, LOCKED, DENIED, GIVEN = "watched", "new", "pause", "locked", "denied", "given"
"""States: looked at; not yet, for its first look failed or no descriptor was left for its lock; not, for a look would
stop it for too long, another monitor has it, the kernel refused, or it was handed to a recording."""

MAX_UNKNOWN_SHARE = 0.02
"""Share of the resident bytes. Where more were accessed that may be private or shared, mappings are read one by one."""


class Process:
    """Bytes are those of its last look. `cleared_ns`: when its referenced pages were cleared, 0 where they were not.

    `shared`: mapped by others, too; `idle`: of the others, not accessed since then, at least; `sure`: accessed by the
    process itself, at least, since pages of files and shared ones may be marked by others; `kept`: what can go nowhere
    without swap; `unknown`: of which a look tells nothing. `clear_ns` is what clearing took for a small page. `pages`:
    what is known of single pages, where the way of looking tells them apart.
    """

    __slots__ = (
        "clear_ns", "cleared_ns", "guest", "idle", "kept", "looked_ns", "pages", "pid", "proportional", "referenced",
        "release", "resident", "shared", "shmem", "small_pages", "start_time", "state", "sure", "swapped", "unknown",
    )  # fmt: skip

    def __init__(self, pid: int, start_time: int) -> None:
        self.pid = pid
        self.start_time = start_time
        self.state = NEW
        self.release: Callable[[], None] | None = None
        """Gives its lock back, where that is held."""
        self.guest = False
        self.cleared_ns = self.looked_ns = 0
        self.resident = self.proportional = self.shared = self.idle = self.sure = self.kept = 0
        self.shmem = self.swapped = self.referenced = self.small_pages = self.unknown = 0
        self.clear_ns = 0.0
        self.pages: PageTimes | None = None

    def admit(self, lock: Callable[[int, int], Callable[[], None] | None]) -> None:
        """Take its lock, which is free unless another monitor has it. Raises OutOfFiles: it is not known then."""
        self.state = NEW
        self.release = lock(self.pid, self.start_time)
        self.state = LOCKED if self.release is None else WATCHED

    def take(self, found: ProcessLooks, at: int, now_ns: int) -> int:
        """Fold a look in. Returns how many bytes were accessed since the look before that had not been since the pages
        were cleared: 0 where there was no look since then."""
        resident, swapped, referenced = found.resident[at], found.swapped[at], found.referenced[at]
        grown = 0
        if self.cleared_ns and self.looked_ns >= self.cleared_ns:
            # What was allocated meanwhile was never idle; what came back from swap was.
            back = max(0, self.swapped - swapped)
            allocated = max(0, resident - self.resident - back)
            grown = max(0, referenced - self.referenced - allocated)
        self.resident, self.swapped, self.referenced = resident, swapped, referenced
        self.proportional, self.shmem = found.proportional[at], found.shmem[at]
        self.shared = resident - min(resident, found.private[at])
        self.idle, self.sure = found.idle[at], found.sure[at]
        self.kept = min(resident, found.anonymous[at] + self.shmem)
        self.small_pages = (resident - min(resident, found.huge[at])) // PAGE_SIZE
        self.looked_ns = now_ns
        return grown

    def refused(self, resident: int) -> None:
        """The kernel does not allow a look at it. Only its size is known: all of its memory may be shared, and
        all of it may be needed."""
        self.forget(DENIED)
        self._only_size(resident)

    def not_yet(self, resident: int) -> None:
        """Its first look failed, in a way that may pass."""
        self.forget(NEW)
        self._only_size(resident)

    def _only_size(self, resident: int) -> None:
        self.resident = self.kept = resident
        self.proportional = self.shared = self.idle = self.sure = self.shmem = 0
        self.swapped = self.referenced = self.small_pages = 0

    def cleared(self, now_ns: int) -> None:
        """Its referenced pages were cleared, right after a look."""
        self.cleared_ns = self.looked_ns = now_ns
        self.referenced = self.sure = 0
        self.idle = self.resident - self.shared

    def forget(self, state: str) -> None:
        """Nobody looks at it, so nothing is known of it from now on."""
        self.state = state
        self.restart_cycle()
        release, self.release = self.release, None
        if release is not None:
            release()

    def restart_cycle(self) -> None:
        """Nothing that is known of its pages holds any more."""
        self.cleared_ns = self.unknown = 0
        pages, self.pages = self.pages, None
        if pages is not None:
            pages.close()

    @property
    def needs_mappings(self) -> bool:
        """Whether many accessed bytes may be private or shared: only a look by mappings tells them apart."""
        return min(self.referenced, self.shared) > MAX_UNKNOWN_SHARE * self.resident
