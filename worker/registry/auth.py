"""Showing the right credential to the right server, and none where none is needed.

The flow is `registry.md` 3.1 and 3.7: a token that is known goes out with the request; a 401 is
answered once or twice; credentials are tried in order and anonymity last; when all fail, it is
the first credential's failure that is told.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

from models.errors import EgressRefusedError, RegistryDeniedError, RegistryError
from worker.registry.access import Access
from worker.registry.challenge import Challenge, choose_scopes, parse_challenges
from worker.registry.config import ClientConfig
from worker.registry.credentials import Credential
from worker.registry.exchange import Exchange
from worker.registry.failures import without_query
from worker.registry.realm import is_expected_port, may_have_credentials, resolve_realm
from worker.registry.tokens import TokenCache, TokenRequest
from worker.registry.words import ANONYMOUS, Answer, Outgoing, Place

K = TypeVar("K")
V = TypeVar("V")

SCHEME_KEPT = 600.0
WINNER_KEPT = 3600.0
REFUSAL_KEPT = 120.0
MOST_KEPT = 10_000
REJECTED = "credentials_rejected: the registry refused the pull secret and served anonymously"
_STALE = re.compile(rb"authorization token (?:has expired|is invalid)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Authorized:
    """An answer and by whose right it came: `ANONYMOUS` or a credential's id."""

    answer: Answer
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scheme:
    """How a registry wants to be asked, as its last challenge said."""

    kind: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    until: float = 0.0


