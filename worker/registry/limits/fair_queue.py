"""Fair queue of one registry host: the order in which waiting requests are admitted.

Requests of priority interactive come before scheduled before bulk, but a priority that was passed
over 8 times goes next (registry-18.3). Within a priority, tenants alternate. While others wait, a
tenant that holds a quarter of the limit or more is served after those that hold less
(registry-18.4). Scheduled and bulk requests leave a reserve to interactive ones; apart from that no
permit stays unused while a request waits. The operator's rate slows scheduled and bulk requests
(registry-18.5). A scheduled check waits at most 5 s: one that would wait longer is refused at once,
with a time at which to try again (registry-18.6).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from models.errors import RateLimitedError
from worker.registry.clock import Clock
from worker.registry.limits.concurrency import ConcurrencyLimit

PRIORITY_LEVELS = {"interactive": 0, "scheduled": 1, "bulk": 2}
INTERACTIVE_LEVEL, SCHEDULED_LEVEL = 0, 1
MAX_SCHEDULED_WAIT_SECONDS = 5.0  # the schedule repeats a check that is refused
MAX_TIMES_PASSED_OVER = 8
MAX_SUGGESTED_RETRY_SECONDS = 60.0
TENANT_LIMIT_DIVISOR = 4
MAX_PROCESS_CONCURRENCY = 64
_BURST_SECONDS = 0.1

PermitFuture = asyncio.Future[None]
_TenantQueue = OrderedDict[PermitFuture, int]


class ProcessConcurrency:
    """How many requests this process may have in flight in all; shared by all registries."""

    def __init__(self, maximum: int = MAX_PROCESS_CONCURRENCY) -> None:
        self.free = maximum
        self._waiting_queues: OrderedDict[FairQueue, None] = OrderedDict()

    def admit_when_free(self, queue: FairQueue) -> None:
        """Admit the requests of `queue` when a permit is free again."""
        self._waiting_queues[queue] = None

    def release(self) -> None:
        self.free += 1
        while self.free and self._waiting_queues:
            queue, _ = self._waiting_queues.popitem(last=False)
            queue.admit()


class RequestRateLimiter:
    """The rate of requests that are not interactive (registry-18.5).

    It applies to scheduled requests always, and to bulk requests once the registry has shown that
    it has limits (`limits_bulk`).
    """

    def __init__(self, rate: float) -> None:
        self.limits_bulk = False
        self.interval = 0.0
        self._next_time = 0.0
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Set the rate in requests a second; 0 means no limit."""
        self.interval = 1.0 / rate if rate > 0 else 0.0

    def applies_to(self, priority: int) -> bool:
        return priority == SCHEDULED_LEVEL or (priority > SCHEDULED_LEVEL and self.limits_bulk)

    def delay(self, now: float) -> float:
        """Return the seconds that the next request has to wait."""
        return max(0.0, self._next_time - now) if self.interval else 0.0

    def take(self, now: float, cost: int) -> None:
        self._next_time = max(self._next_time, now - _BURST_SECONDS) + cost * self.interval


