"""A clock that tests wind by hand: nobody sleeps for real."""

import asyncio
import heapq
import itertools

EPOCH = 1_750_000_000.0


async def settle():
    """Let every task run as far as it gets."""
    for _ in range(30):
        await asyncio.sleep(0)


class HandClock:
    """Stands still until it is advanced; with `impatient`, sleeping itself advances it."""

    def __init__(self, *, impatient=False):
        self.time = 1000.0
        self.slept = []
        self._impatient = impatient
        self._timers = []
        self._order = itertools.count()

    def now(self):
        return self.time

    def wall(self):
        return EPOCH + self.time

    def later(self, seconds, act):
        heapq.heappush(self._timers, (self.time + seconds, next(self._order), act))

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if self._impatient:
            self.time += seconds
            return
        woken = asyncio.get_running_loop().create_future()
        self.later(seconds, lambda: woken.done() or woken.set_result(None))
        await woken

    async def advance(self, seconds):
        """Move on, stopping at every timer on the way."""
        end = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self.time, _, act = heapq.heappop(self._timers)
            act()
            await settle()
        self.time = end
        await settle()
