"""Concurrency limits: how many requests this process may have in flight at a registry.

The limit adapts (registry-18.1): it starts low, grows by one with every fifty responses, and halves
when the registry is overloaded. A sixteenth is reserved for interactive requests (registry-18.3).
`LocalConcurrencyLimit` is for one process, `RedisConcurrencyLimit` in `shared_concurrency` shares a
limit among processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.quotas.quota_store import LocalQuotaStore, QuotaStore

SUCCESSES_TO_GROW = 50
RESERVE_DIVISOR = 16
DEFAULT_INITIAL_CONCURRENCY = 8
DEFAULT_MAX_CONCURRENCY = 16


class HostLoad(Protocol):
    """The load of a registry host, as a concurrency limit sees it, and what it reports back."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def started(self) -> int:
        """How many requests have been started."""

    @property
    def interactive_count(self) -> int:
        """How many of the requests in flight and waiting are interactive."""

    @property
    def is_interactive_unserved(self) -> bool:
        """Whether interactive requests wait while none of them is in flight."""

    def admit(self) -> None:
        """Admit waiting requests: the limit may have grown."""

    def adopt_open_breaker(self, seconds: float, text: str) -> None:
        """Open the circuit breaker for `seconds`: another process found the registry down."""

    def apply_limit(self, limit_key: str, seconds: float) -> None:
        """Apply a limit that another process published; see `redis_pubsub`."""

    def active_limits(self) -> Mapping[str, float]:
        """Return the limits that other processes should know, and the seconds each lasts."""


class ConcurrencyLimit(Protocol):
    """This process's part of one registry's concurrency limit. Reading it costs no I/O.

    `limit` requests may be in flight, of which `interactive_reserve` are for interactive requests
    only. `rate_fraction` is our part of the registry's rate, and `member_count` the number of
    processes that share the registry.
    """

    limit: int
    member_count: int

    @property
    def interactive_reserve(self) -> int: ...

    @property
    def rate_fraction(self) -> float: ...

    def resize(self, budget: ConcurrencyBudget) -> None:
        """Apply a budget that the operator has changed."""

    def publish_limit(self, limit_key: str, seconds: float) -> None:
        """Publish a limit to all processes that share the registry."""

    def record_success(self) -> None:
        """Record a response that shows no overload."""

    def record_overload(self) -> None:
        """Record an overload: 408, 429, 503, 504 or a timeout."""

    def request_more(self) -> None:
        """Request a higher limit: requests wait because it is used up."""

    def breaker_opened(self, seconds: float, text: str) -> None:
        """Publish that the registry is down, so that other processes need not find out."""

    def breaker_closed(self) -> None:
        """Publish that the registry is available again."""


class LimitBackend(Protocol):
    """The source of concurrency limits and quotas: this process alone, or Redis."""

    quota_store: QuotaStore

    def build_concurrency_limit(
        self, host: str, budget: ConcurrencyBudget, load: HostLoad
    ) -> ConcurrencyLimit:
        """Return this process's part of the concurrency limit of `host`."""

    async def close(self) -> None:
        """Release every lease."""


@dataclass(frozen=True, slots=True)
class ConcurrencyBudget:
    """Requests in flight at one registry: the initial limit, and the maximum."""

    initial: int = DEFAULT_INITIAL_CONCURRENCY
    maximum: int = DEFAULT_MAX_CONCURRENCY

    @property
    def initial_limit(self) -> int:
        return max(1, min(self.initial, self.maximum))


def interactive_reserve_of(limit: int) -> int:
    """Return how many permits of a limit are reserved for interactive requests."""
    return max(1, limit // RESERVE_DIVISOR) if limit > 1 else 0


class LocalConcurrencyLimit:
    """The concurrency limit of a process that shares its registries with no other."""

    rate_fraction = 1.0

    def __init__(self, budget: ConcurrencyBudget, load: HostLoad) -> None:
        self.limit = budget.initial_limit
        self.member_count = 1
        self._budget = budget
        self._load = load
        self._successes = 0
        self._overloads_to_ignore = 0

    @property
    def interactive_reserve(self) -> int:
        return interactive_reserve_of(self.limit)

    def resize(self, budget: ConcurrencyBudget) -> None:
        if budget.initial_limit != self._budget.initial_limit:
            self.limit = budget.initial_limit
        self.limit = min(self.limit, budget.maximum)
        self._budget = budget
        self._load.admit()

    def publish_limit(self, limit_key: str, seconds: float) -> None:
        """Do nothing: no other process shares the registry."""

    def record_success(self) -> None:
        if self._overloads_to_ignore:
            self._overloads_to_ignore -= 1
        self._successes += 1
        if self._successes >= SUCCESSES_TO_GROW:
            self._successes = 0
            if self.limit < self._budget.maximum:
                self.limit += 1
                self._load.admit()

    def record_overload(self) -> None:
        """Halve the limit, once for all requests in flight: a burst of overloads counts once.

        Example: with 8 in flight, the first 429 halves the limit, and the responses to the other 7,
        which were sent under the old limit, are not counted as overloads.
        """
        self._successes = 0
        if min(self._overloads_to_ignore, self._load.in_flight):
            self._overloads_to_ignore -= 1
            return
        self.limit = max(1, self.limit // 2)
        self._overloads_to_ignore = max(0, self._load.in_flight - 1)

    def request_more(self) -> None:
        """Do nothing: the whole limit is already ours."""

    def breaker_opened(self, seconds: float, text: str) -> None:
        """Do nothing: no other process shares the registry."""

    def breaker_closed(self) -> None:
        """Do nothing: no other process shares the registry."""


class LocalLimitBackend:
    """Limits of a process that shares its registries with no other."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.quota_store: QuotaStore = LocalQuotaStore(clock)

    def build_concurrency_limit(
        self,
        host: str,  # noqa: ARG002 - the shared backend needs it
        budget: ConcurrencyBudget,
        load: HostLoad,
    ) -> LocalConcurrencyLimit:
        return LocalConcurrencyLimit(budget, load)

    async def close(self) -> None:
        """Do nothing: nothing was leased."""
