"""How a registry wants to be asked: what its last challenge said, kept for a while.

`registry.md` 3.1 and 3.4: Bearer before Basic, the token server found behind both gates. Kept for
each repository, so that the steady state costs one request.
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
from worker.registry.auth.token_realm import check_port, may_have_credentials, resolve_realm
from worker.registry.clock import Clock
from worker.registry.registry_types import Answer, Place
from worker.registry.ttl_cache import Remembered

KEPT = 600.0
MOST_PLACES = 10_000
_MOST_PREPARED = 256
UNTRUSTED = "policy.realm_untrusted"
PLAIN = "policy.plain_credentials"


@dataclass(frozen=True, slots=True)
class Asked:
    """A challenge that we can answer. `realm` is the token server's whole URL, vetted."""

    kind: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A token request for one credential; `withheld` says why it goes without that credential."""

    request: TokenRequest
    withheld: str = ""


@dataclass(slots=True)
class Known:
    """What one repository asked for, until when, and the token requests made of it."""

    asked: Asked
    until: float
    prepared: dict[str, Prepared] = field(default_factory=dict)


class Memory:
    """What the repositories of this process asked for in the last ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: OrderedDict[Place, Known] = OrderedDict()
        self._open = Remembered(clock, seconds=KEPT)

    def is_open(self, place: Place) -> bool:
        """Whether it was served without rights."""
        return self._open.get(place.name) is not None

    def keep_open(self, place: Place) -> None:
        self._open.put(place.name)

    def get(self, place: Place) -> Known | None:
        found = self._places.get(place)
        if found is None or found.until <= self._clock.now():
            return None
        return found

    def keep(self, place: Place, asked: Asked) -> Known:
        known = self._places[place] = Known(asked, self._clock.now() + KEPT)
        self._places.move_to_end(place)
        while len(self._places) > MOST_PLACES:
            self._places.popitem(last=False)
        return known

    def forget(self, place: Place) -> None:
        self._places.pop(place, None)


def read_challenge(
    lines: Sequence[str],
    place: Place,
    *,
    request_url: str,
    loose: bool,
    trusted: Sequence[str],
    is_about_place: bool = True,
) -> Asked:
    """What the registry asks for, Bearer before Basic.

    A challenge that is not about the place (that of `/v2/`) names placeholders for scopes.
    Raises RegistryDeniedError `auth.unsupported` for anything else, and EgressRefusedError for a
    token server that we do not talk to.
    """
    challenges = parse_challenges(lines)
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.get("realm"):
            realm = resolve_realm(challenge.get("realm"), request_url=request_url, loose=loose)
            check_port(realm, request_url=request_url, trusted=trusted)
            scopes = choose_scopes(
                place.repository, challenge.get("scope") if is_about_place else ""
            )
            return Asked("bearer", realm, challenge.get("service"), scopes)
    if any(challenge.scheme == "basic" for challenge in challenges):
        return Asked("basic")
    raise RegistryDeniedError(
        f"the registry asks for a login that is not supported ({_schemes_of(challenges)})",
        code="auth.unsupported",
    )


def prepare(
    known: Known,
    place: Place,
    credential: Credential | None,
    *,
    request_url: str,
    trusted: Sequence[str],
    may_be_shown: Callable[[str], bool],
) -> Prepared:
    """The token request of `credential`, made once; without it where the server may not see it.

    `may_be_shown` tells whether rights may travel to a URL at all (C4).
    """
    who = credential.id if credential is not None else ""
    found = known.prepared.get(who)
    if found is not None:
        return found
    asked, withheld = known.asked, ""
    if credential is not None:
        if not may_have_credentials(
            asked.realm, request_url=request_url, registry=place.registry, trusted=trusted
        ):
            withheld = UNTRUSTED
        elif not may_be_shown(asked.realm):
            withheld = PLAIN
    request = TokenRequest(
        registry=place.registry,
        origin=place.api_host,
        realm=asked.realm,
        service=asked.service,
        scopes=asked.scopes,
        credential=None if withheld else credential,
    )
    if len(known.prepared) >= _MOST_PREPARED:
        known.prepared.clear()
    made = known.prepared[who] = Prepared(request, withheld)
    return made


def withheld_error(code: str, place: Place, realm: str = "") -> EgressRefusedError:
    """Why a credential was not shown, and what the operator can do."""
    if code == PLAIN:
        return EgressRefusedError(
            f"credentials for {place.registry} are not sent over plain http; "
            "the operator can allow it (TAGSTREAM_CREDENTIALS_OVER_HTTP)",
            code=PLAIN,
        )
    return EgressRefusedError(
        f"the registry {place.registry} sends for tokens to {urlsplit(realm).netloc}, which may "
        "not see its credentials; the operator can allow it (TAGSTREAM_TRUSTED_REALM_HOSTS)",
        code=UNTRUSTED,
    )


def fault_of(answer: Answer) -> str:
    """What the registry finds wanting (RFC 6750 section 3.1): `invalid_token` and the like."""
    challenges = parse_challenges(answer.headers.get_list("www-authenticate"))
    return next((each.get("error") for each in challenges if each.get("error")), "")


def _schemes_of(challenges: Sequence[Challenge]) -> str:
    return ", ".join(challenge.scheme[:32] for challenge in challenges[:3]) or "unreadable"
