"""Which credentials were taken or turned away of late, so that a bad one is not shown for long.

Ten thousand tags must not become ten thousand failed logins: registries lock accounts for less
(`registry.md` 3.5, C11).
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

REFUSAL_KEPT = 120.0
PROOF_KEPT = 3600.0
MOST_KEPT = 10_000
REJECTED = "auth.rejected"
DENIED = "auth.denied_or_missing"
REQUIRED = "auth.required"
# What says: these rights do not reach so far. Anything else has nothing to do with rights.
TURNED_AWAY = frozenset({REJECTED, DENIED, REQUIRED})


@dataclass(frozen=True, slots=True)
class Login:
    """Who (a credential's id, or nobody) asks which server for what."""

    who: str
    server: str
    wanted: str


class Logins:
    """The memory of one process. A refusal is kept for two minutes.

    `auth.rejected` speaks of the credential everywhere at that server, unless it was taken there
    before: then, as for every other refusal, of what was wanted alone.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: OrderedDict[Login, tuple[float, RegistryError]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._first: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def check(self, login: Login) -> None:
        """Raises the refusal that is still fresh."""
        for known in (login, _anywhere(login)):
            found = self._refused.get(known)
            if found is not None and found[0] > self._clock.now():
                raise found[1].about("")

    async def attempt(self, login: Login, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` comes to, which shows the credential and raises where it is turned away.

        Until a credential was taken once, one asks and the others wait for what they hear.
        """
        self.check(login)
        if login.who and not self._is_proven(login):
            lock = self._first.setdefault((login.who, login.server), asyncio.Lock())
            async with lock:
                self.check(login)
                if not self._is_proven(login):
                    return await self._act(login, act)
        return await self._act(login, act)

    async def _act(self, login: Login, act: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await act()
        except RegistryError as error:
            if error.code in TURNED_AWAY:
                self.refuse(login, error)
            raise
        if login.who:
            _keep(self._proven, (login.who, login.server), self._clock.now() + PROOF_KEPT)
        return result

    def refuse(self, login: Login, error: RegistryError) -> None:
        """Note a refusal."""
        if login.who and error.code == REJECTED and not self._is_proven(login):
            login = _anywhere(login)
        self._proven.pop((login.who, login.server), None)
        _keep(self._refused, login, (self._clock.now() + REFUSAL_KEPT, error))

    def _is_proven(self, login: Login) -> bool:
        return self._proven.get((login.who, login.server), 0.0) > self._clock.now()


def _anywhere(login: Login) -> Login:
    return Login(login.who, login.server, "")


K = TypeVar("K")
V = TypeVar("V")


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
