"""Trying again, within reason (`registry.md` 4.4, `import.md` B4)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import RateLimitedError, TransientRegistryError
from worker.registry.hosts import Host

T = TypeVar("T")

LONGEST_PAUSE = 30.0

Sleep = Callable[[float], Awaitable[None]]
Dice = Callable[[float, float], float]


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    host: Host,
    pauses: tuple[float, ...] = (0.5, 2.0),
    sleep: Sleep = asyncio.sleep,
    dice: Dice = random.uniform,
) -> T:
    """The result of `attempt`, tried once more after each of `pauses` where that may help.

    Transient failures and 429 are tried again, with full jitter; a `Retry-After` of at most 30 s
    is waited out, a longer one ends the matter. An open circuit is not argued with.
    """
    for pause in pauses:
        try:
            return await attempt()
        except TransientRegistryError as error:
            if error.code == "circuit.open" or not host.may_retry():
                raise
            wait = dice(0.0, pause)
            if isinstance(error, RateLimitedError) and error.retry_after is not None:
                if error.retry_after > LONGEST_PAUSE:
                    raise
                wait = error.retry_after
        await sleep(wait)
    return await attempt()
