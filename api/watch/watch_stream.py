"""The body of a watch: what there is, then what changes, a line each, until its time is over.

`api.md` C15. A watch ends cleanly (the client comes back with the last version it saw), or with
one ERROR line where what it asked for is no longer kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from api.watch.reauthorization import Lease
from api.watch.watch_cache import Hub, Subscription
from api.watch.watch_encoder import Shape, join_lines, print_error
from api.watch.watch_event import Matches, Seen
from models.errors import TagstreamError

ListNow = Callable[[], Awaitable[tuple[list[dict[str, Any]], int]]]

SHORTEST = 1800.0  # seconds that a watch lasts when nobody says otherwise; up to twice as long
BOOKMARK_SECONDS = 60.0

_dice = SystemRandom()


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a client asked to watch. Empty `namespace` and `name` stand for all.

    `kind` is the kind in the log (a watch of Projects reads of Namespaces), `shape` how it is
    printed. `matches` sees the selectable part of an object (`api.watch.watch_event.selectable`).
    `start` is the version to go on from; 0 shows what there is first, as `initial_events` does
    with any start. `start` None: whatever comes from now on. A `lease` that ends, ends the watch.
    """

    kind: str
    shape: Shape
    namespace: str = ""
    name: str = ""
    matches: Matches | None = None
    start: int | None = 0
    timeout: float | None = None
    bookmarks: bool = False
    initial_events: bool = False
    bookmark_every: float = BOOKMARK_SECONDS
    lease: Lease | None = None


async def watch_body(hub: Hub, request: WatchRequest, list_now: ListNow) -> AsyncIterator[bytes]:
    """The pieces of a watch's answer; each ends with a whole line and is sent at once.

    `list_now` gives the matching objects as they are shown, and the version they were read at.
    """
    watch = _Watch(hub, request)
    try:
        if not await hub.started(watch.deadline):
            return
        after = hub.version if request.start is None else request.start
        if request.initial_events or request.start == 0:
            objects, after = await list_now()
            for piece in watch.print_initial(objects, after):
                yield piece
                await asyncio.sleep(0)  # others are waiting too
            del objects
        subscription = hub.subscribe(
            request.kind,
            namespace=request.namespace,
            name=request.name,
            matches=request.matches,
            after=after,
        )
        if request.lease is not None:
            request.lease.wake = subscription.wake
        with subscription:
            while not watch.over:
                for piece in watch.print_next(await watch.next(subscription), subscription):
                    yield piece
    except TagstreamError as error:
        yield print_error(error)


class _Watch:
    """One watch: its clock, and whether the columns of its table were sent."""

    __slots__ = ("_bookmark_at", "_first", "_lines", "_loop", "_request", "deadline", "over")

    def __init__(self, hub: Hub, request: WatchRequest) -> None:
        self._request = request
        self._lines = hub.lines
        self._first = True
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.deadline = now + (request.timeout or SHORTEST * (1 + _dice.random()))
        self._bookmark_at = self._next_bookmark(now)
        self.over = hub.closed

    async def next(self, subscription: Subscription) -> list[Seen]:
        """The next events; none when it is time for something else."""
        return await subscription.next(min(self.deadline, self._bookmark_at))

    def print_initial(self, objects: list[dict[str, Any]], version: int) -> Iterator[bytes]:
        """What there is, and that this was all."""
        yield from join_lines(map(self._print_added, objects))
        if self._request.initial_events and self._request.bookmarks:
            yield self._print_bookmark(version, initial=True)

    def print_next(self, events: list[Seen], subscription: Subscription) -> Iterator[bytes]:
        """The events' lines, and a bookmark when its time has come, or the watch's end."""
        yield from join_lines(map(self._print_event, events))
        now = self._loop.time()
        lease = self._request.lease
        self.over = subscription.ended or now >= self.deadline or (lease is not None and lease.over)
        if now >= self._bookmark_at or (self.over and self._request.bookmarks):
            self._bookmark_at = self._next_bookmark(now)
            yield self._print_bookmark(subscription.version)

    def _print_event(self, seen: Seen) -> bytes:
        return self._lines.line(self._request.shape, seen, first=self._take_first())

    def _print_added(self, shown: dict[str, Any]) -> bytes:
        return self._request.shape.print_object("ADDED", shown, first=self._take_first())

    def _print_bookmark(self, version: int, *, initial: bool = False) -> bytes:
        first = self._take_first()
        return self._request.shape.print_bookmark(version, first=first, initial=initial)

    def _take_first(self) -> bool:
        first, self._first = self._first, False
        return first and self._request.shape.table is not None

    def _next_bookmark(self, now: float) -> float:
        """Spread a little, for many watches begin together after a restart."""
        if not self._request.bookmarks:
            return float("inf")
        return now + self._request.bookmark_every * (0.75 + 0.25 * _dice.random())
