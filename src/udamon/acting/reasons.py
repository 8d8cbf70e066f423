"""Why an action cannot be carried out here, in one sentence that says what would help."""

from __future__ import annotations

from udamon.core.scheme import Action, ActionRequest
from udamon.core.scheme_fields import MIGRATIONS
from udamon.linux import features
from udamon.linux.pid_namespace import foreign
from udamon.linux.roots import Roots

NEEDS_KERNEL = {
    Action.HUGEPAGE: "no system call sets huge pages for another process",
    Action.NOHUGEPAGE: "no system call forbids huge pages for another process",
    Action.LRU_PRIO: "no system call makes another process's pages active",
}
_ADVICE = {Action.LRU_DEPRIO: "cold"}
MAIN_ENDED = "of processes whose main thread has ended"
"""Why memory was left alone: process_madvise goes by the main thread, and that has no memory any more."""

EXPLAINED = {
    MAIN_ENDED: (
        "some memory was left alone because the main thread of its process has ended before others, and the kernel "
        "takes advice about a process by its main thread alone; let the program keep that thread until the others end "
        "(pthread_join), or reclaim from its whole control group (udamon reclaim --cgroup PATH --by cgroup)."
    )
}
"""A sentence for reasons why memory was left alone that need one."""

_NOT_BY_PAGE = {
    Action.WILLNEED: "willneed is about pages that are not there, which no page filter can test",
}


def missing_for_processes(request: ActionRequest, roots: Roots) -> str | None:
    """What keeps udamon from doing `request` to other processes; None where nothing does."""
    action = request.action
    if action in NEEDS_KERNEL:
        return f"{action} cannot be done from outside: {NEEDS_KERNEL[action]}; use --via kernel, where DAMON does it."
    if request.page_filters and action in _NOT_BY_PAGE:
        return f"{_NOT_BY_PAGE[action]}; leave the filter out."
    if action is not Action.STAT and (why := foreign(roots.proc)):
        return why
    lacking = None
    if action in MIGRATIONS:
        lacking = migration_lacks(roots) or _nodes_lack(request, roots)
    elif action is not Action.STAT:
        lacking = advice_lacks(action, roots)
    if lacking is not None:
        why, fix = lacking
        return f"{action} cannot be done here: {why}; {fix}."
    return None


def advice_lacks(action: Action, roots: Roots) -> tuple[str, str] | None:
    """(what is missing, what to do) for an action that is advice."""
    lacking = _call_lacks("process_madvise", features.process_madvise(roots.proc), "boot Linux 5.10 or later")
    if lacking is not None:
        return lacking
    if not features.advice_known(_ADVICE.get(action, action.value)):
        what = "collapse: 6.1, with THP" if action is Action.COLLAPSE else "5.10"
        return f"the kernel does not know the advice {action}", f"boot a kernel that has it ({what})"
    if not features.has_capability(features.CAP_SYS_NICE, roots.proc):
        return "acting on another process needs CAP_SYS_NICE", "run as root, or give udamon CAP_SYS_NICE"
    return None


def migration_lacks(roots: Roots) -> tuple[str, str] | None:
    """(what is missing, what to do) for moving pages of one's own processes."""
    if len(features.nodes(roots.sys)) < 2:
        return "there is only one NUMA node", "use a machine with a second tier or node of memory"
    fix = "boot a kernel built with CONFIG_MIGRATION=y and CONFIG_NUMA=y"
    return _call_lacks("move_pages", features.move_pages(roots.proc), fix)


def _call_lacks(name: str, found: features.SystemCall, fix: str) -> tuple[str, str] | None:
    allow = f"let {name} through its filter (of a container: its seccomp profile)"
    if found is features.SystemCall.REFUSED:
        return f"a seccomp filter refuses {name}", allow
    if found is features.SystemCall.HIDDEN:
        return f"the kernel has no {name}, or a seccomp filter hides it", f"{allow}, or {fix}"
    return (f"the kernel has no {name}", fix) if found is features.SystemCall.MISSING else None


def _nodes_lack(request: ActionRequest, roots: Roots) -> tuple[str, str] | None:
    there = features.nodes(roots.sys)
    for node in [dest.id for dest in request.dests] or [request.target_nid]:
        if node not in there:
            return f"there is no node {node}", f"name one of {', '.join(map(str, there))}"
    return None
