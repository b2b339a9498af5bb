"""Publishing of limits: what one process learns of a registry's limits reaches all others at once.

A limit has the key `cooldown:SCOPE` (that credential scope waits for so many seconds) or
`quota:SCOPE` (there is a shared quota for it). Limits are stored in a hash beside that of the
registry's leases, where every renewal of a lease reads them, and are published through Redis
pub/sub, so that no request is sent in between (registry-19.5).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import structlog

from worker.registry.limits.redis_leases import LIMITS_KEY_SUFFIX, RedisLeases

log = structlog.get_logger()

COOLDOWN_PREFIX, QUOTA_PREFIX = "cooldown:", "quota:"
_RECONNECT_SECONDS, _POLL_SECONDS = 1.0, 30.0

# KEYS[1]: hash of the host's limits (limit key -> end, Unix time in ms). ARGV: limit key, duration
# in ms, channel, message. A limit is extended but never shortened: if it is stored with an end in
# 600 s and published with 20 s, it still ends in 600 s. The hash expires a minute after its last
# limit.
_PUBLISH_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local end_time = now + ARGV[2]
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and stored + 0 >= end_time then end_time = stored + 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', end_time))
if redis.call('PTTL', KEYS[1]) < end_time - now then
  redis.call('PEXPIRE', KEYS[1], end_time - now + 60000)
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""


class RedisLimitPubSub:
    """Publishes limits and receives those of other processes, on one event loop.

    `on_limit(host, limit_key, seconds)` is called for each limit that is received.
    """

    def __init__(
        self, leases: RedisLeases, *, prefix: str, on_limit: Callable[[str, str, float], None]
    ) -> None:
        self._leases = leases
        self._script = leases.redis.register_script(_PUBLISH_SCRIPT)
        self._prefix = prefix
        self._channel = f"{prefix}limits"
        self._on_limit = on_limit
        self._publish_tasks: set[asyncio.Task[None]] = set()
        self._subscription: asyncio.Task[None] | None = None

    def publish(self, host: str, limit_key: str, seconds: float) -> None:
        """Publish a limit to all processes, in the background.

        If Redis is unavailable, the limit is published again after the next successful renewal.
        """
        task = asyncio.get_running_loop().create_task(self._publish(host, limit_key, seconds))
        self._publish_tasks.add(task)
        task.add_done_callback(self._publish_tasks.discard)

    def subscribe(self) -> None:
        """Start to receive the limits of other processes."""
        if self._subscription is None:
            self._subscription = asyncio.get_running_loop().create_task(self._receive())

    async def close(self) -> None:
        if self._publish_tasks:
            await asyncio.wait(self._publish_tasks)
        if self._subscription is not None:
            self._subscription.cancel()
            await asyncio.wait([self._subscription])
            self._subscription = None

    async def _publish(self, host: str, limit_key: str, seconds: float) -> None:
        message = json.dumps([host, limit_key, seconds])
        milliseconds = max(1, round(seconds * 1000))
        try:
            await self._script(
                keys=[self._prefix + host + LIMITS_KEY_SUFFIX],
                args=[limit_key, milliseconds, self._channel, message],
            )
        except self._leases.redis_errors as error:
            log.debug("limits.publish_failed", error=type(error).__name__)

    async def _receive(self) -> None:
        while True:
            try:
                async with self._leases.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    while True:
                        message = await pubsub.get_message(timeout=_POLL_SECONDS)
                        if message is not None:
                            self._handle_message(message["data"])
            except self._leases.redis_errors:
                await asyncio.sleep(_RECONNECT_SECONDS)

    def _handle_message(self, data: bytes) -> None:
        try:
            host, limit_key, seconds = json.loads(data)
            self._on_limit(str(host), str(limit_key), float(seconds))
        except (ValueError, TypeError):
            log.debug("limits.message_invalid")
