"""One quota as requests meet it: waiting for a turn, being told when to come back, telling news.

`registry.md` 4.1. Work of the calendar waits for seconds at most, and in line: only the first one
of a process asks for the next turn, the others wait behind it or go home at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from models.errors import RateLimitedError
from worker.registry.clock import Clock
from worker.registry.limits.quota import CALENDAR, PERSON, Quota
from worker.registry.limits.quota_store import Shelf
from worker.registry.limits.rate_limit_headers import Allowed

T = TypeVar("T")

PATIENCE = {PERSON: 30.0, CALENDAR: 5.0}
_LONGEST_PATIENCE = 30.0
_SOON = 0.25
_USED_UP = (
    "toomanyrequests: the pull rate limit of the registry is used up; "
    "it is asked again when it has recovered"
)


def patience_of(lane: str) -> float:
    """For how many seconds a request may be kept waiting by limits."""
    return PATIENCE.get(lane, _LONGEST_PATIENCE)


@dataclass(frozen=True, slots=True)
class _Found:
    """A turn that was taken, of None where none is needed; or when there may be one."""

    moment: float | None
    is_taken: bool
    ahead: float = 0.0


class Book:
    """A registry's quota for one right."""

    def __init__(self, key: str, *, shelf: Shelf, clock: Clock, members: Callable[[], int]) -> None:
        self._key = key
        self._shelf = shelf
        self._clock = clock
        self._members = members
        self._lines: dict[str, asyncio.Lock] = {}
        self._standing: dict[str, int] = {}
        self._promised = 0.0
        self._refusal: tuple[str, float, float] | None = None
        self._news: list[Callable[[Quota], None]] = []
        self._writing = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None

    @property
    def quota(self) -> Quota:
        """What this process knows of it."""
        return self._shelf.peek(self._key)

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits, or something is to be written down."""
        return bool(self._news) or any(self._standing.values())

    def now(self) -> float:
        return self._shelf.now()

    async def enter(self, kind: str, lane: str) -> float | None:
        """Wait for a turn; its moment, or None for requests that are not counted.

        Raises RateLimitedError where the wait would be longer than the lane's patience.
        """
        if self.quota.is_free(kind):
            return None
        patience = patience_of(lane)
        line = self._lines.setdefault(lane, asyncio.Lock())
        self._refuse_early(lane, kind, patience)
        began = self._clock.now()
        self._standing[lane] = self._standing.get(lane, 0) + 1
        try:
            async with line:
                moment = await self._find(kind, lane, patience, began)
        finally:
            self._standing[lane] -= 1
        if moment is None:
            return None
        wait = moment - self.now()
        if wait > 0:
            try:
                await self._clock.sleep(wait)
            except asyncio.CancelledError:
                self.give_back(moment)
                raise
        return moment

    def give_back(self, moment: float) -> None:
        """The request was never sent."""
        self._tell(lambda quota: quota.give_back(moment))

    def settle(self, moment: float) -> None:
        """The request ended without an answer."""
        now = self.now()

        def note(quota: Quota) -> None:
            quota.settle(moment, now)

        self._tell(note)

    def hear(
        self,
        said: Allowed | None,
        kind: str,
        *,
        sent: float | None,
        took: float,
        is_plain: bool,
        more: int = 0,
    ) -> None:
        """What an answer says, to a request that `took` so long; `more` are on their way that
        nobody counted, if it is the first.
        """
        now = self.now()

        def note(quota: Quota) -> None:
            is_first = not quota.limit and said is not None
            quota.hear(said, kind, sent=sent, now=now, is_plain=is_plain, began=now - took)
            if is_first:
                quota.expect(more, now)

        self._tell(note)

    def refuse(self, wait: float | None) -> None:
        """A 429 of these rights."""
        now = self.now()
        self._tell(lambda quota: quota.refuse(now, wait))

    async def close(self) -> None:
        """Tell what is still to be told."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def _find(self, kind: str, lane: str, patience: float, began: float) -> float | None:
        """The moment of a turn, once it is near enough to be taken."""
        while True:
            found = await self._ask(kind, lane)
            if found.is_taken:
                return found.moment
            wait = (found.moment or 0.0) - self.now()
            if self._clock.now() - began + wait > patience:
                self._refusal = (kind, self._clock.now() + _SOON, wait)
                raise self._refused(lane, wait)
            await self._clock.sleep(max(wait - found.ahead / 2, 0.001))

    async def _ask(self, kind: str, lane: str) -> _Found:
        """Take the next turn where it is near. Never cut off halfway: the turn would be lost."""
        asking = asyncio.get_running_loop().create_task(
            self._change(lambda quota, now, weight: _try(kind, lane, quota, now, weight))
        )
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._return)
            raise

    def _return(self, asking: asyncio.Task[_Found]) -> None:
        if asking.cancelled() or asking.exception() is not None:
            return
        found = asking.result()
        if found.is_taken and found.moment is not None:
            self.give_back(found.moment)

    async def _change(self, act: Callable[[Quota, float, int], tuple[T, bool]]) -> T:
        """Do that with the book, after whatever is still to be written down.

        While it is not shared, each request weighs as if everybody else sent one too.
        """
        async with self._writing:
            told = 0

            def change(quota: Quota, now: float, is_shared: bool) -> tuple[T, bool]:
                nonlocal told
                weight = 1 if is_shared else max(1, self._members())
                told = len(self._news)
                for note in self._news[:told]:
                    note(quota)
                result, changed = act(quota, now, weight)
                return result, changed or told > 0

            result = await self._shelf.change(self._key, change)
            del self._news[:told]
            return result

    def _refuse_early(self, lane: str, kind: str, patience: float) -> None:
        """Send the calendar's work home at once where others wait already."""
        if lane != CALENDAR:
            return
        quota, now = self.quota, self._clock.now()
        if quota.is_free(kind):
            return
        if self._refusal is not None and self._refusal[0] == kind and now < self._refusal[1]:
            raise self._refused(lane, self._refusal[2])
        wait = self._standing.get(lane, 0) * quota.gap * self._members() if quota.limit else 0.0
        if wait > patience:
            raise self._refused(lane, wait)

    def _refused(self, lane: str, wait: float) -> RateLimitedError:
        """Each is told a time of its own to come back, as if all stood in line."""
        if lane == CALENDAR:
            quota, now = self.quota, self._clock.now()
            step = quota.gap * self._members() if quota.limit else 1.0
            self._promised = max(self._promised, now + wait) + step
            wait = max(wait, min(self._promised - now, quota.span))
        return RateLimitedError(_USED_UP, code="ratelimit.quota", retry_after=max(wait, 0.001))

    def _tell(self, note: Callable[[Quota], None]) -> None:
        self._news.append(note)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write down what was heard, unless somebody does who takes a turn."""
        while self._news:
            await self._change(lambda _quota, _now, _weight: (None, False))


def _try(kind: str, lane: str, quota: Quota, now: float, weight: int) -> tuple[_Found, bool]:
    if not quota.limit or quota.is_free(kind):
        return _Found(None, is_taken=True), False
    moment = quota.place(kind, lane, now, weight)
    ahead = patience_of(lane) if lane == PERSON else quota.horizon
    if moment - now > ahead:
        return _Found(moment, is_taken=False, ahead=0.0 if lane == PERSON else ahead), False
    quota.take(kind, lane, moment, now, weight)
    return _Found(moment, is_taken=True), True
