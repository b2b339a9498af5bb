"""The budgets of registries shared by all processes with the same Redis (`registry.md` 4.4).

By leases that are renewed in the background: no request waits for Redis where the process has room.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import uuid

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.concurrency import CLEAN_TO_GROW, Budget, Load, reserve_of
from worker.registry.limits.quota_store import RedisShelf, Shelf
from worker.registry.limits.redis_leases import LEASE, Claim, Grant, Ledger
from worker.registry.limits.redis_pubsub import Notices

PROCESSES = 4  # how many share a registry, as long as Redis has not told
IDLE = 5.0
_CALM, _CROWDED, _SHORTEST = 1.0, 0.1, 0.02


class RedisShare:
    """A leased part of a budget.

    `allowed` rises only when Redis has answered, so that what we hold never exceeds what stands in
    the books; it falls at once. While Redis is away it is a plain part of the budget. The reserve
    for people is kept in the books as well: a process in which somebody waits is promised it.
    """

    def __init__(
        self,
        host: str,
        *,
        budget: Budget,
        load: Load,
        ledger: Ledger,
        notices: Notices,
        active: set[RedisShare],
        processes: int,
        clock: Clock,
    ) -> None:
        self.allowed = 0
        self.reserve = 0
        self.members = processes
        self.part = 1.0 / max(1, processes)
        self.host = host
        self._member = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._budget = budget
        self.load = load
        self._ledger = ledger
        self._notices = notices
        self.load = load
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
        if min(self._excused, self.load.in_flight):
            self._excused -= 1
            return
        self._excused = max(0, self.load.in_flight - 1)
        self._clean = 0
        self._complaint = self._epoch
        self._limit = max(1, self._limit // 2)
        self.allowed = max(1, self.allowed // 2) if self.allowed else 0
        self._wake()

    def resize(self, budget: Budget) -> None:
        self._budget = budget
        self._limit = min(self._limit, budget.most)
        self.allowed = min(self.allowed, budget.most)
        self._wake()

    def tell(self, note: str, seconds: float) -> None:
        self._notices.tell(self.host, note, seconds)

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
        self._notices.listen()
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
            load, now = self.load, self._clock.now()
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
        await self._ledger.leave(self.host, self._member)

    def _pause(self) -> float:
        """Until the next renewal: soon where we want more, or hold what others are waiting for."""
        wanting = self.load.waiting and self.load.in_flight >= self.allowed
        kept = self.reserve and not self.load.persons
        return _CROWDED if wanting or kept or self._granted > self._target else _CALM

    async def _renew(self) -> None:
        news, clean, complaint = self._news, self._clean, self._complaint
        self._news, self._clean, self._complaint = None, 0, None
        if self.reserve and not self.load.persons:
            # Given back before it is asked anew what there is for the background.
            self.allowed, self.reserve = self.allowed - self.reserve, 0
        claim = Claim(
            holds=max(self.allowed, self.load.in_flight),
            wants=self._wants(),
            clean=clean,
            complaint=complaint,
            rest=None if news is None else news[0],
            why="" if news is None else news[1],
            reserve=0 if self.load.persons else reserve_of(self._limit),
            urgent=self.load.hurries,
        )
        self._granted = claim.holds  # all that we may count on, should the answer get lost
        budget = self._budget
        grant = await self._ledger.renew(
            self.host,
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
            self._settle(grant, is_plain=claim.reserve > 0)
        self.load.admit()

    def _wants(self) -> int:
        """Twice what is needed now, so that most requests find a slot that is already ours."""
        need = self.load.in_flight + self.load.waiting
        if self._pressed:
            need = max(need, self.allowed + 1)
        self._pressed = False
        return min(self._budget.most, max(1, 2 * need))

    def _settle(self, grant: Grant, *, is_plain: bool) -> None:
        self._renewed = self._clock.now()
        self._granted, self._target = grant.granted, grant.target
        self._epoch, self.members = grant.epoch, grant.members
        self._limit = grant.limit
        if self._complaint is None:  # else the news of a halved budget are still to be told
            self.allowed = min(grant.granted, grant.target)
        # What was promised for the sake of people, nobody else may take when they have gone.
        kept = 0 if is_plain else reserve_of(grant.limit)
        self.reserve = max(0, min(kept, self.allowed - 1))
        self.part = grant.part
        if grant.rest and self._news is None:
            self.load.rest(grant.rest, grant.why)
        for note, seconds in grant.notes.items():
            self.load.heed(note, seconds)
        for note, seconds in self.load.notes().items():
            if note not in grant.notes:  # Redis has forgotten it
                self.tell(note, seconds)

    def _stand_alone(self) -> None:
        """Redis is away. As long as others count on our last promise we keep to it."""
        part = max(1, self._limit // max(1, self.members))
        if self._clock.now() < self._renewed + self._ledger.lease:
            part = min(part, self._granted)
        self.allowed, self.reserve = part, 0
        self.part = 1.0 / max(1, self.members)


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
        self._notices = Notices(self._ledger, prefix=prefix, heed=self._heed)
        self.shelf: Shelf = RedisShelf(
            self._ledger.redis, self._ledger.failures, prefix=f"{prefix}quota:", clock=clock
        )

    def share(self, host: str, budget: Budget, load: Load) -> RedisShare:
        return RedisShare(
            host,
            budget=budget,
            load=load,
            ledger=self._ledger,
            notices=self._notices,
            active=self._active,
            processes=self._processes,
            clock=self._clock,
        )

    async def close(self) -> None:
        """Give every lease back."""
        for share in list(self._active):
            await share.close()
        self._active.clear()
        await self._notices.close()
        await self._ledger.close()

    def _heed(self, host: str, note: str, seconds: float) -> None:
        """Who asks nothing at the moment hears of it with the next lease."""
        for share in list(self._active):
            if share.host == host:
                share.load.heed(note, seconds)
