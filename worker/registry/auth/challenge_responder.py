"""Use of one credential: send a request, answer the challenge of a 401, fetch and send the token.

A cached token goes out with the request; a 401 is answered as its challenge requires, at most
twice with one credential (registry-8.1, registry-8.4). Tokens, challenges and refusals are cached,
so that the steady state is one request.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from models.errors import EgressRefusedError, RegistryDeniedError, RegistryError
from worker.registry.auth.challenge import parse_challenges
from worker.registry.auth.challenge_cache import (
    PLAIN_HTTP_CREDENTIALS,
    AuthChallenge,
    CachedChallenge,
    ChallengeCache,
    bearer_error_of,
    prepare_token_request,
    withheld_error,
)
from worker.registry.auth.challenge_discovery import ChallengeDiscovery
from worker.registry.auth.credentials import Credential
from worker.registry.auth.rejected_credentials import (
    REJECTED,
    REJECTION_CODES,
    CredentialUse,
    RejectedCredentials,
)
from worker.registry.auth.token_cache import TokenCache, TokenRequest
from worker.registry.client_config import ClientConfig
from worker.registry.clock import Clock
from worker.registry.registry_types import (
    ANONYMOUS,
    CHALLENGE_PROBE,
    RegistryRequest,
    RegistryResponse,
)
from worker.registry.request_context import RequestContext
from worker.registry.transport.connection_errors import without_query
from worker.registry.transport.error_responses import error_of
from worker.registry.transport.http_exchange import HttpExchange
from worker.registry.transport.origins import (
    copy_request,
    is_from_other_host,
    with_answered_scheme,
    with_known_scheme,
    with_scope,
)

MIN_TOKEN_AGE_SECONDS = 60.0
# ECR private says so with 403, ECR public with 400 (registry-8.5).
_EXPIRED_TOKEN_TEXT = re.compile(rb"authorization token (?:has expired|is invalid)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AuthorizedResponse:
    """A response, and the scope it was served by: `ANONYMOUS` or a credential's id."""

    response: RegistryResponse
    scope: str = ANONYMOUS
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _AuthAttempt:
    """The result of one attempt.

    `token` is empty where none was sent; `withheld` is that of `PreparedTokenRequest`.
    """

    response: RegistryResponse
    scope: str = ANONYMOUS
    token_request: TokenRequest | None = None
    token: str = ""
    is_cached: bool = False
    withheld: str = ""


