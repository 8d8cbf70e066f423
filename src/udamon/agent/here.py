"""What of a right configuration cannot be done on this machine, found without watching anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from udamon.agent import otlp
from udamon.agent.acting.settings import MEMORY_RECLAIM, NEEDS_RECLAIM
from udamon.agent.discovery.hierarchy import watched
from udamon.agent.server import tls_context
from udamon.agent.settings import Settings
from udamon.agent.state import check_place, check_spool
from udamon.agent.ways.choice import unavailable
from udamon.errors import CannotError, MissingExtra, NotSupported
from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.roots import Roots

LACKING = (NotSupported, MissingExtra)
"""Errors that every user of this machine would get: the kernel or the installation lacks something."""


def impossible(settings: Settings, roots: Roots = Roots()) -> Iterator[CannotError]:  # noqa: B008 (immutable)
    """An error for each thing that settings ask for and that cannot be had here, or not by this user or not yet (see
    LACKING). Ways of looking are opened as at the start, and closed again. Raises ConfigError where the file of consent
    may not be believed."""
    yield from unavailable(settings, roots)
    tried: list[Callable[[], object]] = [lambda: watched(settings.cgroup, roots.proc)]
    if any(one.reclaim is not None for one in (*settings.classes, settings.default)):
        tried.append(lambda: _require_reclaim(settings, roots))
    if settings.otlp is not None:
        tried.append(otlp.require)
    if settings.certificate is not None and settings.key is not None:
        certificate, key = settings.certificate, settings.key
        tried.append(lambda: tls_context(certificate, key))
    if settings.state is not None:
        state = settings.state
        tried.append(lambda: check_place(state))
    if settings.spool is not None:
        spool = settings.spool
        tried.append(lambda: check_spool(spool))
    for one in tried:
        try:
            one()
        except CannotError as error:
            yield error


def _require_reclaim(settings: Settings, roots: Roots) -> None:
    """Raises NotSupported where no hierarchy of control groups can be told to give memory back."""
    places = [mount.point for mount in cgroup_mounts(roots.proc) if mount.version == 2]
    if not any(os.path.exists(place / MEMORY_RECLAIM) for place in places):
        names = ", ".join(
            one.name for one in (*settings.classes, settings.default) if one.reclaim is not None
        )
        raise NotSupported(
            f"class {names}, reclaim: no control group here has {MEMORY_RECLAIM}, which needs {NEEDS_RECLAIM}, so "
            "udamon agent --act would take nothing."
        )
