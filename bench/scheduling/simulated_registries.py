"""Simulated registries: their latency, their faults, and the limits that workers keep for them.

The circuit breaker is the product's own; only its clock is simulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from math import inf

from models.errors import RateLimitedError, RegistryError, TagstreamError, TransientRegistryError
from worker.registry.limits.circuit_breaker import CircuitBreaker

LATENCY_SECONDS = 0.05
REQUEST_TIMEOUT_SECONDS = 30.0  # of one request
CHECK_TIMEOUT_SECONDS = 60.0  # of a request with its retries
MAX_ATTEMPTS = 3
RETRY_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a registry from `start` to `end`, in seconds.

    `hung` never responds, `limited` responds with 429 and a Retry-After that lasts to the end,
    `flapping` is unavailable in every other `period`.
    """

    kind: str = ""
    start: float = inf
    end: float = -inf
    period: float = 90.0

    def kind_at(self, now: float) -> str:
        """Return the kind of the fault if it is active now, else an empty string."""
        if not self.start <= now < self.end:
            return ""
        if self.kind == "flapping" and int((now - self.start) / self.period) % 2:
            return ""
        return self.kind


@dataclass(slots=True)
class SimulatedRegistry:
    """A registry and the counts of its requests."""

    fault: Fault = Fault()
    requests: int = 0
    requests_in_fault: int = 0  # requests during its fault
    requests_before_retry_after: int = 0  # requests before the end of its Retry-After
    requests_by_minute: Counter[int] = field(default_factory=Counter)
    _retry_after_since: float = inf  # when it first responded with a Retry-After

    def answer(self, now: float) -> tuple[float, str, float]:
        """Return the seconds until the response, the kind of fault, and the Retry-After."""
        self.requests += 1
        self.requests_by_minute[int(now / 60)] += 1
        self.requests_in_fault += self.fault.start <= now < self.fault.end
        self.requests_before_retry_after += self._retry_after_since <= now < self.fault.end
        fault_kind = self.fault.kind_at(now)
        if fault_kind == "hung":
            return REQUEST_TIMEOUT_SECONDS, fault_kind, 0.0
        if fault_kind == "limited":
            self._retry_after_since = min(self._retry_after_since, now + LATENCY_SECONDS)
            return LATENCY_SECONDS, fault_kind, self.fault.end - now
        return LATENCY_SECONDS, fault_kind, 0.0


@dataclass(slots=True)
class RegistryState:
    """What workers know of a registry: its circuit breaker and its cooldown."""

    registry: SimulatedRegistry
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    cooldown_until: float = -inf

    def check(self, now: float) -> Generator[float, float, TagstreamError | None]:
        """Run a check that starts now. Yields the time until which it waits; returns its error, if
        any.
        """
        started = now
        error: TagstreamError | None = None
        for _ in range(MAX_ATTEMPTS):
            if self.breaker.refuses(now):
                return error or TransientRegistryError("the registry is down", code="circuit.open")
            if now < self.cooldown_until:
                return RateLimitedError("toomanyrequests", retry_after=self.cooldown_until - now)
            self.breaker.start_probe()
            duration, fault_kind, retry_after = self.registry.answer(now)
            if now + duration > started + CHECK_TIMEOUT_SECONDS:
                now = yield started + CHECK_TIMEOUT_SECONDS
                self.breaker.abandon_probe()
                return RegistryError("the check takes too long", code="net.deadline")
            now = yield now + duration
            if not fault_kind:
                self.breaker.record_response(now)
                return None
            if fault_kind == "limited":
                self.breaker.record_response(now)
                self.cooldown_until = now + retry_after
                return RateLimitedError("toomanyrequests", retry_after=retry_after)
            self.breaker.record_failure(now)
            code = "net.timeout" if fault_kind == "hung" else "http.5xx"
            error = TransientRegistryError("the registry is down", code=code)
            now = yield now + RETRY_PAUSE_SECONDS
        return error
