"""Bearer tokens: asked for once, kept as long as they last, never shared between rights.

Request and answer are `registry.md` 3.3, the cache 3.5. A key never names a host alone: the
credential, the registry, the token server and the scopes are all part of it.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from models.errors import (
    ContentError,
    ProtocolError,
    RateLimitedError,
    RegistryDeniedError,
    RegistryError,
    TransientRegistryError,
)
from models.oci import media_type_of, strict_json
from worker.registry.credentials import Credential
from worker.registry.limits import parse_retry_after
from worker.registry.words import Answer

SHORTEST_LIFE, LONGEST_LIFE = 60, 12 * 3600
LONGEST_TOKEN = 16 * 1024
REFUSAL_KEPT = 120.0
MOST_TOKENS = 10_000
CLIENT_ID = "tagstream"
BAD_PASSWORD = "incorrect username or password"  # noqa: S105 - what Docker Hub says of one
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)

Post = Callable[[str, str, dict[str, str], bytes | None], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What one token is for. `credential` None asks anonymously."""

    registry: str
    origin: str
    realm: str
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None = None

    def key(self) -> tuple[Any, ...]:
        """Everything that must be the same for a token to serve again."""
        who = self.credential.id if self.credential is not None else ""
        return who, self.registry, self.origin, self.realm, self.service, tuple(sorted(self.scopes))


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token's text and when it is to be replaced, on the monotonic clock."""

    text: str
    refresh_at: float


@dataclass(slots=True)
class TokenCache:
    """The tokens of a process. `post` sends (method, url, headers, body) to a token server."""

    clock: Callable[[], float] = time.monotonic
    _tokens: OrderedDict[tuple[Any, ...], Token] = field(default_factory=OrderedDict)
    _flights: dict[tuple[Any, ...], asyncio.Future[Token]] = field(default_factory=dict)
    _refused: dict[tuple[str, str], tuple[float, RegistryError]] = field(default_factory=dict)

    def peek(self, request: TokenRequest) -> str | None:
        """A token that is at hand and fresh."""
        found = self._tokens.get(request.key())
        if found is None or found.refresh_at <= self.clock():
            return None
        return found.text

    def drop(self, request: TokenRequest) -> None:
        """Forget a token that a registry no longer takes."""
        self._tokens.pop(request.key(), None)

    async def get(self, request: TokenRequest, post: Post) -> str:
        """A token, asked for by one of all who wait for it.

        RegistryDeniedError where the credential was refused, also for a while after (C11).
        """
        found = self.peek(request)
        if found is not None:
            return found
        self._check_refused(request)
        key = request.key()
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(self._fetch(request, post))
            self._flights[key] = flight
            flight.add_done_callback(lambda _done: self._flights.pop(key, None))
        token = await asyncio.shield(flight)
        return token.text

    def _check_refused(self, request: TokenRequest) -> None:
        if request.credential is None:
            return
        refused = self._refused.get((request.credential.id, request.realm))
        if refused is not None and refused[0] > self.clock():
            raise refused[1].about(refused[1].reference)

    async def _fetch(self, request: TokenRequest, post: Post) -> Token:
        try:
            token = await fetch_token(request, post, now=self.clock())
        except RegistryDeniedError as error:
            if request.credential is not None:
                until = self.clock() + REFUSAL_KEPT
                self._refused[request.credential.id, request.realm] = (until, error)
                while len(self._refused) > MOST_TOKENS:
                    del self._refused[next(iter(self._refused))]
            raise
        self._tokens[request.key()] = token
        while len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        return token


async def fetch_token(request: TokenRequest, post: Post, *, now: float) -> Token:
    """Ask the token server, in the form that the credential needs."""
    credential = request.credential
    answer = None
    if credential is not None and credential.identity_token.get_secret_value():
        answer = await post("POST", request.realm, _FORM, _refresh_form(request, credential))
    if answer is None or answer.status in {404, 405}:
        answer = await _get(request, request.scopes, post)
    if 400 <= answer.status < 500 and answer.status != 429 and len(request.scopes) > 1:
        answer = await _get(request, request.scopes[:1], post)
    if answer.status in {404, 405} and credential is not None and credential.is_login:
        answer = await post("POST", request.realm, _FORM, _password_form(request, credential))
    return _read(answer, now=now, has_credential=credential is not None)


_FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


async def _get(request: TokenRequest, scopes: tuple[str, ...], post: Post) -> Answer:
    parts = urlsplit(request.realm)
    query = [("service", request.service)] if request.service else []
    query.extend(("scope", scope) for scope in scopes)
    headers = {"Accept": "application/json"}
    if request.credential is not None and request.credential.is_login:
        query.append(("account", request.credential.username))
        headers["Authorization"] = request.credential.basic()
    added = urlencode(query, safe=":/,")
    full = f"{parts.query}&{added}" if parts.query else added
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, full, ""))
    return await post("GET", url, headers, None)


def _refresh_form(request: TokenRequest, credential: Credential) -> bytes:
    return urlencode(
        {
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token.get_secret_value(),
            "service": request.service,
            "scope": " ".join(request.scopes),
            "client_id": CLIENT_ID,
        }
    ).encode()


def _password_form(request: TokenRequest, credential: Credential) -> bytes:
    return urlencode(
        {
            "grant_type": "password",
            "username": credential.username,
            "password": credential.password.get_secret_value(),
            "access_type": "offline",
            "service": request.service,
            "scope": " ".join(request.scopes),
            "client_id": CLIENT_ID,
        }
    ).encode()


def _read(answer: Answer, *, now: float, has_credential: bool) -> Token:
    if answer.status != 200:
        raise _refusal(answer, has_credential=has_credential)
    kind = media_type_of(answer.headers.get("content-type", ""))
    if kind in {"text/html", "application/xhtml+xml"}:
        raise ProtocolError(
            "the token server answered with a web page instead of a token",
            code="protocol.unexpected_type",
        )
    try:
        document = strict_json(answer.content)
    except ContentError as error:
        raise _bad("the token server's answer is not JSON") from error
    if not isinstance(document, dict):
        raise _bad("the token server's answer is no JSON object")
    text = document.get("access_token") or document.get("token")
    if not isinstance(text, str) or not text:
        raise _bad("authorization server did not include a token in the response")
    if len(text) > LONGEST_TOKEN or not _TOKEN.fullmatch(text):
        raise _bad("the token server's token is not usable")
    return Token(text, now + _life(document))


def _bad(text: str) -> ProtocolError:
    return ProtocolError(text, code="auth.bad_token")


def _life(document: dict[str, Any]) -> float:
    """Seconds until the token is to be replaced: before it expires, and not all at once."""
    said = document.get("expires_in")
    whole = said if type(said) is int else SHORTEST_LIFE
    whole = min(max(whole, SHORTEST_LIFE), LONGEST_LIFE)
    age = 0.0
    issued = document.get("issued_at")
    if isinstance(issued, str):
        try:
            moment = datetime.fromisoformat(re.sub(r"\.\d+", "", issued))
            age = (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds()
        except (ValueError, OverflowError):
            age = 0.0
    if not 0 <= age < whole:
        age = 0.0
    margin = max(10.0, 0.1 * whole)
    return float(max(whole - age - margin * random.uniform(1.0, 1.2), 1.0))  # noqa: S311 - jitter


def _refusal(answer: Answer, *, has_credential: bool) -> RegistryError:
    """Why there is no token; 401 and 403 speak of the credential (Q17)."""
    text = answer.content[:4096].decode("utf-8", "replace").rstrip()
    if answer.status in {401, 403} or (answer.status == 400 and has_credential):
        bad = BAD_PASSWORD in text.lower()
        return RegistryDeniedError(
            "the token server refused", code="auth.rejected", bad_password=bad
        )
    if answer.status == 429:
        wait = parse_retry_after(answer.headers.get("retry-after"), now=time.time())
        return RateLimitedError("toomanyrequests: too many token requests", retry_after=wait)
    if answer.status >= 500:
        return TransientRegistryError(
            f"received unexpected HTTP status: {answer.status} from the token server",
            code="http.5xx",
        )
    return ProtocolError(
        f"the token server answered with HTTP status {answer.status}", code="auth.unsupported"
    )
