"""Where every change meets every watcher of this process (`api.md` C15).

The follower publishes each event once; the hub keeps the newest of each kind in a ring and wakes
those watchers whose kind, namespace and name can match, and nobody else. A watcher holds no
events, only how far it has come. One that is too slow for the ring reads the log of the database
until it is back; where the log no longer reaches either, it is told so and has to list again.

Lives on one event loop; nothing here is called from other threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from api.watch.ring_buffer import Ring
from api.watch.watch_encoder import Lines
from api.watch.watch_event import Event, Matches, Seen
from models.api_errors import ExpiredError
from models.errors import StoreAwayError

RING_EVENTS = 1000
RING_BYTES = 8 * 2**20
AT_ONCE = 100  # events that a watcher takes in one step
READERS = 2  # watchers of this process that read the database's log at the same time
QUIET = 10.0  # seconds without a watcher after which nothing is read for them any more
PAUSE = 1.0  # seconds before a log that was away is tried again

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the log: all events above the version asked for, up to `version`.

    Nothing at or below `floor` can be told any more. `more` says that the log goes on.
    """

    events: Sequence[Event]
    version: int
    floor: int = 0
    more: bool = False


ReadPast = Callable[[str, int], Awaitable[Page]]


class Hub:
    """One per process. `read_past(kind, after)` reads the log of the database for one kind."""

    def __init__(
        self,
        read_past: ReadPast,
        *,
        most: int = RING_EVENTS,
        most_bytes: int = RING_BYTES,
        quiet: float = QUIET,
    ) -> None:
        self.version = 0
        self.closed = False
        self.lines = Lines()
        self._read_past = read_past
        self._most = most
        self._most_bytes = most_bytes
        self._floor = 0
        self._rings: dict[str, Ring] = {}
        self._watchers: dict[Place, set[Subscription]] = {}
        self._started = asyncio.Event()
        self._quiet = quiet
        self._quiet_since: float | None = None
        self._readers = asyncio.Semaphore(READERS)

    # -- the follower's side --

    def restart(self, version: int) -> None:
        """Begin after `version`. Whoever watches now has missed something and is told so."""
        self._rings.clear()
        self.version = self._floor = version
        self._started.clear()
        for watchers in self._watchers.values():
            for each in watchers:
                each.lose()

    def publish(self, page: Page) -> None:
        """Take the events behind the newest one known, and wake whom they concern."""
        first: dict[Place, int] = {}
        for event in page.events:
            if event.version <= self.version:
                continue
            self._ring(event.kind).append(event)
            for place in _places(event):
                first.setdefault(place, event.version)
        self.version = max(self.version, page.version)
        for place, version in first.items():
            for each in self._watchers.get(place, ()):
                each.notice(version)
        if not page.more:
            self._started.set()

    def skip(self, version: int) -> bool:
        """Go on from `version` without what came before, where nobody has watched for a while.

        Whoever comes later with an older version reads the log of the database.
        """
        now = asyncio.get_running_loop().time()
        if self._watchers or not self._started.is_set():
            self._quiet_since = None
            return False
        if self._quiet_since is None:
            self._quiet_since = now
        if now - self._quiet_since < self._quiet or version < self.version:
            return False
        if version > self.version:
            self._rings.clear()
            self.version = self._floor = version
        return True

    def close(self) -> None:
        """End every watch, cleanly."""
        self.closed = True
        self._started.set()
        for watchers in self._watchers.values():
            for each in watchers:
                each.wake()

    # -- the watchers' side --

    async def started(self, until: float) -> bool:
        """Wait until the follower has read what there is; False where the time came first."""
        if self._started.is_set():
            return True
        try:
            async with asyncio.timeout_at(until):
                return await self._started.wait()
        except TimeoutError:
            return False

    def subscribe(
        self, kind: str, *, namespace: str = "", name: str = "", matches: Matches | None, after: int
    ) -> Subscription:
        """Watch a kind from the version `after` on; empty words stand for all."""
        place = (kind, namespace, name)
        self._quiet_since = None
        subscription = Subscription(self, place, matches, after)
        self._watchers.setdefault(place, set()).add(subscription)
        return subscription

    def forget(self, place: Place, subscription: Subscription) -> None:
        """The subscription ended."""
        watchers = self._watchers.get(place)
        if watchers is not None:
            watchers.discard(subscription)
            if not watchers:
                del self._watchers[place]

    @property
    def watchers(self) -> int:
        """How many watch."""
        return sum(map(len, self._watchers.values()))

    async def read(self, kind: str, after: int) -> Page:
        """The next events of a kind, from the ring or, where that begins later, from the log."""
        ring = self._ring(kind)
        if after >= ring.floor:
            events = ring.after(after, limit=AT_ONCE + 1)
            if len(events) > AT_ONCE:
                del events[AT_ONCE:]
                return Page(events, events[-1].version, ring.floor, more=True)
            return Page(events, max(after, self.version), ring.floor)
        known = self.version
        async with self._readers:
            page = await self._read_past(kind, after)
        if page.floor > after:
            return page
        # Whatever the log says, the ring may have more by now.
        return Page(page.events, page.version if page.more else max(page.version, known), more=True)

    def _ring(self, kind: str) -> Ring:
        ring = self._rings.get(kind)
        if ring is None:
            ring = Ring(self._floor, most=self._most, most_bytes=self._most_bytes)
            self._rings[kind] = ring
        return ring


