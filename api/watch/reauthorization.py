"""Reauthorization of open watches: a watch ends when its caller loses the right (api-12.6).

That is after the token was revoked or a role removed. Each credential is checked once every few
seconds, however many watches it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from api.auth.token_authenticator import TokenAuthenticator
from models.access.rbac import Caller
from models.api_errors import UnauthorizedError
from models.errors import ForbiddenError, TagstreamError

REAUTHORIZATION_INTERVAL_SECONDS = 4.0

IsAllowed = Callable[[Caller], bool]


class WatchAuthorization:
    """The authorization of one watch; `wake` wakes the watch after a revocation."""

    __slots__ = ("is_allowed", "revoked", "wake")

    def __init__(self, is_allowed: IsAllowed) -> None:
        self.is_allowed = is_allowed
        self.revoked = False
        self.wake: Callable[[], None] | None = None

    def revoke(self) -> None:
        """Revoke the authorization; the watch ends as soon as it wakes."""
        self.revoked = True
        if self.wake is not None:
            self.wake()


class WatchReauthorizer:
    """The periodic check of one process; runs on the loop of the watches."""

    def __init__(
        self,
        authenticator: TokenAuthenticator,
        *,
        interval_seconds: float = REAUTHORIZATION_INTERVAL_SECONDS,
    ) -> None:
        self._authenticator = authenticator
        self._interval_seconds = interval_seconds
        self._authorizations: dict[Caller, set[WatchAuthorization]] = {}
        self._task: asyncio.Task[None] | None = None

    async def wrap(
        self, body: AsyncIterator[bytes], caller: Caller, authorization: WatchAuthorization
    ) -> AsyncIterator[bytes]:
        """Yield the chunks of `body`; revoke `authorization` when the caller loses the right."""
        self._authorizations.setdefault(caller, set()).add(authorization)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            async for chunk in body:
                yield chunk
        finally:
            authorizations = self._authorizations.get(caller)
            if authorizations is not None:
                authorizations.discard(authorization)
                if not authorizations:
                    del self._authorizations[caller]

    async def _run(self) -> None:
        while self._authorizations:
            await asyncio.sleep(self._interval_seconds)
            for caller in list(self._authorizations):
                await self._reauthorize(caller)

    async def _reauthorize(self, caller: Caller) -> None:
        refreshed: Caller | None = None
        try:
            refreshed = await self._authenticator.refresh(caller)
        except (UnauthorizedError, ForbiddenError):
            pass
        except TagstreamError:
            return  # the database is unavailable: the next round checks again
        for authorization in list(self._authorizations.get(caller, ())):
            if refreshed is None or not authorization.is_allowed(refreshed):
                authorization.revoke()
