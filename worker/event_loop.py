"""The bridge from sync to async code: one event loop, on its own thread, for each process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from models.errors import DeadlineError, JobCancelledError

T = TypeVar("T")


class EventLoopThread:
    """An event loop on a thread of its own, so that connections and tokens outlive a job."""

    def __init__(self) -> None:
        import uvloop  # noqa: PLC0415 - half of the time of `tagstream --help`

        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="event-loop", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, work: Coroutine[Any, Any, T], *, within: float) -> Future[T]:
        """Start `work`; it is cancelled after `within` seconds, or by the future's `cancel`."""

        async def bounded() -> T:
            async with asyncio.timeout(within):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop)

    def run(self, work: Coroutine[Any, Any, T], *, within: float) -> T:
        """Run `work` and return its result. Raises DeadlineError after `within` seconds."""
        return wait_for_result(self.start(work, within=within), within=within)

    def cancel_all(self) -> None:
        """Cancel all work, whose callers get JobCancelledError; the loop stays open."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()

    def close(self) -> None:
        """Cancel what still runs, then stop the loop and its thread."""
        if self._loop.is_closed():
            return
        self.cancel_all()
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_asyncgens(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def wait_for_result(future: Future[T], *, within: float) -> T:
    """Wait for started work and return its result.

    Raises DeadlineError if its time is over, JobCancelledError if it was cancelled. `within` is
    the limit in seconds that the message names.
    """
    try:
        return future.result()
    except TimeoutError as error:
        raise DeadlineError(
            f"the import took longer than its limit of {within:g} s and was stopped; "
            "import fewer tags at once, or raise TAGSTREAM_IMPORT_DEADLINE"
        ) from error
    except CancelledError as error:
        raise JobCancelledError from error


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