class FairQueue:
    """The requests that wait for one registry host, and those in flight."""

    concurrency: ConcurrencyLimit

    def __init__(
        self, *, process_concurrency: ProcessConcurrency, rate: float, clock: Clock
    ) -> None:
        self.rate_limiter = RequestRateLimiter(rate)
        self.in_flight = 0
        self.waiting = 0
        self.started = 0
        self._process_concurrency = process_concurrency
        self._clock = clock
        self._queues: tuple[OrderedDict[str, _TenantQueue], ...] = tuple(
            OrderedDict() for _ in PRIORITY_LEVELS
        )
        self._times_passed_over = [0] * len(PRIORITY_LEVELS)
        self._in_flight_by_priority = [0] * len(PRIORITY_LEVELS)
        self._in_flight_by_tenant: dict[str, int] = {}
        self._is_admit_scheduled = False
        self._wait_deadlines: deque[tuple[float, PermitFuture, str]] = deque()
        self._is_expiry_scheduled = False
        self._last_retry_time = 0.0

    @property
    def interactive_count(self) -> int:
        """How many interactive requests are in flight or wait."""
        return self._in_flight_by_priority[INTERACTIVE_LEVEL] + sum(
            len(queue) for queue in self._queues[INTERACTIVE_LEVEL].values()
        )

    @property
    def is_interactive_unserved(self) -> bool:
        """Whether interactive requests wait while none of them is in flight."""
        return (
            bool(self._queues[INTERACTIVE_LEVEL])
            and not self._in_flight_by_priority[INTERACTIVE_LEVEL]
        )

    def try_acquire(self, priority: int, tenant: str, cost: int) -> bool:
        """Take a permit at once, if no request waits and one is free; return whether it was taken.

        A request of cost 0 (a token request) belongs to a check that was already admitted, so it
        does not wait behind others again.
        """
        if self.waiting and cost:
            return False
        if self.in_flight >= self.concurrency.limit or not self._process_concurrency.free:
            return False
        if priority:
            if self._is_full_for_background():
                return False
            if cost and self.rate_limiter.interval and self.rate_limiter.applies_to(priority):
                now = self._clock.now()
                if self.rate_limiter.delay(now):
                    return False
                self.rate_limiter.take(now, cost)
        self._count_started(priority, tenant)
        return True

    async def acquire(self, priority: int, tenant: str, cost: int) -> None:
        """Wait for a permit. Raises the error that `reject_all` makes.

        Raises RateLimitedError `ratelimit.budget` for a scheduled check that would wait for more
        than 5 s, or has waited so long (registry-18.6).
        """
        if priority == SCHEDULED_LEVEL and cost:
            self._reject_if_wait_too_long(tenant)
        permit: PermitFuture = asyncio.get_running_loop().create_future()
        self._queues[priority].setdefault(tenant, OrderedDict())[permit] = cost
        self.waiting += 1
        if priority == SCHEDULED_LEVEL:
            self._wait_deadlines.append(
                (self._clock.now() + MAX_SCHEDULED_WAIT_SECONDS, permit, tenant)
            )
            self._schedule_expiry()
        self.admit()
        if self.in_flight >= self.concurrency.limit or not priority:
            self.concurrency.request_more()
        try:
            await permit
        except asyncio.CancelledError:
            self._withdraw(permit, priority, tenant)
            raise

    def release(self, priority: int, tenant: str) -> None:
        """Return a permit and admit the next request."""
        self.in_flight -= 1
        self._in_flight_by_priority[priority] -= 1
        tenant_in_flight = self._in_flight_by_tenant[tenant] - 1
        if tenant_in_flight:
            self._in_flight_by_tenant[tenant] = tenant_in_flight
        else:
            del self._in_flight_by_tenant[tenant]
        self._process_concurrency.release()
        if self.waiting:
            self.admit()

    def admit(self) -> None:
        """Admit waiting requests as long as permits are free."""
        while self.waiting and self.in_flight < self.concurrency.limit:
            if not self._process_concurrency.free:
                self._process_concurrency.admit_when_free(self)
                return
            if not self._admit_next():
                return

    def reject_all(self, error_for: Callable[[str], Exception]) -> None:
        """Fail all waiting requests, each tenant's with an error of its own."""
        for tenants in self._queues:
            for tenant, queue in tenants.items():
                for permit in queue:
                    if not permit.done():
                        permit.set_exception(error_for(tenant))
            tenants.clear()
        self.waiting = 0

    def _is_full_for_background(self) -> bool:
        return (
            self.in_flight - self._in_flight_by_priority[INTERACTIVE_LEVEL]
            >= self.concurrency.limit - self.concurrency.interactive_reserve
        )

    def _count_started(self, priority: int, tenant: str) -> None:
        self.in_flight += 1
        self._in_flight_by_priority[priority] += 1
        self.started += 1
        self._in_flight_by_tenant[tenant] = self._in_flight_by_tenant.get(tenant, 0) + 1
        self._process_concurrency.free -= 1

    def _admit_next(self) -> bool:
        delay = self.rate_limiter.delay(self._clock.now())
        if delay and any(
            self._queues[priority] and self.rate_limiter.applies_to(priority) for priority in (1, 2)
        ):
            self._schedule_admit(delay)
        priorities = self._eligible_priorities(is_rate_limited=delay > 0)
        tenant_limit = max(1, self.concurrency.limit // TENANT_LIMIT_DIVISOR)
        for priority in priorities:
            for tenant in self._queues[priority]:
                if self._in_flight_by_tenant.get(tenant, 0) < tenant_limit:
                    return self._grant_next(priority, tenant)
        return bool(priorities) and self._grant_next(
            priorities[0], next(iter(self._queues[priorities[0]]))
        )

    def _eligible_priorities(self, *, is_rate_limited: bool) -> list[int]:
        """Return the priorities that may be admitted: first those passed over, then by level."""
        is_full = self._is_full_for_background()
        priorities = [
            priority
            for priority in range(len(PRIORITY_LEVELS))
            if self._queues[priority]
            and not (priority and is_full)
            and not (priority and is_rate_limited and self.rate_limiter.applies_to(priority))
        ]
        priorities.sort(
            key=lambda level: (self._times_passed_over[level] < MAX_TIMES_PASSED_OVER, level)
        )
        return priorities

    def _grant_next(self, priority: int, tenant: str) -> bool:
        tenants = self._queues[priority]
        queue = tenants[tenant]
        permit, cost = queue.popitem(last=False)
        if queue:
            tenants.move_to_end(tenant)
        else:
            del tenants[tenant]
        self.waiting -= 1
        if permit.done():  # cancelled, and about to withdraw
            return True
        for lower_priority in range(priority + 1, len(PRIORITY_LEVELS)):
            self._times_passed_over[lower_priority] += bool(self._queues[lower_priority])
        self._times_passed_over[priority] = 0
        if priority and self.rate_limiter.interval and self.rate_limiter.applies_to(priority):
            self.rate_limiter.take(self._clock.now(), cost)
        self._count_started(priority, tenant)
        permit.set_result(None)
        return True

    def _withdraw(self, permit: PermitFuture, priority: int, tenant: str) -> None:
        queue = self._queues[priority].get(tenant)
        if queue is not None and permit in queue:
            del queue[permit]
            self.waiting -= 1
            if not queue:
                del self._queues[priority][tenant]
        elif permit.done() and not permit.cancelled() and permit.exception() is None:
            self.release(priority, tenant)

    def _reject_if_wait_too_long(self, tenant: str) -> None:
        """Raise RateLimitedError if a scheduled check would wait for more than 5 s.

        The wait follows from the rate and the position. Tenants alternate, so a tenant with few
        waiting requests does not wait for those of a tenant with many. Example: tenant a has 1000
        waiting and b none; the first request of b has position min(1 * 2, 1001) = 2.
        """
        if not self.rate_limiter.interval:
            return
        tenants = self._queues[SCHEDULED_LEVEL]
        own_waiting = len(tenants.get(tenant, ()))
        position = min(
            (own_waiting + 1) * (len(tenants) + (not own_waiting)),
            sum(map(len, tenants.values())) + 1,
        )
        wait = (
            self.rate_limiter.delay(self._clock.now()) + (position - 1) * self.rate_limiter.interval
        )
        if wait > MAX_SCHEDULED_WAIT_SECONDS:
            raise self._rate_limited_error(wait)

    def _rate_limited_error(self, wait: float) -> RateLimitedError:
        """Return the error of a deferred check, with a retry time of its own.

        The retry times are one interval apart, as if the refused checks waited in a queue: that
        spreads the repeated checks over time.
        """
        now = self._clock.now()
        self._last_retry_time = max(self._last_retry_time, now + wait) + self.rate_limiter.interval
        return RateLimitedError(
            "too many checks wait for the registry; this check is deferred",
            code="ratelimit.budget",
            retry_after=min(self._last_retry_time - now, MAX_SUGGESTED_RETRY_SECONDS),
        )

    def _schedule_expiry(self) -> None:
        if not self._is_expiry_scheduled and self._wait_deadlines:
            self._is_expiry_scheduled = True
            remaining_seconds = self._wait_deadlines[0][0] - self._clock.now()
            self._clock.later(max(remaining_seconds, 0.0), self._expire_waiting)

    def _expire_waiting(self) -> None:
        """Fail the checks that have waited for 5 s in spite of the forecast."""
        self._is_expiry_scheduled = False
        now = self._clock.now()
        while self._wait_deadlines and (
            self._wait_deadlines[0][0] <= now or self._wait_deadlines[0][1].done()
        ):
            _, permit, tenant = self._wait_deadlines.popleft()
            if not permit.done():
                self._withdraw(permit, SCHEDULED_LEVEL, tenant)
                permit.set_exception(self._rate_limited_error(MAX_SCHEDULED_WAIT_SECONDS))
        self._schedule_expiry()

    def _schedule_admit(self, delay: float) -> None:
        if not self._is_admit_scheduled:
            self._is_admit_scheduled = True
            self._clock.later(delay, self._admit_later)

    def _admit_later(self) -> None:
        self._is_admit_scheduled = False
        self.admit()
