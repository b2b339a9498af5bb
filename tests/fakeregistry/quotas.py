"""The algorithms by which registries limit requests: fixed window, sliding window, token bucket."""

from __future__ import annotations

from collections import deque


class FixedWindow:
    """At most `limit` requests in each window of `window` seconds; `phase` shifts the windows."""

    def __init__(self, limit: int, window: float, phase: float = 0.0):
        self.limit = limit
        self.window = window
        self._phase = phase
        self._number = None
        self._used = 0

    def admit(self, now: float) -> tuple[bool, int, float]:
        """Return whether a request is admitted, how many are left, and the seconds until more are.

        A refused request is not counted.
        """
        number = (now - self._phase) // self.window
        if number != self._number:
            self._number, self._used = number, 0
        admitted = self._used < self.limit
        self._used += admitted
        wait = (number + 1) * self.window + self._phase - now
        return admitted, self.limit - self._used, wait


class SlidingWindow:
    """At most `limit` requests within any `window` seconds."""

    def __init__(self, limit: int, window: float):
        self.limit = limit
        self.window = window
        self._times: deque[float] = deque()

    def admit(self, now: float) -> tuple[bool, int, float]:
        while self._times and self._times[0] <= now - self.window:
            self._times.popleft()
        admitted = len(self._times) < self.limit
        if admitted:
            self._times.append(now)
        wait = self._times[0] + self.window - now if self._times else 0.0
        return admitted, self.limit - len(self._times), wait


class TokenBucket:
    """A bucket of `limit` tokens, refilled within `window` seconds; a request takes one token."""

    def __init__(self, limit: int, window: float):
        self.limit = limit
        self.window = window
        self._tokens = float(limit)
        self._updated_at = 0.0

    def admit(self, now: float) -> tuple[bool, int, float]:
        rate = self.limit / self.window
        self._tokens = min(self.limit, self._tokens + (now - self._updated_at) * rate)
        self._updated_at = now
        # Rounding errors of floats must not turn a whole token into less than one.
        admitted = self._tokens >= 1 - 1e-9
        self._tokens -= admitted
        return admitted, int(self._tokens + 1e-9), max(0.0, (1 - self._tokens) / rate)


METERS = {"fixed": FixedWindow, "sliding": SlidingWindow, "bucket": TokenBucket}
