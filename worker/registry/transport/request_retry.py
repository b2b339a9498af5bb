"""Retries of transient failures (registry-15.1 to registry-15.3, imports-4.11)."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import RateLimitedError, TransientRegistryError
from models.telemetry.metrics import count_retry
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.host_limiter import MAX_RETRY_PAUSE_SECONDS, HostLimiter

T = TypeVar("T")

RETRY_PAUSES_SECONDS = (0.5, 2.0)
RandomUniform = Callable[[float, float], float]


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    host: HostLimiter,
    pauses: tuple[float, ...] = RETRY_PAUSES_SECONDS,
    clock: Clock = SYSTEM_CLOCK,
    random_uniform: RandomUniform = random.uniform,
    retries: bool = True,
) -> T:
    """Return the result of `attempt`, retried once after each of `pauses`.

    Transient failures and 429 are retried after a random wait from 0 to the pause, in seconds. A
    `Retry-After` of at most 30 s is waited for; a longer one is raised at once, and so is an open
    circuit breaker. Retries are limited by the host's retry budget. Without `retries` there is one
    attempt: scheduled checks are repeated by the schedule. The caller's own deadline bounds all
    waiting.
    """
    for pause in pauses if retries else ():
        try:
            return await attempt()
        except TransientRegistryError as error:
            wait = random_uniform(0.0, pause)
            if isinstance(error, RateLimitedError) and error.retry_after is not None:
                wait = max(wait, error.retry_after)
            if (
                wait > MAX_RETRY_PAUSE_SECONDS
                or error.code == "circuit.open"
                or not host.take_retry()
            ):
                raise
        count_retry(host.name)
        await clock.sleep(wait)
    return await attempt()
