"""Stores of quotas: in this process, or in Redis for all processes (registry-19.4).

Only registries that have shown a quota have an entry, one for each credential scope; others cost
nothing. An entry is one small value that is changed by compare-and-set, so the computation itself
is in one place, `quota.Quota`. While Redis is unavailable each process continues with its last
copy, as if all other processes sent as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from worker.registry.clock import Clock
from worker.registry.limits.quotas.quota import Quota
from worker.registry.limits.quotas.quota_json import format_quota, parse_quota

log = structlog.get_logger()
T = TypeVar("T")

EXTRA_TTL_SECONDS = 60.0  # beyond the time for which anything in the quota counts
MAX_SWAP_ATTEMPTS = 100
_CLOCK_SAMPLE_TTL_SECONDS = 60.0

# Compare-and-set. The stored value is "<version> <JSON>" with a random version; a writer names the
# version that it has read. ARGV: the version read ('' for none), the new value ('' only reads), its
# lifetime in ms. Returns whether it was written, else the current value; and Redis's time.
#
# Example: A and B both read "v1 {...}". A writes "v2 {...}" and names v1: written. B names v1 too,
# is refused, gets "v2 {...}" in the same round trip, applies its change to that and tries again.
_SWAP_SCRIPT = """
local current = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local version = current and string.match(current, '^(%S+) ') or ''
if ARGV[1] ~= version or ARGV[2] == '' then return {0, current or '', time[1], time[2]} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1, '', time[1], time[2]}
"""

QuotaUpdate = Callable[[Quota, float, bool], tuple[T, bool]]


class QuotaStore(Protocol):
    """A store of quotas by key. Times are those of `now`."""

    def now(self) -> float: ...

    def peek(self, key: str) -> Quota:
        """Return what this process knows of a quota; no I/O."""

    async def update(self, key: str, apply: QuotaUpdate[T]) -> T:
        """Change a quota by `apply(quota, now, is_shared)` and return its result.

        `apply` returns (result, whether it changed the quota). It is called again where another
        process has changed the quota meanwhile. `is_shared` is False while Redis is unavailable.
        """


class LocalQuotaStore:
    """The quotas of a process that shares them with no other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quotas: dict[str, Quota] = {}

    def now(self) -> float:
        return self._clock.now()

    def peek(self, key: str) -> Quota:
        return self._quotas.get(key) or Quota()

    async def update(self, key: str, apply: QuotaUpdate[T]) -> T:
        result, _ = apply(self._quotas.setdefault(key, Quota()), self.now(), True)
        if len(self._quotas) > 256:
            now = self.now()
            self._quotas = {
                key: quota for key, quota in self._quotas.items() if not quota.is_expired(now)
            }
        return result


