"""Clocks: time and waiting as an argument, so that tests can pass a clock of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Clock(Protocol):
    """Time in seconds, and ways to wait.

    `now` is monotonic, for durations; `wall` is Unix time, for dates that registries send.
    """

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def later(self, seconds: float, act: Callable[[], None]) -> Any:
        """Call `act` on the running event loop after `seconds`."""
        ...


class SystemClock:
    """The clock of this machine."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def later(self, seconds: float, act: Callable[[], None]) -> Any:
        return asyncio.get_running_loop().call_later(seconds, act)


SYSTEM_CLOCK = SystemClock()
