"""Registries that exist on paper: how long they take, when they are away, what they ask of us.

And what workers know of each: the breaker is the product's own, told of our clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from math import inf

from models.errors import RateLimitedError, RegistryError, TagstreamError, TransientRegistryError
from worker.registry.limits.circuit_breaker import Breaker

LATENCY = 0.05
DEADLINE = 30.0  # of one request
LONGEST_LOOK = 60.0  # of a request and what is tried again
TRIES = 3
PAUSE = 0.5  # before it is tried again


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong at a registry from `start` to `end`.

    `hung` never answers, `limited` answers 429 with a Retry-After that lasts to the end, `flapping`
    is away for every other `period`.
    """

    kind: str = ""
    start: float = inf
    end: float = -inf
    period: float = 90.0

    def at(self, now: float) -> str:
        """What is wrong now, if anything."""
        if not self.start <= now < self.end:
            return ""
        if self.kind == "flapping" and int((now - self.start) / self.period) % 2:
            return ""
        return self.kind


@dataclass(slots=True)
class Registry:
    """One registry; and what was asked of it."""

    trouble: Trouble = Trouble()
    requests: int = 0
    troubled: int = 0  # requests while it was in trouble
    too_soon: int = 0  # requests before the end of a Retry-After that was told
    minutes: Counter[int] = field(default_factory=Counter)
    _told: float = inf  # since when it has been told to stay away

    def ask(self, now: float) -> tuple[float, str, float]:
        """How long an answer takes, what is wrong with it, and for how long to stay away."""
        self.requests += 1
        self.minutes[int(now / 60)] += 1
        self.troubled += self.trouble.start <= now < self.trouble.end
        self.too_soon += self._told <= now < self.trouble.end
        wrong = self.trouble.at(now)
        if wrong == "hung":
            return DEADLINE, wrong, 0.0
        if wrong == "limited":
            self._told = min(self._told, now + LATENCY)
            return LATENCY, wrong, self.trouble.end - now
        return LATENCY, wrong, 0.0


@dataclass(slots=True)
class Known:
    """What workers know of a registry."""

    registry: Registry
    breaker: Breaker = field(default_factory=Breaker)
    gate: float = -inf

    def look(self, now: float) -> Generator[float, float, TagstreamError | None]:
        """A look that begins now: yields until when it waits, returns how it failed, if it did."""
        began = now
        error: TagstreamError | None = None
        for _ in range(TRIES):
            if self.breaker.refuses(now):
                return error or TransientRegistryError("it is down", code="circuit.open")
            if now < self.gate:
                return RateLimitedError("toomanyrequests", retry_after=self.gate - now)
            self.breaker.begin()
            taken, wrong, wait = self.registry.ask(now)
            if now + taken > began + LONGEST_LOOK:
                now = yield began + LONGEST_LOOK
                self.breaker.abandon()
                return RegistryError("it takes too long", code="net.deadline")
            now = yield now + taken
            if not wrong:
                self.breaker.answered(now)
                return None
            if wrong == "limited":
                self.breaker.answered(now)
                self.gate = now + wait
                return RateLimitedError("toomanyrequests", retry_after=wait)
            self.breaker.failed(now)
            code = "net.timeout" if wrong == "hung" else "http.5xx"
            error = TransientRegistryError("it is down", code=code)
            now = yield now + PAUSE
        return error
