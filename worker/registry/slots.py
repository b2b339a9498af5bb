"""How many requests this process may have in flight at a registry that others ask as well.

Processes lease parts of a registry's budget in Redis: a hash of members with what each was
granted and when its lease ends. Grants never sum above the budget: a newcomer gets what is left
over (one is always kept free), and a process that has too much shrinks first. No round trip is
made per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import structlog

log = structlog.get_logger()

LEASE = 6.0
RENEWAL = 0.5
FEW = 4


class Slots(Protocol):
    """Answers at once; whatever has to be agreed with others happens elsewhere."""

    def share(self, host: str, budget: int, in_flight: int) -> int:
        """How many of `budget` requests this process may have in flight at `host`."""
        ...

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with a host's name whenever its share may have grown."""
        ...

    async def close(self) -> None:
        """Give the shares back."""
        ...


class LocalSlots:
    """One process has it all to itself."""

    def share(self, host: str, budget: int, in_flight: int) -> int:  # noqa: ARG002 - a protocol
        return budget

    def watch(self, changed: Callable[[str], None]) -> None:
        """Shares never change here."""

    async def close(self) -> None:
        """Nothing is leased."""


# KEYS[1]: member → "granted end". ARGV: now, lease end, member, in flight, budget. Grants a fair
# part of the budget out of what the others leave; records no less than what is in flight.
_RENEW = """
local now, ends = tonumber(ARGV[1]), ARGV[2]
local me, busy, budget = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local others, members = 0, 1
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local granted, until_ = string.match(all[i + 1], '^(%S+) (%S+)$')
  if tonumber(until_) < now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= me then
    others = others + tonumber(granted)
    members = members + 1
  end
end
local fair = math.max(1, math.floor((budget - 1) / members))
local grant = math.max(0, math.min(fair, budget - others))
redis.call('HSET', KEYS[1], me, math.max(grant, busy) .. ' ' .. ends)
redis.call('EXPIRE', KEYS[1], 60)
return grant
"""


class _Lease:
    """This process's part of one host's budget; None until Redis has answered."""

    def __init__(self) -> None:
        self.granted: int | None = None
        self.budget = 1
        self.busy = 0
        self.used = time.monotonic()


class RedisSlots:
    """Shares leased in Redis, renewed in the background while a host is being asked.

    When Redis is away the last grant stands; without one, a quarter of the budget: never all.
    """

    def __init__(self, url: str, *, prefix: str = "tagstream:slots:") -> None:
        import redis.asyncio  # noqa: PLC0415 - only server roles pay for it

        self._redis: Any = redis.asyncio.Redis.from_url(
            url, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._script = self._redis.register_script(_RENEW)
        self._prefix = prefix
        self._member = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._leases: dict[str, _Lease] = {}
        self._changed: Callable[[str], None] = lambda _host: None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def watch(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def share(self, host: str, budget: int, in_flight: int) -> int:
        lease = self._leases.get(host)
        if lease is None:
            lease = self._leases[host] = _Lease()
            self._hurry.set()
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._renew_all())
        lease.budget, lease.busy, lease.used = budget, in_flight, time.monotonic()
        return lease.granted or 0

    async def _renew_all(self) -> None:
        while self._leases:
            self._hurry.clear()
            now = time.monotonic()
            for host, lease in list(self._leases.items()):
                if now - lease.used > LEASE and not lease.busy:
                    del self._leases[host]
                    await self._leave(host)
                else:
                    await self._renew(host, lease)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL):
                    await self._hurry.wait()

    async def _renew(self, host: str, lease: _Lease) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415 - as above

        wall = time.time()
        try:
            granted = await self._script(
                keys=[self._prefix + host],
                args=[wall, wall + LEASE, self._member, lease.busy, lease.budget],
            )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("slots.redis_away", error=type(error).__name__)
            granted = max(1, lease.budget // FEW) if lease.granted is None else lease.granted
        lease.granted = int(granted)
        self._changed(host)

    async def _leave(self, host: str) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415 - as above

        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._redis.hdel(self._prefix + host, self._member)

    async def close(self) -> None:
        """Give every share back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for host in list(self._leases):
            await self._leave(host)
        await self._redis.aclose()
