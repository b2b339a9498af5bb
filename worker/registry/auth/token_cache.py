"""Bearer tokens: token requests, parsing of the response, and the token cache.

A token is requested once, cached until shortly before it expires, and never shared between
credentials. A cache key is never a host alone: the credential, the registry, the token server and
the scopes are all part of it (registry-12.1). The request is in registry-10.1 to registry-10.3, the
response in registry-10.4 to registry-10.7.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from models.errors import ContentError, ProtocolError, RegistryDeniedError, RegistryError
from models.oci import media_type_of, strict_json
from worker.registry.auth.credentials import Credential
from worker.registry.auth.rejected_credentials import (
    DENIED,
    REJECTED,
    REQUIRED,
    CredentialUse,
    RejectedCredentials,
)
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.registry_types import RegistryResponse
from worker.registry.transport.error_responses import error_of

MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 60, 12 * 3600
MAX_TOKEN_LENGTH = 16 * 1024
MAX_TOKENS = 2_000
CLIENT_ID = "tagstream"
BAD_PASSWORD_TEXT = "incorrect username or password"  # noqa: S105 - what Docker Hub says of one
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_JSON_HEADERS = {"Accept": "application/json"}
_FORM_HEADERS = {**_JSON_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}

SendTokenRequest = Callable[[str, str, dict[str, str], bytes | None], Awaitable[RegistryResponse]]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What one token is requested for; `credential` None requests it anonymously.

    `key` is the cache key: everything that must be equal for a token to be reused.
    """

    registry: str
    origin: str
    realm: str
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None = None
    key: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        credential_id = self.credential.id if self.credential is not None else ""
        scopes = tuple(sorted(self.scopes))
        key = (credential_id, self.registry, self.origin, self.realm, self.service, scopes)
        object.__setattr__(self, "key", key)

    @property
    def credential_use(self) -> CredentialUse:
        """The key under which a refusal of this request is cached."""
        resource = " ".join([self.service, *sorted(self.scopes)])
        return CredentialUse(self.key[0], self.realm, resource)


@dataclass(frozen=True, slots=True, repr=False)
class BearerToken:
    """A token, when it was obtained and when it is to be replaced, in monotonic seconds."""

    text: str
    obtained_at: float
    refresh_at: float


class TokenCache:
    """The tokens of one process, at most `max_tokens`; `rejections` caches refused credentials."""

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        rejections: RejectedCredentials | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self._clock = clock
        self._max_tokens = max_tokens
        self._rejections = rejections or RejectedCredentials(clock)
        self._tokens: OrderedDict[tuple[Any, ...], BearerToken] = OrderedDict()
        self._pending_fetches: dict[tuple[Any, ...], asyncio.Future[BearerToken]] = {}

    def peek(self, request: TokenRequest) -> str | None:
        """Return the cached token, or None if there is none or it is due to be replaced."""
        found = self._tokens.get(request.key)
        if found is None or found.refresh_at <= self._clock.now():
            return None
        return found.text

    def age(self, request: TokenRequest) -> float:
        """Return for how many seconds a token has been cached; 0 without a token."""
        found = self._tokens.get(request.key)
        return self._clock.now() - found.obtained_at if found is not None else 0.0

    def drop(self, request: TokenRequest, text: str) -> None:
        """Drop a token that a registry no longer accepts, unless it was already replaced."""
        found = self._tokens.get(request.key)
        if found is not None and found.text == text:
            del self._tokens[request.key]

    async def get(self, request: TokenRequest, send: SendTokenRequest) -> str:
        """Return a token, fetched by one request for all callers that wait (registry-12.2).

        `send` sends (method, url, headers, body) to the token server. Raises RegistryDeniedError
        where the credential was refused, also from the cache of refusals (registry-12.3).
        """
        found = self.peek(request)
        if found is not None:
            return found
        pending = self._pending_fetches.get(request.key)
        if pending is None:
            pending = asyncio.ensure_future(self._fetch(request, send))
            self._pending_fetches[request.key] = pending
            pending.add_done_callback(lambda done: self._finish_fetch(request.key, done))
        return (await asyncio.shield(pending)).text

    def _finish_fetch(self, key: tuple[Any, ...], future: asyncio.Future[BearerToken]) -> None:
        self._pending_fetches.pop(key, None)
        if not future.cancelled():
            future.exception()  # mark as retrieved: all waiting callers may be cancelled

    async def _fetch(self, request: TokenRequest, send: SendTokenRequest) -> BearerToken:
        async def fetch() -> BearerToken:
            return await fetch_token(request, send, clock=self._clock)

        token = await self._rejections.attempt(request.credential_use, fetch)
        self._tokens[request.key] = token
        self._tokens.move_to_end(request.key)
        while len(self._tokens) > self._max_tokens:
            self._tokens.popitem(last=False)
        return token


async def fetch_token(
    request: TokenRequest,
    send: SendTokenRequest,
    *,
    clock: Clock,
    random_fraction: Callable[[], float] = random.random,
) -> BearerToken:
    """Fetch a token from the token server, in the form that the credential needs.

    Some servers deny the whole request where they cannot grant one of several scopes: then the
    first scope, which is the registry's own, is requested alone (registry-9.5). Raises
    RegistryDeniedError, TransientRegistryError and ProtocolError (registry-10.4, registry-10.7).
    """
    response = await _request_token(request, request.scopes, send)
    if 400 <= response.status < 500 and response.status != 429 and len(request.scopes) > 1:
        response = await _request_token(request, request.scopes[:1], send)
    if response.status != 200:
        raise _token_error_of(response, request.credential)
    document = _parse_token_response(response)
    text = document.get("access_token") or document.get("token")
    if not text:
        raise _bad_token_error("authorization server did not include a token in the response")
    if not isinstance(text, str) or len(text) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(text):
        raise _bad_token_error("the authorization server's token cannot be used")
    now = clock.now()
    return BearerToken(
        text,
        now,
        now
        + _seconds_until_refresh(document, unix_time=clock.wall(), random_fraction=random_fraction),
    )


