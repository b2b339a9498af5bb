"""Where quotas are kept: in this process, or in Redis for all of them (`registry.md` 4.4).

Only registries that have shown a quota have a book, one for each right that was used; others cost
nothing. What is in a book is changed by compare-and-set of one small value, so the law stands in
one place, `quota.Quota`. While Redis is away each process goes on by its last copy as if everybody
else did the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from worker.registry.clock import Clock
from worker.registry.limits.quota import Quota, pack_quota, unpack_quota

log = structlog.get_logger()
T = TypeVar("T")

KEPT = 60.0  # beyond the time for which anything in it counts
ATTEMPTS = 100
_FRESH_TIME = 60.0

# The value is a random mark, a space, and JSON; who wants to write names the mark it has read.
_SWAP = """
local said = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local mark = said and string.match(said, '^(%S+) ') or ''
if ARGV[1] ~= mark or ARGV[2] == '' then return {0, said or '', time[1], time[2]} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1, '', time[1], time[2]}
"""

Change = Callable[[Quota, float, bool], tuple[T, bool]]


class Shelf(Protocol):
    """Where books stand. Moments are those of `now`."""

    def now(self) -> float: ...

    def peek(self, key: str) -> Quota:
        """What is known of a book without asking anybody."""

    async def change(self, key: str, change: Change[T]) -> T:
        """What `change` makes of the book, at the moment, and whether everybody shares it now.

        It is called again where somebody else was quicker, and says whether anything changed.
        """


class LocalShelf:
    """The books of a process that shares with nobody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._books: dict[str, Quota] = {}

    def now(self) -> float:
        return self._clock.now()

    def peek(self, key: str) -> Quota:
        return self._books.get(key) or Quota()

    async def change(self, key: str, change: Change[T]) -> T:
        result, _ = change(self._books.setdefault(key, Quota()), self.now(), True)
        if len(self._books) > 256:
            now = self.now()
            self._books = {key: book for key, book in self._books.items() if not book.is_over(now)}
        return result


class RedisShelf:
    """The books of all processes with the same Redis. Belongs to one event loop."""

    def __init__(
        self, redis: Any, failures: tuple[type[Exception], ...], *, prefix: str, clock: Clock
    ) -> None:
        self._script = redis.register_script(_SWAP)
        self._failures = failures
        self._prefix = prefix
        self._clock = clock
        self._offset = clock.wall() - clock.now()
        self._trip, self._measured = float("inf"), float("-inf")
        self._copies: dict[str, tuple[str, str]] = {}
        self._seen: dict[str, tuple[str, Quota]] = {}
        self._alone: dict[str, Quota] = {}
        self._owed: dict[str, list[float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def now(self) -> float:
        return self._clock.now() + self._offset

    def peek(self, key: str) -> Quota:
        if key in self._alone:
            return self._alone[key]
        mark, text = self._copies.get(key, ("", ""))
        seen = self._seen.get(key)
        if seen is None or seen[0] != mark:
            seen = self._seen[key] = (mark, _open(text))
        return seen[1]

    async def change(self, key: str, change: Change[T]) -> T:
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                return await self._change(key, change)
        except self._failures as error:
            if key not in self._alone:
                log.warning("quotas.redis_away", error=type(error).__name__)
            return self._change_alone(key, change)
        finally:
            if len(self._copies) > 256:
                self._forget()

    async def _change(self, key: str, change: Change[T]) -> T:
        is_fresh = False
        if key not in self._copies:
            await self._read(key)
            is_fresh = True
        for _ in range(ATTEMPTS):
            mark, text = self._copies[key]
            quota, owed = self._pay(key, text)
            result, changed = change(quota, self.now(), True)
            if not (changed or owed):
                if is_fresh:
                    return result
                await self._read(key)
                is_fresh = True
                continue
            new = secrets.token_hex(6)
            packed = pack_quota(quota)
            if await self._swap(key, mark, f"{new} {packed}", quota.span):
                self._copies[key] = (new, packed)
                self._alone.pop(key, None)
                self._owed.pop(key, None)
                return result
            is_fresh = True
        raise TimeoutError("others were always quicker")

    def _pay(self, key: str, text: str) -> tuple[Quota, bool]:
        """The shared state with what we did while it could not be reached."""
        alone = self._alone.get(key)
        if alone is None:
            return _open(text), False
        if not text:
            return _open(pack_quota(alone)), True
        quota = _open(text)
        for moment in self._owed.get(key, ()):
            quota.add(moment)
        return quota, True

    def _change_alone(self, key: str, change: Change[T]) -> T:
        quota = self._alone.get(key)
        if quota is None:
            quota = self._alone[key] = _open(self._copies.get(key, ("", ""))[1])
        before = {each[0] for each in quota.recent}
        result, _ = change(quota, self.now(), False)
        after = {each[0] for each in quota.recent}
        self._owed.setdefault(key, []).extend(after - before)
        return result

    async def _read(self, key: str) -> None:
        await self._swap(key, "", "", 0.0)

    async def _swap(self, key: str, mark: str, value: str, span: float) -> bool:
        """Write, where nobody else has; else take what is there as our copy."""
        began = self._clock.now()
        done, said, seconds, micros = await self._script(
            keys=[self._prefix + key], args=[mark, value, round(1000 * (span + KEPT))]
        )
        self._set_time(began, int(seconds) + int(micros) / 1e6)
        if done:
            return True
        found, _, text = said.decode().partition(" ")
        self._copies[key] = (found, text)
        return False

    def _set_time(self, began: float, told: float) -> None:
        """Redis's clock, by the quickest answer of late."""
        now = self._clock.now()
        trip = now - began
        if trip <= self._trip or now > self._measured + _FRESH_TIME:
            self._trip, self._measured = trip, now
            self._offset = told - (began + now) / 2

    def _forget(self) -> None:
        now = self.now()
        for key, (_, text) in list(self._copies.items()):
            if key not in self._alone and _open(text).is_over(now):
                del self._copies[key]
                self._seen.pop(key, None)
                self._locks.pop(key, None)


def _open(text: str) -> Quota:
    """What somebody wrote, or nothing where it cannot be read."""
    with contextlib.suppress(ValueError):
        return unpack_quota(text)
    return Quota()
