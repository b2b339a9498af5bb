"""Authentication of registry requests: the credentials of a request are tried in order.

The next credential is tried after a refusal only, anonymous access comes last, and where all fail
the failure of the first credential is reported (registry-8.6, registry-8.7). How a single
credential is used is the subject of `challenge_responder`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from models.errors import RegistryDeniedError, RegistryError
from models.oci import media_type_of
from worker.registry.auth.challenge_cache import PLAIN_HTTP_CREDENTIALS, UNTRUSTED_REALM
from worker.registry.auth.challenge_responder import AuthorizedResponse, ChallengeResponder
from worker.registry.auth.credentials import Credential
from worker.registry.auth.rejected_credentials import (
    REJECTION_CODES,
    REQUIRED,
    CredentialUse,
    RejectedCredentials,
)
from worker.registry.client_config import ClientConfig
from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.registry_types import (
    ANONYMOUS,
    RegistryRequest,
    RegistryResponse,
    SourceRepository,
)
from worker.registry.request_context import RequestContext
from worker.registry.transport.http_exchange import HttpExchange
from worker.registry.transport.origins import is_from_other_host

ACCEPTED_CREDENTIAL_TTL_SECONDS = 3600.0
MAX_ACCEPTED_CREDENTIALS = 10_000
ANONYMOUS_FALLBACK_WARNING = (
    "credentials_rejected: the registry refused the pull secret and served anonymously"
)
_TRY_NEXT_CODES = REJECTION_CODES | {UNTRUSTED_REALM, PLAIN_HTTP_CREDENTIALS}


class Authenticator:
    """Authenticates the requests of one process; nothing is shared between credentials."""

    def __init__(
        self, exchange: HttpExchange, config: ClientConfig, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._clock = clock
        self._rejections = RejectedCredentials(clock)
        self._responder = ChallengeResponder(
            exchange, config, rejections=self._rejections, clock=clock
        )
        self._last_accepted: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def request(
        self, request: RegistryRequest, request_context: RequestContext
    ) -> AuthorizedResponse:
        """Send a request with the first credential that the registry accepts.

        A final 401 or 403 is returned like any response. Raises RegistryDeniedError where a token
        server, or the registry itself for a Basic login, refused the credential, or where the
        challenge is not supported; EgressRefusedError where a needed credential had to be withheld
        (registry-11.6, registry-20.8). Only credentials of the request's own namespace are used
        (registry-12.5).
        """
        candidates = self._candidates(request.source, request_context)
        if not candidates:
            return await self._responder.request(None, request, request_context)
        failure: RegistryError | AuthorizedResponse | None = None
        for credential in candidates:
            try:
                authorized = await self._responder.request(credential, request, request_context)
            except RegistryError as error:
                if error.code not in _TRY_NEXT_CODES:
                    raise
                failure = failure or error
                continue
            credential_was_sent = authorized.scope != ANONYMOUS or authorized.response.status == 401
            if not (credential_was_sent and _is_refusal(authorized.response, request)):
                if authorized.scope != ANONYMOUS and len(request_context.keyring.credentials) > 1:
                    self._cache_accepted(credential, request.source, request_context)
                return authorized
            failure = failure or authorized
        assert failure is not None
        return await self._request_anonymously(request, request_context, failure)

    async def _request_anonymously(
        self,
        request: RegistryRequest,
        request_context: RequestContext,
        failure: RegistryError | AuthorizedResponse,
    ) -> AuthorizedResponse:
        """Send once more without credentials, or raise or return the first failure.

        An anonymous refusal is cached like that of a credential (registry-8.7, imports-2.24).
        """
        credential_use = CredentialUse(
            ANONYMOUS, request.source.api_host, request.source.repository
        )
        try:
            self._rejections.raise_if_rejected(credential_use)
            authorized = await self._responder.request(None, request, request_context)
        except RegistryError as error:
            if error.code not in _TRY_NEXT_CODES:
                raise
            self._rejections.record_rejection(credential_use, error)
        else:
            status = authorized.response.status
            if status < 400:
                return AuthorizedResponse(
                    authorized.response, ANONYMOUS, (ANONYMOUS_FALLBACK_WARNING,)
                )
            if status == 429 or status >= 500:
                return authorized  # no refusal of the credentials: the caller retries
            if _is_refusal(authorized.response, request):
                refusal = RegistryDeniedError("anonymous access was refused", code=REQUIRED)
                self._rejections.record_rejection(credential_use, refusal)
        if isinstance(failure, AuthorizedResponse):
            return failure
        raise failure

    def _candidates(
        self, source: SourceRepository, request_context: RequestContext
    ) -> Sequence[Credential]:
        """Return the matching credentials in order, the one last accepted first (registry-8.6)."""
        found = request_context.keyring.candidates(source)
        if len(found) > 1:
            last_accepted = self._last_accepted.get((request_context.tenant, source.name))
            if last_accepted is not None and last_accepted[1] > self._clock.now():
                return sorted(found, key=lambda credential: credential.id != last_accepted[0])
        return found

    def _cache_accepted(
        self, credential: Credential, source: SourceRepository, request_context: RequestContext
    ) -> None:
        expires_at = self._clock.now() + ACCEPTED_CREDENTIAL_TTL_SECONDS
        self._last_accepted[request_context.tenant, source.name] = (credential.id, expires_at)
        while len(self._last_accepted) > MAX_ACCEPTED_CREDENTIALS:
            self._last_accepted.popitem(last=False)


def _is_refusal(response: RegistryResponse, request: RegistryRequest) -> bool:
    """Return whether another credential may be accepted.

    An HTML page and a refusal by another server are final (registry-8.6, registry-7.8).
    """
    if response.status not in {401, 403} or is_from_other_host(response, request):
        return False
    media_type = media_type_of(response.headers.get("content-type", ""))
    return response.status == 401 or "html" not in media_type
