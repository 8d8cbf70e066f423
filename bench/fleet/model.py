"""Services on nodes, their memory over time, and what is true of it.

Of a service's resident bytes one share is hot, one is never touched, and the rest is touched again and again: a share
(1 + T / tau) ** -alpha of it has been idle for T or longer. So what becomes that old in a second is what is promoted
after T in a second, as it must be where nothing changes:

    cold(T)     = resident * (never + rest * (1 + T / tau) ** -alpha)
    promoted(T) = resident * rest * alpha / tau * (1 + T / tau) ** (-alpha - 1)     a second

Resident bytes are base * host * day * drift * shared * deploy * noise. `host` varies by 10 %, `day` is a sine of
+- 20 %, `drift` is up to 0.5 % a day, `shared` (1 unless asked for) is drawn anew each day for all hosts of a service,
`deploy` is a step, `noise` has 5 % and a correlation of 0.8 from window to window. Cold and promoted bytes have noise
of their own, as strong. The noise is of memory, not of measurement: true quantiles have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udamon.fleet.tables import AGES, WINDOW_SECONDS

Floats = NDArray[np.float64]

HOST_SPREAD, DAY_SWING, NOISE, CORRELATION, DRIFT_A_DAY = 0.10, 0.20, 0.05, 0.8, 0.005
DEAD_HOSTS, NEW_HOSTS, OLD_HOSTS, LATE_OBJECTS = 0.02, 0.1, 0.1, 0.01
"""Shares: of hosts that die, that are watched from the start of the data on only, that write the version before; of
objects that come twice."""

DAY_WINDOWS = 86400 // WINDOW_SECONDS
HOUR_WINDOWS = 3600 // WINDOW_SECONDS
PROMOTION_LIMIT = 0.002
"""Of the working set, a minute: Google's."""
SHRINK_SHARE = 0.1
"""Of its limit that a service must be able to lose to count as one that can shrink."""

_AGES = np.array(AGES, dtype=np.float64)


