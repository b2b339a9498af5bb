"""A small cache of texts whose entries expire."""

from __future__ import annotations

from collections import OrderedDict

from worker.registry.clock import Clock

MAX_TTL_CACHE_ENTRIES = 10_000


class TtlCache:
    """Texts by key that expire after `ttl_seconds`.

    It is bounded, because keys come from outside: beyond its maximum the oldest entries are
    dropped first.
    """

    def __init__(self, clock: Clock, *, ttl_seconds: float) -> None:
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._entries: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def put(self, key: str, text: str = "") -> None:
        self._entries.pop(key, None)
        self._entries[key] = (self._clock.now() + self._ttl_seconds, text)
        while len(self._entries) > MAX_TTL_CACHE_ENTRIES:
            self._entries.popitem(last=False)

    def get(self, key: str) -> str | None:
        expires_at, text = self._entries.get(key, (0.0, ""))
        return text if expires_at > self._clock.now() else None
