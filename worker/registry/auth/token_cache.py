"""Bearer tokens: asked for once, kept as long as they last, never shared between rights.

Request and answer are `registry.md` 3.3, the cache 3.5. A key never names a host alone: the
credential, the registry, the token server and the scopes are all part of it.
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
from worker.registry.auth.rejected_credentials import DENIED, REJECTED, REQUIRED, Login, Logins
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.registry_types import Answer
from worker.registry.transport.error_responses import error_of

SHORTEST_LIFE, LONGEST_LIFE = 60, 12 * 3600
LONGEST_TOKEN = 16 * 1024
MOST_TOKENS = 2_000
CLIENT_ID = "tagstream"
BAD_PASSWORD = "incorrect username or password"  # noqa: S105 - what Docker Hub says of one
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_JSON = {"Accept": "application/json"}
_FORM = {**_JSON, "Content-Type": "application/x-www-form-urlencoded"}

Post = Callable[[str, str, dict[str, str], bytes | None], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What one token is for. `credential` None asks anonymously.

    `key` holds everything that must be the same for a token to serve again.
    """

    registry: str
    origin: str
    realm: str
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None = None
    key: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        who = self.credential.id if self.credential is not None else ""
        scopes = tuple(sorted(self.scopes))
        key = (who, self.registry, self.origin, self.realm, self.service, scopes)
        object.__setattr__(self, "key", key)

    @property
    def login(self) -> Login:
        """Who asks which server for what, as refusals are remembered."""
        wanted = " ".join([self.service, *sorted(self.scopes)])
        return Login(self.key[0], self.realm, wanted)


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token's text, since when we have it and when it is to be replaced, by the steady clock."""

    text: str
    made_at: float
    refresh_at: float


class TokenCache:
    """At most so many tokens of a process; `logins` remembers who was turned away."""

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        logins: Logins | None = None,
        most: int = MOST_TOKENS,
    ) -> None:
        self._clock = clock
        self._most = most
        self._logins = logins or Logins(clock)
        self._tokens: OrderedDict[tuple[Any, ...], Token] = OrderedDict()
        self._flights: dict[tuple[Any, ...], asyncio.Future[Token]] = {}

    def peek(self, request: TokenRequest) -> str | None:
        """A token that is at hand and fresh."""
        found = self._tokens.get(request.key)
        if found is None or found.refresh_at <= self._clock.now():
            return None
        return found.text

    def age(self, request: TokenRequest) -> float:
        """For how many seconds a token has been at hand."""
        found = self._tokens.get(request.key)
        return self._clock.now() - found.made_at if found is not None else 0.0

    def drop(self, request: TokenRequest, text: str) -> None:
        """Forget a token that a registry no longer takes, unless it was replaced already."""
        found = self._tokens.get(request.key)
        if found is not None and found.text == text:
            del self._tokens[request.key]

    async def get(self, request: TokenRequest, post: Post) -> str:
        """A token, asked for by one of all who wait for it.

        `post` sends (method, url, headers, body) to the token server. RegistryDeniedError where
        the credential was refused, also for a while after (C11).
        """
        found = self.peek(request)
        if found is not None:
            return found
        flight = self._flights.get(request.key)
        if flight is None:
            flight = asyncio.ensure_future(self._fetch(request, post))
            self._flights[request.key] = flight
            flight.add_done_callback(lambda done: self._land(request.key, done))
        return (await asyncio.shield(flight)).text

    def _land(self, key: tuple[Any, ...], done: asyncio.Future[Token]) -> None:
        self._flights.pop(key, None)
        if not done.cancelled():
            done.exception()  # all who waited may have left

    async def _fetch(self, request: TokenRequest, post: Post) -> Token:
        async def ask() -> Token:
            return await fetch_token(request, post, clock=self._clock)

        token = await self._logins.attempt(request.login, ask)
        self._tokens[request.key] = token
        self._tokens.move_to_end(request.key)
        while len(self._tokens) > self._most:
            self._tokens.popitem(last=False)
        return token


async def fetch_token(
    request: TokenRequest, post: Post, *, clock: Clock, dice: Callable[[], float] = random.random
) -> Token:
    """Ask the token server, in the form that the credential needs.

    Some servers deny everything where one of several scopes is not theirs to grant: the first
    scope, the registry's own wish, is then asked for alone.
    """
    answer = await _ask(request, request.scopes, post)
    if 400 <= answer.status < 500 and answer.status != 429 and len(request.scopes) > 1:
        answer = await _ask(request, request.scopes[:1], post)
    if answer.status != 200:
        raise _refusal(answer, request.credential)
    document = _read(answer)
    text = document.get("access_token") or document.get("token")
    if not text:
        raise _bad("authorization server did not include a token in the response")
    if not isinstance(text, str) or len(text) > LONGEST_TOKEN or not _TOKEN.fullmatch(text):
        raise _bad("the authorization server's token cannot be used")
    now = clock.now()
    return Token(text, now, now + _life(document, wall=clock.wall(), dice=dice))


