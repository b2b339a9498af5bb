"""The limit of claimed schedule rows for each registry, adapted to how fast checks are settled.

A registry that responds gets more, up to 5,000; one whose checks are not settled gets 400, so that
it cannot occupy every worker (scheduling-4.2). The limits are in the memory of one scheduler and
lost with it; the claims themselves are in the database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

MIN_CLAIMED_PER_REGISTRY = 400
MAX_CLAIMED_PER_REGISTRY = 5000
GROWTH_FACTOR = 4  # of a limit that was too small at the tick before
DRAIN_TIME = timedelta(seconds=2)  # in which a registry is assumed to settle its whole limit
MAX_WAIT = timedelta(seconds=60)  # for a row beyond the limit, until it is due again
_MAX_HOSTS = 10_000


class ClaimLimiter:
    """The limits of all registries, as one scheduler has learned them (scheduling-4.2).

    Example: a registry with 1,000 due rows has 400 claimed. At the next tick 150 of them are not
    settled yet, at most half of the limit, and more were due: the limit becomes 1,600. If later
    all 1,600 are out at a tick, it is halved to 800, and so on down to 400.
    """

    def __init__(self, *, min_limit: int = MIN_CLAIMED_PER_REGISTRY) -> None:
        self._min_limit = min_limit
        self._limits: dict[str, int] = {}
        self._saturated: set[str] = set()
        self._next_retry_times: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def limit(self, host: str) -> int:
        """Return how many rows of that registry may be claimed at once."""
        return self._limits.get(host, self._min_limit)

    def adjust(self, claimed: Mapping[str, int]) -> None:
        """Adapt all limits, once a tick. `claimed` counts the unsettled rows of each registry."""
        with self._lock:
            for host in self._saturated | self._limits.keys():
                limit, in_flight = self.limit(host), claimed.get(host, 0)
                if in_flight >= limit:
                    limit //= 2
                elif host in self._saturated and in_flight <= limit // 2:
                    limit *= GROWTH_FACTOR
                if limit > self._min_limit:
                    self._limits[host] = min(limit, MAX_CLAIMED_PER_REGISTRY)
                else:
                    self._limits.pop(host, None)
            self._saturated.clear()
            if len(self._limits) > _MAX_HOSTS:
                self._limits.clear()

    def reserve_retry_time(self, host: str, now: datetime) -> datetime:
        """Reserve the time at which a row beyond the limit is due again, 60 s from now at most.

        Each reserved time is after the previous one, so a backlog is claimed twice in all, not at
        every tick. Example: with a limit of 400, rows are 2 s / 400 = 5 ms apart.
        """
        with self._lock:
            retry_time = max(self._next_retry_times.get(host, now), now + DRAIN_TIME)
            if len(self._next_retry_times) > _MAX_HOSTS:
                self._next_retry_times.clear()
            self._next_retry_times[host] = retry_time + DRAIN_TIME / self.limit(host)
        return min(retry_time, now + MAX_WAIT)

    def mark_saturated(self, hosts: Iterable[str]) -> None:
        """Note registries that had more due rows than their limit allowed."""
        with self._lock:
            self._saturated.update(hosts)
