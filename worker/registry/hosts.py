"""Politeness, per registry: how many requests at once, whose turn, and when to leave it alone.

`registry.md` 4.4. Concurrency adapts: it starts low, grows with clean answers, and halves when a
registry is in pain. A breaker stops asking a registry that is down; a 429 closes a gate for those
rights only. Time and dice are arguments.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from models.errors import RateLimitedError, RegistryError, TransientRegistryError
from worker.registry.access import Access
from worker.registry.limits import Allowed, parse_allowed, parse_retry_after
from worker.registry.slots import LocalSlots, Slots
from worker.registry.words import Place

CLEAN_TO_GROW = 50
FAILURES_TO_OPEN = 8
WINDOW = 60.0
WINDOW_LEAST = 20
FIRST_REST = 30.0
LONGEST_REST = 900.0
RETRY_SHARE = 0.1
RETRIES_FREE = 10
MOST_REGISTRIES = 4096
_LANES = {"interactive": 4, "scheduled": 2, "bulk": 1}
_PAIN = frozenset({408, 425, 499, 500, 502, 503, 504, *range(520, 528)})


class Host:
    """What this process knows of one registry's health and patience."""

    def __init__(
        self, name: str, *, start: int, most: int, clock: Callable[[], float], slots: Slots
    ) -> None:
        self.name = name
        self._clock = clock
        self._slots = slots
        self._most = most
        self.limit = min(start, most)
        self.in_flight = 0
        self._clean = 0
        self._line = _Line()
        self._failures = 0
        self._recent: deque[tuple[float, bool]] = deque()
        self._open_until = 0.0
        self._rest = FIRST_REST
        self._probing = False
        self._last: RegistryError | None = None
        self._gates: dict[str, float] = {}
        self.allowed: Allowed | None = None
        self._asked: deque[float] = deque()
        self._retried: deque[float] = deque()

    @asynccontextmanager
    async def slot(self, access: Access) -> AsyncIterator[None]:
        """A turn at the registry. Fails at once while the breaker is open."""
        probe = self._check_breaker()
        self._asked_now()
        if self.in_flight >= self._budget() or self._line:
            await self._wait(access)
        else:
            self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            if probe:
                self._probing = False
            self.admit()

    def _budget(self) -> int:
        return min(self.limit, self._slots.share(self.name, self._most, self.in_flight))

    async def _wait(self, access: Access) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line.join(access.lane, access.tenant, turn)
        self.admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.in_flight -= 1
                self.admit()
            raise

    def admit(self) -> None:
        """Let in whoever waits and now fits."""
        while self._line and self.in_flight < self._budget():
            turn = self._line.next()
            if turn is None:
                return
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _check_breaker(self) -> bool:
        """Raises while open; True for the one request that probes a half-open breaker."""
        if self._last is None or self._open_until == 0.0:
            return False
        if self._clock() < self._open_until or self._probing:
            twin = TransientRegistryError(self._last.text, code="circuit.open")
            raise twin from self._last
        self._probing = True
        return True

    @property
    def is_open(self) -> bool:
        """Whether nothing is asked at the moment."""
        return self._open_until > self._clock()

    def answered(self, status: int, headers: httpx.Headers) -> None:
        """Learn from an answer: its status and what it says of limits."""
        if "ratelimit-remaining" in headers or "x-ratelimit-remaining" in headers:
            self.allowed = parse_allowed(headers, now=time.time()) or self.allowed
        if status in _PAIN:
            self._halve()
            self._count(failed=True, why=f"received unexpected HTTP status: {status}")
        elif status == 429:
            self._halve()
        else:
            self._grow()
            self._count(failed=False)

    def failed(self, error: RegistryError) -> None:
        """Learn from a failure; only transient ones speak against the registry."""
        if not isinstance(error, TransientRegistryError):
            return
        self._halve()
        self._count(failed=True, error=error)

    def _grow(self) -> None:
        self._clean += 1
        if self._clean >= CLEAN_TO_GROW and self.limit < self._most:
            self.limit += 1
            self._clean = 0

    def _halve(self) -> None:
        self.limit = max(1, self.limit // 2)
        self._clean = 0

    def _count(self, *, failed: bool, why: str = "", error: RegistryError | None = None) -> None:
        if not failed:
            if self._failures or self._open_until:
                self._failures, self._open_until, self._rest = 0, 0.0, FIRST_REST
            if not self._recent:
                return
        now = self._clock()
        self._recent.append((now, failed))
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        if not failed:
            return
        self._failures += 1
        self._last = error or TransientRegistryError(why, code="http.5xx")
        bad = sum(1 for _, was_bad in self._recent if was_bad)
        many = len(self._recent) >= WINDOW_LEAST and bad * 2 >= len(self._recent)
        if self._failures >= FAILURES_TO_OPEN or many or self._probing:
            if self._probing or self._open_until:
                self._rest = min(self._rest * 2, LONGEST_REST)
            self._open_until = now + self._rest
            self._recent.clear()

    def close_gate(self, scope: str, headers: httpx.Headers) -> float | None:
        """Remember a 429 for these rights; how long the registry wants to be left alone."""
        wait = parse_retry_after(headers.get("retry-after"), now=time.time())
        if wait is not None:
            self._gates[scope] = self._clock() + wait
        return wait

    def check_gate(self, scope: str) -> None:
        """Raises RateLimitedError while a 429 is to be waited out for these rights."""
        until = self._gates.get(scope)
        if until is None:
            return
        left = until - self._clock()
        if left <= 0:
            del self._gates[scope]
            return
        raise RateLimitedError("toomanyrequests", code="ratelimit.quota", retry_after=left)

    def may_retry(self) -> bool:
        """Whether the retry budget has room: a tenth of the last minute's requests, or ten."""
        now = self._clock()
        while self._retried and self._retried[0] < now - WINDOW:
            self._retried.popleft()
        while self._asked and self._asked[0] < now - WINDOW:
            self._asked.popleft()
        if len(self._retried) >= max(RETRIES_FREE, RETRY_SHARE * len(self._asked)):
            return False
        self._retried.append(now)
        return True

    def _asked_now(self) -> None:
        self._asked.append(self._clock())
        if len(self._asked) > 20_000:
            self._asked.popleft()


class _Line:
    """Who waits: lanes by weight, tenants of a lane in turn."""

    def __init__(self) -> None:
        self._lanes: dict[str, OrderedDict[str, deque[asyncio.Future[None]]]] = {}
        self._credit: dict[str, int] = {}
        self._length = 0

    def __bool__(self) -> bool:
        return self._length > 0

    def join(self, lane: str, tenant: str, turn: asyncio.Future[None]) -> None:
        tenants = self._lanes.setdefault(lane, OrderedDict())
        tenants.setdefault(tenant, deque()).append(turn)
        self._length += 1

    def next(self) -> asyncio.Future[None] | None:
        """The next turn: four interactive for two scheduled for one bulk, where all wait."""
        waiting = [lane for lane in _LANES if self._lanes.get(lane)]
        waiting.extend(lane for lane in self._lanes if lane not in _LANES and self._lanes[lane])
        if not waiting:
            self._length = 0
            return None
        if not any(self._credit.get(lane, 0) > 0 for lane in waiting):
            self._credit = {lane: _LANES.get(lane, 1) for lane in waiting}
        lane = max(waiting, key=lambda name: self._credit.get(name, 0))
        self._credit[lane] = self._credit.get(lane, 0) - 1
        tenants = self._lanes[lane]
        tenant, turns = next(iter(tenants.items()))
        turn = turns.popleft()
        self._length -= 1
        if turns:
            tenants.move_to_end(tenant)
        else:
            del tenants[tenant]
        return turn


class Hosts:
    """Every registry that this process has asked lately."""

    def __init__(
        self,
        *,
        start: int = 8,
        most: int = 16,
        clock: Callable[[], float] = time.monotonic,
        slots: Slots | None = None,
    ) -> None:
        self._start = start
        self._most = most
        self._clock = clock
        self._slots = slots or LocalSlots()
        self._slots.watch(self._changed)
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def _changed(self, name: str) -> None:
        if name in self._hosts:
            self._hosts[name].admit()

    async def close(self) -> None:
        """Give every share back."""
        await self._slots.close()

    def host(self, place: Place) -> Host:
        """The registry of a place."""
        name = place.api_host
        found = self._hosts.get(name)
        if found is None:
            found = self._hosts[name] = Host(
                name, start=self._start, most=self._most, clock=self._clock, slots=self._slots
            )
            while len(self._hosts) > MOST_REGISTRIES:
                self._hosts.popitem(last=False)
        return found
