"""Ends a watch whose caller may no longer look: a token was revoked, or a role taken away.

One look for each credential every few seconds, however many watches hang on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from api.auth.token_authenticator import Gatekeeper
from models.access.rbac import Caller
from models.api_errors import UnauthorizedError
from models.errors import ForbiddenError, TagstreamError

EVERY = 4.0

May = Callable[[Caller], bool]


class Lease:
    """The right to go on with one watch. `wake` is how its watch hears of the end."""

    __slots__ = ("may", "over", "wake")

    def __init__(self, may: May) -> None:
        self.may = may
        self.over = False
        self.wake: Callable[[], None] | None = None

    def end(self) -> None:
        """The watch ends as soon as it looks."""
        self.over = True
        if self.wake is not None:
            self.wake()


class WatchGuard:
    """One per process; lives on the loop of the watches."""

    def __init__(self, gatekeeper: Gatekeeper, *, every: float = EVERY) -> None:
        self._gatekeeper = gatekeeper
        self._every = every
        self._leases: dict[Caller, set[Lease]] = {}
        self._task: asyncio.Task[None] | None = None

    async def guard(
        self, body: AsyncIterator[bytes], caller: Caller, lease: Lease
    ) -> AsyncIterator[bytes]:
        """The pieces of `body`; its lease ends with the caller's rights."""
        self._leases.setdefault(caller, set()).add(lease)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            async for piece in body:
                yield piece
        finally:
            leases = self._leases.get(caller)
            if leases is not None:
                leases.discard(lease)
                if not leases:
                    del self._leases[caller]

    async def _look(self) -> None:
        while self._leases:
            await asyncio.sleep(self._every)
            for caller in list(self._leases):
                await self._look_at(caller)

    async def _look_at(self, caller: Caller) -> None:
        now: Caller | None = None
        try:
            now = await self._gatekeeper.renew(caller)
        except (UnauthorizedError, ForbiddenError):
            pass
        except TagstreamError:
            return  # the database is away: asked again in a moment
        for lease in list(self._leases.get(caller, ())):
            if now is None or not lease.may(now):
                lease.end()
