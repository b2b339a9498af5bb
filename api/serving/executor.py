"""Where async code waits for sync code: the one seam between handlers and the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

COUNT = 8


class Threads:
    """A few threads, as many as the database has connections for this process."""

    def __init__(self, count: int = COUNT) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="api")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, carried out on a thread; its log lines name the same request."""
        loop = asyncio.get_running_loop()
        context = copy_context()
        return await loop.run_in_executor(self._pool, lambda: context.run(work, *args, **kwargs))

    def later(self, work: Callable[[], None]) -> None:
        """Have `work` done when a thread is free; not at all where the process ends before."""
        with suppress(RuntimeError):  # closed
            self._pool.submit(work)

    def close(self) -> None:
        """Let running work end; no more is taken."""
        self._pool.shutdown(wait=True, cancel_futures=True)