class RedisQuotaStore:
    """The quotas of all processes with the same Redis, for use on one event loop.

    `prefix` must end in a version of the JSON format: processes of another version then neither
    read nor overwrite quotas in a form that they do not know.
    """

    def __init__(
        self, redis: Any, redis_errors: tuple[type[Exception], ...], *, prefix: str, clock: Clock
    ) -> None:
        self._script = redis.register_script(_SWAP_SCRIPT)
        self._redis_errors = redis_errors
        self._prefix = prefix
        self._clock = clock
        self._clock_offset = clock.wall() - clock.now()
        self._round_trip, self._measured_at = float("inf"), float("-inf")
        self._cached_values: dict[str, tuple[str, str]] = {}
        self._parsed_quotas: dict[str, tuple[str, Quota]] = {}
        self._local_quotas: dict[str, Quota] = {}
        self._unsynced_send_times: dict[str, list[float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def now(self) -> float:
        return self._clock.now() + self._clock_offset

    def peek(self, key: str) -> Quota:
        if key in self._local_quotas:
            return self._local_quotas[key]
        version, text = self._cached_values.get(key, ("", ""))
        parsed = self._parsed_quotas.get(key)
        if parsed is None or parsed[0] != version:
            parsed = self._parsed_quotas[key] = (version, _parse_or_empty(text))
        return parsed[1]

    async def update(self, key: str, apply: QuotaUpdate[T]) -> T:
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                return await self._update_in_redis(key, apply)
        except self._redis_errors as error:
            if key not in self._local_quotas:
                log.warning("quota_store.redis_unavailable", error=type(error).__name__)
            return self._update_local(key, apply)
        finally:
            if len(self._cached_values) > 256:
                self._drop_expired()

    async def _update_in_redis(self, key: str, apply: QuotaUpdate[T]) -> T:
        is_fresh = False
        if key not in self._cached_values:
            await self._refresh(key)
            is_fresh = True
        for _ in range(MAX_SWAP_ATTEMPTS):
            version, text = self._cached_values[key]
            quota, has_unsynced = self._merge_local(key, text)
            result, changed = apply(quota, self.now(), True)
            if not (changed or has_unsynced):
                if is_fresh:
                    return result
                await self._refresh(key)
                is_fresh = True
                continue
            new_version = secrets.token_hex(6)
            new_text = format_quota(quota)
            if await self._compare_and_swap(key, version, f"{new_version} {new_text}", quota.span):
                self._cached_values[key] = (new_version, new_text)
                self._local_quotas.pop(key, None)
                self._unsynced_send_times.pop(key, None)
                return result
            is_fresh = True
        raise TimeoutError("other processes changed the quota at every attempt")

    def _merge_local(self, key: str, text: str) -> tuple[Quota, bool]:
        """Return the shared quota with what we sent while Redis was unavailable, if anything.

        Where Redis has lost the quota, ours becomes the shared one.
        """
        local = self._local_quotas.get(key)
        if local is None:
            return _parse_or_empty(text), False
        if not text:
            return _parse_or_empty(format_quota(local)), True
        quota = _parse_or_empty(text)
        for send_time in self._unsynced_send_times.get(key, ()):
            quota.add(send_time)
        return quota, True

    def _update_local(self, key: str, apply: QuotaUpdate[T]) -> T:
        quota = self._local_quotas.get(key)
        if quota is None:
            quota = self._local_quotas[key] = _parse_or_empty(
                self._cached_values.get(key, ("", ""))[1]
            )
        before = {each[0] for each in quota.recent}
        result, _ = apply(quota, self.now(), False)
        after = {each[0] for each in quota.recent}
        self._unsynced_send_times.setdefault(key, []).extend(after - before)
        return result

    async def _refresh(self, key: str) -> None:
        await self._compare_and_swap(key, "", "", 0.0)

    async def _compare_and_swap(self, key: str, version: str, value: str, span: float) -> bool:
        """Write a value if no other process has; else cache the current one. Return which."""
        started_at = self._clock.now()
        is_written, current, seconds, micros = await self._script(
            keys=[self._prefix + key],
            args=[version, value, round(1000 * (span + EXTRA_TTL_SECONDS))],
        )
        self._update_clock_offset(started_at, int(seconds) + int(micros) / 1e6)
        if is_written:
            return True
        current_version, _, text = current.decode().partition(" ")
        self._cached_values[key] = (current_version, text)
        return False

    def _update_clock_offset(self, started_at: float, redis_time: float) -> None:
        """Measure the difference to Redis's clock by the fastest round trip of the last minute.

        Redis read its clock about halfway between request and response, so the error is at most
        half of the round trip.
        """
        now = self._clock.now()
        round_trip = now - started_at
        if round_trip <= self._round_trip or now > self._measured_at + _CLOCK_SAMPLE_TTL_SECONDS:
            self._round_trip, self._measured_at = round_trip, now
            self._clock_offset = redis_time - (started_at + now) / 2

    def _drop_expired(self) -> None:
        now = self.now()
        for key, (_, text) in list(self._cached_values.items()):
            if key not in self._local_quotas and _parse_or_empty(text).is_expired(now):
                del self._cached_values[key]
                self._parsed_quotas.pop(key, None)
                self._locks.pop(key, None)


def _parse_or_empty(text: str) -> Quota:
    """Return the parsed quota, or an empty one if the text cannot be parsed."""
    with contextlib.suppress(ValueError):
        return parse_quota(text)
    return Quota()
