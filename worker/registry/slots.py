"""How many requests this process may have in flight at a registry: alone, or beside others.

The budget adapts (`registry.md` 4.4): it starts low, grows by one with fifty clean answers, and
halves when the registry is in pain. `LocalSlots` keeps it for one process, `RedisSlots` shares it
among processes by leases that are renewed in the background: no request waits for Redis where the
process has room.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import uuid
from dataclasses import dataclass
from typing import Protocol

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.leases import LEASE, Claim, Grant, Ledger

CLEAN_TO_GROW = 50
START = 8
MOST = 16
PROCESSES = 4  # how many share a registry, as long as Redis has not told
IDLE = 5.0
_CALM, _CROWDED, _SHORTEST = 1.0, 0.1, 0.02


class Load(Protocol):
    """What a share has to know of its registry."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def started(self) -> int:
        """How many requests there have been."""

    def admit(self) -> None:
        """There may be room now."""

    def rest(self, seconds: float, text: str) -> None:
        """Another process found the registry down; ask nothing for so long."""


class Share(Protocol):
    """This process's part of one registry's budget. Reading `allowed` costs nothing."""

    allowed: int

    def clean(self) -> None:
        """An answer without complaint."""

    def overloaded(self) -> None:
        """429, 503 or a timeout: the registry wants less of us."""

    def press(self) -> None:
        """Somebody waits because `allowed` is used up."""

    def opened(self, seconds: float, text: str) -> None:
        """The registry is down; whoever shares it need not find out by themselves."""

    def closed(self) -> None:
        """It is back."""


