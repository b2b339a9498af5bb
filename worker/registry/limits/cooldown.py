"""Which rights a registry has sent away, and until when (`registry.md` 4.4).

A 429 closes a gate for the rights that were used, and for those alone. Others hear of it, but what
this process knows it keeps, whatever becomes of Redis.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import RateLimitedError
from worker.registry.clock import Clock

_MOST = 256


@dataclass(frozen=True, slots=True)
class Gate:
    """Closed until a moment, for a reason."""

    until: float
    text: str = ""


_OPEN = Gate(0.0)


class Gates:
    """The gates of one registry; false where none is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gates: dict[str, Gate] = {}

    def __bool__(self) -> bool:
        return bool(self._gates)

    def close(self, scope: str, seconds: float, text: str) -> bool:
        """Close it for so long at least; whether that is news."""
        until = self._clock.now() + seconds
        known = self._gates.get(scope, _OPEN).until
        if until <= known:
            return False
        self._gates[scope] = Gate(until, text)
        if len(self._gates) > _MOST:
            self.forget()
        return until > known + 1.0

    def left(self, scope: str | None) -> float:
        """For how long it stays closed."""
        gate = self._gates.get(scope) if scope is not None else None
        if gate is None or scope is None:
            return 0.0
        left = gate.until - self._clock.now()
        if left <= 0:
            del self._gates[scope]
        return max(0.0, left)

    def refusal(self, scope: str, left: float) -> RateLimitedError:
        """What to tell those who would have to wait for so long."""
        text = self._gates.get(scope, _OPEN).text or "toomanyrequests"
        return RateLimitedError(text, code="ratelimit.quota", retry_after=left)

    def closed(self) -> dict[str, float]:
        """The rights that are kept away, and for how many seconds."""
        now = self._clock.now()
        return {scope: gate.until - now for scope, gate in self._gates.items() if gate.until > now}

    def forget(self) -> None:
        """Open what has waited long enough."""
        now = self._clock.now()
        self._gates = {scope: gate for scope, gate in self._gates.items() if gate.until > now}
