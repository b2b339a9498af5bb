"""What one process learns of a registry's limits, told to all others at once through Redis.

A note is `gate:SCOPE`, those rights are to be left alone for so long, or `quota:SCOPE`, there is a
book for them. Notes stand in a hash beside the ledger's, where every lease that is renewed finds
them, and go out by publish and subscribe, so that nobody asks in between (`registry.md` 4.4).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import structlog

from worker.registry.limits.redis_leases import NOTES, Ledger

log = structlog.get_logger()

GATE, QUOTA = "gate:", "quota:"
_PAUSE, _LISTEN = 1.0, 30.0

_TELL = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local untils = now + ARGV[2]
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and known + 0 >= untils then untils = known + 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', untils))
if redis.call('PTTL', KEYS[1]) < untils - now then
  redis.call('PEXPIRE', KEYS[1], untils - now + 60000)
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""


class Notices:
    """Tells and hears. Belongs to one event loop."""

    def __init__(
        self, ledger: Ledger, *, prefix: str, heed: Callable[[str, str, float], None]
    ) -> None:
        self._ledger = ledger
        self._script = ledger.redis.register_script(_TELL)
        self._prefix = prefix
        self._channel = f"{prefix}notices"
        self._heed = heed
        self._telling: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None

    def tell(self, host: str, note: str, seconds: float) -> None:
        """Let everybody know; where Redis is away, with the next lease that finds it back."""
        task = asyncio.get_running_loop().create_task(self._tell(host, note, seconds))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def listen(self) -> None:
        """Hear what others tell from now on."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        if self._telling:
            await asyncio.wait(self._telling)
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None

    async def _tell(self, host: str, note: str, seconds: float) -> None:
        message = json.dumps([host, note, seconds])
        milliseconds = max(1, round(seconds * 1000))
        try:
            await self._script(
                keys=[self._prefix + host + NOTES],
                args=[note, milliseconds, self._channel, message],
            )
        except self._ledger.failures as error:
            log.debug("notices.not_told", error=type(error).__name__)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._ledger.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    while True:
                        said = await pubsub.get_message(timeout=_LISTEN)
                        if said is not None:
                            self._read(said["data"])
            except self._ledger.failures:
                await asyncio.sleep(_PAUSE)

    def _read(self, data: bytes) -> None:
        try:
            host, note, seconds = json.loads(data)
            self._heed(str(host), str(note), float(seconds))
        except (ValueError, TypeError):
            log.debug("notices.not_understood")
