"""How often a peer may show a bad credential before it has to wait."""

from __future__ import annotations

import ipaddress

BURST = 20.0
PER_SECOND = 1.0
MOST_PEERS = 10_000


class Attempts:
    """A bucket of failures for each peer; it empties with time. Successes cost nothing."""

    def __init__(self, *, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._burst = burst
        self._per_second = per_second
        self._seen: dict[str, tuple[float, float]] = {}  # failures, and when that was so

    def is_blocked(self, peer: str, now: float) -> bool:
        """Whether one more failure would be too many."""
        found = self._seen.get(_neighbourhood(peer))
        return found is not None and self._level(found, now) > self._burst - 1

    def count(self, peer: str, now: float) -> None:
        """Remember a failure. With too many peers, the one that failed longest ago is let off."""
        key = _neighbourhood(peer)
        found = self._seen.pop(key, (0.0, now))
        self._seen[key] = (min(self._level(found, now) + 1, self._burst), now)
        if len(self._seen) > MOST_PEERS:
            del self._seen[next(iter(self._seen))]

    def _level(self, found: tuple[float, float], now: float) -> float:
        failures, then = found
        return max(0.0, failures - (now - then) * self._per_second)


def _neighbourhood(peer: str) -> str:
    """An IPv6 network as a whole: whoever has one address of it has them all."""
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
