"""What an operator says of a registry, what a process tells of it, and who may listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worker.registry.limits.concurrency import Budget

RATE = 50.0


@dataclass(frozen=True)
class HostPolicy:
    """`rate` is of scheduled checks a second, 0 for no limit; `concurrency` and `start` are of
    requests in flight, None as the settings say.
    """

    rate: float = RATE
    concurrency: int | None = None
    start: int | None = None

    def budget(self, usual: Budget) -> Budget:
        """The budget by this policy."""
        if self.concurrency is None and self.start is None:
            return usual
        start = usual.start if self.start is None else self.start
        return Budget(start, usual.most if self.concurrency is None else self.concurrency)


@dataclass(frozen=True)
class HostHealth:
    """How a registry fares, as far as one process knows.

    `breaker` is "closed", "open" or "half-open", `rest` the seconds until the next try; `gates` are
    (scope, seconds left), `quotas` (scope, limit, remaining, seconds left of the window).
    """

    host: str
    in_flight: int
    limit: int
    waiting: int
    breaker: str
    rest: float
    last_error: str
    gates: tuple[tuple[str, float], ...]
    quotas: tuple[tuple[str, int, int, float], ...]


class Observer(Protocol):
    """Hears what happens at registries; must be quick."""

    def waited(self, host: str, lane: str, seconds: float) -> None:
        """A request got its turn after so long."""

    def breaker(self, host: str, state: str) -> None:
        """The breaker is now "closed", "open" or "half-open"."""

    def quota(self, host: str, scope: str, limit: int, remaining: int) -> None:
        """The registry has said what is left."""
