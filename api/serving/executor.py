"""The thread pool on which async handlers run sync code: the only bridge to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_COUNT = 8


class ThreadExecutor:
    """A pool of as many threads as this process has database connections."""

    def __init__(self, count: int = THREAD_COUNT) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="api")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of `function`, run on a thread with the log context of the request."""
        loop = asyncio.get_running_loop()
        context = copy_context()
        return await loop.run_in_executor(
            self._pool, lambda: context.run(function, *args, **kwargs)
        )

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` when a thread is free; never if the process ends before."""
        with suppress(RuntimeError):  # closed
            self._pool.submit(function)

    def close(self) -> None:
        """Wait for running functions, and accept no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