@dataclass(slots=True)
class Fleet:
    """The draw of a seed. Arrays of services have S entries, of hosts H, of pairs (a service on a host) P; pairs are
    sorted by host, then service."""

    hosts: int
    services: int
    windows: int
    base: Floats
    limit: Floats
    drift: Floats
    phase: Floats
    cold: Floats
    """S x ages: share of the resident bytes."""
    promoted: Floats
    """S x ages: share of the resident bytes, a second."""
    deploys: list[tuple[int, int]]
    """Service and window."""
    effect: float
    service: NDArray[np.int64]
    host: NDArray[np.int64]
    factor: Floats
    """Of each pair."""
    death: NDArray[np.int64]
    """Window from which on a host writes nothing."""
    shared: Floats
    """S x days: a factor that a service's memory has on all of its hosts."""
    new: NDArray[np.bool_]
    old: NDArray[np.bool_]

    @classmethod
    def draw(
        cls, nodes: int, services: int, days: int, seed: int, *,
        density: float, deploys: int, effect: float, shared: float = 0.0,
    ) -> Fleet:  # fmt: skip
        """A service runs on `density` of the nodes on average, and on 8 at least where there are so many."""
        random = np.random.default_rng(seed)
        windows = days * DAY_WINDOWS
        rest_and_hot = 1 - random.uniform(0.02, 0.35, services)
        rest = rest_and_hot * random.uniform(0.1, 0.6, services)
        tau = np.exp(random.uniform(np.log(2), np.log(400), services))
        alpha = random.uniform(0.4, 1.5, services)
        old = 1 + _AGES[None, :] / tau[:, None]
        pairs = [
            np.sort(random.permutation(nodes)[: max(min(nodes, 8), round(nodes * share))])
            for share in np.clip(random.uniform(0, 2, services) * density, 0, 1)
        ]
        service = np.repeat(np.arange(services), [len(each) for each in pairs])
        host = np.concatenate(pairs)
        order = np.lexsort((service, host))
        base = np.exp(random.uniform(np.log(64 << 20), np.log(8 << 30), services))
        died = random.random(nodes) < DEAD_HOSTS
        # Half way, a service each, at different times where there are days to choose from.
        spread = max(1, windows // 2)
        moments = windows // 4 + (np.arange(deploys) * 2 + 1) * spread // (2 * max(1, deploys))
        chosen = random.permutation(services)[:deploys]
        return cls(
            nodes, services, windows, base,
            limit=np.round(base * random.uniform(0.9, 2.2, services)),
            drift=random.uniform(-DRIFT_A_DAY, DRIFT_A_DAY, services),
            phase=random.uniform(0, 2 * np.pi, services),
            cold=(1 - rest_and_hot)[:, None] + rest[:, None] * old ** -alpha[:, None],
            promoted=(rest * alpha / tau)[:, None] * old ** (-alpha[:, None] - 1),
            deploys=[(int(s), int(t)) for s, t in zip(chosen, moments, strict=False)],
            effect=effect,
            service=service[order],
            host=host[order],
            factor=np.clip(1 + HOST_SPREAD * random.standard_normal(len(host)), 0.5, 1.5),
            death=np.where(died, random.integers(1, max(2, windows), nodes), windows),
            shared=1 + shared * np.random.default_rng([seed, 2]).standard_normal((services, days)),
            new=random.random(nodes) < NEW_HOSTS,
            old=random.random(nodes) < OLD_HOSTS,
        )  # fmt: skip

    def level(self, first: int, count: int) -> Floats:
        """S x count: the resident bytes of a service on a host of factor 1, without noise."""
        time = np.arange(first, first + count)
        day = 1 + DAY_SWING * np.sin(2 * np.pi * time[None, :] / DAY_WINDOWS + self.phase[:, None])
        drift = 1 + self.drift[:, None] * time[None, :] / DAY_WINDOWS
        found = self.base[:, None] * day * drift * self.shared[:, time // DAY_WINDOWS]
        for service, moment in self.deploys:
            found[service] *= np.where(time >= moment, 1 + self.effect, 1.0)
        return found

    def truth(self, seed: int) -> dict[str, dict[str, Any]]:
        """Of each service: means over the windows of what all hosts have, and whether and by how much it can shrink."""
        mean = np.zeros(self.services)
        ends = np.minimum(self.death, self.windows)[self.host]
        for first in range(0, self.windows, DAY_WINDOWS):
            count = min(DAY_WINDOWS, self.windows - first)
            level = np.cumsum(self.level(first, count), axis=1)
            alive = np.clip(ends - first, 0, count)
            whole = np.where(alive > 0, level[self.service, np.maximum(alive, 1) - 1], 0.0)
            mean += np.bincount(self.service, self.factor * whole, self.services)
        mean /= self.windows
        random = np.random.default_rng([seed, 1])
        moments = random.integers(0, self.windows, 400)
        levels = np.concatenate([self.level(int(at), 1) for at in moments], axis=1)
        found = {}
        for service in range(self.services):
            pairs = np.flatnonzero(self.service == service)
            age, can_lose = self._shrinks(service, pairs, levels[service], random)
            found[name_of(service)] = {
                "resident_bytes": mean[service],
                "cold_bytes": mean[service] * self.cold[service, AGES.index(120)],
                "cold_bytes_by_age": {
                    str(age): mean[service] * share
                    for age, share in zip(AGES, self.cold[service], strict=True)
                },
                "hosts": len(pairs),
                "safe_age_seconds": age,
                "can_lose_share": can_lose,
                "can_shrink": can_lose is not None and can_lose >= SHRINK_SHARE,
            }
        return found

    def _shrinks(
        self, service: int, pairs: NDArray[np.int64], level: Floats, random: np.random.Generator
    ) -> tuple[int | None, float | None]:
        """The smallest age whose promotions are within the limit in 98 % of the windows, and the share of the limit
        that is not needed in 98 % of the windows and hosts when all that is idle for so long is gone; from many draws.
        `level` has the service's at many moments.
        """
        draws = 50_000
        # Promotions of the service are sums over its hosts, so their noise is the smaller the more there are.
        spread = NOISE / np.sqrt(len(pairs))
        promoted = 1 + spread * random.standard_normal(draws)
        resident, cold = (1 + spread * random.standard_normal(draws) for _ in range(2))
        working = resident * (1 - self.cold[service, AGES.index(120)] * cold)
        busy = 60 * np.quantile(promoted * resident / working, 0.98)
        within = np.flatnonzero(self.promoted[service] * busy <= PROMOTION_LIMIT)
        if not len(within):
            return None, None
        resident = random.choice(level, draws) * random.choice(self.factor[pairs], draws)
        resident = resident * (1 + NOISE * random.standard_normal(draws))
        cold = self.cold[service, within[0]] * (1 + NOISE * random.standard_normal(draws))
        needed = float(np.quantile(resident * (1 - np.minimum(cold, 1)), 0.98))
        return AGES[within[0]], 1 - needed / float(self.limit[service])


def name_of(service: int) -> str:
    return f"svc-{service:04d}"


def host_of(host: int) -> str:
    return f"node-{host:05d}"


class Noise:
    """For each pair, values around 1 with a spread of NOISE and a correlation from window to window."""

    def __init__(self, pairs: int, random: np.random.Generator) -> None:
        self._random = random
        self._state = random.standard_normal(pairs)

    def next(self, count: int) -> Floats:
        """Pairs x count."""
        fresh = self._random.standard_normal((count, len(self._state)))
        found = np.empty_like(fresh)
        for at in range(count):
            self._state = CORRELATION * self._state + np.sqrt(1 - CORRELATION**2) * fresh[at]
            found[at] = self._state
        return 1 + NOISE * found.T
