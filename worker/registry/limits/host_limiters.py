"""The host limiters of a process: one for each registry host, with its policy and its health.

They share the process-wide maximum of requests in flight (registry-18.1, registry-18.2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.host_policy import DEFAULT_CHECKS_PER_SECOND, HostHealth, HostPolicy, Observer
from worker.registry.limits.concurrency import (
    DEFAULT_INITIAL_CONCURRENCY,
    DEFAULT_MAX_CONCURRENCY,
    ConcurrencyBudget,
    LimitBackend,
    LocalLimitBackend,
)
from worker.registry.limits.fair_queue import MAX_PROCESS_CONCURRENCY, ProcessConcurrency
from worker.registry.limits.host_limiter import HostLimiter
from worker.registry.registry_types import SourceRepository

__all__ = ["HostHealth", "HostLimiter", "HostLimiters", "HostPolicy", "Observer"]

MAX_HOSTS = 4096


class HostLimiters:
    """The limiters of all registry hosts that this process has used lately, on one event loop.

    `policy_of` returns the operator's policy for a host name. It is called before every request, so
    it must be fast, and a changed policy takes effect at once. `observer` receives events.
    """

    def __init__(
        self,
        *,
        initial_concurrency: int = DEFAULT_INITIAL_CONCURRENCY,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        limit_backend: LimitBackend | None = None,
        rate: float = DEFAULT_CHECKS_PER_SECOND,
        max_process_concurrency: int = MAX_PROCESS_CONCURRENCY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._limit_backend = limit_backend or LocalLimitBackend(clock)
        self._budget = ConcurrencyBudget(initial_concurrency, max_concurrency)
        self._process_concurrency = ProcessConcurrency(max_process_concurrency)
        self._clock = clock
        self._hosts: OrderedDict[str, HostLimiter] = OrderedDict()
        self._observer: Observer | None = None
        default = HostPolicy(rate=rate)
        self.policy_of: Callable[[str], HostPolicy] = lambda _host: default

    @property
    def observer(self) -> Observer | None:
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = observer
        for host in self._hosts.values():
            host.observer = observer

    def host(self, source: SourceRepository) -> HostLimiter:
        """Return the limiter of the host that serves a repository's API."""
        name = source.api_host
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = HostLimiter(
                name,
                limit_backend=self._limit_backend,
                budget=self._budget,
                process_concurrency=self._process_concurrency,
                policy=lambda: self.policy_of(name),
                clock=self._clock,
                observer=self._observer,
            )
            self._forget_idle_hosts(new=name)
        return found

    def health(self) -> list[HostHealth]:
        """Return the health of each registry host that this process has used lately; no I/O."""
        return [host.health() for host in self._hosts.values()]

    async def close(self) -> None:
        """Release every lease."""
        for host in self._hosts.values():
            await host.close()
        await self._limit_backend.close()

    def _forget_idle_hosts(self, *, new: str) -> None:
        if len(self._hosts) > MAX_HOSTS:
            idle = [name for name, host in self._hosts.items() if host.is_idle]
            for name in idle[: MAX_HOSTS // 4]:
                if name != new:
                    del self._hosts[name]
