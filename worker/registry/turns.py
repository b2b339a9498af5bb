"""Whose turn it is at a registry: fairly by lane and tenant, within what may be in flight.

`registry.md` 4.4. People who wait (interactive) come before the calendar (scheduled) before what
runs in the background (bulk), but a lane that was passed over often enough has its turn. Within a
lane tenants take turns. While others wait, a tenant that holds a quarter of the budget or more is
served after those who hold less; what nobody else wants is never kept idle.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from worker.registry.clock import Clock
from worker.registry.slots import Share

LANES = {"interactive": 0, "scheduled": 1, "bulk": 2}
PATIENCE = 8
TENANT_PART = 4
MOST_SOCKETS = 64
_BURST = 0.1

Turn = asyncio.Future[None]
_Queue = OrderedDict[Turn, int]


class Sockets:
    """How many requests this process may have in flight altogether, shared by all registries."""

    def __init__(self, most: int = MOST_SOCKETS) -> None:
        self.free = most
        self._waiting: OrderedDict[Turns, None] = OrderedDict()

    def wait(self, turns: Turns) -> None:
        """Admit at `turns` when there is room again."""
        self._waiting[turns] = None

    def give_back(self) -> None:
        self.free += 1
        while self.free and self._waiting:
            turns, _ = self._waiting.popitem(last=False)
            turns.admit()


class Pace:
    """So many a second for lanes in which nobody waits; no limit until it is switched on."""

    def __init__(self, rate: float) -> None:
        self.active = False
        self._gap = 1.0 / rate
        self._next = 0.0

    def delay(self, now: float) -> float:
        """How long the next one has to wait."""
        return max(0.0, self._next - now)

    def take(self, now: float, cost: int) -> None:
        self._next = max(self._next, now - _BURST) + cost * self._gap


class Turns:
    """The line in front of one registry."""

    share: Share

    def __init__(self, *, sockets: Sockets, rate: float, clock: Clock) -> None:
        self.pace = Pace(rate)
        self.in_flight = 0
        self.waiting = 0
        self.started = 0
        self._sockets = sockets
        self._clock = clock
        self._lanes: tuple[OrderedDict[str, _Queue], ...] = tuple(OrderedDict() for _ in LANES)
        self._passed = [0] * len(LANES)
        self._held: dict[str, int] = {}
        self._alarm = False

    def enter(self, lane: int, tenant: str, cost: int) -> bool:
        """Take a turn at once, where nobody waits and there is room."""
        if self.waiting or self.in_flight >= self.share.allowed or not self._sockets.free:
            return False
        if lane and self.pace.active:
            now = self._clock.now()
            if self.pace.delay(now):
                return False
            self.pace.take(now, cost)
        self._start(tenant)
        return True

    async def wait(self, lane: int, tenant: str, cost: int) -> None:
        """Stand in line until it is our turn; raises what `refuse` was given."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._lanes[lane].setdefault(tenant, OrderedDict())[turn] = cost
        self.waiting += 1
        self.admit()
        if self.in_flight >= self.share.allowed:
            self.share.press()
        try:
            await turn
        except asyncio.CancelledError:
            self._withdraw(turn, lane, tenant)
            raise

    def leave(self, tenant: str) -> None:
        """A turn is over."""
        self.in_flight -= 1
        held = self._held[tenant] - 1
        if held:
            self._held[tenant] = held
        else:
            del self._held[tenant]
        self._sockets.give_back()
        if self.waiting:
            self.admit()

    def admit(self) -> None:
        """Let in whoever waits and now fits."""
        while self.waiting and self.in_flight < self.share.allowed:
            if not self._sockets.free:
                self._sockets.wait(self)
                return
            if not self._admit_next():
                return

    def refuse(self, error: Callable[[str], Exception]) -> None:
        """Send everybody home who waits, each tenant with an error of its own."""
        for lane in self._lanes:
            for tenant, queue in lane.items():
                for turn in queue:
                    if not turn.done():
                        turn.set_exception(error(tenant))
            lane.clear()
        self.waiting = 0

    def _start(self, tenant: str) -> None:
        self.in_flight += 1
        self.started += 1
        self._held[tenant] = self._held.get(tenant, 0) + 1
        self._sockets.free -= 1

    def _admit_next(self) -> bool:
        paced = self.pace.active
        delay = self.pace.delay(self._clock.now()) if paced else 0.0
        if delay and (self._lanes[1] or self._lanes[2]):
            self._set_alarm(delay)
        lanes = self._order(most=1 if delay else len(LANES))
        fair = max(1, self.share.allowed // TENANT_PART)
        for lane in lanes:
            for tenant in self._lanes[lane]:
                if self._held.get(tenant, 0) < fair:
                    return self._call(lane, tenant)
        return bool(lanes) and self._call(lanes[0], next(iter(self._lanes[lanes[0]])))

    def _order(self, *, most: int) -> list[int]:
        """Lanes with somebody in them: those passed over for too long, then by rank."""
        lanes = [lane for lane in range(most) if self._lanes[lane]]
        lanes.sort(key=lambda lane: (self._passed[lane] < PATIENCE, lane))
        return lanes

    def _call(self, lane: int, tenant: str) -> bool:
        tenants = self._lanes[lane]
        queue = tenants[tenant]
        turn, cost = queue.popitem(last=False)
        if queue:
            tenants.move_to_end(tenant)
        else:
            del tenants[tenant]
        self.waiting -= 1
        if turn.done():  # cancelled, and about to withdraw
            return True
        for lower in range(lane + 1, len(LANES)):
            self._passed[lower] += bool(self._lanes[lower])
        self._passed[lane] = 0
        if lane and self.pace.active:
            self.pace.take(self._clock.now(), cost)
        self._start(tenant)
        turn.set_result(None)
        return True

    def _withdraw(self, turn: Turn, lane: int, tenant: str) -> None:
        queue = self._lanes[lane].get(tenant)
        if queue is not None and turn in queue:
            del queue[turn]
            self.waiting -= 1
            if not queue:
                del self._lanes[lane][tenant]
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self.leave(tenant)

    def _set_alarm(self, delay: float) -> None:
        if not self._alarm:
            self._alarm = True
            self._clock.later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = False
        self.admit()
