"""Whether a tag is still what it was: a HEAD where a HEAD tells, else a conditional GET.

`registry.md` 2.3 to 2.5. What a HEAD claims is a hint: whoever fetches by it and finds something
else reports that here, and a HEAD that was twice caught in the same lie is not asked for a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.oci import ACCEPT_MANIFESTS
from worker.registry.auth.authenticator import Authorized
from worker.registry.clock import Clock
from worker.registry.digest_verification import claimed_digest, verify_manifest
from worker.registry.endpoints import manifest_path
from worker.registry.registry_types import Answer, Fetched, Place, Seen
from worker.registry.request_context import Access
from worker.registry.ttl_cache import Remembered

NO_HEAD_KEPT = 24 * 3600.0
LONGEST_ETAG = 512
# Answers to a HEAD that a GET may answer otherwise (`registry.md` 2.4).
_UNSURE = frozenset({304, 400, 401, 403, 404, 405, 406, 415, 501})
_NO_HEADS_AT_ALL = frozenset({405, 501})
_CONDITION_REFUSED = frozenset({400, 412})
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"|[\x21\x23-\x7e]+', re.ASCII)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a registry says a tag is now. `digest` None: only an import can tell.

    `scope` is the right that was used and `place` the repository that was asked; `etag` is what to
    hand in the next time, `fetched` the manifest where it had to be fetched; `unchanged` whether
    it is what was known.
    """

    digest: str | None
    scope: str = ""
    etag: str = ""
    fetched: Fetched | None = None
    unchanged: bool = False
    place: str = ""


class Asker(Protocol):
    """What of the client is needed here."""

    async def ask_manifest(
        self,
        method: str,
        place: Place,
        wanted: str,
        access: Access,
        *,
        also: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> Authorized:
        """One answer about a manifest, of status 200 or one of `also`."""
        ...

    async def fetch_manifest(self, place: Place, wanted: str, access: Access) -> Fetched:
        """A manifest, verified."""
        ...


class Checker:
    """Looks at tags, and remembers where a HEAD is of no use."""

    def __init__(self, asker: Asker, clock: Clock) -> None:
        self._asker = asker
        self._useless = Remembered(clock, seconds=NO_HEAD_KEPT)
        self._doubts = Remembered(clock, seconds=NO_HEAD_KEPT)

    async def head(self, place: Place, wanted: str, access: Access) -> Seen:
        """What a HEAD claims, or `Seen(None)` where only a GET can tell.

        A registry that leaves the digest out, or knows no HEAD, is not asked so again for a day.
        Raises RegistryError for what a GET would not mend: a limit, an outage.
        """
        if self._is_useless(place):
            return Seen(None)
        authorized = await self._asker.ask_manifest("HEAD", place, wanted, access, also=_UNSURE)
        answer = authorized.answer
        digest = claimed_digest(answer) if answer.status == 200 else None
        if answer.status in _NO_HEADS_AT_ALL or (answer.status == 200 and digest is None):
            self._useless.put(place.api_host)
        return Seen(digest, authorized.scope)

    async def check(
        self, place: Place, wanted: str, access: Access, *, known: str, etag: str
    ) -> Checked:
        """What a tag is now, against the digest that was `known` of it.

        `etag` is what the last check of this tag handed out, in our own form: it names the address
        and the digest that it stood for, so that it is never sent anywhere else, and a 304 is only
        ever told of what was received then.
        """
        seen = await self.head(place, wanted, access)
        if seen.digest is None:
            return await self._get(place, wanted, access, known=known, etag=etag)
        unchanged = seen.digest == known
        return Checked(seen.digest, seen.scope, unchanged=unchanged, place=place.name)

    def report(self, place: Place, wanted: str, *, claimed: str, found: str) -> None:
        """The tag is `found`, where a HEAD `claimed` something that could not be fetched."""
        key, lie = place.reference(wanted), f"{claimed} {found}"
        if self._doubts.get(key) == lie:
            self._useless.put(place.name)
        self._doubts.put(key, lie)

    def _is_useless(self, place: Place) -> bool:
        """Missing digests are the registry's way; a lie is told of one repository only."""
        by_host, by_name = self._useless.get(place.api_host), self._useless.get(place.name)
        return by_host is not None or by_name is not None

    async def _get(
        self, place: Place, wanted: str, access: Access, *, known: str, etag: str
    ) -> Checked:
        if ":" in wanted:
            fetched = await self._asker.fetch_manifest(place, wanted, access)
            unchanged = fetched.digest == known
            return Checked(fetched.digest, fetched.scope, "", fetched, unchanged, place.name)
        address = _address_of(place, wanted)
        then, condition = _open_etag(etag, address)
        authorized = await self._ask_on(condition, place, wanted, access)
        scope = authorized.scope
        if authorized.answer.status == 304:
            return Checked(then, scope, etag, unchanged=then == known, place=place.name)
        fetched = await verify_manifest(
            authorized.answer,
            wanted,
            reference=place.reference(wanted),
            scope=scope,
            warnings=authorized.warnings,
        )
        told = _etag_of(authorized.answer)
        return Checked(
            fetched.digest,
            scope,
            etag=f"{address} {fetched.digest} {told}" if told else "",
            fetched=fetched,
            unchanged=fetched.digest == known,
            place=place.name,
        )

    async def _ask_on(
        self, condition: str, place: Place, wanted: str, access: Access
    ) -> Authorized:
        """GET, on a condition if there is one; a 304 that was not asked for is an error (2.5)."""
        if condition:
            authorized = await self._asker.ask_manifest(
                "GET",
                place,
                wanted,
                access,
                also=_CONDITION_REFUSED | {304},
                headers={"If-None-Match": condition},
            )
            if authorized.answer.status not in _CONDITION_REFUSED:
                return authorized
        return await self._asker.ask_manifest("GET", place, wanted, access)


def _address_of(place: Place, wanted: str) -> str:
    """Short for what an ETag belongs to: the URL, and the Accept list that was sent with it."""
    text = f"{place.api_host} {manifest_path(place, wanted)} {ACCEPT_MANIFESTS}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _open_etag(kept: str, address: str) -> tuple[str, str]:
    """The digest that a kept ETag stood for, and the ETag; nothing where it is not from here."""
    where, _, rest = kept.partition(" ")
    digest, _, told = rest.partition(" ")
    return (digest, told) if where == address and digest and told else ("", "")


def _etag_of(answer: Answer) -> str:
    """The one ETag of an answer, exactly as it came, if it is one that can be sent back."""
    values = set(answer.headers.get_list("etag"))
    told = values.pop() if len(values) == 1 else ""
    return told if len(told) <= LONGEST_ETAG and _ETAG.fullmatch(told) else ""
