"""The body of a watch: existing objects first, then changes, a line each, until its timeout.

Rules: api-12.2, api-12.6, api-12.7. A watch ends cleanly (the client resumes from the last version
that it received), or with one ERROR line if what it requests is no longer available.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from api.watch.reauthorization import WatchAuthorization
from api.watch.watch_cache import Subscription, WatchCache
from api.watch.watch_encoder import WatchEncoder, chunk_lines, encode_error
from api.watch.watch_event import MatchedEvent, ObjectPredicate
from models.errors import TagstreamError

ListInitial = Callable[[], Awaitable[tuple[list[dict[str, Any]], int]]]

# The duration of a watch without `timeoutSeconds` is random, from this to twice as long, so that
# watches that began together do not end together.
MIN_WATCH_SECONDS = 1800.0
BOOKMARK_INTERVAL_SECONDS = 60.0

_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """The parameters of a watch. An empty `namespace` or `name` means all.

    `kind` is the kind in the change log (a watch of Projects reads that of Namespaces), `encoder`
    the form of its events. `matches` is called with the selectable part of an object
    (`api.watch.watch_event.selectable_part`). `start` is the version to continue from; 0 sends the
    existing objects first, as `initial_events` does with any start; None sends changes from now on.
    The watch ends when its `authorization` is revoked.
    """

    kind: str
    encoder: WatchEncoder
    namespace: str = ""
    name: str = ""
    matches: ObjectPredicate | None = None
    start: int | None = 0
    timeout: float | None = None
    bookmarks: bool = False
    initial_events: bool = False
    bookmark_interval: float = BOOKMARK_INTERVAL_SECONDS
    authorization: WatchAuthorization | None = None


async def stream_watch(
    watch_cache: WatchCache, request: WatchRequest, list_initial: ListInitial
) -> AsyncIterator[bytes]:
    """Yield the chunks of a watch's body; each consists of whole lines and is sent at once.

    `list_initial` returns the matching objects in shown form, and the version they were read at.
    """
    watch = _WatchStream(watch_cache, request)
    try:
        if not await watch_cache.wait_until_started(watch.deadline):
            return
        after = watch_cache.version if request.start is None else request.start
        if request.initial_events or request.start == 0:
            objects, after = await list_initial()
            for chunk in watch.encode_initial(objects, after):
                yield chunk
                await asyncio.sleep(0)  # let other requests of this loop run
            del objects
        subscription = watch_cache.subscribe(
            request.kind,
            namespace=request.namespace,
            name=request.name,
            matches=request.matches,
            after=after,
        )
        if request.authorization is not None:
            request.authorization.wake = subscription.wake
        with subscription:
            while not watch.ended:
                for chunk in watch.encode_next(await watch.next_events(subscription), subscription):
                    yield chunk
    except TagstreamError as error:
        yield encode_error(error)


class _WatchStream:
    """The state of one watch: its deadline, and whether the columns of its Table were sent."""

    __slots__ = (
        "_bookmark_at",
        "_encoded_events",
        "_is_first",
        "_loop",
        "_request",
        "deadline",
        "ended",
    )

    def __init__(self, watch_cache: WatchCache, request: WatchRequest) -> None:
        self._request = request
        self._encoded_events = watch_cache.encoded_events
        self._is_first = True
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.deadline = now + (request.timeout or MIN_WATCH_SECONDS * (1 + _random.random()))
        self._bookmark_at = self._next_bookmark(now)
        self.ended = watch_cache.closed

    async def next_events(self, subscription: Subscription) -> list[MatchedEvent]:
        """Return the next events; none if the deadline or a bookmark is due first."""
        return await subscription.next_events(min(self.deadline, self._bookmark_at))

    def encode_initial(self, objects: list[dict[str, Any]], version: int) -> Iterator[bytes]:
        """Yield the existing objects, and the bookmark that ends them."""
        yield from chunk_lines(map(self._encode_added, objects))
        if self._request.initial_events and self._request.bookmarks:
            yield self._encode_bookmark(version, initial=True)

    def encode_next(
        self, events: list[MatchedEvent], subscription: Subscription
    ) -> Iterator[bytes]:
        """Yield the lines of the events, and a bookmark if one is due or the watch ends."""
        yield from chunk_lines(map(self._encode_event, events))
        now = self._loop.time()
        authorization = self._request.authorization
        self.ended = (
            subscription.ended
            or now >= self.deadline
            or (authorization is not None and authorization.revoked)
        )
        if now >= self._bookmark_at or (self.ended and self._request.bookmarks):
            self._bookmark_at = self._next_bookmark(now)
            yield self._encode_bookmark(subscription.version)

    def _encode_event(self, matched: MatchedEvent) -> bytes:
        return self._encoded_events.encode(
            self._request.encoder, matched, first=self._take_is_first()
        )

    def _encode_added(self, shown: dict[str, Any]) -> bytes:
        return self._request.encoder.encode_object("ADDED", shown, first=self._take_is_first())

    def _encode_bookmark(self, version: int, *, initial: bool = False) -> bytes:
        first = self._take_is_first()
        return self._request.encoder.encode_bookmark(version, first=first, initial=initial)

    def _take_is_first(self) -> bool:
        first, self._is_first = self._is_first, False
        return first and self._request.encoder.table is not None

    def _next_bookmark(self, now: float) -> float:
        """Return the loop time of the next bookmark.

        It is randomized, because many watches begin together after a restart.
        """
        if not self._request.bookmarks:
            return float("inf")
        return now + self._request.bookmark_interval * (0.75 + 0.25 * _random.random())
