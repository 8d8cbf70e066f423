"""The claim on in-kernel DAMON, one resource of the whole machine: taken only when free, given back as found.

Before anything is written to DAMON's tree, a note in /run/udamon says what will be. While the claim is held it
has the identity of the tree's directory, the kdamond's pid and start time, and every value that was or is about
to be written. A run that is killed leaves the note, and the next one cleans up what the note proves to be that
run's: the machine has not been booted since, the directory is the one that was made then, the kdamond is the
one that was started then, and each setting has a value that the dead run wrote or that the kernel put there.

What no note can rule out: another program that sets DAMON up between our last look and our first write, some
microseconds, loses its settings (never a running DAMON: the kernel refuses the write then). And a run killed
between making the directory and noting its identity, as short a time, leaves one kdamond set up and off that
no note proves anything about; it is left alone, and the error says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from udamon.claim.note import ClaimNote, boot_id
from udamon.errors import CannotError, NotPermitted, NotSupported, TargetBusy
from udamon.linux.damon_tree import DamonTree, Setting, untouched
from udamon.linux.procfs import ProcessId, is_running, read_stat
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import DEBUGFS_ON, KernelDamon, kernel_damon
from udamon.linux.tracefs import remove_instance, tracefs_root
from udamon.lock import Lock, lock_holder, take_lock

LOCK = "kernel-damon"
STARTING_TICKS = 500
"""In clock ticks (5 s): a kdamond that started later than this after the note announced it is not the one."""


class DamonClaim:
    """DAMON's tree, ours from `take` to `release`."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self.tree = DamonTree(roots)
        self._roots = roots
        self._lock: Lock | None = None
        self._note: ClaimNote | None = None

    def take(self) -> None:
        """Clean up after a run that was killed, look whether DAMON is free, and set up one kdamond, off.

        Raises TargetBusy, naming who has it; NotSupported or NotPermitted. Nothing is written then.
        """
        if not self.tree.present:
            raise NotSupported(kernel_damon(self._roots).why)
        self._lock = take_lock(LOCK, "in-kernel DAMON", self._roots)
        try:
            recover(self._roots)
            self._refuse_unless_free()
            self._note = ClaimNote.write_first(self._roots)
            with _sentences("set up"):
                self._note.node = self.tree.create()
            self._note.save()
        except BaseException:
            self.release()
            raise

    def _refuse_unless_free(self) -> None:
        found = kernel_damon(self._roots)
        if found.busy:
            raise TargetBusy(f"i{found.why[1:-1]}; end that use first, udamon never interferes with it.")
        if not found.readable:
            raise NotPermitted("in-kernel DAMON can only be driven by root; run udamon as root.")

    def set_up(self, settings: Iterable[Setting]) -> None:
        """Write settings, announced in the note before. Raises CannotError."""
        settings = list(settings)
        self.note.allow(settings)
        with _sentences("set up"):
            self.tree.apply(settings)
        self.note.settle(settings)

    def start(self) -> ProcessId:
        """Turn the kdamond on; returns its thread. Raises CannotError where the kernel refuses."""
        note = self.note
        note.announce_start()
        with _sentences("started"):
            self.tree.command("on")
        pid = self.tree.pid
        if pid is None:
            raise CannotError("in-kernel DAMON ended as soon as it was started; its target may have ended.")
        try:
            note.kdamond = read_stat(pid, self._roots.proc).id
        except OSError:
            note.kdamond = ProcessId(pid, 0)
        note.save()
        return note.kdamond

    def command(self, keyword: str, settings: Iterable[Setting] = ()) -> None:
        """Write settings, then give a command to the running kdamond. Raises OSError, CannotError."""
        settings = list(settings)
        self.note.allow(settings)
        self.tree.apply(settings)
        self.note.settle(settings)
        self.tree.command(keyword)

    def use_instance(self, name: str) -> None:
        """Announce that a tracing instance of this name is about to be made. Raises CannotError."""
        self.note.instance = name
        self.note.save()

    @property
    def note(self) -> ClaimNote:
        assert self._note is not None, "the claim is not held"
        return self._note

    def owns_kdamond(self) -> bool:
        """Whether the tree is still the one that `take` made, and was not replaced."""
        return self._note is not None and self._note.node is not None and self.tree.node() == self._note.node

    def release(self) -> None:
        """Give everything back as it was found. Idempotent. A tree that somebody else made anew is left alone."""
        try:
            if self.owns_kdamond():
                with _sentences("given back"):
                    self.tree.turn_off()
                    self.tree.remove()
            if self._note is not None:
                self._note.remove()
                self._note = None
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None


