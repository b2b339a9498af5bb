"""The throttle of failed logins: how many bad credentials a peer may send before it has to wait."""

from __future__ import annotations

import ipaddress

MAX_FAILURE_BURST = 20.0
FAILURES_FORGIVEN_PER_SECOND = 1.0
MAX_TRACKED_PEERS = 10_000


class LoginThrottle:
    """A leaky bucket of failures for each peer. Successful logins cost nothing."""

    def __init__(
        self, *, burst: float = MAX_FAILURE_BURST, per_second: float = FAILURES_FORGIVEN_PER_SECOND
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._failures: dict[str, tuple[float, float]] = {}  # failures, and when they were counted

    def is_blocked(self, peer: str, now: float) -> bool:
        """Return whether one more failure would be too many; `now` is a time in seconds."""
        entry = self._failures.get(_network_of(peer))
        return entry is not None and self._level(entry, now) > self._burst - 1

    def record_failure(self, peer: str, now: float) -> None:
        """Count a failure.

        With too many peers, the one whose last failure is the oldest is forgotten.
        """
        key = _network_of(peer)
        entry = self._failures.pop(key, (0.0, now))
        self._failures[key] = (min(self._level(entry, now) + 1, self._burst), now)
        if len(self._failures) > MAX_TRACKED_PEERS:
            del self._failures[next(iter(self._failures))]

    def _level(self, entry: tuple[float, float], now: float) -> float:
        failures, recorded_at = entry
        return max(0.0, failures - (now - recorded_at) * self._per_second)


def _network_of(peer: str) -> str:
    """Return the /64 network of an IPv6 address, else the address.

    A client with one IPv6 address usually controls its whole network.
    """
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
