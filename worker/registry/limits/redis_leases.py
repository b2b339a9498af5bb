"""The ledger in Redis in which processes share what a registry bears (`registry.md` 4.4).

One hash a registry: the budget, which adapts to what all processes see, and a line for each process
with what it was promised. Promises never sum above the budget: a process is promised more only out
of what nobody holds, and one that holds too much is told its target and keeps its promise on the
books until it has come down to it. Every step is one script, so nothing is ever half done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger()

LEASE = 5.0  # a process that was silent for longer falls back to its plain part
GRACE = 60.0  # and is forgotten after this: no request outlives it
NOTES = ":notes"
_PATIENCE = 1.0
_NOTHING = -1

# Shares are filled like glasses: small wishes first, the rest evenly. Where there are more
# processes than slots, slots go round every half second.
_SCRIPT = """
local key, me = KEYS[1], ARGV[1]
local holds, wants, clean, complaint = ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0
local start, most, grow = ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0
local lease, grace = ARGV[9] + 0, ARGV[10] + 0
local rest, why, reserve, urgent = ARGV[11] + 0, ARGV[12], ARGV[13] + 0, ARGV[14] + 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local book, members = {}, {}
local said = redis.call('HGETALL', key)
for i = 1, #said, 2 do
  local id = string.match(said[i], '^m:(.*)$')
  if id then members[id] = said[i + 1] else book[said[i]] = said[i + 1] end
end

local limit = math.min((book.limit or start) + 0, most)
local epoch, count = (book.epoch or 0) + 0, (book.clean or 0) + 0
if complaint == epoch then
  limit, epoch, count = math.max(1, math.floor(limit / 2)), epoch + 1, 0
else
  count = count + clean
  limit = math.min(most, limit + math.floor(count / grow))
  count = count % grow
end

local known, taken, line, silent = 1, 0, {{id = me, want = wants}}, {}
for id, text in pairs(members) do
  if id ~= me then
    local held, want, seen = string.match(text, '^(%d+) (%d+) (%d+)$')
    local age = now - seen
    if age > grace then
      redis.call('HDEL', key, 'm:' .. id)
    else
      known = known + 1
      if age > lease then
        table.insert(silent, held + 0)
      else
        taken = taken + held
        table.insert(line, {id = id, want = want + 0})
      end
    end
  end
end
local open = limit
for _, held in ipairs(silent) do
  local part = math.min(held, math.floor(limit / known))
  taken, open = taken + part, open - part
end

table.sort(line, function(a, b) return a.id < b.id end)
local crowded, turn = #line > open, math.floor(now / 500)
for i, each in ipairs(line) do each.rank = (i + turn) % #line end
table.sort(line, function(a, b)
  if crowded then return a.rank < b.rank end
  if a.want ~= b.want then return a.want < b.want end
  return a.id < b.id
end)
reserve = math.min(reserve, limit - 1)
local left, target, wanted = math.max(open - reserve, 0), 0, 0
for _, each in ipairs(line) do wanted = wanted + each.want end
for i, each in ipairs(line) do
  local part = math.min(each.want, math.floor(left / (#line - i + 1)))
  left = left - part
  if each.id == me then target = part end
end
local spare = math.max(0, limit - reserve - taken - holds)
if urgent == 1 and spare > 0 then target = math.max(target, holds + 1) end
local granted = holds + math.max(0, math.min(target - holds, spare))

redis.call('HSET', key, 'm:' .. me, string.format('%d %d %d', granted, wants, now),
  'limit', limit, 'epoch', epoch, 'clean', count)
if rest == 0 then
  redis.call('HDEL', key, 'down', 'why')
  book.down, book.why = nil, nil
elseif rest > 0 then
  book.down, book.why = now + rest, why
  redis.call('HSET', key, 'down', string.format('%d', book.down), 'why', why)
end
redis.call('PEXPIRE', key, 10 * grace)
local down = math.max(0, (book.down or 0) - now)
local notes, told = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #told, 2 do
  local left = told[i + 1] - now
  if left > 0 then
    table.insert(notes, told[i])
    table.insert(notes, left)
  else
    redis.call('HDEL', KEYS[2], told[i])
  end
end
local part = math.floor(1000000 * math.max(1, wants) / math.max(1, wanted, wants))
return {granted, target, limit, epoch, known, down, book.why or '', part, notes}
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process says: it will not exceed `holds` until it hears back, would like `wants`, saw
    so many `clean` answers, and complains of an overload under the `complaint`-th budget.

    `rest` is for how many seconds the registry is to be left alone: 0 no longer, None no news.
    `reserve` of the budget is not for this process, as nobody waits for what it does; one that is
    `urgent` holds slots, but none for the person who waits there.
    """

    holds: int
    wants: int
    clean: int = 0
    complaint: int | None = None
    rest: float | None = None
    why: str = ""
    reserve: int = 0
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What it is told: `granted` is its on the books, `target` is what it should come down to.

    `part` is its of everybody's wishes, `notes` are the limits that others learnt of (`notices`),
    with the seconds for which they hold.
    """

    granted: int
    target: int
    limit: int
    epoch: int
    members: int
    rest: float
    why: str
    part: float = 1.0
    notes: Mapping[str, float] = field(default_factory=dict)


class Ledger:
    """The books of all registries."""

    def __init__(
        self, url: str, *, prefix: str, lease: float = LEASE, grace: float = GRACE
    ) -> None:
        # Only server roles pay for these imports.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self.failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
        self.redis: Any = Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        self._script = self.redis.register_script(_SCRIPT)
        self._prefix = prefix
        self.lease = lease
        self._grace = grace
        self._away = False

    async def renew(
        self, host: str, member: str, claim: Claim, *, start: int, most: int, grow: int
    ) -> Grant | None:
        """Renew the lease of `member` on a part of `host`'s budget; None while Redis is away."""
        arguments: list[str | int] = [
            member,
            claim.holds,
            claim.wants,
            claim.clean,
            _NOTHING if claim.complaint is None else claim.complaint,
            start,
            most,
            grow,
            round(self.lease * 1000),
            round(self._grace * 1000),
            _NOTHING if claim.rest is None else round(claim.rest * 1000),
            claim.why,
            claim.reserve,
            int(claim.urgent),
        ]
        key = self._prefix + host
        try:
            said = await self._script(keys=[key, key + NOTES], args=arguments)
        except self.failures as error:
            if not self._away:
                log.warning("slots.redis_away", error=type(error).__name__)
            self._away = True
            return None
        self._away = False
        granted, target, limit, epoch, members, down, why, part, told = said
        pairs = zip(told[::2], told[1::2], strict=True)
        notes = {name.decode(): int(left) / 1000 for name, left in pairs}
        return Grant(
            *(granted, target, limit, epoch, members, down / 1000, why.decode(), part / 1e6, notes)
        )

    async def leave(self, host: str, member: str) -> None:
        """Give everything back; where Redis is away, the lease runs out."""
        try:
            await self.redis.hdel(self._prefix + host, f"m:{member}")
        except self.failures as error:
            log.debug("slots.not_given_back", error=type(error).__name__)

    async def close(self) -> None:
        await self.redis.aclose()
