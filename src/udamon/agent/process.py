"""What the agent keeps of one process: a few numbers, never a page or a mapping."""

from __future__ import annotations

from collections.abc import Callable

from udamon.model import PAGE_SIZE
from udamon.native._native import ProcessLooks

WATCHED, NEW, PAUSE, LOCKED, DENIED, GIVEN = "watched", "new", "pause", "locked", "denied", "given"
"""States: looked at; not yet; not, for a look would stop it for too long, another monitor has it, the kernel refused,
or it was handed to a recording."""


class Process:
    """Bytes are those of its last look. `cleared_ns`: when its referenced pages were cleared, 0 where they were not.

    `private`: mapped by nobody else; `sure`: of those the anonymous ones that KSM does not share, so that whatever is
    referenced of them was accessed by this process (or read by another one through /proc); `kept`: what can go nowhere
    without swap. `clear_ns` is what clearing took for a small page.
    """

    __slots__ = (
        "clear_ns", "cleared_ns", "guest", "kept", "looked_ns", "pid", "private", "proportional", "referenced",
        "release", "resident", "shmem", "small_pages", "start_time", "state", "sure", "swapped",
    )  # fmt: skip

    def __init__(self, pid: int, start_time: int) -> None:
        self.pid = pid
        self.start_time = start_time
        self.state = NEW
        self.release: Callable[[], None] | None = None
        """Gives its lock back, where that is held."""
        self.guest = False
        self.cleared_ns = self.looked_ns = 0
        self.resident = self.proportional = self.private = self.sure = self.kept = 0
        self.shmem = self.swapped = self.referenced = self.small_pages = 0
        self.clear_ns = 0.0

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
        anonymous, private = found.anonymous[at], found.private[at]
        self.resident, self.swapped, self.referenced = resident, swapped, referenced
        self.proportional, self.private, self.shmem = found.proportional[at], private, found.shmem[at]
        self.sure = max(0, anonymous - found.merged[at] - (resident - private))
        self.kept = min(resident, anonymous + self.shmem)
        self.small_pages = (resident - min(resident, found.huge[at])) // PAGE_SIZE
        self.looked_ns = now_ns
        return grown

    def cleared(self, now_ns: int) -> None:
        """Its referenced pages were cleared, right after a look."""
        self.cleared_ns = self.looked_ns = now_ns
        self.referenced = 0

    def forget(self, state: str) -> None:
        """Nobody looks at it, so nothing is known of it from now on."""
        self.state = state
        self.cleared_ns = 0
        release, self.release = self.release, None
        if release is not None:
            release()

    @property
    def surely_touched(self) -> int:
        """Bytes that the process itself surely accessed since they were cleared: pages of files and shared ones may be
        marked by others."""
        return max(0, self.referenced - (self.resident - self.sure))