async def _ask(request: TokenRequest, scopes: tuple[str, ...], post: Post) -> Answer:
    """GET, unless there is a refresh token to POST; a server that knows only one gets the other."""
    credential = request.credential
    refresh = credential.identity_token.get_secret_value() if credential is not None else ""
    if refresh:
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        answer = await _post_form(request, scopes, form, post)
        if answer.status not in {404, 405}:
            return answer
    answer = await _get(request, scopes, post)
    if answer.status in {404, 405} and credential is not None and credential.is_login:
        form = {
            "grant_type": "password",
            "username": credential.username,
            "password": credential.password.get_secret_value(),
            "access_type": "offline",
        }
        answer = await _post_form(request, scopes, form, post)
    return answer


async def _get(request: TokenRequest, scopes: tuple[str, ...], post: Post) -> Answer:
    parts = urlsplit(request.realm)
    query = [("service", request.service)] if request.service else []
    query.extend(("scope", scope) for scope in scopes)
    headers = dict(_JSON)
    if request.credential is not None and request.credential.is_login:
        query.append(("account", request.credential.username))
        headers["Authorization"] = request.credential.basic()
    added = urlencode(query, safe=":/,")
    full = f"{parts.query}&{added}" if parts.query else added
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, full, ""))
    return await post("GET", url, headers, None)


async def _post_form(
    request: TokenRequest, scopes: tuple[str, ...], grant: dict[str, str], post: Post
) -> Answer:
    form = {**grant, "scope": " ".join(scopes), "client_id": CLIENT_ID}
    if request.service:
        form["service"] = request.service
    return await post("POST", request.realm, dict(_FORM), urlencode(form).encode())


def _read(answer: Answer) -> dict[str, Any]:
    """The answer's JSON object. What was in it stays out of every error, causes included."""
    kind = media_type_of(answer.headers.get("content-type", ""))
    if "html" in kind or answer.content.lstrip()[:1] == b"<":
        raise ProtocolError(
            "the authorization server answered with a web page instead of a token",
            code="protocol.unexpected_type",
        )
    document = None
    problem = "it is no object"
    try:
        document = strict_json(answer.content)
    except ContentError as error:
        problem = error.text
    if not isinstance(document, dict):
        raise _bad(f"the authorization server's answer is not usable JSON: {problem}")
    return document


def _bad(text: str) -> ProtocolError:
    return ProtocolError(text, code="auth.bad_token")


def _life(document: dict[str, Any], *, wall: float, dice: Callable[[], float]) -> float:
    """Seconds until the token is to be replaced: before it expires, and not all at once."""
    said = document.get("expires_in")
    whole = said if type(said) is int else SHORTEST_LIFE
    whole = min(max(whole, SHORTEST_LIFE), LONGEST_LIFE)
    age = wall - _moment(document.get("issued_at"), default=wall)
    if not 0 <= age < whole:
        age = 0.0  # one of the two clocks is wrong
    margin = max(10.0, 0.1 * whole) * (1.0 + 0.2 * dice())
    return max(whole - age - margin, 1.0)


def _moment(issued_at: Any, *, default: float) -> float:
    """RFC 3339 as Unix time."""
    if not isinstance(issued_at, str) or len(issued_at) > 64:
        return default
    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", issued_at))
        return moment.astimezone(UTC).timestamp() if moment.tzinfo is not None else default
    except (ValueError, OverflowError):
        return default


def _refusal(answer: Answer, credential: Credential | None) -> RegistryError:
    """Why there is no token; 401 and 403 speak of the credential (Q17), at Google 400 too."""
    error = error_of(answer)
    text = credential.redact(error.text) if credential is not None else error.text
    if answer.status in {401, 403} or (answer.status == 400 and credential is not None):
        code = DENIED if answer.status == 403 else REJECTED
        return RegistryDeniedError(
            text,
            code=REQUIRED if credential is None else code,
            bad_password=text.endswith(BAD_PASSWORD),
        )
    if error.transient:
        error.text, error.args = text, (text,)
        return error
    return ProtocolError(text, code="auth.unsupported")
