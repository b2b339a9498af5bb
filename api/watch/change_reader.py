"""One thread per process reads the log of changes and hands each event to the hub, once.

It sleeps until a commit wakes it, whatever the number of watchers. A database that is away is
asked again and again, ever more patiently; what was committed meanwhile is caught up with. Where
the log has moved on without us, or the database is another one, every watcher is told to list anew.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import closing
from functools import partial

import structlog
from sqlalchemy import Engine

from api.watch.watch_cache import Hub, Page
from api.watch.watch_event import OpenObject, open_event
from models.errors import TagstreamError
from models.store.changes.change_log import floor_version, latest_version, load_feed
from models.store.changes.change_notify import Waker
from models.store.database.session import transaction

log = structlog.get_logger()

BACKLOG = 1000  # changes read at the start, for clients that come back after a restart
BATCH = 200
BATCH_BYTES = 4 * 2**20  # large objects come in smaller batches
BREATH = 0.05  # seconds between two looks while changes come thick and fast
TICK = 0.5  # seconds until a wish to stop is heard
SLOWEST_LOOK = 5.0  # seconds between two looks when nobody wakes us
SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
LONGEST_STOP = 2.0  # a database that hangs must not hold up our end


class Feed:
    """The log of changes, a page at a time. `open_object` makes shown objects of stored ones."""

    def __init__(self, engine: Engine, *, open_object: OpenObject) -> None:
        self._engine = engine
        self._open_object = open_object

    def begin(self, backlog: int = BACKLOG) -> int:
        """The version to follow from: a little before the newest, where the log reaches back."""
        with transaction(self._engine, write=False) as session:
            return max(floor_version(session), latest_version(session) - backlog, 0)

    def latest(self) -> int:
        """The newest version."""
        with transaction(self._engine, write=False) as session:
            return latest_version(session)

    def read(self, kind: str | None, after: int, *, limit: int = BATCH) -> Page:
        """The next events above `after`, of one kind or of all."""
        kinds = None if kind is None else [kind]
        with transaction(self._engine, write=False) as session:
            floor, latest = floor_version(session, kind), latest_version(session)
            if after < floor or latest < after:
                return Page((), latest, floor)
            feed = load_feed(session, after=after, limit=limit, kinds=kinds)
        more = len(feed) == limit
        version = feed[-1].version if more else latest
        return Page([open_event(each, self._open_object) for each in feed], version, floor, more)


class Follower:
    """Keeps a hub up to date. `start` it on the hub's loop; `stop` it from anywhere.

    The three belong together like this:

        feed = Feed(engine, open_object=open_object)
        hub = Hub(partial(threads.run, feed.read))
        follower = Follower(engine, hub, feed)
    """

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        feed: Feed,
        *,
        open_waker: Callable[[Engine], Waker] = Waker,
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._feed = feed
        self._open_waker = open_waker
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._at: int | None = None
        self._limit = BATCH

    def start(self) -> None:
        """Begin to follow."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End, within a moment; the hub stays as it is."""
        self._stop.set()
        if self.alive:
            self._thread.join(LONGEST_STOP)

    @property
    def alive(self) -> bool:
        """Whether it follows."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._stop.is_set():
            try:
                with closing(self._open_waker(self._engine)) as waker:
                    self._catch_up()
                    pause = SHORTEST_PAUSE
                    self._follow(waker)
            except TagstreamError as error:
                log.warning("follower.away", error=str(error), pause=pause)
            except Exception:
                # Every watch of this process hangs on this thread: it must not end.
                log.exception("follower.failed", pause=pause)
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _follow(self, waker: Waker) -> None:
        looked = time.monotonic()
        while not self._stop.is_set():
            # A look costs as much for one change as for ten.
            self._stop.wait(max(0.0, looked + BREATH - time.monotonic()))
            if waker.wait(TICK) or time.monotonic() - looked > SLOWEST_LOOK:
                looked = time.monotonic()
                self._catch_up()

    def _catch_up(self) -> None:
        """Publish all that was committed until now."""
        while not self._stop.is_set():
            if self._at is None:
                at = self._feed.begin()
                self._on_loop(partial(self._hub.restart, at))
                self._at = at
            elif not self._hub.watchers and self._skip(self._feed.latest()):
                return
            page = self._feed.read(None, self._at, limit=self._limit)
            if page.floor > self._at or page.version < self._at:
                log.warning("follower.lost", at=self._at, floor=page.floor, version=page.version)
                self._at = None
                continue
            self._publish(page)
            self._at = page.version
            if not page.more:
                return

    def _skip(self, version: int) -> bool:
        """Leave the changes up to `version` unread where nobody would hear of them."""
        done: list[bool] = []
        self._on_loop(lambda: done.append(self._hub.skip(version)))
        if done != [True]:
            return False
        self._at = version
        return True

    def _publish(self, page: Page) -> None:
        self._on_loop(partial(self._hub.publish, page))
        size = sum(len(event.body) for event in page.events)
        if size:
            fitting = BATCH_BYTES * len(page.events) // size
            self._limit = max(1, min(BATCH, fitting))

    def _on_loop(self, step: Callable[[], None]) -> None:
        """Carry `step` out on the hub's loop, and wait for it: it must not pile up there."""
        assert self._loop is not None
        done: Future[None] = Future()

        def carry_out() -> None:
            try:
                step()
            except BaseException as error:
                done.set_exception(error)
                raise
            done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(carry_out)
        except RuntimeError:  # the loop is closed: nobody watches any more
            self._stop.set()
            return
        while not self._stop.is_set():
            if wait([done], timeout=TICK).done:
                done.result()
                return
