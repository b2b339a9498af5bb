"""Showing the right credential to the right server, and none where none is needed.

The flow is `registry.md` 3.1 and 3.7: a token that is known goes out with the request; a 401 is
answered once or twice; credentials are tried in order and anonymity last; when all fail, it is
the first credential's failure that is told.
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import EgressRefusedError, RegistryDeniedError, RegistryError
from models.oci import media_type_of
from worker.registry.auth.challenge import parse_challenges
from worker.registry.auth.challenge_cache import (
    PLAIN,
    UNTRUSTED,
    Asked,
    Known,
    Memory,
    fault_of,
    prepare,
    read_challenge,
    withheld_error,
)
from worker.registry.auth.credentials import Credential
from worker.registry.auth.rejected_credentials import REJECTED, REQUIRED, TURNED_AWAY, Login, Logins
from worker.registry.auth.token_cache import TokenCache, TokenRequest
from worker.registry.auth.token_realm import trusted_servers
from worker.registry.client_config import ClientConfig
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.registry_types import ANONYMOUS, KNOCK, Answer, Outgoing, Place
from worker.registry.request_context import Access
from worker.registry.transport.connection_errors import without_query
from worker.registry.transport.error_responses import error_of
from worker.registry.transport.http_exchange import Exchange
from worker.registry.transport.origins import at_base, by_right, is_elsewhere, like, where_answered

WINNER_KEPT = 3600.0
PING_KEPT = 600.0
RECENT = 60.0
MOST_KEPT = 10_000
WARNING = "credentials_rejected: the registry refused the pull secret and served anonymously"
# ECR private says so with 403, ECR public with 400 (3.8).
_STALE = re.compile(rb"authorization token (?:has expired|is invalid)", re.IGNORECASE)
_NEXT = TURNED_AWAY | {UNTRUSTED, PLAIN}


@dataclass(frozen=True, slots=True)
class Authorized:
    """An answer and by whose right it came: `ANONYMOUS` or a credential's id."""

    answer: Answer
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shown:
    """What one attempt came to. `token` is empty where none was sent; `withheld` see `Prepared`."""

    answer: Answer
    scope: str = ANONYMOUS
    request: TokenRequest | None = None
    token: str = ""
    is_cached: bool = False
    withheld: str = ""


