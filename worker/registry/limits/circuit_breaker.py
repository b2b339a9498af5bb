"""Circuit breaker of a registry: opens when the registry fails, and probes whether it is back.

Only transient failures count. Refusals, missing images and invalid content are responses, and a
response shows that the registry is available (registry-15.4, registry-15.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field

FAILURES_TO_OPEN = 8
MIN_OUTCOMES = 20
INITIAL_OPEN_SECONDS = 30.0
MAX_OPEN_SECONDS = 900.0
WINDOW_SECONDS = 60.0
_BUCKETS = 12


@dataclass(slots=True)
class RollingCounts:
    """Two counts over the last minute, in buckets of five seconds: all, and a subset of them."""

    _totals: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    _subset: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    _bucket: int = 0

    def add(self, now: float, *, in_subset: bool = False, in_total: bool = True) -> None:
        bucket = int(now * _BUCKETS / WINDOW_SECONDS)
        if bucket != self._bucket:
            self._drop_old_buckets(bucket)
        self._totals[bucket % _BUCKETS] += in_total
        self._subset[bucket % _BUCKETS] += in_subset

    def totals(self, now: float) -> tuple[int, int]:
        """Return the total and the subset of what was added within the last minute."""
        self._drop_old_buckets(int(now * _BUCKETS / WINDOW_SECONDS))
        return sum(self._totals), sum(self._subset)

    def clear(self) -> None:
        self._totals = [0] * _BUCKETS
        self._subset = [0] * _BUCKETS

    def _drop_old_buckets(self, bucket: int) -> None:
        for old_bucket in range(self._bucket + 1, min(bucket, self._bucket + _BUCKETS) + 1):
            self._totals[old_bucket % _BUCKETS] = 0
            self._subset[old_bucket % _BUCKETS] = 0
        self._bucket = bucket


@dataclass(slots=True)
class CircuitBreaker:
    """A circuit breaker: closed, open until a time, or half-open with one probe in flight.

    `open_until` is None while it is closed. When it has passed, the next request is the probe:
    its success closes the breaker, its failure opens it for twice as long.
    """

    open_until: float | None = None
    _failures: int = 0
    _probing: bool = False
    _open_seconds: float = INITIAL_OPEN_SECONDS
    _outcomes: RollingCounts = field(default_factory=RollingCounts)

    def refuses(self, now: float) -> bool:
        """Return whether a request may not be sent now."""
        return self.open_until is not None and (self._probing or now < self.open_until)

    def start_probe(self) -> bool:
        """Return whether the request that is sent now is the probe, and note that it is."""
        self._probing = self.open_until is not None
        return self._probing

    def abandon_probe(self) -> None:
        """End a probe that showed nothing about the registry: the next request is the probe."""
        self._probing = False

    def record_response(self, now: float) -> bool:
        """Record that the registry responded; return whether that closed the breaker."""
        if self.open_until is None:
            self._failures = 0
            self._outcomes.add(now)
            return False
        if not self._probing and now < self.open_until:
            return False  # the response to a request from before the breaker opened
        self.open_until, self._failures, self._open_seconds, self._probing = (
            None,
            0,
            INITIAL_OPEN_SECONDS,
            False,
        )
        self._outcomes.clear()
        return True

    def record_failure(self, now: float) -> bool:
        """Record a transient failure; return whether that opened the breaker (again)."""
        if self.open_until is not None:
            if not self._probing:
                return False
            self._open_seconds = min(self._open_seconds * 2, MAX_OPEN_SECONDS)
            self._open(now + self._open_seconds)
            return True
        self._failures += 1
        self._outcomes.add(now, in_subset=True)
        outcomes, failures = self._outcomes.totals(now)
        is_failing = outcomes >= MIN_OUTCOMES and failures * 2 >= outcomes
        if self._failures < FAILURES_TO_OPEN and not is_failing:
            return False
        self._open(now + self._open_seconds)
        return True

    def adopt_open(self, open_until: float) -> None:
        """Open the breaker because another process found the registry down."""
        if self.open_until is None or (not self._probing and self.open_until < open_until):
            self._open(open_until)

    def _open(self, open_until: float) -> None:
        self.open_until, self._probing = open_until, False