def recover(roots: Roots) -> bool:
    """Undo what a killed run left of in-kernel DAMON and tracing, as far as its note proves it; True if so.

    Call it with the lock held.
    """
    note = ClaimNote.read(roots)
    if note is None:
        return False
    tree = DamonTree(roots)
    cleaned = False
    if _proven(note, tree, roots):
        with _sentences("cleaned up after a run that was killed"):
            tree.turn_off()
            tree.remove()
        cleaned = True
    if _same_boot(note, roots) and note.instance and (root := tracefs_root(roots)) is not None:
        with suppress(OSError):  # it is being read now: it does no harm, and can be removed later
            remove_instance(root / "instances" / note.instance)
    note.remove()
    return cleaned


def free_or_left(roots: Roots, found: KernelDamon | None = None) -> KernelDamon:
    """How in-kernel DAMON is, where what a killed run left counts as free: the next claim removes it. `found`: its
    state; None: it is read now."""
    found = kernel_damon(roots) if found is None else found
    note = ClaimNote.read(roots)
    if not found.busy or note is None or is_running(note.owner, roots.proc):
        return found
    tree = DamonTree(roots)
    shown = ["nr_kdamonds is 1"]
    if (pid := tree.pid) is not None:
        # The file in debugfs is "on" for any kdamond that runs, and none can be started there meanwhile.
        shown += [DEBUGFS_ON, *(user for user in found.users if user.endswith(f"runs (pid {pid})"))]
    if set(found.users) <= set(shown) and _proven(note, tree, roots):
        return KernelDamon(True, (), found.ops, found.readable)
    return found


def holder(roots: Roots) -> str:
    """Which udamon uses in-kernel DAMON now ("process 12"), "" when none."""
    return lock_holder(LOCK, roots)


def _proven(note: ClaimNote, tree: DamonTree, roots: Roots) -> bool:
    """True when the note proves that what is set up now is what its dead writer set up."""
    try:
        if not _same_boot(note, roots) or note.node is None or is_running(note.owner, roots.proc):
            return False
        if tree.count() != 1 or tree.node() != note.node or not _same_kdamond(note, tree, roots):
            return False
        found = tree.settings()
    except (OSError, ValueError):
        return False
    return all(
        value in note.allowed.get(path, ()) or value in untouched(path) for path, value in found.items()
    )


def _same_boot(note: ClaimNote, roots: Roots) -> bool:
    return bool(note.boot_id) and note.boot_id == boot_id(roots)


def _same_kdamond(note: ClaimNote, tree: DamonTree, roots: Roots) -> bool:
    pid = tree.pid
    if pid is None:
        return not tree.on  # it ended with its last target, or was never started
    started = read_stat(pid, roots.proc).id
    if note.kdamond is not None and note.kdamond.start_time:
        return started == note.kdamond
    if note.starting is None:
        return False
    return 0 <= started.start_time - note.starting <= STARTING_TICKS


@contextmanager
def _sentences(done: str) -> Iterator[None]:
    """Turns an OSError of the block into a CannotError that says what could not be done to DAMON."""
    try:
        yield
    except OSError as error:
        where = f" ({'/'.join(Path(str(error.filename)).parts[-2:])})" if error.filename else ""
        raise CannotError(
            f"in-kernel DAMON could not be {done}: {error.strerror or error}{where}; "
            "udamon doctor says how it is."
        ) from error
