"""The change reader, and the reflector: one thread per process that feeds the watch cache.

The thread sleeps until a commit wakes it, however many watches there are. If the database is
unavailable it retries with growing pauses, and reads later what was committed meanwhile. If the
change log no longer reaches back to its position, or the database is another one, every watch ends
with the error 410 Expired, and the clients list again.
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

from api.watch.watch_cache import WatchCache, WatchEventPage
from api.watch.watch_event import ConvertChange, build_watch_event
from models.errors import TagstreamError
from models.store.changes.change_events import load_change_events
from models.store.changes.change_log import floor_version, latest_version
from models.store.changes.change_notify import ChangeWaiter
from models.store.database.session import transaction

log = structlog.get_logger()

# Changes read at the start, so that clients that reconnect after a restart find their position.
START_BACKLOG_CHANGES = 1000
READ_BATCH_SIZE = 200
MAX_BATCH_BYTES = 4 * 2**20  # large objects are read in smaller batches
MIN_READ_INTERVAL_SECONDS = 0.05  # between two reads while changes are frequent
STOP_POLL_SECONDS = 0.5  # how often `stop` is checked for
MAX_READ_INTERVAL_SECONDS = 5.0  # between two reads if no commit wakes the thread
MIN_RETRY_PAUSE_SECONDS = 0.1
MAX_RETRY_PAUSE_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 2.0  # an unresponsive database must not delay the shutdown


class ChangeReader:
    """A reader of the change log, page by page; `convert_change` makes the shown objects.

    The floor is the version up to which the log has been pruned: every change above it can be read,
    and a reader whose position is below it must list again.
    """

    def __init__(self, engine: Engine, *, convert_change: ConvertChange) -> None:
        self._engine = engine
        self._convert_change = convert_change

    def start_version(self, backlog: int = START_BACKLOG_CHANGES) -> int:
        """Return the version to start from: `backlog` changes before the newest, if logged."""
        with transaction(self._engine, write=False) as session:
            return max(floor_version(session), latest_version(session) - backlog, 0)

    def latest_version(self) -> int:
        """Return the newest version."""
        with transaction(self._engine, write=False) as session:
            return latest_version(session)

    def read(self, kind: str | None, after: int, *, limit: int = READ_BATCH_SIZE) -> WatchEventPage:
        """Return the next events above `after`, of one kind or of all."""
        kinds = None if kind is None else [kind]
        with transaction(self._engine, write=False) as session:
            floor, latest = floor_version(session, kind), latest_version(session)
            if after < floor or latest < after:
                return WatchEventPage((), latest, floor)
            changes = load_change_events(session, after=after, limit=limit, kinds=kinds)
        more = len(changes) == limit
        version = changes[-1].version if more else latest
        return WatchEventPage(
            [build_watch_event(each, self._convert_change) for each in changes],
            version,
            floor,
            more,
        )


class Reflector:
    """Keeps a watch cache up to date.

    `start` it on the loop of the cache; `stop` it from any thread. The parts are put together so:

        change_reader = ChangeReader(engine, convert_change=convert_change)
        watch_cache = WatchCache(partial(executor.run, change_reader.read))
        reflector = Reflector(engine, watch_cache, change_reader)
    """

    def __init__(
        self,
        engine: Engine,
        watch_cache: WatchCache,
        change_reader: ChangeReader,
        *,
        open_waiter: Callable[[Engine], ChangeWaiter] = ChangeWaiter,
    ) -> None:
        self._engine = engine
        self._watch_cache = watch_cache
        self._change_reader = change_reader
        self._open_waiter = open_waiter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reflector", daemon=True)
        self._version: int | None = None
        self._limit = READ_BATCH_SIZE

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread within two seconds; the watch cache stays as it is."""
        self._stop.set()
        if self.is_alive:
            self._thread.join(STOP_TIMEOUT_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause = MIN_RETRY_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                with closing(self._open_waiter(self._engine)) as waiter:
                    self._catch_up()
                    pause = MIN_RETRY_PAUSE_SECONDS
                    self._follow(waiter)
            except TagstreamError as error:
                log.warning("reflector.database_unavailable", error=str(error), pause=pause)
            except Exception:
                # Every watch of this process depends on this thread: it must not end.
                log.exception("reflector.failed", pause=pause)
            self._stop.wait(pause)
            pause = min(2 * pause, MAX_RETRY_PAUSE_SECONDS)

    def _follow(self, waiter: ChangeWaiter) -> None:
        last_read = time.monotonic()
        while not self._stop.is_set():
            # A read costs as much for one change as for ten, so frequent changes are batched.
            self._stop.wait(max(0.0, last_read + MIN_READ_INTERVAL_SECONDS - time.monotonic()))
            if (
                waiter.wait(STOP_POLL_SECONDS)
                or time.monotonic() - last_read > MAX_READ_INTERVAL_SECONDS
            ):
                last_read = time.monotonic()
                self._catch_up()

    def _catch_up(self) -> None:
        """Publish all changes that were committed until now."""
        while not self._stop.is_set():
            if self._version is None:
                start_version = self._change_reader.start_version()
                self._run_on_loop(partial(self._watch_cache.restart, start_version))
                self._version = start_version
            elif not self._watch_cache.subscription_count and self._skip(
                self._change_reader.latest_version()
            ):
                return
            page = self._change_reader.read(None, self._version, limit=self._limit)
            if page.floor > self._version or page.version < self._version:
                log.warning(
                    "reflector.position_expired",
                    at=self._version,
                    floor=page.floor,
                    version=page.version,
                )
                self._version = None
                continue
            self._publish(page)
            self._version = page.version
            if not page.more:
                return

    def _skip(self, version: int) -> bool:
        """Skip the changes up to `version` if the watch cache has had no watcher for a while."""
        skipped: list[bool] = []
        self._run_on_loop(lambda: skipped.append(self._watch_cache.skip(version)))
        if skipped != [True]:
            return False
        self._version = version
        return True

    def _publish(self, page: WatchEventPage) -> None:
        self._run_on_loop(partial(self._watch_cache.publish, page))
        size = sum(len(event.body) for event in page.events)
        if size:
            fitting = MAX_BATCH_BYTES * len(page.events) // size
            self._limit = max(1, min(READ_BATCH_SIZE, fitting))

    def _run_on_loop(self, step: Callable[[], None]) -> None:
        """Run `step` on the loop of the watch cache, and wait for it, so that steps do not queue
        up.
        """
        assert self._loop is not None
        done: Future[None] = Future()

        def run_step() -> None:
            try:
                step()
            except BaseException as error:
                done.set_exception(error)
                raise
            done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(run_step)
        except RuntimeError:  # the loop is closed: no watch is left
            self._stop.set()
            return
        while not self._stop.is_set():
            if wait([done], timeout=STOP_POLL_SECONDS).done:
                done.result()
                return
