"""How many checks of one registry may be in the hands of workers at once.

A registry that answers gets more, up to MOST; one whose checks do not come back gets no more than
LEAST, so that it cannot keep every worker busy. A scheduler learns this by itself and forgets it
when it ends: what counts is in the calendar.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

LEAST = 400
MOST = 5000
GROWTH = 4  # times the room a tick ago, where that was too little
TURNOVER = timedelta(seconds=2)  # in which a registry is thought to work off what it has room for
LONGEST_WAIT = timedelta(seconds=60)  # until a row that found no room is looked at again
_MOST_KNOWN = 10_000


class Flow:
    """What one scheduler has seen of how checks come back."""

    def __init__(self, *, least: int = LEAST) -> None:
        self._least = least
        self._room: dict[str, int] = {}
        self._short: set[str] = set()
        self._lines: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def room(self, host: str) -> int:
        """How many rows of that registry may be claimed at once."""
        return self._room.get(host, self._least)

    def look(self, claimed: Mapping[str, int]) -> None:
        """Once a tick: `claimed` are the rows of each registry that have not come back yet."""
        with self._lock:
            for host in self._short | self._room.keys():
                room, out = self.room(host), claimed.get(host, 0)
                if out >= room:
                    room //= 2
                elif host in self._short and out <= room // 2:
                    room *= GROWTH
                if room > self._least:
                    self._room[host] = min(room, MOST)
                else:
                    self._room.pop(host, None)
            self._short.clear()
            if len(self._room) > _MOST_KNOWN:
                self._room.clear()

    def line_up(self, host: str, now: datetime) -> datetime:
        """When a row that found no room is likely to find some, behind those that came before it:
        so a backlog is claimed twice, not at every tick.
        """
        with self._lock:
            place = max(self._lines.get(host, now), now + TURNOVER)
            if len(self._lines) > _MOST_KNOWN:
                self._lines.clear()
            self._lines[host] = place + TURNOVER / self.room(host)
        return min(place, now + LONGEST_WAIT)

    def fell_short(self, hosts: Iterable[str]) -> None:
        """There was more to do at these registries than there was room for."""
        with self._lock:
            self._short.update(hosts)
