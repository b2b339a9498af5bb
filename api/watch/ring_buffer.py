"""The newest events of one kind, without a gap, bounded in number and bytes."""

from __future__ import annotations

from collections import deque

from api.watch.watch_event import Event


class Ring:
    """Holds every event of its kind with a version above `floor`."""

    __slots__ = ("_bytes", "_events", "_most", "_most_bytes", "floor")

    def __init__(self, floor: int, *, most: int, most_bytes: int) -> None:
        self.floor = floor
        self._most = most
        self._most_bytes = most_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0

    def append(self, event: Event) -> None:
        """Take the newest event, which always stays; the oldest go where there are too many."""
        self._events.append(event)
        self._bytes += len(event.body)
        while len(self._events) > 1 and (
            len(self._events) > self._most or self._bytes > self._most_bytes
        ):
            gone = self._events.popleft()
            self._bytes -= len(gone.body)
            self.floor = gone.version

    def after(self, version: int, *, limit: int) -> list[Event]:
        """The first `limit` events above `version`, which must not lie below the floor."""
        found = []
        for event in reversed(self._events):  # those who listen are near the end
            if event.version <= version:
                break
            found.append(event)
        found.reverse()
        return found[:limit]
