"""Policy, health and observer of a registry host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worker.registry.limits.concurrency import ConcurrencyBudget

DEFAULT_CHECKS_PER_SECOND = 50.0


@dataclass(frozen=True)
class HostPolicy:
    """What the operator decided for one registry host (registry-18.1, registry-18.5).

    `rate` is in scheduled checks a second, 0 for no limit. `concurrency` and `initial_concurrency`
    count requests in flight; None means that the settings apply.
    """

    rate: float = DEFAULT_CHECKS_PER_SECOND
    concurrency: int | None = None
    initial_concurrency: int | None = None

    def budget(self, default: ConcurrencyBudget) -> ConcurrencyBudget:
        """Return the concurrency budget of this policy; unset fields come from `default`."""
        if self.concurrency is None and self.initial_concurrency is None:
            return default
        initial = default.initial if self.initial_concurrency is None else self.initial_concurrency
        return ConcurrencyBudget(
            initial, default.maximum if self.concurrency is None else self.concurrency
        )


@dataclass(frozen=True)
class HostHealth:
    """The health of a registry host, as far as one process knows.

    `breaker` is "closed", "open" or "half-open"; `seconds_until_probe` is the time until an open
    circuit breaker admits a probe, 0 otherwise. `cooldowns` holds (credential scope, seconds left),
    `quotas` holds (credential scope, limit, remaining, seconds left of the window).
    """

    host: str
    in_flight: int
    limit: int
    waiting: int
    breaker: str
    seconds_until_probe: float
    last_error: str
    cooldowns: tuple[tuple[str, float], ...]
    quotas: tuple[tuple[str, int, int, float], ...]


class Observer(Protocol):
    """Receives events of the limiters, for metrics.

    It is called on the event loop for every request, so it must return quickly.
    """

    def waited(self, host: str, priority: str, seconds: float) -> None:
        """Record that a request got its permit after waiting for `seconds`."""

    def breaker(self, host: str, state: str) -> None:
        """Record that the circuit breaker is now "closed", "open" or "half-open"."""

    def quota(self, host: str, scope: str, limit: int, remaining: int) -> None:
        """Record the quota that the registry reported for a credential scope."""
