"""Leases in Redis, by which processes share the concurrency limit of a registry.

There is one hash for each registry: the limit, which adapts to what all processes observe, and one
lease for each process with the permits that it was granted. Grants never sum above the limit: a
process gets more only out of what no other holds, and one that holds too much gets a lower target
and keeps its grant until it has come down to it (registry-19.1, registry-19.2). Every step is one
script, so no state is ever half written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger()

LEASE_SECONDS = 5.0  # a process that was silent for longer is reduced to an equal part
GRACE_SECONDS = 60.0  # after which its lease ends: no request takes longer
LIMITS_KEY_SUFFIX = ":limits"
_REDIS_TIMEOUT_SECONDS = 1.0
_UNSET = -1

# Renews one process's lease; all of it is one atomic step.
#
# KEYS[1]: hash of the registry. Fields: "limit" (the concurrency limit), "epoch" (how often it was
# halved), "clean" (successes since it last changed), "down" and "why" (end of an open circuit
# breaker, Unix time in ms, and its error), and one field for each process:
#   "m:<member id>" -> "<granted> <wanted> <time of renewal in ms>"
# KEYS[2]: hash of the registry's published limits, see `redis_pubsub`.
#
# 1. The limit adapts. An overload counts only if its reporter knew the current epoch: if four
#    processes report the same overload under epoch 7, the first halves the limit and starts epoch
#    8, and the other three reports are ignored.
# 2. Leases of other processes are summed up. One that was silent for longer than the lease keeps at
#    most an equal part of the limit, one that was silent for longer than the grace time is deleted.
# 3. Targets are assigned: small needs are met first and the rest is divided evenly. Example: 8
#    permits and needs of 1, 5 and 9: the targets are 1, floor(7 / 2) = 3 and 4. Where there are
#    more processes than permits, the order rotates every 500 ms, so that each gets some in time.
# 4. A process is granted more only out of what no other process was granted ("spare"), so the sum
#    of all grants never exceeds the limit. One above its target keeps its grant until it has come
#    down.
_RENEW_SCRIPT = """
local key, member = KEYS[1], ARGV[1]
local current, wanted = ARGV[2] + 0, ARGV[3] + 0
local successes, overload_epoch = ARGV[4] + 0, ARGV[5] + 0
local initial, maximum, successes_to_grow = ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0
local lease, grace = ARGV[9] + 0, ARGV[10] + 0
local breaker_ms, breaker_error = ARGV[11] + 0, ARGV[12]
local reserve, urgent = ARGV[13] + 0, ARGV[14] + 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local state, members = {}, {}
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local id = string.match(fields[i], '^m:(.*)$')
  if id then members[id] = fields[i + 1] else state[fields[i]] = fields[i + 1] end
end

-- 1. The limit adapts.
local limit = math.min((state.limit or initial) + 0, maximum)
local epoch, count = (state.epoch or 0) + 0, (state.clean or 0) + 0
if overload_epoch == epoch then
  limit, epoch, count = math.max(1, math.floor(limit / 2)), epoch + 1, 0
else
  count = count + successes
  limit = math.min(maximum, limit + math.floor(count / successes_to_grow))
  count = count % successes_to_grow
end

-- 2. What other processes hold.
local member_count, promised, active, silent = 1, 0, {{id = member, wanted = wanted}}, {}
for id, text in pairs(members) do
  if id ~= member then
    local granted, need, renewed = string.match(text, '^(%d+) (%d+) (%d+)$')
    local age = now - renewed
    if age > grace then
      redis.call('HDEL', key, 'm:' .. id)
    else
      member_count = member_count + 1
      if age > lease then
        table.insert(silent, granted + 0)
      else
        promised = promised + granted
        table.insert(active, {id = id, wanted = need + 0})
      end
    end
  end
end
local available = limit
for _, granted in ipairs(silent) do
  local part = math.min(granted, math.floor(limit / member_count))
  promised, available = promised + part, available - part
end

