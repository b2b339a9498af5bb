"""Tag checks: whether a tag still points to the known digest, by HEAD or by conditional GET.

What a HEAD claims is a hint (registry-4.1). A caller that fetches by the claimed digest and gets
other content reports the mismatch here; after the second equal mismatch the repository gets no HEAD
for a day (registry-4.2, registry-4.5). Where HEAD is of no use, a GET with `If-None-Match` is sent
(registry-4.6). A reference by digest is checked likewise, but without ETag (registry-4.8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.oci import ACCEPT_MANIFESTS
from worker.registry.auth.challenge_responder import AuthorizedResponse
from worker.registry.clock import Clock
from worker.registry.digest_verification import claimed_digest, verify_manifest
from worker.registry.endpoints import manifest_path
from worker.registry.registry_types import (
    HeadResult,
    RegistryResponse,
    SourceRepository,
    VerifiedContent,
)
from worker.registry.request_context import RequestContext
from worker.registry.ttl_cache import TtlCache

UNRELIABLE_HEAD_TTL_SECONDS = 24 * 3600.0
MAX_ETAG_LENGTH = 512
# After these responses to a HEAD one GET decides, as registries answer HEAD differently
# (registry-4.3).
_INCONCLUSIVE_HEAD_STATUSES = frozenset({304, 400, 401, 403, 404, 405, 406, 415, 501})
_HEAD_UNSUPPORTED_STATUSES = frozenset({405, 501})
_CONDITION_REFUSED_STATUSES = frozenset({400, 412})
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"|[\x21\x23-\x7e]+', re.ASCII)


@dataclass(frozen=True, slots=True)
class TagCheckResult:
    """What a registry says a tag points to now.

    `digest` None means that only an import can find out. `scope` is the credential that was used,
    `repository` the repository that was requested. `etag` is to be passed to the next check;
    `fetched` is the manifest, where it had to be fetched; `unchanged` is whether the digest is the
    known one.
    """

    digest: str | None
    scope: str = ""
    etag: str = ""
    fetched: VerifiedContent | None = None
    unchanged: bool = False
    repository: str = ""


class ManifestClient(Protocol):
    """The part of the registry client that tag checks need."""

    async def fetch_manifest_response(
        self,
        method: str,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
        *,
        accepted_statuses: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
    ) -> AuthorizedResponse:
        """Fetch one unverified response, of status 200 or one of `accepted_statuses`."""
        ...

    async def fetch_manifest(
        self, source: SourceRepository, tag_or_digest: str, request_context: RequestContext
    ) -> VerifiedContent:
        """Fetch a manifest, verified."""
        ...


class TagChecker:
    """Looks at tags, and remembers where a HEAD is of no use."""

    def __init__(self, client: ManifestClient, clock: Clock) -> None:
        self._client = client
        self._unreliable_heads = TtlCache(clock, ttl_seconds=UNRELIABLE_HEAD_TTL_SECONDS)
        self._head_mismatches = TtlCache(clock, ttl_seconds=UNRELIABLE_HEAD_TTL_SECONDS)

    async def head(
        self, source: SourceRepository, tag_or_digest: str, request_context: RequestContext
    ) -> HeadResult:
        """Fetch what a HEAD claims; its digest is None where only a GET can tell.

        A registry that sends no digest, or does not support HEAD, gets no HEAD for a day
        (registry-4.2). Raises RegistryError for what a GET would not solve either: a rate limit, a
        transient failure (registry-4.3).
        """
        if self._is_head_unreliable(source):
            return HeadResult(None)
        authorized = await self._client.fetch_manifest_response(
            "HEAD",
            source,
            tag_or_digest,
            request_context,
            accepted_statuses=_INCONCLUSIVE_HEAD_STATUSES,
        )
        response = authorized.response
        digest = claimed_digest(response) if response.status == 200 else None
        if response.status in _HEAD_UNSUPPORTED_STATUSES or (
            response.status == 200 and digest is None
        ):
            self._unreliable_heads.put(source.api_host)
        return HeadResult(digest, authorized.scope)

    async def check(
        self,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
        *,
        known_digest: str,
        etag: str,
    ) -> TagCheckResult:
        """Check what a tag points to now, against the known digest.

        `etag` is what the last check of this tag returned, in a form of our own: `<key> <digest>
        <ETag>`. The key names the URL and the digest is the one that was received with the ETag, so
        that the ETag is never sent anywhere else, and a 304 stands for nothing but what was
        received then (registry-4.6, registry-4.7).
        """
        head = await self.head(source, tag_or_digest, request_context)
        if head.digest is None:
            return await self._check_by_get(
                source, tag_or_digest, request_context, known_digest=known_digest, etag=etag
            )
        unchanged = head.digest == known_digest
        return TagCheckResult(head.digest, head.scope, unchanged=unchanged, repository=source.name)

    def report_mismatch(
        self,
        source: SourceRepository,
        tag_or_digest: str,
        *,
        claimed_digest: str,
        actual_digest: str,
    ) -> None:
        """Record that a HEAD claimed a digest, but the tag has another one (registry-4.5).

        One mismatch may be a race with a push; the second equal one is the registry's fault.
        """
        key, mismatch = source.reference(tag_or_digest), f"{claimed_digest} {actual_digest}"
        if self._head_mismatches.get(key) == mismatch:
            self._unreliable_heads.put(source.name)
        self._head_mismatches.put(key, mismatch)

    def _is_head_unreliable(self, source: SourceRepository) -> bool:
        """Return whether no HEAD is sent.

        A missing digest counts for the whole host, a mismatch for one repository only.
        """
        by_host, by_repository = (
            self._unreliable_heads.get(source.api_host),
            self._unreliable_heads.get(source.name),
        )
        return by_host is not None or by_repository is not None

    async def _check_by_get(
        self,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
        *,
        known_digest: str,
        etag: str,
    ) -> TagCheckResult:
        if ":" in tag_or_digest:
            fetched = await self._client.fetch_manifest(source, tag_or_digest, request_context)
            unchanged = fetched.digest == known_digest
            return TagCheckResult(
                fetched.digest, fetched.scope, "", fetched, unchanged, source.name
            )
        etag_key = _etag_key_of(source, tag_or_digest)
        etag_digest, if_none_match = _parse_stored_etag(etag, etag_key)
        authorized = await self._get_conditionally(
            if_none_match, source, tag_or_digest, request_context
        )
        scope = authorized.scope
        if authorized.response.status == 304:
            return TagCheckResult(
                etag_digest,
                scope,
                etag,
                unchanged=etag_digest == known_digest,
                repository=source.name,
            )
        fetched = await verify_manifest(
            authorized.response,
            tag_or_digest,
            reference=source.reference(tag_or_digest),
            scope=scope,
            warnings=authorized.warnings,
        )
        new_etag = _etag_of(authorized.response)
        return TagCheckResult(
            fetched.digest,
            scope,
            etag=f"{etag_key} {fetched.digest} {new_etag}" if new_etag else "",
            fetched=fetched,
            unchanged=fetched.digest == known_digest,
            repository=source.name,
        )

    async def _get_conditionally(
        self,
        if_none_match: str,
        source: SourceRepository,
        tag_or_digest: str,
        request_context: RequestContext,
    ) -> AuthorizedResponse:
        """Fetch by GET, with the condition if there is one (registry-4.7).

        After a 400 or 412 one GET goes without it. A 304 to an unconditional GET is an error.
        """
        if if_none_match:
            authorized = await self._client.fetch_manifest_response(
                "GET",
                source,
                tag_or_digest,
                request_context,
                accepted_statuses=_CONDITION_REFUSED_STATUSES | {304},
                headers={"If-None-Match": if_none_match},
            )
            if authorized.response.status not in _CONDITION_REFUSED_STATUSES:
                return authorized
        return await self._client.fetch_manifest_response(
            "GET", source, tag_or_digest, request_context
        )


def _etag_key_of(source: SourceRepository, tag_or_digest: str) -> str:
    """Return a short key of what an ETag belongs to: the URL and the Accept list sent with it."""
    text = f"{source.api_host} {manifest_path(source, tag_or_digest)} {ACCEPT_MANIFESTS}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse_stored_etag(stored: str, etag_key: str) -> tuple[str, str]:
    """Return the digest of a stored ETag and the ETag; empty texts where it has another key."""
    stored_key, _, rest = stored.partition(" ")
    digest, _, etag = rest.partition(" ")
    return (digest, etag) if stored_key == etag_key and digest and etag else ("", "")


def _etag_of(response: RegistryResponse) -> str:
    """Return the ETag of a response as received, or an empty text.

    An ambiguous, malformed or long one is not stored, as it could not be sent back (registry-4.6).
    """
    values = set(response.headers.get_list("etag"))
    etag = values.pop() if len(values) == 1 else ""
    return etag if len(etag) <= MAX_ETAG_LENGTH and _ETAG.fullmatch(etag) else ""
