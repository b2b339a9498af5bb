"""Who is at the door, and may they do what they came for (`api.md` D.1).

A caller is remembered for a moment by the digest of the token, so that most requests cost no look
into the database; revoking a token, its end and every new or lost role reach each process within
`TRUST` seconds. Nothing is refused for want of a right without a fresh look.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Unpack

import structlog
from sqlalchemy import Engine

from api.auth.login_throttle import Attempts
from api.serving.executor import Threads
from models.access.builtin_roles import AUTHENTICATION, AUTHORIZATION, PROJECT, SELF_PROVISIONER
from models.access.rbac import AUTHENTICATED, Binding, Caller, Wish, allowed, allowed_path
from models.api_errors import (
    BadRequestError,
    ForbiddenPathError,
    TooManyRequestsError,
    UnauthorizedError,
)
from models.errors import ForbiddenError
from models.store.access.token_store import PREFIX, bindings_of, digest_token, load_caller
from models.store.database.session import transaction

log = structlog.get_logger()

RENEW = 1.0  # seconds after which a caller is looked up again behind their back
TRUST = 4.0  # seconds after which nobody is believed any more
MOST_KNOWN = 10_000
NO_NEW_PROJECT = "You may not request a new project via this API."

_TOKEN = re.compile(re.escape(PREFIX) + r"[-_A-Za-z0-9]{43}")
# Whatever these answer is made of the caller's rights, so they have to be today's.
_ABOUT_RIGHTS = frozenset({("", "namespaces"), (PROJECT, "projects")})


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a credential, and when it was asked."""

    caller: Caller
    expires: datetime | None
    asked: float


