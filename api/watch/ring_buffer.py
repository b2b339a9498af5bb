"""A ring buffer of the newest events of one kind, without gaps, bounded in number and bytes."""

from __future__ import annotations

from collections import deque

from api.watch.watch_event import WatchEvent


class RingBuffer:
    """Every event of a kind with a version above `floor`."""

    __slots__ = ("_bytes", "_events", "_max_bytes", "_max_events", "floor")

    def __init__(self, floor: int, *, max_events: int, max_bytes: int) -> None:
        self.floor = floor
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[WatchEvent] = deque()
        self._bytes = 0

    def append(self, event: WatchEvent) -> None:
        """Add the newest event, which always stays; evict the oldest if there are too many."""
        self._events.append(event)
        self._bytes += len(event.body)
        while len(self._events) > 1 and (
            len(self._events) > self._max_events or self._bytes > self._max_bytes
        ):
            evicted = self._events.popleft()
            self._bytes -= len(evicted.body)
            self.floor = evicted.version

    def after(self, version: int, *, limit: int) -> list[WatchEvent]:
        """Return the first `limit` events above `version`, which must not be below the floor."""
        found = []
        for event in reversed(self._events):  # most watchers are near the newest event
            if event.version <= version:
                break
            found.append(event)
        found.reverse()
        return found[:limit]
