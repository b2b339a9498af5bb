"""Cache of rejected and accepted credentials, so that a bad credential is not sent repeatedly.

Ten thousand tags must not cause ten thousand failed logins: registries lock accounts for less
(registry-12.3, registry-12.4).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from models.errors import RegistryError
from worker.registry.clock import Clock

T = TypeVar("T")

REJECTION_TTL_SECONDS = 120.0
ACCEPTANCE_TTL_SECONDS = 3600.0
MAX_CACHED_REJECTIONS = 10_000
REJECTED = "auth.rejected"
DENIED = "auth.denied_or_missing"
REQUIRED = "auth.required"
# The errors that say that a credential does not suffice. All others have another cause.
REJECTION_CODES = frozenset({REJECTED, DENIED, REQUIRED})


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """A use of a credential (its id, or empty for anonymous) at a server for a resource."""

    credential_id: str
    server: str
    resource: str


class RejectedCredentials:
    """The cache of one process; a rejection expires after two minutes (registry-12.3).

    `auth.rejected` counts for everything at that server, unless the server accepted the credential
    within the last hour: then it counts, like every other refusal, for the requested resource only.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rejections: OrderedDict[CredentialUse, tuple[float, RegistryError]] = OrderedDict()
        self._accepted_until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._first_use_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    def raise_if_rejected(self, use: CredentialUse) -> None:
        """Raise the RegistryError of a rejection that has not expired."""
        for key in (use, _any_resource(use)):
            found = self._rejections.get(key)
            if found is not None and found[0] > self._clock.now():
                raise found[1].with_reference("")

    async def attempt(self, use: CredentialUse, send: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `send`, which sends the credential and raises if it is rejected.

        Until the server has accepted a credential once, one caller tries it and the others wait
        for its result (registry-12.4).
        """
        self.raise_if_rejected(use)
        if use.credential_id and not self._was_accepted(use):
            lock = self._first_use_locks.setdefault((use.credential_id, use.server), asyncio.Lock())
            async with lock:
                self.raise_if_rejected(use)
                if not self._was_accepted(use):
                    return await self._attempt(use, send)
        return await self._attempt(use, send)

    async def _attempt(self, use: CredentialUse, send: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await send()
        except RegistryError as error:
            if error.code in REJECTION_CODES:
                self.record_rejection(use, error)
            raise
        if use.credential_id:
            _put(
                self._accepted_until,
                (use.credential_id, use.server),
                self._clock.now() + ACCEPTANCE_TTL_SECONDS,
            )
        return result

    def record_rejection(self, use: CredentialUse, error: RegistryError) -> None:
        """Cache a rejection."""
        if use.credential_id and error.code == REJECTED and not self._was_accepted(use):
            use = _any_resource(use)
        self._accepted_until.pop((use.credential_id, use.server), None)
        _put(self._rejections, use, (self._clock.now() + REJECTION_TTL_SECONDS, error))

    def _was_accepted(self, use: CredentialUse) -> bool:
        return self._accepted_until.get((use.credential_id, use.server), 0.0) > self._clock.now()


def _any_resource(use: CredentialUse) -> CredentialUse:
    return CredentialUse(use.credential_id, use.server, "")


K = TypeVar("K")
V = TypeVar("V")


def _put(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > MAX_CACHED_REJECTIONS:
        cache.popitem(last=False)
