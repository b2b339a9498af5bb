"""The one place where sync code waits for async code: one loop, as long as its process lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from models.errors import DeadlineError, JobCancelledError

T = TypeVar("T")


class WorkerLoop:
    """An event loop on a thread of its own, so that connections and tokens outlive a task."""

    def __init__(self) -> None:
        import uvloop  # noqa: PLC0415 - half of what `tagstream --help` would cost

        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, work: Coroutine[Any, Any, T], *, within: float) -> Future[T]:
        """Begin `work`; it is cancelled after `within` seconds, or by the future's `cancel`."""

        async def bounded() -> T:
            async with asyncio.timeout(within):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop)

    def run(self, work: Coroutine[Any, Any, T], *, within: float) -> T:
        """Run `work` to its end. DeadlineError after `within` seconds."""
        return wait_for(self.start(work, within=within), within=within)

    def abandon(self) -> None:
        """Cancel what runs: who waits for it gets a JobCancelledError. The loop goes on."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()

    def close(self) -> None:
        """Stop the loop. What still runs on it is cancelled first."""
        if self._loop.is_closed():
            return
        self.abandon()
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_asyncgens(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def wait_for(future: Future[T], *, within: float) -> T:
    """The result of work that was started; typed errors for an end by clock or by wish."""
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