-- 3. Targets.
table.sort(active, function(a, b) return a.id < b.id end)
local crowded, rotation = #active > available, math.floor(now / 500)
for i, each in ipairs(active) do each.rank = (i + rotation) % #active end
table.sort(active, function(a, b)
  if crowded then return a.rank < b.rank end
  if a.wanted ~= b.wanted then return a.wanted < b.wanted end
  return a.id < b.id
end)
reserve = math.min(reserve, limit - 1)
local remaining, target, total_wanted = math.max(available - reserve, 0), 0, 0
for _, each in ipairs(active) do total_wanted = total_wanted + each.wanted end
for i, each in ipairs(active) do
  local part = math.min(each.wanted, math.floor(remaining / (#active - i + 1)))
  remaining = remaining - part
  if each.id == member then target = part end
end

-- 4. The grant. An urgent process, whose interactive request waits, may use the reserve.
local spare = math.max(0, limit - reserve - promised - current)
if urgent == 1 and spare > 0 then target = math.max(target, current + 1) end
local granted = current + math.max(0, math.min(target - current, spare))

redis.call('HSET', key, 'm:' .. member, string.format('%d %d %d', granted, wanted, now),
  'limit', limit, 'epoch', epoch, 'clean', count)
if breaker_ms == 0 then
  redis.call('HDEL', key, 'down', 'why')
  state.down, state.why = nil, nil
elseif breaker_ms > 0 then
  state.down, state.why = now + breaker_ms, breaker_error
  redis.call('HSET', key, 'down', string.format('%d', state.down), 'why', breaker_error)
end
redis.call('PEXPIRE', key, 10 * grace)
local breaker_left = math.max(0, (state.down or 0) - now)
local limits, stored = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #stored, 2 do
  local left = stored[i + 1] - now
  if left > 0 then
    table.insert(limits, stored[i])
    table.insert(limits, left)
  else
    redis.call('HDEL', KEYS[2], stored[i])
  end
end
local rate = math.floor(1000000 * math.max(1, wanted) / math.max(1, total_wanted, wanted))
return {granted, target, limit, epoch, member_count, breaker_left, state.why or '', rate, limits}
"""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a process reports when it renews its lease.

    Until the response it uses at most `current` permits; it wants `wanted`, and has had `successes`
    responses since the last renewal. `overload_epoch` is the epoch of the limit under which the
    registry was overloaded, None for no overload. `breaker_seconds` is for how long the circuit
    breaker is open: 0 if it was closed, None if nothing changed. `interactive_reserve` permits are
    not for this process, because it has no interactive request. `is_urgent`: an interactive request
    waits, and none of the process's permits serves one.
    """

    current: int
    wanted: int
    successes: int = 0
    overload_epoch: int | None = None
    breaker_seconds: float | None = None
    breaker_error: str = ""
    interactive_reserve: int = 0
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """The result of a renewal: `granted` permits are reserved, `target` is what to come down to.

    `limit` is the registry's limit with its `epoch`. `rate_fraction` is the process's part of the
    registry's rate, by its part of all needs. `active_limits` are the limits that processes have
    published (`redis_pubsub`), with the seconds for which they last.
    """

    granted: int
    target: int
    limit: int
    epoch: int
    member_count: int
    breaker_seconds: float
    breaker_error: str
    rate_fraction: float = 1.0
    active_limits: Mapping[str, float] = field(default_factory=dict)


class RedisLeases:
    """The leases of all registries."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        lease_seconds: float = LEASE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        # Only server roles pay for these imports.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self.redis_errors: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        self.redis: Any = Redis.from_url(
            url,
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._script = self.redis.register_script(_RENEW_SCRIPT)
        self._prefix = prefix
        self.lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds
        self._is_redis_down = False

    async def renew(
        self,
        host: str,
        member_id: str,
        request: LeaseRequest,
        *,
        initial_limit: int,
        max_limit: int,
        successes_to_grow: int,
    ) -> LeaseGrant | None:
        """Renew a process's lease on part of a host's limit; None while Redis is unavailable."""
        arguments: list[str | int] = [
            member_id,
            request.current,
            request.wanted,
            request.successes,
            _UNSET if request.overload_epoch is None else request.overload_epoch,
            initial_limit,
            max_limit,
            successes_to_grow,
            round(self.lease_seconds * 1000),
            round(self._grace_seconds * 1000),
            _UNSET if request.breaker_seconds is None else round(request.breaker_seconds * 1000),
            request.breaker_error,
            request.interactive_reserve,
            int(request.is_urgent),
        ]
        key = self._prefix + host
        try:
            reply = await self._script(keys=[key, key + LIMITS_KEY_SUFFIX], args=arguments)
        except self.redis_errors as error:
            if not self._is_redis_down:
                log.warning("leases.redis_unavailable", error=type(error).__name__)
            self._is_redis_down = True
            return None
        self._is_redis_down = False
        return _parse_grant(reply)

    async def release(self, host: str, member_id: str) -> None:
        """Release a lease; if Redis is unavailable, the lease expires."""
        try:
            await self.redis.hdel(self._prefix + host, f"m:{member_id}")
        except self.redis_errors as error:
            log.debug("leases.release_failed", error=type(error).__name__)

    async def close(self) -> None:
        await self.redis.aclose()


def _parse_grant(reply: list[Any]) -> LeaseGrant:
    *counts, breaker_milliseconds, breaker_error, rate_millionths, limits = reply
    granted, target, limit, epoch, member_count = counts
    pairs = zip(limits[::2], limits[1::2], strict=True)
    return LeaseGrant(
        granted=granted,
        target=target,
        limit=limit,
        epoch=epoch,
        member_count=member_count,
        breaker_seconds=breaker_milliseconds / 1000,
        breaker_error=breaker_error.decode(),
        rate_fraction=rate_millionths / 1e6,
        active_limits={key.decode(): int(milliseconds) / 1000 for key, milliseconds in pairs},
    )
