"""Trying again, within reason (`registry.md` 4.4, `import.md` B4)."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import RateLimitedError, TransientRegistryError
from models.telemetry.metrics import count_retry
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.host_limiter import LONGEST_PAUSE, Host

T = TypeVar("T")

PAUSES = (0.5, 2.0)
Dice = Callable[[float, float], float]


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    host: Host,
    pauses: tuple[float, ...] = PAUSES,
    clock: Clock = SYSTEM_CLOCK,
    dice: Dice = random.uniform,
    retries: bool = True,
) -> T:
    """The result of `attempt`, tried once more after each of `pauses` where that may help.

    Without `retries` it is tried once: what the calendar asks for, the calendar asks for again.

    Transient failures and 429 are tried again, after anything from nothing to the pause; a
    `Retry-After` of at most 30 s is waited out, a longer one ends the matter. An open circuit is
    not argued with, and retries keep to the host's budget. The caller's own deadline cuts all
    waiting short.
    """
    for pause in pauses if retries else ():
        try:
            return await attempt()
        except TransientRegistryError as error:
            wait = dice(0.0, pause)
            if isinstance(error, RateLimitedError) and error.retry_after is not None:
                wait = max(wait, error.retry_after)
            if wait > LONGEST_PAUSE or error.code == "circuit.open" or not host.may_retry():
                raise
        count_retry(host.name)
        await clock.sleep(wait)
    return await attempt()
