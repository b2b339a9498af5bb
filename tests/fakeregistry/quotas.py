"""How registries count what they admit: in fixed windows, in sliding ones, by drops of a bucket."""

from __future__ import annotations

from collections import deque


class FixedWindow:
    """So many in each window; the first request begins one, or `phase` says where they lie."""

    def __init__(self, limit: int, window: float, phase: float = 0.0):
        self.limit = limit
        self.window = window
        self._phase = phase
        self._number = None
        self._used = 0

    def admit(self, now: float) -> tuple[bool, int, float]:
        """Whether one more is admitted, how many are left, and in how many seconds there are more.

        What is refused is not counted.
        """
        number = (now - self._phase) // self.window
        if number != self._number:
            self._number, self._used = number, 0
        admitted = self._used < self.limit
        self._used += admitted
        wait = (number + 1) * self.window + self._phase - now
        return admitted, self.limit - self._used, wait


class SlidingWindow:
    """So many within any window."""

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
    """A bucket of so many that fills up within a window."""

    def __init__(self, limit: int, window: float):
        self.limit = limit
        self.window = window
        self._drops = float(limit)
        self._when = 0.0

    def admit(self, now: float) -> tuple[bool, int, float]:
        speed = self.limit / self.window
        self._drops = min(self.limit, self._drops + (now - self._when) * speed)
        self._when = now
        # What floats cannot tell apart is a whole drop.
        admitted = self._drops >= 1 - 1e-9
        self._drops -= admitted
        return admitted, int(self._drops + 1e-9), max(0.0, (1 - self._drops) / speed)


METERS = {"fixed": FixedWindow, "sliding": SlidingWindow, "bucket": TokenBucket}
