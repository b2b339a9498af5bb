"""Every registry that a process asks, what its operator says of each, and how each fares.

`registry.md` 4.4; one registry is `host.Host`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.host_policy import RATE, HostHealth, HostPolicy, Observer
from worker.registry.limits.concurrency import MOST, START, Budget, LocalSlots, Slots
from worker.registry.limits.fair_queue import MOST_SOCKETS, Sockets
from worker.registry.limits.host_limiter import Host
from worker.registry.registry_types import Place

__all__ = ["Host", "HostHealth", "HostPolicy", "Hosts", "Observer"]

MOST_HOSTS = 4096


class Hosts:
    """Every registry that this process has asked lately. Belongs to one event loop.

    `policies` says, by the name of a host, what its operator wants; it is asked before every
    request, so it should be quick, and what it says holds at once. `observer` hears what happens.
    """

    def __init__(
        self,
        *,
        start: int = START,
        most: int = MOST,
        slots: Slots | None = None,
        rate: float = RATE,
        sockets: int = MOST_SOCKETS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._slots = slots or LocalSlots(clock)
        self._budget = Budget(start, most)
        self._sockets = Sockets(sockets)
        self._clock = clock
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._observer: Observer | None = None
        default = HostPolicy(rate=rate)
        self.policies: Callable[[str], HostPolicy] = lambda _host: default

    @property
    def observer(self) -> Observer | None:
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = observer
        for host in self._hosts.values():
            host.observer = observer

    def host(self, place: Place) -> Host:
        """The registry of a place, by the host that serves its API."""
        name = place.api_host
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(
                name,
                slots=self._slots,
                budget=self._budget,
                sockets=self._sockets,
                policy=lambda: self.policies(name),
                clock=self._clock,
                observer=self._observer,
            )
            self._forget_idle_hosts(new=name)
        return found

    def health(self) -> list[HostHealth]:
        """How each registry fares that this process has asked lately; cheap."""
        return [host.health() for host in self._hosts.values()]

    async def close(self) -> None:
        """Give every share back."""
        for host in self._hosts.values():
            await host.close()
        await self._slots.close()

    def _forget_idle_hosts(self, *, new: str) -> None:
        if len(self._hosts) > MOST_HOSTS:
            idle = [name for name, host in self._hosts.items() if host.is_idle]
            for name in idle[: MOST_HOSTS // 4]:
                if name != new:
                    del self._hosts[name]