class Subscription:
    """One watcher: everything that matches up to `_after` was handed out.

    While it is not `_behind`, so was everything up to the hub's own version.
    """

    __slots__ = ("_after", "_behind", "_hub", "_lost", "_matches", "_place", "_waiter")

    def __init__(self, hub: Hub, place: Place, matches: Matches | None, after: int) -> None:
        self._hub = hub
        self._place = place
        self._matches = matches
        self._after = after
        self._behind = True
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more."""
        self._hub.forget(self._place, self)

    @property
    def version(self) -> int:
        """Up to where this watcher knows everything."""
        return self._after if self._behind else max(self._after, self._hub.version)

    @property
    def ended(self) -> bool:
        """Whether the house closes."""
        return self._hub.closed

    async def next(self, until: float) -> list[Seen]:
        """The next events in order; none when the loop's time `until` came, or the house closes.

        ExpiredError where events were missed that nobody keeps any more.
        """
        while not self._hub.closed:
            if self._lost:
                raise _expired(self._after, self._hub.version)
            if not self._behind:
                if await self._wait(until):
                    continue
                return []
            try:
                found = await self._collect()
            except StoreAwayError:
                # The log is away for a while, as its follower knows too.
                if not await self._pause(until):
                    return []
                continue
            if found:
                return found
        return []

    async def _collect(self) -> list[Seen]:
        asked = self._after
        page = await self._hub.read(self._place[0], asked)
        if page.floor > asked:
            raise _expired(asked, page.floor)
        self._after = max(asked, page.version)
        self._behind = page.more
        return list(self._select(page.events))

    def _select(self, events: Iterable[Event]) -> Iterable[Seen]:
        _, namespace, name = self._place
        for event in events:
            if (namespace and event.namespace != namespace) or (name and event.name != name):
                continue
            verb = event.seen_by(self._matches)
            if verb is not None:
                yield Seen(verb, event)

    async def _wait(self, until: float) -> bool:
        """Wait to be woken; False where the time came first."""
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            return False
        self._waiter = loop.create_future()
        alarm = loop.call_at(until, self.wake)
        try:
            await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None
        return self._behind or self._lost or self._hub.closed

    async def _pause(self, until: float) -> bool:
        left = until - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, min(PAUSE, left)))
        return left > PAUSE

    # -- the hub's side --

    def notice(self, version: int) -> None:
        """An event that may match came, with this version, and maybe more behind it."""
        if not self._behind:
            self._after = max(self._after, version - 1)
            self._behind = True
            self.wake()

    def lose(self) -> None:
        """Events were missed."""
        self._lost = True
        self.wake()

    def wake(self) -> None:
        """End the wait, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _places(event: Event) -> set[Place]:
    """Where those listen whom the event may concern."""
    return {
        (event.kind, namespace, name)
        for namespace in (event.namespace, "")
        for name in (event.name, "")
    }


def _expired(asked: int, oldest: int) -> ExpiredError:
    return ExpiredError(f"too old resource version: {asked} ({oldest})")
