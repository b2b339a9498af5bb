"""Cooldowns: which credential scopes wait after a 429 with `Retry-After` (registry-15.8).

A 429 starts a cooldown for the credential that was used, and for no other. Other processes are
informed through Redis, but each process keeps what it knows, whatever happens to Redis.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import RateLimitedError
from worker.registry.clock import Clock

_MAX_COOLDOWNS = 256


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The end of a cooldown in monotonic seconds, and its reason."""

    until: float
    text: str = ""


_NO_COOLDOWN = Cooldown(0.0)


class Cooldowns:
    """The cooldowns of one registry by credential scope; false where there is none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cooldowns: dict[str, Cooldown] = {}

    def __bool__(self) -> bool:
        return bool(self._cooldowns)

    def start(self, scope: str, seconds: float, text: str) -> bool:
        """Start or extend a cooldown; return whether it ends more than 1 s later than known.

        Only such a cooldown is published, so that a burst of 429 causes one message.
        """
        until = self._clock.now() + seconds
        known_until = self._cooldowns.get(scope, _NO_COOLDOWN).until
        if until <= known_until:
            return False
        self._cooldowns[scope] = Cooldown(until, text)
        if len(self._cooldowns) > _MAX_COOLDOWNS:
            self.drop_expired()
        return until > known_until + 1.0

    def remaining_seconds(self, scope: str | None) -> float:
        """Return the seconds until the cooldown of `scope` ends, 0 without one."""
        cooldown = self._cooldowns.get(scope) if scope is not None else None
        if cooldown is None or scope is None:
            return 0.0
        seconds = cooldown.until - self._clock.now()
        if seconds <= 0:
            del self._cooldowns[scope]
        return max(0.0, seconds)

    def rate_limited_error(self, scope: str, seconds: float) -> RateLimitedError:
        """Return the error for requests that would have to wait for `seconds`."""
        text = self._cooldowns.get(scope, _NO_COOLDOWN).text or "toomanyrequests"
        return RateLimitedError(text, code="ratelimit.quota", retry_after=seconds)

    def active(self) -> dict[str, float]:
        """Return the scopes in cooldown, and the seconds until each ends."""
        now = self._clock.now()
        return {
            scope: cooldown.until - now
            for scope, cooldown in self._cooldowns.items()
            if cooldown.until > now
        }

    def drop_expired(self) -> None:
        """Drop the cooldowns that have ended."""
        now = self._clock.now()
        self._cooldowns = {
            scope: cooldown for scope, cooldown in self._cooldowns.items() if cooldown.until > now
        }
