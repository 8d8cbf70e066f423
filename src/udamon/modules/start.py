"""Schemes put to work on a monitor that was built and has not started, whatever engine it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udamon.assembly.build import Built
from udamon.modules.work import Work
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.governor import PressureLimits

if TYPE_CHECKING:
    from udamon.modules.action_backends import ActionBackend
    from udamon.modules.work import AnyWork


def start_work(
    built: Built,
    wanted: Sequence[WantedScheme],
    backend: Callable[[], ActionBackend],
    *,
    dry: bool,
    limits: PressureLimits,
    cgroups: Mapping[str, Path] = {},
) -> AnyWork:
    """What `wanted` do on `built`; `backend` makes who acts, where that is not the kernel. Raises NotSupported."""
    from udamon.engine.kdamond import Kdamond
    from udamon.engine.kernel.engine import KernelEngine

    engine = built.engine
    if dry or built.sim_memory is not None:
        limits = PressureLimits(None, None)  # the pressure of this machine says nothing about a simulation
    if isinstance(engine, KernelEngine):
        from udamon.modules.kernel_work import KernelWork

        return KernelWork(engine, wanted, dry=dry, limits=limits, cgroups=cgroups)
    assert isinstance(engine, Kdamond)
    return Work(engine, wanted, backend(), limits=limits, cgroups=cgroups)