class Gatekeeper:
    """One per process. `self_provisioning`: whether everybody may request projects (D.5)."""

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        *,
        self_provisioning: bool = True,
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._implied = (Binding(SELF_PROVISIONER),) if self_provisioning else ()
        self._attempts = attempts or Attempts()
        self._clock = clock
        self._wall = wall
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known | None]] = {}
        self._roles: dict[tuple[str, ...], tuple[tuple[Binding, ...], float]] = {}

    async def admit(self, headers: Mapping[str, str], peer: str) -> Caller:
        """Whoever sent a request with these headers (names in lower case).

        UnauthorizedError for nobody we know, TooManyRequestsError for a peer that tried too
        often; both say the same whether a token is unknown, revoked, expired or nonsense.
        """
        clear = _bearer(headers.get("authorization", ""))
        digest = digest_token(clear)
        known = self._known.get(digest)
        age = TRUST if known is None else self._clock() - known.asked
        if known is None or age >= TRUST:
            known = await self._ask_at_the_door(clear, digest, peer, is_familiar=known is not None)
        elif age >= RENEW:
            self._start_asking(digest)
        if known.expires is not None and known.expires <= self._wall():
            self._refuse(peer)
        for name in headers:
            if name.startswith("impersonate-"):
                return await self._impersonate(known.caller, headers)
        return known.caller

    async def authorise(self, caller: Caller, **wish: Unpack[Wish]) -> Caller:
        """The caller to go on with, their rights as new as the answer needs them.

        ForbiddenError only after a fresh look: a right given a moment ago, by whatever process,
        already counts.
        """
        stale = wish["group"] == AUTHORIZATION or (
            wish["verb"] in {"list", "watch"} and (wish["group"], wish["resource"]) in _ABOUT_RIGHTS
        )
        if not stale and allowed(caller, **wish):
            return caller
        caller = await self.renew(caller)
        require(caller, **wish)
        return caller

    async def renew(self, caller: Caller) -> Caller:
        """The same caller with the rights of this moment; long watches ask now and then.

        UnauthorizedError when the token was revoked or has expired.
        """
        if not caller.credential:
            return caller
        known = await self._threads.run(self._load, caller.credential)
        self._remember(caller.credential, known)
        if known is None:
            raise UnauthorizedError
        if not caller.impersonator:
            return known.caller
        require(known.caller, verb="impersonate", group="", resource="users", name=caller.user)
        return await self._with_roles(caller, fresh=True)

    def forget(self, caller: Caller) -> None:
        """Look the caller up anew next time: their rights have just changed."""
        self._known.pop(caller.credential, None)
        self._roles.pop((caller.user, *caller.groups), None)

    async def _ask_at_the_door(
        self, clear: str, digest: str, peer: str, *, is_familiar: bool
    ) -> _Known:
        """Look a credential up, unless the peer has shown too many bad ones."""
        if not is_familiar and self._attempts.is_blocked(peer, self._clock()):
            raise TooManyRequestsError("Too many failed logins, please try again later.")
        known = None
        if _TOKEN.fullmatch(clear):
            known = await asyncio.shield(self._start_asking(digest))
        return self._refuse(peer) if known is None else known

    def _refuse(self, peer: str) -> _Known:
        now = self._clock()
        self._attempts.count(peer, now)
        log.info("login.failed", peer=peer)
        if self._attempts.is_blocked(peer, now):
            log.warning("login.limited", peer=peer)
        raise UnauthorizedError

    def _start_asking(self, digest: str) -> asyncio.Task[_Known | None]:
        """One look into the database for everybody who waits for the same credential."""
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(digest))
            self._asking[digest] = task
            task.add_done_callback(lambda done: self._asked(digest, done))
        return task

    def _asked(self, digest: str, done: asyncio.Task[_Known | None]) -> None:
        del self._asking[digest]
        if not done.cancelled() and (error := done.exception()) is not None:
            # Whoever waits for it is told; whoever does not, asks again when trust is used up.
            log.debug("login.unanswered", error=str(error))

    async def _ask(self, digest: str) -> _Known | None:
        known = await self._threads.run(self._load, digest)
        self._remember(digest, known)
        return known

    def _load(self, digest: str) -> _Known | None:
        """On a thread: whom the token speaks for at this moment."""
        asked = self._clock()
        with transaction(self._engine, write=False) as session:
            found = load_caller(session, digest, self._wall())
        if found is None:
            return None
        caller, expires = found
        caller = replace(caller, bindings=(*caller.bindings, *self._implied))
        return _Known(caller, expires, asked)

    def _remember(self, digest: str, known: _Known | None) -> None:
        older = self._known.pop(digest, None)
        if known is None:
            return
        if older is not None and older.asked > known.asked:
            known = older
        self._known[digest] = known
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    async def _impersonate(self, caller: Caller, headers: Mapping[str, str]) -> Caller:
        """Who the caller wants to be (`--as`): for cluster-admins only, 403 for the others."""
        user = headers.get("impersonate-user", "")
        named = headers.get("impersonate-group", "").split(",")
        groups = [each.strip() for each in named if each.strip()]
        if user:
            require(caller, verb="impersonate", group="", resource="users", name=user)
        for each in groups:
            require(caller, verb="impersonate", group="", resource="groups", name=each)
        if headers.get("impersonate-uid"):
            uid = headers["impersonate-uid"]
            require(caller, verb="impersonate", group=AUTHENTICATION, resource="uids", name=uid)
        for name in headers:
            if name.startswith("impersonate-extra-"):
                require(caller, verb="impersonate", group=AUTHENTICATION, resource="userextras")
        if not user:
            raise BadRequestError("impersonation needs the header Impersonate-User")
        if user != "system:anonymous" and AUTHENTICATED not in groups:
            groups.append(AUTHENTICATED)
        other = Caller(
            user,
            tuple(groups),
            uid=headers.get("impersonate-uid", ""),
            impersonator=caller.user,
            credential=caller.credential,
        )
        return await self._with_roles(other, fresh=False)

    async def _with_roles(self, caller: Caller, *, fresh: bool) -> Caller:
        """An impersonated caller with the roles of that user and those groups."""
        key = (caller.user, *caller.groups)
        found = self._roles.get(key)
        asked = self._clock()
        if found is None or fresh or asked - found[1] >= TRUST:
            found = (await self._threads.run(self._load_roles, caller), asked)
            self._roles.pop(key, None)
            self._roles[key] = found
            if len(self._roles) > MOST_KNOWN:
                del self._roles[next(iter(self._roles))]
        return replace(caller, bindings=found[0])

    def _load_roles(self, caller: Caller) -> tuple[Binding, ...]:
        with transaction(self._engine, write=False) as session:
            own = bindings_of(session, caller.user, caller.groups)
        return (*own, *self._implied) if AUTHENTICATED in caller.groups else own


def require(caller: Caller, **wish: Unpack[Wish]) -> None:
    """ForbiddenError, in the words that `kubectl` prints, unless the caller may do that."""
    if allowed(caller, **wish):
        return
    verb, group, resource = wish["verb"], wish["group"], wish["resource"]
    subresource, name = wish.get("subresource", ""), wish.get("name", "")
    namespace = wish.get("namespace", "")
    if (group, resource) == (PROJECT, "projectrequests") and verb in {"list", "create"}:
        raise ForbiddenPathError(NO_NEW_PROJECT)
    if (group, resource) in _ABOUT_RIGHTS and not namespace:
        namespace = name
    full = f"{resource}/{subresource}" if subresource else resource
    place = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise ForbiddenError(
        f'User "{caller.user}" cannot {verb} resource "{full}" in API group "{group}" {place}',
        resource=resource,
        name=name,
        group=group,
    )


def require_path(caller: Caller, *, verb: str, path: str) -> None:
    """ForbiddenPathError unless the caller may ask for a path that is no resource."""
    if not allowed_path(caller, verb=verb, path=path):
        raise ForbiddenPathError(f'forbidden: User "{caller.user}" cannot {verb} path "{path}"')


def _bearer(header: str) -> str:
    """The token of an Authorization header; UnauthorizedError where there is none."""
    scheme, _, clear = header.partition(" ")
    clear = clear.strip()
    if scheme.lower() != "bearer" or not clear:
        raise UnauthorizedError
    return clear
