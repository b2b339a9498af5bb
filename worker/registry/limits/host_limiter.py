"""Limits of one registry host: concurrency, fair queueing, circuit breaker, cooldowns, quotas.

Every request acquires a permit of its host's limiter and reports how it ended (registry-15.4,
registry-15.8, registry-18.1, imports-7.7, imports-4.11). The circuit breaker stops all requests to
a registry that is down; a 429 starts a cooldown for the credential that was used, and for no other;
a quota that the registry has shown is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

import httpx

from models.errors import RateLimitedError, RegistryError, TransientRegistryError
from worker.registry.clock import Clock
from worker.registry.host_policy import HostHealth, HostPolicy, Observer
from worker.registry.limits.circuit_breaker import CircuitBreaker, RollingCounts
from worker.registry.limits.concurrency import ConcurrencyBudget, LimitBackend
from worker.registry.limits.credential_limits import CredentialLimits
from worker.registry.limits.fair_queue import FairQueue, ProcessConcurrency
from worker.registry.limits.host_permit import HostPermit
from worker.registry.limits.rate_limit_headers import LimitHeaders, parse_limit_headers
from worker.registry.registry_types import ANONYMOUS, CHALLENGE_PROBE
from worker.registry.request_context import RequestContext

MAX_RETRY_PAUSE_SECONDS = 30.0  # above it the request fails, and its job is retried later
MIN_RETRY_BUDGET = 10
RETRY_BUDGET_DIVISOR = 10
_MAX_TENANT_ERRORS = 256
_TRANSIENT_STATUSES = frozenset({408, 425, 499, 500, 502, 503, 504, *range(520, 528)})
_OVERLOAD_STATUSES = frozenset({408, 429, 503, 504})


class HostLimiter:
    """The limiter of one registry host in this process."""

    def __init__(
        self,
        name: str,
        *,
        limit_backend: LimitBackend,
        budget: ConcurrencyBudget,
        process_concurrency: ProcessConcurrency,
        policy: Callable[[], HostPolicy],
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker()
        self.observer = observer
        self._clock = clock
        self._budget = budget
        self._current_policy = policy
        self._policy = policy()
        self._queue = FairQueue(
            process_concurrency=process_concurrency, rate=self._policy.rate, clock=clock
        )
        self._concurrency = self._queue.concurrency = limit_backend.build_concurrency_limit(
            name, self._policy.budget(budget), self
        )
        self._request_counts = RollingCounts()
        self._credential_limits = CredentialLimits(
            name, concurrency=self._concurrency, quota_store=limit_backend.quota_store, clock=clock
        )
        self._last_error_by_tenant: OrderedDict[str, str] = OrderedDict()
        self._last_error = ""

    def permit(
        self, request_context: RequestContext, *, scope: str | None = None, kind: str = "other"
    ) -> HostPermit:
        """Return a permit to enter: `async with host.permit(request_context) as permit:`.

        Entering waits until the request may be sent. It raises TransientRegistryError
        `circuit.open`, with the text of the last failure, while the circuit breaker is open
        (registry-15.6). With `scope`, the credential scope that the request will use, it waits for
        the scope's cooldown and quota, and raises RateLimitedError where that takes longer than
        30 s, or 5 s if scheduled. `kind` is the kind of the request (`RegistryRequest.kind`):
        a quota may count only some kinds.
        """
        return HostPermit(self, request_context, scope, kind)

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return self._concurrency.limit

    @property
    def in_flight(self) -> int:
        """How many requests were sent and are not answered."""
        return self._queue.in_flight

    @property
    def waiting(self) -> int:
        """How many requests wait for a permit."""
        return self._queue.waiting

    @property
    def started(self) -> int:
        """How many requests have been started."""
        return self._queue.started

    @property
    def interactive_count(self) -> int:
        """How many interactive requests are in flight or wait."""
        return self._queue.interactive_count

    @property
    def is_interactive_unserved(self) -> bool:
        """Whether interactive requests wait while none of them is in flight."""
        return self._queue.is_interactive_unserved

    @property
    def is_breaker_open(self) -> bool:
        """Whether the circuit breaker refuses requests now."""
        return self.breaker.refuses(self._clock.now())

    @property
    def is_idle(self) -> bool:
        """Whether this limiter can be dropped without loss."""
        is_busy = self._queue.in_flight or self._queue.waiting
        return not is_busy and not self.is_breaker_open and not self.active_limits()

    def health(self) -> HostHealth:
        """Return the health of the host, as this process knows it; no I/O."""
        now = self._clock.now()
        open_until = self.breaker.open_until
        state = "closed" if open_until is None else "open" if now < open_until else "half-open"
        return HostHealth(
            host=self.name,
            in_flight=self.in_flight,
            limit=self.limit,
            waiting=self.waiting,
            breaker=state,
            seconds_until_probe=0.0 if open_until is None else max(0.0, open_until - now),
            last_error="" if open_until is None else self._last_error,
            cooldowns=self._credential_limits.cooldowns(),
            quotas=self._credential_limits.quotas(),
        )

    # responses

    def record_response(
        self,
        status: int,
        headers: httpx.Headers | None = None,
        *,
        scope: str | None = None,
        permit: HostPermit | None = None,
    ) -> None:
        """Record a response: its status, and the limits in its headers.

        `scope` is the credential scope of those limits; without it no cooldown starts. `permit` is
        the permit by which the request was sent, where it is known; its scope then counts.
        """
        if headers is not None:
            limit_headers = parse_limit_headers(headers.raw, now=self._clock.wall())
            self._observe_limits(status, limit_headers, scope, permit)
        if status in _OVERLOAD_STATUSES:
            self._concurrency.record_overload()
        else:
            self._concurrency.record_success()
        if status in _TRANSIENT_STATUSES:
            self._last_error_by_tenant.clear()
            self._count_failure(f"received unexpected HTTP status: {_phrase_of(status)}")
            return
        if self._last_error_by_tenant:
            self._last_error_by_tenant.clear()
        if self.breaker.record_response(self._clock.now()):
            self._concurrency.breaker_closed()
            self._notify_breaker("closed")

    def record_success(
        self, headers: httpx.Headers | None = None, *, scope: str | None = None
    ) -> None:
        """Record a response of status 200."""
        self.record_response(HTTPStatus.OK, headers, scope=scope)

    def record_failure(self, error: RegistryError) -> None:
        """Record a failure; only transient ones count for the circuit breaker (registry-15.5)."""
        if isinstance(error, RateLimitedError):
            self.record_response(HTTPStatus.TOO_MANY_REQUESTS)
            return
        if not isinstance(error, TransientRegistryError) or error.code == "circuit.open":
            return
        if error.code.endswith("timeout"):
            self._concurrency.record_overload()
        self._count_failure(f'Get "https://{self.name}/v2/": the registry does not answer')

    def start_cooldown(
        self, retry_after: float | None, scope: str, text: str = "toomanyrequests"
    ) -> None:
        """Start a cooldown for `scope` of `retry_after` seconds; with None there is no cooldown."""
        self._queue.rate_limiter.limits_bulk = True
        if retry_after is not None:
            self._credential_limits.start_cooldown(scope, retry_after, text)

    def take_retry(self) -> bool:
        """Take one retry out of the retry budget; return whether there was one.

        The budget is a tenth of the requests of the last minute, at least 10 (registry-15.3).
        """
        now = self._clock.now()
        requests, retries = self._request_counts.totals(now)
        if retries >= max(MIN_RETRY_BUDGET, requests // RETRY_BUDGET_DIVISOR):
            return False
        self._request_counts.add(now, in_total=False, in_subset=True)
        return True

    # permits

    async def acquire(self, permit: HostPermit) -> None:
        """Wait until a request may be sent; see `permit`."""
        policy = self._current_policy()
        if policy is not self._policy:
            self._apply_policy(policy)
        started_at = self._clock.now()
        try:
            await self._acquire(permit, started_at)
        except BaseException:
            self._credential_limits.cancel(permit)
            raise

    async def _acquire(self, permit: HostPermit, started_at: float) -> None:
        queue, tenant = self._queue, permit.request_context.tenant
        priority = permit.priority
        cost = 0 if permit.kind == "token" else 1
        while True:
            if permit.scope is not None and self._credential_limits:
                cost = await self._credential_limits.acquire(permit, permit.scope, started_at)
            now = self._clock.now()
            if self.breaker.open_until is not None and self.breaker.refuses(now):
                raise self._breaker_open_error(tenant)
            if not queue.try_acquire(priority, tenant, cost):
                await queue.acquire(priority, tenant, cost)
                if self._must_reacquire(permit):
                    queue.release(priority, tenant)
                    continue
            permit.is_probe = self.breaker.open_until is not None and self.breaker.start_probe()
            if permit.is_probe:
                self._notify_breaker("half-open")
            self._request_counts.add(now)
            permit.started_at = now
            if self.observer is not None:
                self.observer.waited(
                    self.name, permit.request_context.priority, self._clock.now() - started_at
                )
            return

    def release(self, permit: HostPermit, error: BaseException | None) -> None:
        """Return a permit and admit the next request; `error` is what ended the request."""
        if isinstance(error, TransientRegistryError):
            self._record_tenant_error(permit.request_context.tenant, error.text)
        if permit.is_probe:
            self.breaker.abandon_probe()
        if permit.send_time is not None and not permit.is_completed:
            self._credential_limits.complete(permit)
        self._queue.release(permit.priority, permit.request_context.tenant)

    def _must_reacquire(self, permit: HostPermit) -> bool:
        """Return whether a cooldown, a quota or an open circuit breaker came up while we waited."""
        if self.breaker.open_until is not None and self.breaker.refuses(self._clock.now()):
            return True
        return bool(self._credential_limits) and self._credential_limits.must_reacquire(permit)

    def _apply_policy(self, policy: HostPolicy) -> None:
        """Apply a policy that the operator has changed; it takes effect at once."""
        if policy != self._policy:
            self._concurrency.resize(policy.budget(self._budget))
            self._queue.rate_limiter.set_rate(policy.rate * self._concurrency.rate_fraction)
        self._policy = policy

    def _observe_limits(
        self,
        status: int,
        limit_headers: LimitHeaders | None,
        scope: str | None,
        permit: HostPermit | None,
    ) -> None:
        is_rate_limited = status == HTTPStatus.TOO_MANY_REQUESTS
        if limit_headers is not None or is_rate_limited:
            self._queue.rate_limiter.limits_bulk = True
        if limit_headers is None and not self._credential_limits:
            return
        if permit is not None:
            scope = permit.scope
            if scope == CHALLENGE_PROBE and status not in {HTTPStatus.UNAUTHORIZED, 429}:
                scope = ANONYMOUS
        if scope is None:
            return
        if is_rate_limited and limit_headers is not None and limit_headers.retry_after is not None:
            self._credential_limits.start_cooldown(
                scope, limit_headers.retry_after, "toomanyrequests"
            )
        uncounted = max(0, self._queue.in_flight - 1)
        reported = self._credential_limits.observe_response(
            status, limit_headers, scope, permit, uncounted=uncounted
        )
        if self.observer is not None and reported is not None:
            self.observer.quota(self.name, scope, reported.limit, reported.remaining)

    async def close(self) -> None:
        """Write pending updates of the quotas."""
        await self._credential_limits.flush()

    # health

    def _count_failure(self, text: str) -> None:
        """Count a transient failure for the circuit breaker.

        Every tenant may read `text`, so it must name no repository.
        """
        now = self._clock.now()
        self._last_error = text
        if self.breaker.record_failure(now):
            self._queue.reject_all(self._breaker_open_error)
            self._concurrency.breaker_opened((self.breaker.open_until or now) - now, text)
            self._notify_breaker("open")

    def _record_tenant_error(self, tenant: str, text: str) -> None:
        self._last_error_by_tenant[tenant] = text
        self._last_error_by_tenant.move_to_end(tenant)
        if len(self._last_error_by_tenant) > _MAX_TENANT_ERRORS:
            self._last_error_by_tenant.popitem(last=False)

    def _breaker_open_error(self, tenant: str) -> TransientRegistryError:
        """Return the error of an open circuit breaker, with the text of the last failure.

        The text is repeated unchanged, so that no condition changes (imports-5.7, imports-7.7).
        Errors name repositories, hence each tenant gets its own last one, and tenants without one a
        text that names no repository (registry-15.6).
        """
        text = self._last_error_by_tenant.get(tenant) or self._last_error
        return TransientRegistryError(text, code="circuit.open")

    def _notify_breaker(self, state: str) -> None:
        if self.observer is not None:
            self.observer.breaker(self.name, state)

    # updates of other processes

    def admit(self) -> None:
        """Admit waiting requests after our part of the concurrency limit has changed."""
        self._queue.rate_limiter.set_rate(self._policy.rate * self._concurrency.rate_fraction)
        self._queue.admit()

    def adopt_open_breaker(self, seconds: float, text: str) -> None:
        """Open the circuit breaker: another process found the registry down."""
        self._last_error = self._last_error or text
        self.breaker.adopt_open(self._clock.now() + seconds)
        if self.is_breaker_open:
            self._queue.reject_all(self._breaker_open_error)

    def apply_limit(self, limit_key: str, seconds: float) -> None:
        """Apply a limit that another process published."""
        self._queue.rate_limiter.limits_bulk = True
        self._credential_limits.apply_limit(limit_key, seconds)

    def active_limits(self) -> dict[str, float]:
        """Return the limits that other processes should know (registry-19.5)."""
        if not self._credential_limits:
            return {}
        return self._credential_limits.active_limits(
            is_busy=bool(self._queue.in_flight or self._queue.waiting)
        )


def _phrase_of(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
