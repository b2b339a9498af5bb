"""The authenticator of bearer tokens, and the authorizer (api-16.1).

A caller is cached for a few seconds by the digest of the token, so that most requests need no
database query. A revoked or expired token and every added or removed role take effect in each
process within `CALLER_CACHE_TTL_SECONDS`. A request is never denied from the cache: the caller is
reloaded first.
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

from api.auth.login_throttle import LoginThrottle
from api.serving.executor import ThreadExecutor
from models.access.builtin_roles import (
    AUTHENTICATION_API_GROUP,
    AUTHORIZATION_API_GROUP,
    PROJECT_API_GROUP,
    SELF_PROVISIONER,
)
from models.access.rbac import (
    AUTHENTICATED,
    AccessAttributes,
    Caller,
    RoleBinding,
    is_allowed,
    is_path_allowed,
)
from models.api_errors import (
    BadRequestError,
    ForbiddenPathError,
    TooManyRequestsError,
    UnauthorizedError,
)
from models.errors import ForbiddenError
from models.store.access.token_store import TOKEN_PREFIX, digest_token, load_bindings, load_caller
from models.store.database.session import transaction

log = structlog.get_logger()

CALLER_REFRESH_SECONDS = 1.0  # age from which a cached caller is reloaded in the background
CALLER_CACHE_TTL_SECONDS = 4.0  # age from which a cached caller is no longer used
MAX_CACHED_CALLERS = 10_000
PROJECT_REQUEST_REFUSED = "You may not request a new project via this API."

_TOKEN_PATTERN = re.compile(re.escape(TOKEN_PREFIX) + r"[-_A-Za-z0-9]{43}")
# The content of these lists depends on the caller's roles, so the caller is always reloaded.
_ACCESS_DEPENDENT_RESOURCES = frozenset({("", "namespaces"), (PROJECT_API_GROUP, "projects")})


@dataclass(frozen=True, slots=True)
class _CachedCaller:
    """What the database returned for a credential, and when it was read."""

    caller: Caller
    expires: datetime | None
    loaded_at: float


class TokenAuthenticator:
    """The authenticator of one process.

    `self_provisioning` is whether every authenticated user may request projects (api-16.9).
    """

    def __init__(
        self,
        engine: Engine,
        executor: ThreadExecutor,
        *,
        self_provisioning: bool = True,
        login_throttle: LoginThrottle | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._implied_bindings = (RoleBinding(SELF_PROVISIONER),) if self_provisioning else ()
        self._login_throttle = login_throttle or LoginThrottle()
        self._clock = clock
        self._wall_clock = wall_clock
        self._cached_callers: dict[str, _CachedCaller] = {}
        self._lookups: dict[str, asyncio.Task[_CachedCaller | None]] = {}
        self._impersonated_bindings: dict[
            tuple[str, ...], tuple[tuple[RoleBinding, ...], float]
        ] = {}

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Caller:
        """Return the caller of a request with these headers (names in lower case).

        Raises UnauthorizedError without a valid token, TooManyRequestsError for a peer with too
        many failures. The error is the same whether a token is unknown, revoked, expired or
        malformed.
        """
        token = _parse_bearer_token(headers.get("authorization", ""))
        digest = digest_token(token)
        cached = self._cached_callers.get(digest)
        age = CALLER_CACHE_TTL_SECONDS if cached is None else self._clock() - cached.loaded_at
        if cached is None or age >= CALLER_CACHE_TTL_SECONDS:
            cached = await self._lookup_or_reject(token, digest, peer, is_cached=cached is not None)
        elif age >= CALLER_REFRESH_SECONDS:
            self._start_lookup(digest)
        if cached.expires is not None and cached.expires <= self._wall_clock():
            self._reject(peer)
        for name in headers:
            if name.startswith("impersonate-"):
                return await self._impersonate(cached.caller, headers)
        return cached.caller

    async def authorize(self, caller: Caller, **attributes: Unpack[AccessAttributes]) -> Caller:
        """Return the caller to continue with, reloaded if the response depends on its roles.

        Raises ForbiddenError only after reloading the caller, so that a role granted a moment ago
        by any process already counts.
        """
        stale = attributes["group"] == AUTHORIZATION_API_GROUP or (
            attributes["verb"] in {"list", "watch"}
            and (attributes["group"], attributes["resource"]) in _ACCESS_DEPENDENT_RESOURCES
        )
        if not stale and is_allowed(caller, **attributes):
            return caller
        caller = await self.refresh(caller)
        require_access(caller, **attributes)
        return caller

    async def refresh(self, caller: Caller) -> Caller:
        """Return the same caller with its current roles; long watches call this periodically.

        Raises UnauthorizedError if the token was revoked or has expired.
        """
        if not caller.credential:
            return caller
        cached = await self._executor.run(self._load, caller.credential)
        self._cache_caller(caller.credential, cached)
        if cached is None:
            raise UnauthorizedError
        if not caller.impersonator:
            return cached.caller
        require_access(
            cached.caller, verb="impersonate", group="", resource="users", name=caller.user
        )
        return await self._with_impersonated_bindings(caller, fresh=True)

    def invalidate(self, caller: Caller) -> None:
        """Remove the caller from the cache, because its roles have just changed."""
        self._cached_callers.pop(caller.credential, None)
        self._impersonated_bindings.pop((caller.user, *caller.groups), None)

    async def _lookup_or_reject(
        self, token: str, digest: str, peer: str, *, is_cached: bool
    ) -> _CachedCaller:
        """Load a credential, unless the peer has sent too many bad ones."""
        if not is_cached and self._login_throttle.is_blocked(peer, self._clock()):
            raise TooManyRequestsError("Too many failed logins, please try again later.")
        cached = None
        if _TOKEN_PATTERN.fullmatch(token):
            cached = await asyncio.shield(self._start_lookup(digest))
        return self._reject(peer) if cached is None else cached

    def _reject(self, peer: str) -> _CachedCaller:
        now = self._clock()
        self._login_throttle.record_failure(peer, now)
        log.info("login.failed", peer=peer)
        if self._login_throttle.is_blocked(peer, now):
            log.warning("login.throttled", peer=peer)
        raise UnauthorizedError

    def _start_lookup(self, digest: str) -> asyncio.Task[_CachedCaller | None]:
        """Return the database query that all requests with the same credential wait for."""
        task = self._lookups.get(digest)
        if task is None:
            task = asyncio.create_task(self._lookup(digest))
            self._lookups[digest] = task
            task.add_done_callback(lambda done: self._lookup_done(digest, done))
        return task

    def _lookup_done(self, digest: str, task: asyncio.Task[_CachedCaller | None]) -> None:
        del self._lookups[digest]
        if not task.cancelled() and (error := task.exception()) is not None:
            # A request that waits for the query gets the error. Without one the cached caller
            # stays valid until its TTL ends, and the next request starts another query.
            log.debug("login.lookup_failed", error=str(error))

    async def _lookup(self, digest: str) -> _CachedCaller | None:
        cached = await self._executor.run(self._load, digest)
        self._cache_caller(digest, cached)
        return cached

    def _load(self, digest: str) -> _CachedCaller | None:
        """Return the caller of a token as stored now; called on a thread of the executor."""
        loaded_at = self._clock()
        with transaction(self._engine, write=False) as session:
            found = load_caller(session, digest, self._wall_clock())
        if found is None:
            return None
        caller, expires = found
        caller = replace(caller, bindings=(*caller.bindings, *self._implied_bindings))
        return _CachedCaller(caller, expires, loaded_at)

    def _cache_caller(self, digest: str, cached: _CachedCaller | None) -> None:
        previous = self._cached_callers.pop(digest, None)
        if cached is None:
            return
        if previous is not None and previous.loaded_at > cached.loaded_at:
            cached = previous
        self._cached_callers[digest] = cached
        if len(self._cached_callers) > MAX_CACHED_CALLERS:
            del self._cached_callers[next(iter(self._cached_callers))]

    async def _impersonate(self, caller: Caller, headers: Mapping[str, str]) -> Caller:
        """Return the caller that `--as` names (api-16.2).

        Raises ForbiddenError unless the caller is cluster-admin, who alone has the verb
        `impersonate`.
        """
        user = headers.get("impersonate-user", "")
        group_names = headers.get("impersonate-group", "").split(",")
        groups = [each.strip() for each in group_names if each.strip()]
        if user:
            require_access(caller, verb="impersonate", group="", resource="users", name=user)
        for each in groups:
            require_access(caller, verb="impersonate", group="", resource="groups", name=each)
        if headers.get("impersonate-uid"):
            uid = headers["impersonate-uid"]
            require_access(
                caller,
                verb="impersonate",
                group=AUTHENTICATION_API_GROUP,
                resource="uids",
                name=uid,
            )
        for name in headers:
            if name.startswith("impersonate-extra-"):
                require_access(
                    caller,
                    verb="impersonate",
                    group=AUTHENTICATION_API_GROUP,
                    resource="userextras",
                )
        if not user:
            raise BadRequestError("impersonation needs the header Impersonate-User")
        if user != "system:anonymous" and AUTHENTICATED not in groups:
            groups.append(AUTHENTICATED)
        impersonated = Caller(
            user,
            tuple(groups),
            uid=headers.get("impersonate-uid", ""),
            impersonator=caller.user,
            credential=caller.credential,
        )
        return await self._with_impersonated_bindings(impersonated, fresh=False)

    async def _with_impersonated_bindings(self, caller: Caller, *, fresh: bool) -> Caller:
        """Return an impersonated caller with the roles of that user and those groups."""
        key = (caller.user, *caller.groups)
        cached = self._impersonated_bindings.get(key)
        now = self._clock()
        if cached is None or fresh or now - cached[1] >= CALLER_CACHE_TTL_SECONDS:
            cached = (await self._executor.run(self._load_bindings, caller), now)
            self._impersonated_bindings.pop(key, None)
            self._impersonated_bindings[key] = cached
            if len(self._impersonated_bindings) > MAX_CACHED_CALLERS:
                del self._impersonated_bindings[next(iter(self._impersonated_bindings))]
        return replace(caller, bindings=cached[0])

    def _load_bindings(self, caller: Caller) -> tuple[RoleBinding, ...]:
        with transaction(self._engine, write=False) as session:
            own = load_bindings(session, caller.user, caller.groups)
        return (*own, *self._implied_bindings) if AUTHENTICATED in caller.groups else own


def require_access(caller: Caller, **attributes: Unpack[AccessAttributes]) -> None:
    """Raise ForbiddenError, with the text that `kubectl` prints, unless the caller may do that."""
    if is_allowed(caller, **attributes):
        return
    verb, group, resource = attributes["verb"], attributes["group"], attributes["resource"]
    subresource, name = attributes.get("subresource", ""), attributes.get("name", "")
    namespace = attributes.get("namespace", "")
    if (group, resource) == (PROJECT_API_GROUP, "projectrequests") and verb in {"list", "create"}:
        raise ForbiddenPathError(PROJECT_REQUEST_REFUSED)
    if (group, resource) in _ACCESS_DEPENDENT_RESOURCES and not namespace:
        namespace = name
    full_resource = f"{resource}/{subresource}" if subresource else resource
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise ForbiddenError(
        f'User "{caller.user}" cannot {verb} resource "{full_resource}" in API group "{group}" '
        f"{scope}",
        resource=resource,
        name=name,
        group=group,
    )


def require_path_access(caller: Caller, *, verb: str, path: str) -> None:
    """Raise ForbiddenPathError unless the caller may read a path that is not a resource."""
    if not is_path_allowed(caller, verb=verb, path=path):
        raise ForbiddenPathError(f'forbidden: User "{caller.user}" cannot {verb} path "{path}"')


def _parse_bearer_token(header: str) -> str:
    """Return the token of an Authorization header. Raises UnauthorizedError if there is none."""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError
    return token
