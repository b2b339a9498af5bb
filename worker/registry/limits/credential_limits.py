"""Limits per credential scope of one registry: cooldowns and quotas (registry-15.8, registry-17.1).

The object is false as long as the registry has shown no limit, so that requests skip all checks.
"""

from __future__ import annotations

from http import HTTPStatus

from worker.registry.clock import Clock
from worker.registry.limits.concurrency import ConcurrencyLimit
from worker.registry.limits.cooldown import Cooldowns
from worker.registry.limits.host_permit import HostPermit
from worker.registry.limits.quotas.quota_limiter import QuotaLimiter, max_wait_of
from worker.registry.limits.quotas.quota_store import QuotaStore
from worker.registry.limits.rate_limit_headers import LimitHeaders, ReportedQuota
from worker.registry.limits.redis_pubsub import COOLDOWN_PREFIX, QUOTA_PREFIX
from worker.registry.registry_types import CHALLENGE_PROBE

_MAX_QUOTA_LIMITERS = 1024
# Responses that have quota headers if the registry has a quota at all (registry-16.3).
_QUOTA_REPORTING_STATUSES = frozenset({200, 206, 304, 404})
_EXTRA_TTL_SECONDS = 60.0


class CredentialLimits:
    """The cooldowns and quotas of one registry."""

    def __init__(
        self, host: str, *, concurrency: ConcurrencyLimit, quota_store: QuotaStore, clock: Clock
    ) -> None:
        self._host = host
        self._concurrency = concurrency
        self._quota_store = quota_store
        self._clock = clock
        self._cooldowns = Cooldowns(clock)
        self._quota_limiters: dict[str, QuotaLimiter] = {}

    def __bool__(self) -> bool:
        return bool(self._cooldowns or self._quota_limiters)

    async def acquire(self, permit: HostPermit, scope: str, started_at: float) -> int:
        """Wait for the cooldown and the quota of a scope; return the cost of the permit.

        The cost counts against the registry's rate. Raises RateLimitedError `ratelimit.quota` where
        the wait would exceed that of the request's priority (registry-17.6).
        """
        priority, max_wait = (
            permit.request_context.priority,
            max_wait_of(permit.request_context.priority),
        )
        while seconds := self._cooldowns.remaining_seconds(scope):
            if self._clock.now() - started_at + seconds > max_wait:
                raise self._cooldowns.rate_limited_error(scope, seconds)
            await self._clock.sleep(seconds)
        if permit.kind == "token":
            return 0
        limiter = self._quota_limiters.get(scope)
        if limiter is None:
            return 1
        if permit.send_time is None and not permit.is_uncounted:
            permit.send_time = await limiter.acquire(permit.kind, priority)
            permit.is_uncounted = permit.send_time is None
        if permit.is_uncounted and permit.kind == "head":
            quota = limiter.quota  # free HEADs go on at half rate (registry-17.4)
            return 2 if quota.limit and quota.remaining(limiter.now()) <= quota.low_watermark else 1
        return 1

    def must_reacquire(self, permit: HostPermit) -> bool:
        """Return whether a cooldown has started, or a quota appeared, while the request waited."""
        if permit.scope is None:
            return False
        is_new = permit.send_time is None and not permit.is_uncounted and permit.kind != "token"
        return self._cooldowns.remaining_seconds(permit.scope) > 0 or (
            is_new and permit.scope in self._quota_limiters
        )

    def cancel(self, permit: HostPermit) -> None:
        """Remove a request that was never sent from its quota."""
        if permit.send_time is not None:
            self._quota_limiter(permit.scope or "").cancel(permit.send_time)
            permit.send_time = None

    def complete(self, permit: HostPermit) -> None:
        """Record in the quota that a request ended without a response."""
        if permit.send_time is not None:
            self._quota_limiter(permit.scope or "").complete(permit.send_time)

    def start_cooldown(self, scope: str, seconds: float, text: str) -> None:
        """Start a cooldown of `seconds` for a scope, and publish it."""
        if self._cooldowns.start(scope, seconds, text):
            self._concurrency.publish_limit(COOLDOWN_PREFIX + scope, seconds)

    def observe_response(
        self,
        status: int,
        limit_headers: LimitHeaders | None,
        scope: str,
        permit: HostPermit | None,
        *,
        uncounted: int,
    ) -> ReportedQuota | None:
        """Record what a response reports of the quota, and return it.

        `uncounted` is the number of other requests in flight; they were sent before the quota was
        known.
        """
        reported = limit_headers.quota if limit_headers is not None else None
        is_known = scope in self._quota_limiters
        if scope == CHALLENGE_PROBE or not (is_known or reported is not None):
            return None
        kind, send_time = ("other", None) if permit is None else (permit.kind, permit.send_time)
        if kind == "token":
            return None
        limiter = self._quota_limiter(scope)
        if not is_known and reported is not None:
            self._concurrency.publish_limit(
                QUOTA_PREFIX + scope, max(reported.period, reported.window) + _EXTRA_TTL_SECONDS
            )
        if permit is not None:
            permit.is_completed = True
        if status == HTTPStatus.UNAUTHORIZED and reported is None:
            if send_time is not None:
                limiter.cancel(send_time)  # a challenge: it is not counted (registry-17.5)
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            limiter.mark_exhausted(limit_headers.retry_after if limit_headers is not None else None)
        duration = 0.0 if permit is None else self._clock.now() - permit.started_at
        limiter.observe_response(
            reported,
            kind,
            send_time=send_time,
            duration=duration,
            reports_quota=status in _QUOTA_REPORTING_STATUSES,
            uncounted=uncounted,
        )
        return reported

    def apply_limit(self, limit_key: str, seconds: float) -> None:
        """Apply a limit that another process published."""
        if limit_key.startswith(COOLDOWN_PREFIX):
            self._cooldowns.start(
                limit_key.removeprefix(COOLDOWN_PREFIX), seconds, "toomanyrequests"
            )
        elif limit_key.startswith(QUOTA_PREFIX):
            self._quota_limiter(limit_key.removeprefix(QUOTA_PREFIX))

    def active_limits(self, *, is_busy: bool) -> dict[str, float]:
        """Return the limits to publish and the seconds each lasts; drop those that have expired."""
        self._cooldowns.drop_expired()
        limits = {
            COOLDOWN_PREFIX + scope: seconds for scope, seconds in self._cooldowns.active().items()
        }
        for scope, limiter in list(self._quota_limiters.items()):
            quota = limiter.quota
            remaining_seconds = max(quota.reported_at + quota.span, quota.reset_at) - limiter.now()
            if quota.limit and remaining_seconds > 0:
                limits[QUOTA_PREFIX + scope] = remaining_seconds + _EXTRA_TTL_SECONDS
            elif quota.limit and not is_busy and not limiter.is_busy:
                del self._quota_limiters[scope]
        return limits

    def cooldowns(self) -> tuple[tuple[str, float], ...]:
        """Return the scopes in cooldown, and the seconds until each ends."""
        return tuple(self._cooldowns.active().items())

    def quotas(self) -> tuple[tuple[str, int, int, float], ...]:
        """Return (scope, limit, remaining, seconds until the window ends) of each quota."""
        found = []
        for scope, limiter in self._quota_limiters.items():
            quota, now = limiter.quota, limiter.now()
            if not quota.is_expired(now):
                window_end = (
                    quota.reset_at if quota.reset_at > now else quota.reported_at + quota.window
                )
                found.append((scope, quota.limit, quota.remaining(now), max(0.0, window_end - now)))
        return tuple(found)

    async def flush(self) -> None:
        """Write pending updates of all quotas."""
        for limiter in self._quota_limiters.values():
            await limiter.close()

    def _quota_limiter(self, scope: str) -> QuotaLimiter:
        found = self._quota_limiters.get(scope)
        if found is None:
            if len(self._quota_limiters) >= _MAX_QUOTA_LIMITERS:
                self.active_limits(is_busy=False)
            found = self._quota_limiters[scope] = QuotaLimiter(
                f"{self._host} {scope}",
                store=self._quota_store,
                clock=self._clock,
                member_count=lambda: self._concurrency.member_count,
            )
        return found