class ChallengeResponder:
    """The authentication state of one process; nothing is shared between credentials."""

    def __init__(
        self,
        exchange: HttpExchange,
        config: ClientConfig,
        *,
        rejections: RejectedCredentials,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._config = config
        self._rejections = rejections
        self._tokens = TokenCache(clock, rejections=rejections)
        self._challenges = ChallengeCache(clock)
        self._discovery = ChallengeDiscovery(exchange, config, clock=clock)

    async def request(
        self,
        credential: Credential | None,
        request: RegistryRequest,
        request_context: RequestContext,
    ) -> AuthorizedResponse:
        """Send a request with one credential only: at most two attempts send it (registry-8.4).

        The request goes without credentials until the registry's challenge is known. A
        `registrytoken` is sent at once, as Bearer, and to the registry only (registry-8.9).
        """
        if credential is not None and credential.registry_token.get_secret_value():
            token = credential.registry_token.get_secret_value()
            response = await self._send_authorized(
                request, request_context, f"Bearer {token}", scope=credential.id
            )
            return AuthorizedResponse(response, credential.id)
        cached = self._challenges.get(request.source)
        request = with_known_scheme(request, self._exchange.base_url(request.source))
        if cached is None:
            is_probe = credential is not None and not self._challenges.is_anonymous(request.source)
            first_request = with_scope(request, CHALLENGE_PROBE) if is_probe else request
            response = await self._exchange.send(first_request, request_context)
            request = with_answered_scheme(request, response)
            if response.status != 401 or is_from_other_host(response, request):
                if is_probe and response.status < 400:
                    self._challenges.put_anonymous(request.source)
                return AuthorizedResponse(response)
            challenge = await self._discovery.fetch(response, request, request_context)
            if challenge is None:
                return _unsupported_challenge(response, request)
            cached = self._challenges.put(request.source, challenge)
            if not _can_answer(credential, challenge):
                return AuthorizedResponse(response)
        attempt = await self._answer_challenge(cached, credential, request, request_context)
        retry_challenge = self._challenge_for_retry(attempt, cached, request, request_context)
        if retry_challenge is not None:
            attempt = await self._answer_challenge(
                retry_challenge, credential, request, request_context
            )
        if attempt.withheld and attempt.token_request and attempt.response.status in {401, 403}:
            raise withheld_error(attempt.withheld, request.source, attempt.token_request.realm)
        return AuthorizedResponse(attempt.response, attempt.scope)

    def _challenge_for_retry(
        self,
        attempt: _AuthAttempt,
        cached: CachedChallenge,
        request: RegistryRequest,
        request_context: RequestContext,
    ) -> CachedChallenge | None:
        """Return the challenge to answer in a second attempt; None if the first attempt stands."""
        response = attempt.response
        if is_from_other_host(response, request):
            return None
        if response.status in {400, 403} and attempt.is_cached and _is_token_expired(response):
            self._drop_token(attempt)
            return cached
        if response.status != 401:
            return None
        header_values = response.headers.get_list("www-authenticate")
        challenge = cached.challenge
        if header_values:
            with contextlib.suppress(RegistryDeniedError):
                challenge = self._discovery.choose(
                    header_values, response.url, request, request_context
                )
        unchanged = challenge == cached.challenge
        if unchanged and not self._needs_new_token(attempt):
            return None
        self._drop_token(attempt)
        return cached if unchanged else self._challenges.put(request.source, challenge)

    def _needs_new_token(self, attempt: _AuthAttempt) -> bool:
        """Return whether a new token may help.

        A token with insufficient scope is only replaced when it is older than a minute, so that a
        registry that always says so does not cause a token request each time (registry-8.4).
        """
        if attempt.token_request is None:
            return False
        match bearer_error_of(attempt.response):
            case "invalid_token":
                return True
            case "insufficient_scope":
                return self._tokens.age(attempt.token_request) > MIN_TOKEN_AGE_SECONDS
        return attempt.is_cached

    def _drop_token(self, attempt: _AuthAttempt) -> None:
        if attempt.token_request is not None:
            self._tokens.drop(attempt.token_request, attempt.token)

    async def _answer_challenge(
        self,
        cached: CachedChallenge,
        credential: Credential | None,
        request: RegistryRequest,
        request_context: RequestContext,
    ) -> _AuthAttempt:
        """Send the request as the challenge requires: with Basic, or with a token as Bearer."""
        if cached.challenge.kind == "basic":
            return await self._send_basic(credential, request, request_context)
        policy = self._exchange.policy(request_context)
        prepared = prepare_token_request(
            cached,
            request.source,
            credential,
            request_url=request.url,
            trusted_hosts=self._discovery.trusted_hosts(request.source),
            may_send_credentials=lambda url: self._exchange.may_send_credentials(url, policy),
        )
        token_request = prepared.request
        token = self._tokens.peek(token_request)
        is_cached = token is not None
        if token is None:
            try:
                token = await self._fetch_token(token_request, request, request_context)
            except RegistryError as error:
                if error.code not in REJECTION_CODES and not error.transient:
                    self._challenges.drop(request.source)
                if prepared.withheld and error.code in REJECTION_CODES:
                    realm = token_request.realm
                    raise withheld_error(prepared.withheld, request.source, realm) from error
                raise
        sent_credential = token_request.credential
        scope = sent_credential.id if sent_credential is not None else ANONYMOUS
        response = await self._send_authorized(
            request, request_context, f"Bearer {token}", scope=scope
        )
        return _AuthAttempt(response, scope, token_request, token, is_cached, prepared.withheld)

    async def _send_basic(
        self,
        credential: Credential | None,
        request: RegistryRequest,
        request_context: RequestContext,
    ) -> _AuthAttempt:
        """Send the request with Basic authorization, to the registry's own origin only.

        A refusal is raised as `auth.rejected`, so that it is cached and the same password is not
        sent again and again (registry-8.8, registry-12.3).
        """
        if credential is None or not credential.has_password:
            return _AuthAttempt(await self._exchange.send(request, request_context))

        async def send() -> RegistryResponse:
            response = await self._send_authorized(
                request, request_context, credential.basic_authorization(), scope=credential.id
            )
            if response.status == 401 and not is_from_other_host(response, request):
                header_values = response.headers.get_list("www-authenticate")
                schemes = {challenge.scheme for challenge in parse_challenges(header_values)}
                if not header_values or "basic" in schemes:
                    error = error_of(response)
                    error.text = credential.redact(error.text)
                    error.args = (error.text,)
                    error.code = REJECTED
                    raise error
            return response

        credential_use = CredentialUse(
            credential.id, request.source.api_host, request.source.repository
        )
        return _AuthAttempt(await self._rejections.attempt(credential_use, send), credential.id)

    async def _send_authorized(
        self,
        request: RegistryRequest,
        request_context: RequestContext,
        authorization: str,
        *,
        scope: str,
    ) -> RegistryResponse:
        if scope != ANONYMOUS and not request.url.startswith("https://"):
            policy = self._exchange.policy(request_context)
            if not self._exchange.may_send_credentials(request.url, policy):
                raise withheld_error(PLAIN_HTTP_CREDENTIALS, request.source)
        headers = {**request.headers, "Authorization": authorization}
        authorized_request = copy_request(request, request.url, headers, scope=scope)
        return await self._exchange.send(authorized_request, request_context)

    async def _fetch_token(
        self, token_request: TokenRequest, request: RegistryRequest, request_context: RequestContext
    ) -> str:
        async def send(
            method: str, url: str, headers: dict[str, str], body: bytes | None
        ) -> RegistryResponse:
            http_request = RegistryRequest(
                method=method,
                url=url,
                source=request.source,
                headers=headers,
                body=body,
                timeout_seconds=self._config.token_seconds,
                redirects="token",
                scope=token_request.credential.id
                if token_request.credential is not None
                else ANONYMOUS,
                kind="token",
            )
            return await self._exchange.send(http_request, request_context)

        try:
            return await self._tokens.get(token_request, send)
        except EgressRefusedError:
            raise
        except RegistryError as error:
            described = error.with_reference("")
            described.text = (
                f'{request.method.capitalize()} "{without_query(request.url)}": {error}'
            )
            described.args = (described.text,)
            raise described from error


def _can_answer(credential: Credential | None, challenge: AuthChallenge) -> bool:
    return challenge.kind == "bearer" or (credential is not None and credential.has_password)


def _is_token_expired(response: RegistryResponse) -> bool:
    return _EXPIRED_TOKEN_TEXT.search(response.content[:4096]) is not None


def _unsupported_challenge(
    response: RegistryResponse, request: RegistryRequest
) -> AuthorizedResponse:
    """Raise `auth.unsupported` for a 401 without any challenge (registry-8.3).

    For a HEAD the response is returned: the GET that follows decides.
    """
    error = error_of(response)
    if request.method == "HEAD" or not isinstance(error, RegistryDeniedError):
        return AuthorizedResponse(response)
    raise RegistryDeniedError(error.text, code="auth.unsupported")