async def _request_token(
    request: TokenRequest, scopes: tuple[str, ...], send: SendTokenRequest
) -> RegistryResponse:
    """Request a token by GET, or by POST if there is a refresh token.

    A server that supports only one of the two (404 or 405) gets the other (registry-10.2,
    registry-10.3).
    """
    credential = request.credential
    refresh_token = credential.identity_token.get_secret_value() if credential is not None else ""
    if refresh_token:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        response = await _send_form(request, scopes, form, send)
        if response.status not in {404, 405}:
            return response
    response = await _send_get(request, scopes, send)
    if response.status in {404, 405} and credential is not None and credential.has_password:
        form = {
            "grant_type": "password",
            "username": credential.username,
            "password": credential.password.get_secret_value(),
            "access_type": "offline",
        }
        response = await _send_form(request, scopes, form, send)
    return response


async def _send_get(
    request: TokenRequest, scopes: tuple[str, ...], send: SendTokenRequest
) -> RegistryResponse:
    parts = urlsplit(request.realm)
    query = [("service", request.service)] if request.service else []
    query.extend(("scope", scope) for scope in scopes)
    headers = dict(_JSON_HEADERS)
    if request.credential is not None and request.credential.has_password:
        query.append(("account", request.credential.username))
        headers["Authorization"] = request.credential.basic_authorization()
    token_query = urlencode(query, safe=":/,")
    full_query = f"{parts.query}&{token_query}" if parts.query else token_query
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, full_query, ""))
    return await send("GET", url, headers, None)


async def _send_form(
    request: TokenRequest,
    scopes: tuple[str, ...],
    grant_fields: dict[str, str],
    send: SendTokenRequest,
) -> RegistryResponse:
    form = {**grant_fields, "scope": " ".join(scopes), "client_id": CLIENT_ID}
    if request.service:
        form["service"] = request.service
    return await send("POST", request.realm, dict(_FORM_HEADERS), urlencode(form).encode())


def _parse_token_response(response: RegistryResponse) -> dict[str, Any]:
    """Return the JSON object of a token response.

    No error, causes included, contains any of its content, as it may hold a token (registry-27.2).
    """
    media_type = media_type_of(response.headers.get("content-type", ""))
    if "html" in media_type or response.content.lstrip()[:1] == b"<":
        raise ProtocolError(
            "the authorization server answered with a web page instead of a token",
            code="protocol.unexpected_type",
        )
    document = None
    problem = "it is no object"
    try:
        document = strict_json(response.content)
    except ContentError as error:
        problem = error.text
    if not isinstance(document, dict):
        raise _bad_token_error(f"the authorization server's answer is not usable JSON: {problem}")
    return document


def _bad_token_error(text: str) -> ProtocolError:
    return ProtocolError(text, code="auth.bad_token")


def _seconds_until_refresh(
    document: dict[str, Any], *, unix_time: float, random_fraction: Callable[[], float]
) -> float:
    """Return the seconds until the token is to be replaced.

    That is max(10 s, 10 %) of its lifetime before it expires, and up to a fifth of that more at
    random, so that the tokens of all workers are not replaced at once (registry-10.5,
    registry-10.6). Example: `expires_in` 300 gives a margin of 30 to 36 s, hence 264 to 270 s.
    """
    expires_in = document.get("expires_in")
    lifetime = expires_in if type(expires_in) is int else MIN_LIFETIME_SECONDS
    lifetime = min(max(lifetime, MIN_LIFETIME_SECONDS), MAX_LIFETIME_SECONDS)
    age = unix_time - _parse_issued_at(document.get("issued_at"), default=unix_time)
    if not 0 <= age < lifetime:
        age = 0.0  # the clock of the server or ours is wrong
    margin = max(10.0, 0.1 * lifetime) * (1.0 + 0.2 * random_fraction())
    return max(lifetime - age - margin, 1.0)


def _parse_issued_at(issued_at: Any, *, default: float) -> float:
    """Return an RFC 3339 time as Unix time, or `default` if it cannot be parsed."""
    if not isinstance(issued_at, str) or len(issued_at) > 64:
        return default
    try:
        issued = datetime.fromisoformat(_FRACTION.sub("", issued_at))
        return issued.astimezone(UTC).timestamp() if issued.tzinfo is not None else default
    except (ValueError, OverflowError):
        return default


def _token_error_of(response: RegistryResponse, credential: Credential | None) -> RegistryError:
    """Return the error for a refused token request (registry-10.7, imports-4.4).

    401 and 403 are about the credential; so is 400 with a credential, as Google answers.
    """
    error = error_of(response)
    text = credential.redact(error.text) if credential is not None else error.text
    if response.status in {401, 403} or (response.status == 400 and credential is not None):
        code = DENIED if response.status == 403 else REJECTED
        return RegistryDeniedError(
            text,
            code=REQUIRED if credential is None else code,
            bad_password=text.endswith(BAD_PASSWORD_TEXT),
        )
    if error.transient:
        error.text, error.args = text, (text,)
        return error
    return ProtocolError(text, code="auth.unsupported")
