"""Challenge cache: the last challenge of each repository, and the token requests made from it.

Bearer comes before Basic (registry-8.1), and the token server is checked first (registry-11.1).
Challenges are cached for each repository, so that the steady state is one request (registry-8.2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from models.errors import EgressRefusedError, RegistryDeniedError
from worker.registry.auth.challenge import Challenge, choose_scopes, parse_challenges
from worker.registry.auth.credentials import Credential
from worker.registry.auth.token_cache import TokenRequest
from worker.registry.auth.token_realm import check_port, may_receive_credentials, resolve_realm
from worker.registry.clock import Clock
from worker.registry.registry_types import RegistryResponse, SourceRepository
from worker.registry.ttl_cache import TtlCache

CHALLENGE_TTL_SECONDS = 600.0
MAX_CACHED_CHALLENGES = 10_000
_MAX_PREPARED_REQUESTS = 256
UNTRUSTED_REALM = "policy.realm_untrusted"
PLAIN_HTTP_CREDENTIALS = "policy.plain_credentials"


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """A challenge that we can answer. `realm` is the checked absolute URL of the token server."""

    kind: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedTokenRequest:
    """A token request for one credential; `withheld` says why it is sent without it."""

    request: TokenRequest
    withheld: str = ""


@dataclass(slots=True)
class CachedChallenge:
    """The challenge of one repository, when it expires, and the token requests made from it."""

    challenge: AuthChallenge
    expires_at: float
    prepared: dict[str, PreparedTokenRequest] = field(default_factory=dict)


class ChallengeCache:
    """The challenges that this process received in the last ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._challenges: OrderedDict[SourceRepository, CachedChallenge] = OrderedDict()
        self._anonymous = TtlCache(clock, ttl_seconds=CHALLENGE_TTL_SECONDS)

    def is_anonymous(self, source: SourceRepository) -> bool:
        """Return whether the repository was served without credentials."""
        return self._anonymous.get(source.name) is not None

    def put_anonymous(self, source: SourceRepository) -> None:
        self._anonymous.put(source.name)

    def get(self, source: SourceRepository) -> CachedChallenge | None:
        found = self._challenges.get(source)
        if found is None or found.expires_at <= self._clock.now():
            return None
        return found

    def put(self, source: SourceRepository, challenge: AuthChallenge) -> CachedChallenge:
        cached = self._challenges[source] = CachedChallenge(
            challenge, self._clock.now() + CHALLENGE_TTL_SECONDS
        )
        self._challenges.move_to_end(source)
        while len(self._challenges) > MAX_CACHED_CHALLENGES:
            self._challenges.popitem(last=False)
        return cached

    def drop(self, source: SourceRepository) -> None:
        self._challenges.pop(source, None)


def choose_challenge(
    header_values: Sequence[str],
    source: SourceRepository,
    *,
    request_url: str,
    allow_plain_http: bool,
    trusted_hosts: Sequence[str],
    is_for_repository: bool = True,
) -> AuthChallenge:
    """Return the challenge to answer, Bearer before Basic.

    `is_for_repository` is False for the challenge of `/v2/`, whose scopes are placeholders and are
    not used. Raises RegistryDeniedError `auth.unsupported` for all other schemes, and
    EgressRefusedError for a token server that is not allowed (registry-11.1 to registry-11.3).
    """
    challenges = parse_challenges(header_values)
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.get("realm"):
            realm = resolve_realm(
                challenge.get("realm"), request_url=request_url, allow_plain_http=allow_plain_http
            )
            check_port(realm, request_url=request_url, trusted_hosts=trusted_hosts)
            scopes = choose_scopes(
                source.repository, challenge.get("scope") if is_for_repository else ""
            )
            return AuthChallenge("bearer", realm, challenge.get("service"), scopes)
    if any(challenge.scheme == "basic" for challenge in challenges):
        return AuthChallenge("basic")
    raise RegistryDeniedError(
        f"the registry requires an authentication scheme that is not supported "
        f"({_schemes_of(challenges)})",
        code="auth.unsupported",
    )


def prepare_token_request(
    cached: CachedChallenge,
    source: SourceRepository,
    credential: Credential | None,
    *,
    request_url: str,
    trusted_hosts: Sequence[str],
    may_send_credentials: Callable[[str], bool],
) -> PreparedTokenRequest:
    """Return the token request for a credential, built once for each challenge and credential.

    The credential is withheld where the token server may not receive it (registry-11.4,
    registry-11.6). `may_send_credentials` says whether credentials may be sent to a URL at all
    (registry-20.8).
    """
    credential_id = credential.id if credential is not None else ""
    found = cached.prepared.get(credential_id)
    if found is not None:
        return found
    challenge, withheld = cached.challenge, ""
    if credential is not None:
        if not may_receive_credentials(
            challenge.realm,
            request_url=request_url,
            registry=source.registry,
            trusted_hosts=trusted_hosts,
        ):
            withheld = UNTRUSTED_REALM
        elif not may_send_credentials(challenge.realm):
            withheld = PLAIN_HTTP_CREDENTIALS
    request = TokenRequest(
        registry=source.registry,
        origin=source.api_host,
        realm=challenge.realm,
        service=challenge.service,
        scopes=challenge.scopes,
        credential=None if withheld else credential,
    )
    if len(cached.prepared) >= _MAX_PREPARED_REQUESTS:
        cached.prepared.clear()
    prepared = cached.prepared[credential_id] = PreparedTokenRequest(request, withheld)
    return prepared


def withheld_error(code: str, source: SourceRepository, realm: str = "") -> EgressRefusedError:
    """Return the error for a withheld credential, with what the operator can do."""
    if code == PLAIN_HTTP_CREDENTIALS:
        return EgressRefusedError(
            f"credentials for {source.registry} are not sent over plain http; "
            "the operator can allow it (TAGSTREAM_CREDENTIALS_OVER_HTTP)",
            code=PLAIN_HTTP_CREDENTIALS,
        )
    return EgressRefusedError(
        f"the registry {source.registry} names the token server {urlsplit(realm).netloc}, which "
        "may not receive its credentials; the operator can allow it "
        "(TAGSTREAM_TRUSTED_REALM_HOSTS)",
        code=UNTRUSTED_REALM,
    )


def bearer_error_of(response: RegistryResponse) -> str:
    """Return the `error` of a Bearer challenge, e.g. `invalid_token` (RFC 6750 section 3.1)."""
    challenges = parse_challenges(response.headers.get_list("www-authenticate"))
    return next((each.get("error") for each in challenges if each.get("error")), "")


def _schemes_of(challenges: Sequence[Challenge]) -> str:
    return ", ".join(challenge.scheme[:32] for challenge in challenges[:3]) or "unreadable"