class Authenticator:
    """The rights of one process's requests; nothing is shared between credentials."""

    def __init__(
        self, exchange: Exchange, config: ClientConfig, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._exchange = exchange
        self._config = config
        self._clock = clock
        self._logins = Logins(clock)
        self._tokens = TokenCache(clock, logins=self._logins)
        self._memory = Memory(clock)
        self._winners: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._silent: dict[str, float] = {}

    async def request(self, outgoing: Outgoing, access: Access) -> Authorized:
        """The registry's answer, by the first right that it accepts.

        A final 401 or 403 is an answer too. Raises RegistryDeniedError where a token server
        or a password's registry refused, or nothing that we know how to answer was asked;
        EgressRefusedError where a credential had to be withheld and was needed.
        """
        candidates = self._candidates(outgoing.place, access)
        if not candidates:
            return await self._by(None, outgoing, access)
        failure: RegistryError | Authorized | None = None
        for credential in candidates:
            try:
                reply = await self._by(credential, outgoing, access)
            except RegistryError as error:
                if error.code not in _NEXT:
                    raise
                failure = failure or error
                continue
            was_shown = reply.scope != ANONYMOUS or reply.answer.status == 401
            if not (was_shown and _is_refusal(reply.answer, outgoing)):
                if reply.scope != ANONYMOUS and len(access.keyring.credentials) > 1:
                    self._remember_winner(credential, outgoing.place, access)
                return reply
            failure = failure or reply
        assert failure is not None
        return await self._anonymously(outgoing, access, failure)

    async def _anonymously(
        self, outgoing: Outgoing, access: Access, failure: RegistryError | Authorized
    ) -> Authorized:
        """Once more without any credential, or what the first credential came to (3.7)."""
        login = Login(ANONYMOUS, outgoing.place.api_host, outgoing.place.repository)
        try:
            self._logins.check(login)
            reply = await self._by(None, outgoing, access)
        except RegistryError as error:
            if error.code not in _NEXT:
                raise
            self._logins.refuse(login, error)
        else:
            status = reply.answer.status
            if status < 400:
                return Authorized(reply.answer, ANONYMOUS, (WARNING,))
            if status == 429 or status >= 500:
                return reply  # says nothing of rights; whoever asks tries again
            if _is_refusal(reply.answer, outgoing):
                refusal = RegistryDeniedError("anonymous access was refused", code=REQUIRED)
                self._logins.refuse(login, refusal)
        if isinstance(failure, Authorized):
            return failure
        raise failure

    def _candidates(self, place: Place, access: Access) -> Sequence[Credential]:
        """In order, but the one that was let in last time comes first."""
        found = access.keyring.candidates(place)
        if len(found) > 1:
            winner = self._winners.get((access.tenant, place.name))
            if winner is not None and winner[1] > self._clock.now():
                return sorted(found, key=lambda credential: credential.id != winner[0])
        return found

    def _remember_winner(self, credential: Credential, place: Place, access: Access) -> None:
        until = self._clock.now() + WINNER_KEPT
        self._winners[access.tenant, place.name] = (credential.id, until)
        while len(self._winners) > MOST_KEPT:
            self._winners.popitem(last=False)

    async def _by(
        self, credential: Credential | None, outgoing: Outgoing, access: Access
    ) -> Authorized:
        """Ask by one right alone: at most two attempts that show it."""
        if credential is not None and credential.registry_token.get_secret_value():
            token = credential.registry_token.get_secret_value()
            answer = await self._send(outgoing, access, f"Bearer {token}", scope=credential.id)
            return Authorized(answer, credential.id)
        known = self._memory.get(outgoing.place)
        outgoing = at_base(outgoing, self._exchange.base_url(outgoing.place))
        if known is None:
            knocks = credential is not None and not self._memory.is_open(outgoing.place)
            asking = by_right(outgoing, KNOCK) if knocks else outgoing
            answer = await self._exchange.send(asking, access)
            outgoing = where_answered(outgoing, answer)
            if answer.status != 401 or is_elsewhere(answer, outgoing):
                if knocks and answer.status < 400:
                    self._memory.keep_open(outgoing.place)
                return Authorized(answer)
            asked = await self._asked(answer, outgoing, access)
            if asked is None:
                return _unanswerable(answer, outgoing)
            known = self._memory.keep(outgoing.place, asked)
            if not _can_answer(credential, asked):
                return Authorized(answer)
        shown = await self._show(known, credential, outgoing, access)
        again = self._reconsider(shown, known, outgoing, access)
        if again is not None:
            shown = await self._show(again, credential, outgoing, access)
        if shown.withheld and shown.request and shown.answer.status in {401, 403}:
            raise withheld_error(shown.withheld, outgoing.place, shown.request.realm)
        return Authorized(shown.answer, shown.scope)

    def _reconsider(
        self, shown: _Shown, known: Known, outgoing: Outgoing, access: Access
    ) -> Known | None:
        """What to answer the second time, or None where the first answer stands."""
        answer = shown.answer
        if is_elsewhere(answer, outgoing):
            return None
        if answer.status in {400, 403} and shown.is_cached and _is_stale(answer):
            self._drop(shown)
            return known
        if answer.status != 401:
            return None
        lines = answer.headers.get_list("www-authenticate")
        asked = known.asked
        if lines:
            with contextlib.suppress(RegistryDeniedError):
                asked = self._read(lines, answer.url, outgoing, access)
        unchanged = asked == known.asked
        if unchanged and not self._is_worth_a_new_token(shown):
            return None
        self._drop(shown)
        return known if unchanged else self._memory.keep(outgoing.place, asked)

    def _is_worth_a_new_token(self, shown: _Shown) -> bool:
        """One that does not reach far enough is only replaced when it is not quite new."""
        if shown.request is None:
            return False
        match fault_of(shown.answer):
            case "invalid_token":
                return True
            case "insufficient_scope":
                return self._tokens.age(shown.request) > RECENT
        return shown.is_cached

    def _drop(self, shown: _Shown) -> None:
        if shown.request is not None:
            self._tokens.drop(shown.request, shown.token)

    async def _show(
        self, known: Known, credential: Credential | None, outgoing: Outgoing, access: Access
    ) -> _Shown:
        """One attempt, by what the registry asked for."""
        if known.asked.kind == "basic":
            return await self._show_password(credential, outgoing, access)
        policy = self._exchange.policy(access)
        prepared = prepare(
            known,
            outgoing.place,
            credential,
            request_url=outgoing.url,
            trusted=self._trusted(outgoing.place),
            may_be_shown=lambda url: self._exchange.may_show_rights(url, policy),
        )
        request = prepared.request
        token = self._tokens.peek(request)
        is_cached = token is not None
        if token is None:
            try:
                token = await self._fetch_token(request, outgoing, access)
            except RegistryError as error:
                if error.code not in TURNED_AWAY and not error.transient:
                    self._memory.forget(outgoing.place)
                if prepared.withheld and error.code in TURNED_AWAY:
                    realm = request.realm
                    raise withheld_error(prepared.withheld, outgoing.place, realm) from error
                raise
        shown = request.credential
        scope = shown.id if shown is not None else ANONYMOUS
        answer = await self._send(outgoing, access, f"Bearer {token}", scope=scope)
        return _Shown(answer, scope, request, token, is_cached, prepared.withheld)

    async def _show_password(
        self, credential: Credential | None, outgoing: Outgoing, access: Access
    ) -> _Shown:
        """Basic. A refusal is raised, so that the same password is not shown again and again."""
        if credential is None or not credential.is_login:
            return _Shown(await self._exchange.send(outgoing, access))

        async def ask() -> Answer:
            answer = await self._send(outgoing, access, credential.basic(), scope=credential.id)
            if answer.status == 401 and not is_elsewhere(answer, outgoing):
                lines = answer.headers.get_list("www-authenticate")
                schemes = {challenge.scheme for challenge in parse_challenges(lines)}
                if not lines or "basic" in schemes:
                    error = error_of(answer)
                    error.text = credential.redact(error.text)
                    error.args = (error.text,)
                    error.code = REJECTED
                    raise error
            return answer

        login = Login(credential.id, outgoing.place.api_host, outgoing.place.repository)
        return _Shown(await self._logins.attempt(login, ask), credential.id)

    async def _send(
        self, outgoing: Outgoing, access: Access, authorization: str, *, scope: str
    ) -> Answer:
        if scope != ANONYMOUS and not outgoing.url.startswith("https://"):
            policy = self._exchange.policy(access)
            if not self._exchange.may_show_rights(outgoing.url, policy):
                raise withheld_error(PLAIN, outgoing.place)
        headers = {**outgoing.headers, "Authorization": authorization}
        asking = like(outgoing, outgoing.url, headers, scope=scope)
        return await self._exchange.send(asking, access)

    async def _fetch_token(self, request: TokenRequest, outgoing: Outgoing, access: Access) -> str:
        async def post(
            method: str, url: str, headers: dict[str, str], body: bytes | None
        ) -> Answer:
            asking = Outgoing(
                method=method,
                url=url,
                place=outgoing.place,
                headers=headers,
                body=body,
                deadline=self._config.token_seconds,
                redirects="token",
                scope=request.credential.id if request.credential is not None else ANONYMOUS,
                kind="token",
            )
            return await self._exchange.send(asking, access)

        try:
            return await self._tokens.get(request, post)
        except EgressRefusedError:
            raise
        except RegistryError as error:
            told = error.about("")
            told.text = f'{outgoing.method.capitalize()} "{without_query(outgoing.url)}": {error}'
            told.args = (told.text,)
            raise told from error

    async def _asked(self, answer: Answer, outgoing: Outgoing, access: Access) -> Asked | None:
        """What the registry asks for; of a silent 401, what `/v2/` does, but not its scope."""
        lines = answer.headers.get_list("www-authenticate")
        if lines:
            return self._read(lines, answer.url, outgoing, access)
        place = outgoing.place
        if self._silent.get(place.api_host, 0.0) > self._clock.now():
            return None
        url = f"{outgoing.url.partition('://')[0]}://{place.api_host}/v2/"
        ping = await self._exchange.send(
            Outgoing("GET", url, place, deadline=self._config.token_seconds, scope=KNOCK), access
        )
        lines = ping.headers.get_list("www-authenticate") if ping.status == 401 else []
        if not lines or is_elsewhere(ping, outgoing):
            if len(self._silent) >= MOST_KEPT:
                self._silent.clear()
            self._silent[place.api_host] = self._clock.now() + PING_KEPT
            return None
        return self._read(lines, ping.url, outgoing, access, is_about_place=False)

    def _read(
        self,
        lines: Sequence[str],
        url: str,
        outgoing: Outgoing,
        access: Access,
        *,
        is_about_place: bool = True,
    ) -> Asked:
        place = outgoing.place
        policy = self._exchange.policy(access)
        return read_challenge(
            lines,
            place,
            request_url=url,
            loose=self._exchange.may_be_plain(place, policy),
            trusted=self._trusted(place),
            is_about_place=is_about_place,
        )

    def _trusted(self, place: Place) -> Sequence[str]:
        return trusted_servers(
            self._config.trusted_realm_hosts, registry=place.registry, api_host=place.api_host
        )


def _can_answer(credential: Credential | None, asked: Asked) -> bool:
    return asked.kind == "bearer" or (credential is not None and credential.is_login)


def _is_stale(answer: Answer) -> bool:
    return _STALE.search(answer.content[:4096]) is not None


def _is_refusal(answer: Answer, outgoing: Outgoing) -> bool:
    """Whether other rights may fare better. A web page, or another server's no, is final."""
    if answer.status not in {401, 403} or is_elsewhere(answer, outgoing):
        return False
    kind = media_type_of(answer.headers.get("content-type", ""))
    return answer.status == 401 or "html" not in kind


def _unanswerable(answer: Answer, outgoing: Outgoing) -> Authorized:
    """A 401 that never says what it wants (3.1). Of a HEAD it is only an answer."""
    error = error_of(answer)
    if outgoing.method == "HEAD" or not isinstance(error, RegistryDeniedError):
        return Authorized(answer)
    raise RegistryDeniedError(error.text, code="auth.unsupported")