class Authenticator:
    """The rights of one process's requests; nothing is shared between credentials."""

    def __init__(self, exchange: Exchange, config: ClientConfig) -> None:
        self._exchange = exchange
        self._config = config
        self._tokens = TokenCache()
        self._schemes: OrderedDict[Place, _Scheme] = OrderedDict()
        self._winners: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def request(self, outgoing: Outgoing, access: Access) -> Authorized:
        """The registry's answer, by the first right that it accepts.

        A final 401 or 403 is an answer too. Raises RegistryDeniedError where a token server
        refused, or nothing we know how to answer was asked.
        """
        candidates = self._candidates(outgoing.place, access)
        if not candidates:
            return Authorized(await self._as(None, outgoing, access))
        error: RegistryError | None = None
        refused: Answer | None = None
        for candidate in candidates:
            try:
                answer = await self._as(candidate, outgoing, access)
            except (RegistryDeniedError, EgressRefusedError) as failure:
                if isinstance(failure, EgressRefusedError) and failure.code not in _OURS:
                    raise
                error = error or (failure if refused is None else None)
                continue
            if answer.status not in {401, 403}:
                self._remember_winner(candidate, outgoing.place, access)
                return Authorized(answer, candidate.id)
            refused = refused or (answer if error is None else None)
        with contextlib.suppress(RegistryDeniedError, EgressRefusedError):
            answer = await self._as(None, outgoing, access)
            if answer.status not in {401, 403}:
                return Authorized(answer, ANONYMOUS, (REJECTED,))
        if error is not None:
            raise error
        assert refused is not None
        return Authorized(refused, candidates[0].id)

    def _candidates(self, place: Place, access: Access) -> list[Credential]:
        """In order, but the one that was let in last time comes first."""
        found = list(access.keyring.candidates(place))
        if len(found) > 1:
            winner = self._winners.get((access.tenant, place.name))
            if winner is not None and winner[1] > time.monotonic():
                found.sort(key=lambda credential: credential.id != winner[0])
        return found

    def _remember_winner(self, credential: Credential, place: Place, access: Access) -> None:
        self._winners[access.tenant, place.name] = (credential.id, time.monotonic() + WINNER_KEPT)
        _trim(self._winners)

    async def _as(
        self, credential: Credential | None, outgoing: Outgoing, access: Access
    ) -> Answer:
        """Ask by one right alone."""
        place = outgoing.place
        if credential is not None and credential.registry_token.get_secret_value():
            token = credential.registry_token.get_secret_value()
            return await self._send(outgoing, access, f"Bearer {token}")
        scheme = self._scheme(place)
        cached = False
        if scheme is None:
            answer = await self._send(outgoing, access, "")
        else:
            cached = True
            answer = await self._send_by(scheme, credential, outgoing, access)
        for _ in range(2):
            if not _is_worth_answering(answer, had_token=scheme is not None):
                return answer
            challenged = await self._challenged(answer, outgoing, access)
            if challenged is None:
                challenged = scheme
            if challenged is None:
                return answer
            if challenged.kind == "basic" and (scheme is not None and scheme.kind == "basic"):
                return answer  # the same password again would not help
            fresh = scheme is None or cached or challenged.scope != scheme.scope
            if not fresh and not _says_invalid(answer):
                return answer
            self._remember(place, challenged)
            if challenged.kind == "basic" and (credential is None or not credential.is_login):
                return answer
            self._forget_token(challenged, credential, outgoing, access)
            scheme, cached = challenged, False
            answer = await self._send_by(scheme, credential, outgoing, access)
        return answer

    async def _send_by(
        self,
        scheme: _Scheme,
        credential: Credential | None,
        outgoing: Outgoing,
        access: Access,
    ) -> Answer:
        if scheme.kind == "basic":
            return await self._send_basic(credential, outgoing, access)
        request, untrusted = self._token_request(scheme, credential, outgoing, access)
        token = self._tokens.peek(request) or await self._fetch_token(request, outgoing, access)
        answer = await self._send(outgoing, access, f"Bearer {token}")
        if untrusted and answer.status in {401, 403}:
            own, other = outgoing.place.registry, urlsplit(scheme.realm).netloc
            raise EgressRefusedError(
                f"the registry {own} sends for tokens to {other}, which may not see its "
                "credentials; the operator can allow it (TAGSTREAM_TRUSTED_REALM_HOSTS)",
                code="policy.realm_untrusted",
            )
        return answer

    async def _send_basic(
        self, credential: Credential | None, outgoing: Outgoing, access: Access
    ) -> Answer:
        if credential is None or not credential.is_login:
            return await self._send(outgoing, access, "")
        key = (credential.id, outgoing.place.api_host)
        if self._refused.get(key, 0.0) > time.monotonic():
            raise RegistryDeniedError("the credential was refused", code="auth.rejected")
        answer = await self._send(outgoing, access, credential.basic())
        if answer.status == 401:
            self._refused[key] = time.monotonic() + REFUSAL_KEPT
            _trim(self._refused)
        return answer

    async def _send(self, outgoing: Outgoing, access: Access, authorization: str) -> Answer:
        if not authorization:
            return await self._exchange.send(outgoing, access)
        policy = self._exchange.policy(access)
        if not self._exchange.may_show_rights(outgoing.url, policy):
            raise EgressRefusedError(
                f"credentials for {outgoing.place.registry} are not sent over plain http; "
                "the operator can allow it (TAGSTREAM_CREDENTIALS_OVER_HTTP)",
                code="policy.plain_credentials",
            )
        headers = {**outgoing.headers, "Authorization": authorization}
        return await self._exchange.send(replace(outgoing, headers=headers), access)

    def _token_request(
        self,
        scheme: _Scheme,
        credential: Credential | None,
        outgoing: Outgoing,
        access: Access,
    ) -> tuple[TokenRequest, bool]:
        """What to ask the token server, and whether the credential is withheld from it."""
        place = outgoing.place
        policy = self._exchange.policy(access)
        loose = self._exchange.may_be_plain(place, policy)
        realm = resolve_realm(scheme.realm, request_url=outgoing.url, loose=loose)
        trusted = may_have_credentials(
            realm,
            request_url=outgoing.url,
            registry=place.registry,
            trusted=self._config.trusted_realm_hosts,
        )
        if not is_expected_port(realm, request_url=outgoing.url) and not trusted:
            raise EgressRefusedError(
                f"the registry {place.registry} sends for tokens to a port that is not allowed",
                code="policy.realm",
            )
        shown = credential
        if credential is not None and (
            not trusted or not self._exchange.may_show_rights(realm, policy)
        ):
            shown = None
        request = TokenRequest(
            registry=place.registry,
            origin=place.api_host,
            realm=realm,
            service=scheme.service,
            scopes=tuple(choose_scopes(place.repository, scheme.scope)),
            credential=shown,
        )
        return request, shown is not credential

    async def _fetch_token(self, request: TokenRequest, outgoing: Outgoing, access: Access) -> str:
        async def post(
            method: str, url: str, headers: dict[str, str], body: bytes | None
        ) -> Answer:
            return await self._exchange.send(
                Outgoing(
                    method=method,
                    url=url,
                    place=outgoing.place,
                    headers=headers,
                    body=body,
                    deadline=self._config.token_seconds,
                    redirects="token",
                ),
                access,
            )

        try:
            return await self._tokens.get(request, post)
        except RegistryDeniedError:
            raise
        except RegistryError as error:
            told = error.about("")
            told.text = f'Get "{without_query(outgoing.url)}": {error.text}'
            raise told from error

    def _forget_token(
        self,
        scheme: _Scheme,
        credential: Credential | None,
        outgoing: Outgoing,
        access: Access,
    ) -> None:
        if scheme.kind == "bearer":
            request, _ = self._token_request(scheme, credential, outgoing, access)
            self._tokens.drop(request)

    async def _challenged(
        self, answer: Answer, outgoing: Outgoing, access: Access
    ) -> _Scheme | None:
        """How the registry wants to be asked; of a silent 401 `/v2/` is asked once."""
        lines = answer.headers.get_list("www-authenticate")
        if answer.status != 401:
            return None
        if lines:
            return _choose(parse_challenges(lines))
        base = self._exchange.base_url(outgoing.place)
        ping = await self._exchange.send(
            Outgoing("GET", f"{base}/v2/", outgoing.place, deadline=self._config.token_seconds),
            access,
        )
        found = ping.headers.get_list("www-authenticate")
        if not found:
            return None
        return replace(_choose(parse_challenges(found)), scope="")

    def _scheme(self, place: Place) -> _Scheme | None:
        found = self._schemes.get(place)
        if found is None or found.until <= time.monotonic():
            return None
        return found

    def _remember(self, place: Place, scheme: _Scheme) -> None:
        self._schemes[place] = replace(scheme, until=time.monotonic() + SCHEME_KEPT)
        _trim(self._schemes)


_OURS = frozenset({"policy.realm_untrusted", "policy.plain_credentials"})


def _choose(challenges: list[Challenge]) -> _Scheme:
    """Bearer before Basic; anything else we cannot answer."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.get("realm"):
            return _Scheme(
                "bearer", challenge.get("realm"), challenge.get("service"), challenge.get("scope")
            )
    if any(challenge.scheme == "basic" for challenge in challenges):
        return _Scheme("basic")
    raise RegistryDeniedError(
        "the registry asks for a kind of login that is not supported", code="auth.unsupported"
    )


def _is_worth_answering(answer: Answer, *, had_token: bool) -> bool:
    """Whether other rights, or the same ones anew, may change the answer (3.8)."""
    if answer.status == 401:
        return True
    return had_token and answer.status in {400, 403} and bool(_STALE.search(answer.content[:4096]))


def _says_invalid(answer: Answer) -> bool:
    if _STALE.search(answer.content[:4096]):
        return True
    lines = answer.headers.get_list("www-authenticate")
    return any(c.get("error") == "invalid_token" for c in parse_challenges(lines))


def _trim(kept: OrderedDict[K, V]) -> None:
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
