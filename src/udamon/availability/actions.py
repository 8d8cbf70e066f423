"""What can be done about memory from here: which actions work, for this user on this machine."""

from __future__ import annotations

from udamon.acting.reasons import NEEDS_KERNEL, advice_lacks, migration_lacks
from udamon.availability.primitives import Usable, probe, whose
from udamon.core.scheme import Action
from udamon.core.scheme_fields import MIGRATIONS
from udamon.linux import features
from udamon.linux.roots import Roots

ACTIONS = tuple(action.value for action in Action)
"""In the order doctor shows them."""


def probe_action(
    name: str,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    kernel: Usable | None = None,
) -> Usable:
    """Whether udamon could apply the action to another process; does nothing to any memory. `kernel`: in-kernel DAMON
    as it was probed; None: it is now, where that matters."""
    action = Action(name)
    if action in NEEDS_KERNEL:
        return _by_kernel(action, probe("kernel", roots) if kernel is None else kernel)
    if action is Action.STAT:
        return Usable(True, "It only counts, and needs nothing.", offered=True)
    lacking = migration_lacks(roots) if action in MIGRATIONS else advice_lacks(action, roots)
    if lacking is not None:
        why, fix = (text[0].upper() + text[1:] + "." for text in lacking)
        return Usable(False, why, fix)
    # Seeing the pages of others takes more than the right to advise.
    what = f"It acts on {whose(roots, features.CAP_DAC_READ_SEARCH, features.CAP_DAC_OVERRIDE)}"
    if action is Action.PAGEOUT and not features.has_swap(roots.proc):
        return Usable(
            True,
            f"{what}, but without swap only on file-backed memory.",
            "Add swap (zram will do).",
            offered=True,
        )
    return Usable(True, f"{what}.", offered=True)


def _by_kernel(action: Action, kernel: Usable) -> Usable:
    reason = NEEDS_KERNEL[action]
    if kernel.usable:
        return Usable(True, f"Only with --via kernel: {reason}.", offered=True)
    why = f"{reason[0].upper()}{reason[1:]}; in-kernel DAMON does, and --via kernel cannot be used here."
    return Usable(False, why, kernel.fix)
