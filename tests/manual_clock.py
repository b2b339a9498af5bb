"""A clock that tests advance by hand: no code under test really sleeps."""

import asyncio
import heapq
import itertools

EPOCH = 1_750_000_000.0


async def settle():
    """Let every task run until it waits."""
    for _ in range(30):
        await asyncio.sleep(0)


class ManualClock:
    """A clock that stands still until `advance`; with `auto_advance`, `sleep` advances it too."""

    def __init__(self, *, auto_advance=False):
        self.time = 1000.0
        self.slept = []
        self._auto_advance = auto_advance
        self._timers = []
        self._order = itertools.count()

    def now(self):
        return self.time

    def wall(self):
        return EPOCH + self.time

    def later(self, seconds, callback):
        heapq.heappush(self._timers, (self.time + seconds, next(self._order), callback))

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if self._auto_advance:
            self.time += seconds
            return
        woken = asyncio.get_running_loop().create_future()
        self.later(seconds, lambda: woken.done() or woken.set_result(None))
        await woken

    async def advance(self, seconds):
        """Advance the clock; run the callback of every timer that becomes due, in order."""
        end = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self.time, _, callback = heapq.heappop(self._timers)
            callback()
            await settle()
        self.time = end
        await settle()
