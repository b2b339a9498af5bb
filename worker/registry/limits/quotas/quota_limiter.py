"""Limiter of one quota: requests wait for their send time, and responses update the quota.

Scheduled checks wait for a few seconds at most, in a queue: only the first of each priority in a
process reserves the next send time, the others wait behind it or are refused at once
(registry-17.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from models.errors import RateLimitedError
from worker.registry.clock import Clock
from worker.registry.limits.quotas.quota import INTERACTIVE, SCHEDULED, Quota
from worker.registry.limits.quotas.quota_store import QuotaStore
from worker.registry.limits.rate_limit_headers import ReportedQuota

T = TypeVar("T")

MAX_WAIT_SECONDS_BY_PRIORITY = {INTERACTIVE: 30.0, SCHEDULED: 5.0}
_DEFAULT_MAX_WAIT_SECONDS = 30.0
_REFUSAL_TTL_SECONDS = 0.25
_QUOTA_EXHAUSTED_TEXT = (
    "toomanyrequests: the pull rate limit of the registry is used up; "
    "requests continue when it has recovered"
)


def max_wait_of(priority: str) -> float:
    """Return for how many seconds limits may make a request of this priority wait."""
    return MAX_WAIT_SECONDS_BY_PRIORITY.get(priority, _DEFAULT_MAX_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Reservation:
    """A send time that is taken, None where none is needed; or the time of the next attempt.

    `lead_seconds` is how far ahead a send time may be reserved.
    """

    send_time: float | None
    is_taken: bool
    lead_seconds: float = 0.0


class QuotaLimiter:
    """The limiter of the quota of one registry and credential scope."""

    def __init__(
        self, key: str, *, store: QuotaStore, clock: Clock, member_count: Callable[[], int]
    ) -> None:
        self._key = key
        self._store = store
        self._clock = clock
        self._member_count = member_count
        self._queue_locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._last_retry_time = 0.0
        self._refusal: tuple[str, float, float] | None = None
        self._pending_updates: list[Callable[[Quota], None]] = []
        self._write_lock = asyncio.Lock()
        self._write_task: asyncio.Task[None] | None = None

    @property
    def quota(self) -> Quota:
        """The quota as this process knows it; no I/O."""
        return self._store.peek(self._key)

    @property
    def is_busy(self) -> bool:
        """Whether requests wait, or updates are still to be written."""
        return bool(self._pending_updates) or any(self._waiting.values())

    def now(self) -> float:
        return self._store.now()

    async def acquire(self, kind: str, priority: str) -> float | None:
        """Wait for a send time and return it; None for requests that are not counted.

        Raises RateLimitedError `ratelimit.quota` if the wait would exceed `max_wait_of(priority)`.
        """
        if self.quota.is_uncounted(kind):
            return None
        max_wait = max_wait_of(priority)
        queue_lock = self._queue_locks.setdefault(priority, asyncio.Lock())
        self._reject_early(priority, kind, max_wait)
        started_at = self._clock.now()
        self._waiting[priority] = self._waiting.get(priority, 0) + 1
        try:
            async with queue_lock:
                send_time = await self._wait_for_reservation(kind, priority, max_wait, started_at)
        finally:
            self._waiting[priority] -= 1
        if send_time is None:
            return None
        wait = send_time - self.now()
        if wait > 0:
            try:
                await self._clock.sleep(wait)
            except asyncio.CancelledError:
                self.cancel(send_time)
                raise
        return send_time

    def cancel(self, send_time: float) -> None:
        """Remove a request that was never sent."""
        self._add_update(lambda quota: quota.cancel(send_time))

    def complete(self, send_time: float) -> None:
        """Record that a request ended without a response."""
        now = self.now()

        def update(quota: Quota) -> None:
            quota.complete(send_time, now)

        self._add_update(update)

    def observe_response(
        self,
        reported: ReportedQuota | None,
        kind: str,
        *,
        send_time: float | None,
        duration: float,
        reports_quota: bool,
        uncounted: int = 0,
    ) -> None:
        """Record what a response reports; `duration` is how long its request took, in seconds.

        `uncounted` is the number of other requests in flight. It matters for the first report only:
        those requests were sent before the quota was known.
        """
        now = self.now()

        def update(quota: Quota) -> None:
            is_first = not quota.limit and reported is not None
            quota.observe_response(
                reported,
                kind,
                send_time=send_time,
                now=now,
                reports_quota=reports_quota,
                started_at=now - duration,
            )
            if is_first:
                quota.expect_uncounted(uncounted, now)

        self._add_update(update)

    def mark_exhausted(self, wait: float | None) -> None:
        """Record a 429; `wait` is its `Retry-After` in seconds."""
        now = self.now()
        self._add_update(lambda quota: quota.mark_exhausted(now, wait))

    async def close(self) -> None:
        """Wait until all updates are written."""
        if self._write_task is not None:
            await asyncio.wait([self._write_task])

    async def _wait_for_reservation(
        self, kind: str, priority: str, max_wait: float, started_at: float
    ) -> float | None:
        """Wait until a send time is near enough to be reserved, reserve it and return it."""
        while True:
            reservation = await self._try_reserve(kind, priority)
            if reservation.is_taken:
                return reservation.send_time
            wait = (reservation.send_time or 0.0) - self.now()
            if self._clock.now() - started_at + wait > max_wait:
                self._refusal = (kind, self._clock.now() + _REFUSAL_TTL_SECONDS, wait)
                raise self._rate_limited_error(priority, wait)
            await self._clock.sleep(max(wait - reservation.lead_seconds / 2, 0.001))

    async def _try_reserve(self, kind: str, priority: str) -> _Reservation:
        """Reserve the next send time if it is near enough.

        The update is shielded from cancellation, because a reservation that nothing refers to
        would use up the quota: after a cancellation it is removed again.
        """
        task = asyncio.get_running_loop().create_task(
            self._update(
                lambda quota, now, weight: _reserve_if_near(kind, priority, quota, now, weight)
            )
        )
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._cancel_unclaimed)
            raise

    def _cancel_unclaimed(self, task: asyncio.Task[_Reservation]) -> None:
        if task.cancelled() or task.exception() is not None:
            return
        reservation = task.result()
        if reservation.is_taken and reservation.send_time is not None:
            self.cancel(reservation.send_time)

    async def _update(self, apply: Callable[[Quota, float, int], tuple[T, bool]]) -> T:
        """Apply a change to the quota, after all pending updates.

        While Redis is unavailable the quota is not shared, and each request counts as if every
        other process sent one too: with 4 processes it has a weight of 4 (registry-19.4).
        """
        async with self._write_lock:
            applied = 0

            def update(quota: Quota, now: float, is_synced: bool) -> tuple[T, bool]:
                nonlocal applied
                weight = 1 if is_synced else max(1, self._member_count())
                applied = len(self._pending_updates)
                for pending in self._pending_updates[:applied]:
                    pending(quota)
                result, changed = apply(quota, now, weight)
                return result, changed or applied > 0

            result = await self._store.update(self._key, update)
            del self._pending_updates[:applied]
            return result

    def _reject_early(self, priority: str, kind: str, max_wait: float) -> None:
        """Refuse a scheduled check at once where those before it already wait for too long."""
        if priority != SCHEDULED:
            return
        quota, now = self.quota, self._clock.now()
        if quota.is_uncounted(kind):
            return
        if self._refusal is not None and self._refusal[0] == kind and now < self._refusal[1]:
            raise self._rate_limited_error(priority, self._refusal[2])
        wait = (
            self._waiting.get(priority, 0) * quota.scheduled_interval * self._member_count()
            if quota.limit
            else 0.0
        )
        if wait > max_wait:
            raise self._rate_limited_error(priority, wait)

    def _rate_limited_error(self, priority: str, wait: float) -> RateLimitedError:
        """Return the refusal of a request, with a retry time of its own.

        The retry times of scheduled checks are one interval apart, as if they waited in a queue:
        that spreads the repeated checks over time.
        """
        if priority == SCHEDULED:
            quota, now = self.quota, self._clock.now()
            step = quota.scheduled_interval * self._member_count() if quota.limit else 1.0
            self._last_retry_time = max(self._last_retry_time, now + wait) + step
            wait = max(wait, min(self._last_retry_time - now, quota.span))
        return RateLimitedError(
            _QUOTA_EXHAUSTED_TEXT, code="ratelimit.quota", retry_after=max(wait, 0.001)
        )

    def _add_update(self, update: Callable[[Quota], None]) -> None:
        self._pending_updates.append(update)
        if self._write_task is None or self._write_task.done():
            self._write_task = asyncio.get_running_loop().create_task(self._write_updates())

    async def _write_updates(self) -> None:
        """Write pending updates, unless a reservation has written them meanwhile."""
        while self._pending_updates:
            await self._update(lambda _quota, _now, _weight: (None, False))


def _reserve_if_near(
    kind: str, priority: str, quota: Quota, now: float, weight: int
) -> tuple[_Reservation, bool]:
    if not quota.limit or quota.is_uncounted(kind):
        return _Reservation(None, is_taken=True), False
    send_time = quota.next_send_time(kind, priority, now, weight)
    lead_seconds = max_wait_of(priority) if priority == INTERACTIVE else quota.horizon
    if send_time - now > lead_seconds:
        return _Reservation(
            send_time, is_taken=False, lead_seconds=0.0 if priority == INTERACTIVE else lead_seconds
        ), False
    quota.take(kind, priority, send_time, now, weight)
    return _Reservation(send_time, is_taken=True), True