class Slots(Protocol):
    """Where shares come from."""

    def share(self, host: str, budget: Budget, load: Load) -> Share:
        """This process's share of the budget of `host`."""

    async def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests in flight at one registry: at first, and at most."""

    start: int = START
    most: int = MOST

    @property
    def first(self) -> int:
        return max(1, min(self.start, self.most))


class LocalShare:
    """One process has the whole budget."""

    def __init__(self, budget: Budget, load: Load) -> None:
        self.allowed = budget.first
        self._most = budget.most
        self._load = load
        self._clean = 0
        self._excused = 0

    def clean(self) -> None:
        if self._excused:
            self._excused -= 1
        self._clean += 1
        if self._clean >= CLEAN_TO_GROW:
            self._clean = 0
            if self.allowed < self._most:
                self.allowed += 1
                self._load.admit()

    def overloaded(self) -> None:
        """Halve, once for everything that was in flight: a burst of complaints is one complaint."""
        self._clean = 0
        if min(self._excused, self._load.in_flight):
            self._excused -= 1
            return
        self.allowed = max(1, self.allowed // 2)
        self._excused = max(0, self._load.in_flight - 1)

    def press(self) -> None:
        """There is nobody to ask for more."""

    def opened(self, seconds: float, text: str) -> None:
        """There is nobody to tell."""

    def closed(self) -> None:
        """There is nobody to tell."""


class LocalSlots:
    """Budgets of a process that shares its registries with nobody."""

    def share(self, host: str, budget: Budget, load: Load) -> LocalShare:  # noqa: ARG002
        return LocalShare(budget, load)

    async def close(self) -> None:
        """Nothing was leased."""


class RedisShare:
    """A leased part of a budget.

    `allowed` rises only when Redis has answered, so that what we hold never exceeds what stands in
    the books; it falls at once. While Redis is away it is a plain part of the budget.
    """

    def __init__(
        self,
        host: str,
        *,
        budget: Budget,
        load: Load,
        ledger: Ledger,
        active: set[RedisShare],
        processes: int,
        clock: Clock,
    ) -> None:
        self.allowed = 0
        self.members = processes
        self._host = host
        self._member = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._budget = budget
        self._load = load
        self._ledger = ledger
        self._active = active
        self._clock = clock
        self._limit = budget.first
        self._granted = 0
        self._target = 0
        self._epoch = 0
        self._clean = 0
        self._complaint: int | None = None
        self._news: tuple[float, str] | None = None
        self._excused = 0
        self._pressed = False
        self._closing = False
        self._renewed = -math.inf
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def clean(self) -> None:
        if self._excused:
            self._excused -= 1
        self._clean += 1

    def overloaded(self) -> None:
        """Halve at once, and tell the others; a burst of complaints is one complaint."""
        if min(self._excused, self._load.in_flight):
            self._excused -= 1
            return
        self._excused = max(0, self._load.in_flight - 1)
        self._clean = 0
        self._complaint = self._epoch
        self._limit = max(1, self._limit // 2)
        self.allowed = max(1, self.allowed // 2) if self.allowed else 0
        self._wake()

    def press(self) -> None:
        self._pressed = True
        self._wake()

    def opened(self, seconds: float, text: str) -> None:
        self._news = (seconds, text)
        self._wake()

    def closed(self) -> None:
        self._news = (0.0, "")
        self._wake()

    async def close(self) -> None:
        """Give the lease back."""
        self._closing = True
        self._hurry.set()
        if self._task is not None:
            # Not cancelled by us: that would leave a command half read.
            await asyncio.wait([self._task])

    def _wake(self) -> None:
        self._hurry.set()
        if self._task is None or self._task.done():
            self._active.add(self)
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        """Renew the lease until nobody has asked for a while, then give it back."""
        started, busy = -1, self._clock.now()
        while not self._closing:
            self._hurry.clear()
            await self._renew()
            load, now = self._load, self._clock.now()
            if load.in_flight or load.waiting or load.started != started:
                started, busy = load.started, now
            elif now - busy >= IDLE:
                await self._leave()
                if not load.waiting:
                    break
            await asyncio.sleep(_SHORTEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._hurry.wait()
        if self._closing:
            await self._leave()
        self._active.discard(self)

    async def _leave(self) -> None:
        self.allowed = self._granted = 0
        await self._ledger.leave(self._host, self._member)

    def _pause(self) -> float:
        """Until the next renewal: soon where we want more, or hold what others are waiting for."""
        wanting = self._load.waiting and self._load.in_flight >= self.allowed
        return _CROWDED if wanting or self._granted > self._target else _CALM

    async def _renew(self) -> None:
        news, clean, complaint = self._news, self._clean, self._complaint
        self._news, self._clean, self._complaint = None, 0, None
        claim = Claim(
            holds=max(self.allowed, self._load.in_flight),
            wants=self._wants(),
            clean=clean,
            complaint=complaint,
            rest=None if news is None else news[0],
            why="" if news is None else news[1],
        )
        self._granted = claim.holds  # all that we may count on, should the answer get lost
        budget = self._budget
        grant = await self._ledger.renew(
            self._host,
            self._member,
            claim,
            start=budget.first,
            most=budget.most,
            grow=CLEAN_TO_GROW,
        )
        if grant is None:
            self._news = self._news or news
            self._stand_alone()
        else:
            self._settle(grant)
        self._load.admit()

    def _wants(self) -> int:
        """Twice what is needed now, so that most requests find a slot that is already ours."""
        need = self._load.in_flight + self._load.waiting
        if self._pressed:
            need = max(need, self.allowed + 1)
        self._pressed = False
        return min(self._budget.most, max(1, 2 * need))

    def _settle(self, grant: Grant) -> None:
        self._renewed = self._clock.now()
        self._granted, self._target = grant.granted, grant.target
        self._epoch, self.members = grant.epoch, grant.members
        self._limit = grant.limit
        if self._complaint is None:  # else the news of a halved budget are still to be told
            self.allowed = min(grant.granted, grant.target)
        if grant.rest and self._news is None:
            self._load.rest(grant.rest, grant.why)

    def _stand_alone(self) -> None:
        """Redis is away. As long as others count on our last promise we keep to it."""
        part = max(1, self._limit // max(1, self.members))
        if self._clock.now() < self._renewed + self._ledger.lease:
            part = min(part, self._granted)
        self.allowed = part


class RedisSlots:
    """Budgets that all processes with the same Redis share. Belongs to one event loop.

    `processes` is how many there are likely to be, for the time in which Redis has never answered.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "tagstream:reg:",
        processes: int = PROCESSES,
        lease: float = LEASE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ledger = Ledger(url, prefix=prefix, lease=lease)
        self._processes = processes
        self._clock = clock
        self._active: set[RedisShare] = set()

    def share(self, host: str, budget: Budget, load: Load) -> RedisShare:
        return RedisShare(
            host,
            budget=budget,
            load=load,
            ledger=self._ledger,
            active=self._active,
            processes=self._processes,
            clock=self._clock,
        )

    async def close(self) -> None:
        """Give every lease back."""
        for share in list(self._active):
            await share.close()
        self._active.clear()
        await self._ledger.close()
