"""Concurrency limits that all processes with the same Redis share (registry-19.1, registry-19.3).

Leases are renewed in the background: no request waits for Redis while the process has free permits.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import uuid

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.concurrency import (
    SUCCESSES_TO_GROW,
    ConcurrencyBudget,
    HostLoad,
    interactive_reserve_of,
)
from worker.registry.limits.quotas.quota_json import QUOTA_FORMAT_VERSION
from worker.registry.limits.quotas.quota_store import QuotaStore, RedisQuotaStore
from worker.registry.limits.redis_leases import LEASE_SECONDS, LeaseGrant, LeaseRequest, RedisLeases
from worker.registry.limits.redis_pubsub import RedisLimitPubSub

DEFAULT_PROCESS_COUNT = 4  # how many share a registry, as long as Redis has never answered
IDLE_SECONDS = 5.0
_RENEWAL_SECONDS, _CONTENDED_RENEWAL_SECONDS, _MIN_RENEWAL_SECONDS = 1.0, 0.1, 0.02


class RedisConcurrencyLimit:
    """A leased part of a registry's concurrency limit.

    `limit` rises only after a response of Redis, so that we never use more than was granted; it
    falls at once. While Redis is unavailable it is a plain part of the registry's limit. The
    interactive reserve is part of the leases as well: it is granted to a process in which an
    interactive request waits.
    """

    def __init__(
        self,
        host: str,
        *,
        budget: ConcurrencyBudget,
        load: HostLoad,
        leases: RedisLeases,
        pubsub: RedisLimitPubSub,
        active: set[RedisConcurrencyLimit],
        process_count: int,
        clock: Clock,
    ) -> None:
        self.limit = 0
        self.interactive_reserve = 0
        self.member_count = process_count
        self.rate_fraction = 1.0 / max(1, process_count)
        self.host = host
        self._member_id = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._budget = budget
        self.load = load
        self._leases = leases
        self._pubsub = pubsub
        self.load = load
        self._active = active
        self._clock = clock
        self._registry_limit = budget.initial_limit
        self._granted = 0
        self._target = 0
        self._epoch = 0
        self._successes = 0
        self._overload_epoch: int | None = None
        self._breaker_update: tuple[float, str] | None = None
        self._overloads_to_ignore = 0
        self._more_requested = False
        self._closing = False
        self._renewed_at = -math.inf
        self._wake_event = asyncio.Event()
        self._renewal_task: asyncio.Task[None] | None = None

    def record_success(self) -> None:
        if self._overloads_to_ignore:
            self._overloads_to_ignore -= 1
        self._successes += 1

    def record_overload(self) -> None:
        """Halve the limit at once and publish it; a burst of overloads counts once."""
        if min(self._overloads_to_ignore, self.load.in_flight):
            self._overloads_to_ignore -= 1
            return
        self._overloads_to_ignore = max(0, self.load.in_flight - 1)
        self._successes = 0
        self._overload_epoch = self._epoch
        self._registry_limit = max(1, self._registry_limit // 2)
        self.limit = max(1, self.limit // 2) if self.limit else 0
        self._wake()

    def resize(self, budget: ConcurrencyBudget) -> None:
        self._budget = budget
        self._registry_limit = min(self._registry_limit, budget.maximum)
        self.limit = min(self.limit, budget.maximum)
        self._wake()

    def publish_limit(self, limit_key: str, seconds: float) -> None:
        self._pubsub.publish(self.host, limit_key, seconds)

    def request_more(self) -> None:
        self._more_requested = True
        self._wake()

    def breaker_opened(self, seconds: float, text: str) -> None:
        self._breaker_update = (seconds, text)
        self._wake()

    def breaker_closed(self) -> None:
        self._breaker_update = (0.0, "")
        self._wake()

    async def close(self) -> None:
        """Release the lease."""
        self._closing = True
        self._wake_event.set()
        if self._renewal_task is not None:
            # Not cancelled: that would leave a response of Redis half read.
            await asyncio.wait([self._renewal_task])

    def _wake(self) -> None:
        self._pubsub.subscribe()
        self._wake_event.set()
        if self._renewal_task is None or self._renewal_task.done():
            self._active.add(self)
            self._renewal_task = asyncio.get_running_loop().create_task(self._renew_while_busy())

    async def _renew_while_busy(self) -> None:
        """Renew the lease until there were no requests for a while, then release it."""
        started, busy_at = -1, self._clock.now()
        while not self._closing:
            self._wake_event.clear()
            await self._renew_lease()
            load, now = self.load, self._clock.now()
            if load.in_flight or load.waiting or load.started != started:
                started, busy_at = load.started, now
            elif now - busy_at >= IDLE_SECONDS:
                await self._release_lease()
                if not load.waiting:
                    break
            await asyncio.sleep(_MIN_RENEWAL_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._renewal_interval()):
                    await self._wake_event.wait()
        if self._closing:
            await self._release_lease()
        self._active.discard(self)

    async def _release_lease(self) -> None:
        self.limit = self._granted = 0
        await self._leases.release(self.host, self._member_id)

    def _renewal_interval(self) -> float:
        """Return the seconds until the next renewal.

        They are few where requests wait, or where we hold what other processes wait for.
        """
        is_saturated = self.load.waiting and self.load.in_flight >= self.limit
        has_unused_reserve = self.interactive_reserve and not self.load.interactive_count
        return (
            _CONTENDED_RENEWAL_SECONDS
            if is_saturated or has_unused_reserve or self._granted > self._target
            else _RENEWAL_SECONDS
        )

    async def _renew_lease(self) -> None:
        breaker_update, successes, overload_epoch = (
            self._breaker_update,
            self._successes,
            self._overload_epoch,
        )
        self._breaker_update, self._successes, self._overload_epoch = None, 0, None
        if self.interactive_reserve and not self.load.interactive_count:
            # Given up before the renewal, which grants what is left for other priorities.
            self.limit, self.interactive_reserve = self.limit - self.interactive_reserve, 0
        request = LeaseRequest(
            current=max(self.limit, self.load.in_flight),
            wanted=self._wanted_permits(),
            successes=successes,
            overload_epoch=overload_epoch,
            breaker_seconds=None if breaker_update is None else breaker_update[0],
            breaker_error="" if breaker_update is None else breaker_update[1],
            interactive_reserve=0
            if self.load.interactive_count
            else interactive_reserve_of(self._registry_limit),
            is_urgent=self.load.is_interactive_unserved,
        )
        self._granted = request.current  # all that is certain if the response gets lost
        budget = self._budget
        grant = await self._leases.renew(
            self.host,
            self._member_id,
            request,
            initial_limit=budget.initial_limit,
            max_limit=budget.maximum,
            successes_to_grow=SUCCESSES_TO_GROW,
        )
        if grant is None:
            self._breaker_update = self._breaker_update or breaker_update
            self._use_local_limit()
        else:
            self._apply_grant(grant, without_reserve=request.interactive_reserve > 0)
        self.load.admit()

    def _wanted_permits(self) -> int:
        """Return twice the current need, so that most requests find a permit that is granted."""
        need = self.load.in_flight + self.load.waiting
        if self._more_requested:
            need = max(need, self.limit + 1)
        self._more_requested = False
        return min(self._budget.maximum, max(1, 2 * need))

    def _apply_grant(self, grant: LeaseGrant, *, without_reserve: bool) -> None:
        self._renewed_at = self._clock.now()
        self._granted, self._target = grant.granted, grant.target
        self._epoch, self.member_count = grant.epoch, grant.member_count
        self._registry_limit = grant.limit
        if self._overload_epoch is None:  # else an overload is still to be reported
            self.limit = min(grant.granted, grant.target)
        # What was granted for interactive requests is not for others when those have ended.
        reserve = 0 if without_reserve else interactive_reserve_of(grant.limit)
        self.interactive_reserve = max(0, min(reserve, self.limit - 1))
        self.rate_fraction = grant.rate_fraction
        if grant.breaker_seconds and self._breaker_update is None:
            self.load.adopt_open_breaker(grant.breaker_seconds, grant.breaker_error)
        for limit_key, seconds in grant.active_limits.items():
            self.load.apply_limit(limit_key, seconds)
        for limit_key, seconds in self.load.active_limits().items():
            if limit_key not in grant.active_limits:  # Redis has lost it
                self.publish_limit(limit_key, seconds)

    def _use_local_limit(self) -> None:
        """Use a plain part of the limit, because Redis is unavailable (registry-19.3).

        As long as our lease is valid for other processes, we use at most what it granted. Example:
        of a limit of 8 shared by 4 processes, each uses 2.
        """
        local_limit = max(1, self._registry_limit // max(1, self.member_count))
        if self._clock.now() < self._renewed_at + self._leases.lease_seconds:
            local_limit = min(local_limit, self._granted)
        self.limit, self.interactive_reserve = local_limit, 0
        self.rate_fraction = 1.0 / max(1, self.member_count)


class RedisLimitBackend:
    """Limits that all processes with the same Redis share, for use on one event loop.

    `process_count` is the likely number of processes; it is used until Redis has answered once.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "tagstream:reg:",
        process_count: int = DEFAULT_PROCESS_COUNT,
        lease_seconds: float = LEASE_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._leases = RedisLeases(url, prefix=prefix, lease_seconds=lease_seconds)
        self._process_count = process_count
        self._clock = clock
        self._active: set[RedisConcurrencyLimit] = set()
        self._pubsub = RedisLimitPubSub(self._leases, prefix=prefix, on_limit=self._apply_limit)
        self.quota_store: QuotaStore = RedisQuotaStore(
            self._leases.redis,
            self._leases.redis_errors,
            prefix=f"{prefix}quota:{QUOTA_FORMAT_VERSION}:",
            clock=clock,
        )

    def build_concurrency_limit(
        self, host: str, budget: ConcurrencyBudget, load: HostLoad
    ) -> RedisConcurrencyLimit:
        return RedisConcurrencyLimit(
            host,
            budget=budget,
            load=load,
            leases=self._leases,
            pubsub=self._pubsub,
            active=self._active,
            process_count=self._process_count,
            clock=self._clock,
        )

    async def close(self) -> None:
        """Release every lease."""
        for concurrency in list(self._active):
            await concurrency.close()
        self._active.clear()
        await self._pubsub.close()
        await self._leases.close()

    def _apply_limit(self, host: str, limit_key: str, seconds: float) -> None:
        """Apply a received limit to the host if it is active in this process.

        Other hosts get it with their next lease.
        """
        for concurrency in list(self._active):
            if concurrency.host == host:
                concurrency.load.apply_limit(limit_key, seconds)
