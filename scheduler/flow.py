"""How many checks of one registry may be in the hands of workers at once.

A registry that answers gets more, up to MOST; one whose checks do not come back gets no more than
LEAST, so that it cannot keep every worker busy. A scheduler learns this by itself and forgets it
when it ends: what counts is in the calendar.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

LEAST = 400
MOST = 5000
_MOST_KNOWN = 10_000


class Flow:
    """What one scheduler has seen of how checks come back."""

    def __init__(self) -> None:
        self._room: dict[str, int] = {}
        self._short: set[str] = set()
        self._lock = threading.Lock()

    def room(self, host: str) -> int:
        """How many rows of that registry may be claimed at once."""
        return self._room.get(host, LEAST)

    def look(self, claimed: Mapping[str, int]) -> None:
        """Once a tick: `claimed` are the rows of each registry that have not come back yet."""
        with self._lock:
            for host in self._short | self._room.keys():
                room, out = self.room(host), claimed.get(host, 0)
                if out >= room:
                    room //= 2
                elif host in self._short and out <= room // 2:
                    room *= 2
                if room > LEAST:
                    self._room[host] = min(room, MOST)
                else:
                    self._room.pop(host, None)
            self._short.clear()
            if len(self._room) > _MOST_KNOWN:
                self._room.clear()

    def fell_short(self, hosts: Iterable[str]) -> None:
        """There was more to do at these registries than there was room for."""
        with self._lock:
            self._short.update(hosts)
