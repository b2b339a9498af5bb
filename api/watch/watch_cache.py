"""The watch cache: the newest changes of each kind, and the subscriptions of the watchers to wake.

The reflector publishes each event once. The cache keeps the newest events of each kind in a ring
buffer and wakes only those watchers whose kind, namespace and name can match. A watcher holds no
events, only its position. One that is too slow for the ring buffer reads the change log of the
database until it has caught up; if the log no longer has its position either, it gets an
ExpiredError and the client has to list again (api-12.4, api-12.5).

Everything here runs on one event loop and is never called from other threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from api.watch.ring_buffer import RingBuffer
from api.watch.watch_encoder import EncodedEventCache
from api.watch.watch_event import MatchedEvent, ObjectPredicate, WatchEvent
from models.api_errors import ExpiredError
from models.errors import StoreUnavailableError

MAX_BUFFERED_EVENTS = 1000
MAX_BUFFERED_BYTES = 8 * 2**20
MAX_EVENTS_PER_READ = 100  # events that a watcher reads in one step
MAX_CONCURRENT_LOG_READS = 2  # watchers of this process that read the change log at once
IDLE_SECONDS = 10.0  # time without a watcher after which changes are skipped
LOG_RETRY_SECONDS = 1.0  # pause before an unavailable change log is read again

WatchKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class WatchEventPage:
    """A page of the change log: all events above the requested version, up to `version`.

    Events at or below `floor` are no longer available. `more` is whether the log continues.
    """

    events: Sequence[WatchEvent]
    version: int
    floor: int = 0
    more: bool = False


ReadChangeLog = Callable[[str, int], Awaitable[WatchEventPage]]


class WatchCache:
    """The watch cache of one process; `read_change_log(kind, after)` reads the database."""

    def __init__(
        self,
        read_change_log: ReadChangeLog,
        *,
        max_events: int = MAX_BUFFERED_EVENTS,
        max_bytes: int = MAX_BUFFERED_BYTES,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.version = 0
        self.closed = False
        self.encoded_events = EncodedEventCache()
        self._read_change_log = read_change_log
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._floor = 0
        self._buffers: dict[str, RingBuffer] = {}
        self._subscriptions: dict[WatchKey, set[Subscription]] = {}
        self._started = asyncio.Event()
        self._idle_seconds = idle_seconds
        self._idle_since: float | None = None
        self._log_read_permits = asyncio.Semaphore(MAX_CONCURRENT_LOG_READS)

    # -- for the reflector --

    def restart(self, version: int) -> None:
        """Start after `version`. Current watchers have missed events and get an ExpiredError."""
        self._buffers.clear()
        self.version = self._floor = version
        self._started.clear()
        for subscriptions in self._subscriptions.values():
            for each in subscriptions:
                each.mark_events_missed()

    def publish(self, page: WatchEventPage) -> None:
        """Add the events after the newest known one, and wake the watchers that may match."""
        first_versions: dict[WatchKey, int] = {}
        for event in page.events:
            if event.version <= self.version:
                continue
            self._buffer_for(event.kind).append(event)
            for key in _matching_keys(event):
                first_versions.setdefault(key, event.version)
        self.version = max(self.version, page.version)
        for key, version in first_versions.items():
            for each in self._subscriptions.get(key, ()):
                each.notify(version)
        if not page.more:
            self._started.set()

    def skip(self, version: int) -> bool:
        """Continue from `version` without the changes before it, if there was no watcher lately.

        Return whether that was done. A later watcher with an older version reads the change log of
        the database.
        """
        now = asyncio.get_running_loop().time()
        if self._subscriptions or not self._started.is_set():
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < self._idle_seconds or version < self.version:
            return False
        if version > self.version:
            self._buffers.clear()
            self.version = self._floor = version
        return True

    def close(self) -> None:
        """End every watch, cleanly."""
        self.closed = True
        self._started.set()
        for subscriptions in self._subscriptions.values():
            for each in subscriptions:
                each.wake()

    # -- for watchers --

    async def wait_until_started(self, until: float) -> bool:
        """Wait until the reflector has caught up; return False at the loop time `until`."""
        if self._started.is_set():
            return True
        try:
            async with asyncio.timeout_at(until):
                return await self._started.wait()
        except TimeoutError:
            return False

    def subscribe(
        self,
        kind: str,
        *,
        namespace: str = "",
        name: str = "",
        matches: ObjectPredicate | None,
        after: int,
    ) -> Subscription:
        """Return a subscription to the changes after a version; an empty namespace or name means
        all.
        """
        key = (kind, namespace, name)
        self._idle_since = None
        subscription = Subscription(self, key, matches, after)
        self._subscriptions.setdefault(key, set()).add(subscription)
        return subscription

    def unsubscribe(self, key: WatchKey, subscription: Subscription) -> None:
        """Remove an ended subscription."""
        subscriptions = self._subscriptions.get(key)
        if subscriptions is not None:
            subscriptions.discard(subscription)
            if not subscriptions:
                del self._subscriptions[key]

    @property
    def subscription_count(self) -> int:
        """Return the number of watchers."""
        return sum(map(len, self._subscriptions.values()))

    async def read(self, kind: str, after: int) -> WatchEventPage:
        """Return the next events of a kind, from the ring buffer or else from the change log."""
        buffer = self._buffer_for(kind)
        if after >= buffer.floor:
            events = buffer.after(after, limit=MAX_EVENTS_PER_READ + 1)
            if len(events) > MAX_EVENTS_PER_READ:
                del events[MAX_EVENTS_PER_READ:]
                return WatchEventPage(events, events[-1].version, buffer.floor, more=True)
            return WatchEventPage(events, max(after, self.version), buffer.floor)
        known = self.version
        async with self._log_read_permits:
            page = await self._read_change_log(kind, after)
        if page.floor > after:
            return page
        # `more`: the ring buffer may have events that were committed after the log was read.
        return WatchEventPage(
            page.events, page.version if page.more else max(page.version, known), more=True
        )

    def _buffer_for(self, kind: str) -> RingBuffer:
        buffer = self._buffers.get(kind)
        if buffer is None:
            buffer = RingBuffer(self._floor, max_events=self._max_events, max_bytes=self._max_bytes)
            self._buffers[kind] = buffer
        return buffer


class Subscription:
    """The position of one watcher: every matching event up to `_after` was returned.

    While it is not `_behind`, so was every matching event up to the version of the watch cache.
    """

    __slots__ = (
        "_after",
        "_behind",
        "_events_missed",
        "_key",
        "_matches",
        "_waiter",
        "_watch_cache",
    )

    def __init__(
        self, watch_cache: WatchCache, key: WatchKey, matches: ObjectPredicate | None, after: int
    ) -> None:
        self._watch_cache = watch_cache
        self._key = key
        self._matches = matches
        self._after = after
        self._behind = True
        self._events_missed = False
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._watch_cache.unsubscribe(self._key, self)

    @property
    def version(self) -> int:
        """Return the version up to which this watcher has received every event."""
        return self._after if self._behind else max(self._after, self._watch_cache.version)

    @property
    def ended(self) -> bool:
        """Return whether the watch cache is closed."""
        return self._watch_cache.closed

    async def next_events(self, until: float) -> list[MatchedEvent]:
        """Return the next events in order; none at the loop time `until` or after `close`.

        Raises ExpiredError if events were missed that are no longer available.
        """
        while not self._watch_cache.closed:
            if self._events_missed:
                raise _expired_error(self._after, self._watch_cache.version)
            if not self._behind:
                if await self._wait(until):
                    continue
                return []
            try:
                found = await self._read_events()
            except StoreUnavailableError:
                # The database is unavailable; the reflector logs that.
                if not await self._wait_before_retry(until):
                    return []
                continue
            if found:
                return found
        return []

    async def _read_events(self) -> list[MatchedEvent]:
        after = self._after
        page = await self._watch_cache.read(self._key[0], after)
        if page.floor > after:
            raise _expired_error(after, page.floor)
        self._after = max(after, page.version)
        self._behind = page.more
        return list(self._select(page.events))

    def _select(self, events: Iterable[WatchEvent]) -> Iterable[MatchedEvent]:
        _, namespace, name = self._key
        for event in events:
            if (namespace and event.namespace != namespace) or (name and event.name != name):
                continue
            verb = event.verb_for(self._matches)
            if verb is not None:
                yield MatchedEvent(verb, event)

    async def _wait(self, until: float) -> bool:
        """Wait to be woken; return False at the loop time `until`."""
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            return False
        self._waiter = loop.create_future()
        timer = loop.call_at(until, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self._behind or self._events_missed or self._watch_cache.closed

    async def _wait_before_retry(self, until: float) -> bool:
        remaining = until - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, min(LOG_RETRY_SECONDS, remaining)))
        return remaining > LOG_RETRY_SECONDS

    # -- for the watch cache --

    def notify(self, version: int) -> None:
        """Wake the watcher: an event with this version may match, and more may follow."""
        if not self._behind:
            self._after = max(self._after, version - 1)
            self._behind = True
            self.wake()

    def mark_events_missed(self) -> None:
        """Wake the watcher to fail, because it has missed events."""
        self._events_missed = True
        self.wake()

    def wake(self) -> None:
        """End the current wait, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _matching_keys(event: WatchEvent) -> set[WatchKey]:
    """Return the keys of the subscriptions that the event may match."""
    return {
        (event.kind, namespace, name)
        for namespace in (event.namespace, "")
        for name in (event.name, "")
    }


def _expired_error(version: int, oldest: int) -> ExpiredError:
    return ExpiredError(f"too old resource version: {version} ({oldest})")
