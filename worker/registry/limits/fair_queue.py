"""Whose turn it is at a registry: fairly by lane and tenant, within what may be in flight.

`registry.md` 4.4. People who wait (interactive) come before the calendar (scheduled) before what
runs in the background (bulk), but a lane that was passed over often enough has its turn. Within a
lane tenants take turns. While others wait, a tenant that holds a quarter of the budget or more is
served after those who hold less. The background leaves a slot to people; beyond that, what nobody
else wants is never kept idle. Checks of the calendar wait for seconds at most: who would stand in
line for longer is sent home at once, and told when to come back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from models.errors import RateLimitedError
from worker.registry.clock import Clock
from worker.registry.limits.concurrency import Share

LANES = {"interactive": 0, "scheduled": 1, "bulk": 2}
PERSON, CALENDAR = 0, 1
LONGEST_LINE = 5.0  # seconds that a check waits; the calendar can bring it back
PATIENCE = 8
LONGEST_PROMISE = 60.0
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
    """So many a second for lanes in which nobody waits: always for the calendar, in the background
    once the registry has shown that it has limits (`active`).
    """

    def __init__(self, rate: float) -> None:
        self.active = False
        self.gap = 0.0
        self._next = 0.0
        self.set(rate)

    def set(self, rate: float) -> None:
        """So many a second from now on; 0: no limit."""
        self.gap = 1.0 / rate if rate > 0 else 0.0

    def holds(self, lane: int) -> bool:
        return lane == CALENDAR or (lane > CALENDAR and self.active)

    def delay(self, now: float) -> float:
        """How long the next one has to wait."""
        return max(0.0, self._next - now) if self.gap else 0.0

    def take(self, now: float, cost: int) -> None:
        self._next = max(self._next, now - _BURST) + cost * self.gap


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
        self._busy = [0] * len(LANES)
        self._held: dict[str, int] = {}
        self._alarm = False
        self._standing: deque[tuple[float, Turn, str]] = deque()
        self._watching = False
        self._promised = 0.0

    @property
    def persons(self) -> int:
        """How many people are served or wait."""
        return self._busy[PERSON] + sum(len(queue) for queue in self._lanes[PERSON].values())

    @property
    def hurries(self) -> bool:
        """Whether people wait, and none of them is served."""
        return bool(self._lanes[PERSON]) and not self._busy[PERSON]

    def enter(self, lane: int, tenant: str, cost: int) -> bool:
        """Take a turn at once, where nobody waits and there is room.

        What costs nothing belongs to a check that had its turn, and does not stand in line again.
        """
        if self.waiting and cost:
            return False
        if self.in_flight >= self.share.allowed or not self._sockets.free:
            return False
        if lane:
            if self._is_full_for_background():
                return False
            if cost and self.pace.gap and self.pace.holds(lane):
                now = self._clock.now()
                if self.pace.delay(now):
                    return False
                self.pace.take(now, cost)
        self._start(lane, tenant)
        return True

    async def wait(self, lane: int, tenant: str, cost: int) -> None:
        """Stand in line until it is our turn; raises what `refuse` was given.

        Raises RateLimitedError `ratelimit.budget` for checks of the calendar that would stand
        there for long.
        """
        if lane == CALENDAR and cost:
            self._send_home(tenant)
        turn: Turn = asyncio.get_running_loop().create_future()
        self._lanes[lane].setdefault(tenant, OrderedDict())[turn] = cost
        self.waiting += 1
        if lane == CALENDAR:
            self._standing.append((self._clock.now() + LONGEST_LINE, turn, tenant))
            self._watch()
        self.admit()
        if self.in_flight >= self.share.allowed or not lane:
            self.share.press()
        try:
            await turn
        except asyncio.CancelledError:
            self._withdraw(turn, lane, tenant)
            raise

    def leave(self, lane: int, tenant: str) -> None:
        """A turn is over."""
        self.in_flight -= 1
        self._busy[lane] -= 1
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

    def _is_full_for_background(self) -> bool:
        return self.in_flight - self._busy[PERSON] >= self.share.allowed - self.share.reserve

    def _start(self, lane: int, tenant: str) -> None:
        self.in_flight += 1
        self._busy[lane] += 1
        self.started += 1
        self._held[tenant] = self._held.get(tenant, 0) + 1
        self._sockets.free -= 1

    def _admit_next(self) -> bool:
        delay = self.pace.delay(self._clock.now())
        if delay and any(self._lanes[lane] and self.pace.holds(lane) for lane in (1, 2)):
            self._set_alarm(delay)
        lanes = self._order(paused=delay > 0)
        fair = max(1, self.share.allowed // TENANT_PART)
        for lane in lanes:
            for tenant in self._lanes[lane]:
                if self._held.get(tenant, 0) < fair:
                    return self._call(lane, tenant)
        return bool(lanes) and self._call(lanes[0], next(iter(self._lanes[lanes[0]])))

    def _order(self, *, paused: bool) -> list[int]:
        """Lanes with somebody in them who may go: those passed over for too long, then by rank."""
        full = self._is_full_for_background()
        lanes = [
            lane
            for lane in range(len(LANES))
            if self._lanes[lane]
            and not (lane and full)
            and not (lane and paused and self.pace.holds(lane))
        ]
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
        if lane and self.pace.gap and self.pace.holds(lane):
            self.pace.take(self._clock.now(), cost)
        self._start(lane, tenant)
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
            self.leave(lane, tenant)

    def _send_home(self, tenant: str) -> None:
        """Who would stand in line for too long, by the pace and by those before; tenants take
        turns, so one that has few in line does not wait for those who have many.
        """
        if not self.pace.gap:
            return
        lane = self._lanes[CALENDAR]
        own = len(lane.get(tenant, ()))
        before = min((own + 1) * (len(lane) + (not own)), sum(map(len, lane.values())) + 1)
        wait = self.pace.delay(self._clock.now()) + (before - 1) * self.pace.gap
        if wait > LONGEST_LINE:
            raise self._too_many(wait)

    def _too_many(self, wait: float) -> RateLimitedError:
        """Each is told a time of its own to come back, as if all stood in line."""
        now = self._clock.now()
        self._promised = max(self._promised, now + wait) + self.pace.gap
        return RateLimitedError(
            "so many checks wait for the registry that this one is put off",
            code="ratelimit.budget",
            retry_after=min(self._promised - now, LONGEST_PROMISE),
        )

    def _watch(self) -> None:
        if not self._watching and self._standing:
            self._watching = True
            left = self._standing[0][0] - self._clock.now()
            self._clock.later(max(left, 0.0), self._end_standing)

    def _end_standing(self) -> None:
        """Send home whoever stood in line for so long for reasons that nobody could foresee."""
        self._watching = False
        now = self._clock.now()
        while self._standing and (self._standing[0][0] <= now or self._standing[0][1].done()):
            _, turn, tenant = self._standing.popleft()
            if not turn.done():
                self._withdraw(turn, CALENDAR, tenant)
                turn.set_exception(self._too_many(LONGEST_LINE))
        self._watch()

    def _set_alarm(self, delay: float) -> None:
        if not self._alarm:
            self._alarm = True
            self._clock.later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = False
        self.admit()
