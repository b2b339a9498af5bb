"""Referrers of a manifest: signatures, attestations, SBOMs.

There are three sources: the referrers API, its fallback tag, and cosign's tags (registry-6.1).
Discovery is best effort: no failure here fails an import, and "unknown" is distinguished from
"none" by `Referrers.complete`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from models.errors import (
    ContentError,
    EgressRefusedError,
    InvalidReferenceError,
    ManifestUnknownError,
    RegistryDeniedError,
    RegistryError,
)
from models.images.manifest import ImageDocument, IndexDocument, parse_manifest
from models.oci import OCI_INDEX, Descriptor, media_type_of
from worker.registry.clock import Clock
from worker.registry.endpoints import referrers_path
from worker.registry.registry_types import RegistryResponse, SourceRepository, VerifiedContent
from worker.registry.request_context import RequestContext
from worker.registry.transport.link_header import next_page_url

MAX_REFERRERS_PAGES = 50
MAX_DESCRIPTORS = 2000
MAX_FALLBACK_CHILDREN = 50
MAX_PAYLOADS = 16
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
NO_API_TTL_SECONDS = 6 * 3600.0
MAX_NO_API_ENTRIES = 10_000
COSIGN_SUFFIXES = (".sig", ".att", ".sbom")
PAYLOAD_TYPES = frozenset(
    {
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.dsse.envelope.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
)


@dataclass(frozen=True, slots=True)
class ArtifactPayload:
    """The content of a signature or attestation, and its descriptor."""

    descriptor: Descriptor
    content: bytes


@dataclass(frozen=True, slots=True)
class CosignArtifact:
    """A manifest under one of cosign's tags, and its payloads (registry-6.5)."""

    tag: str
    digest: str
    media_type: str
    payloads: tuple[ArtifactPayload, ...] = ()


@dataclass(frozen=True, slots=True)
class Referrers:
    """All referrers that were found.

    If not `complete`, one of the sources failed and more may exist; `reason` says why.
    """

    descriptors: tuple[Descriptor, ...] = ()
    cosign_artifacts: tuple[CosignArtifact, ...] = ()
    complete: bool = True
    reason: str = ""


class ReferrersClient(Protocol):
    """The part of the registry client that referrers need."""

    async def fetch_referrers_page(
        self, source: SourceRepository, path: str, request_context: RequestContext
    ) -> RegistryResponse:
        """Fetch a page of the referrers API, of any status."""
        ...

    async def fetch_manifest(
        self, source: SourceRepository, tag_or_digest: str, request_context: RequestContext
    ) -> VerifiedContent:
        """Fetch a manifest by tag or digest, verified."""
        ...

    async def fetch_blob(
        self,
        source: SourceRepository,
        digest: str,
        request_context: RequestContext,
        *,
        max_bytes: int,
    ) -> VerifiedContent:
        """Fetch a blob of at most `max_bytes`, verified."""
        ...


class ReferrersFinder:
    """Searches all three sources, and caches which repositories have no referrers API."""

    def __init__(self, client: ReferrersClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._no_api_until: dict[str, float] = {}

    async def find(
        self,
        source: SourceRepository,
        digest: str,
        request_context: RequestContext,
        *,
        artifact_type: str = "",
        artifact_tags: Collection[str] | None = None,
    ) -> Referrers:
        """Fetch everything that refers to `digest`, each once; an empty `artifact_type` means all.

        `artifact_tags` are those of a tag list, where there is one: other tags are then not tried
        (registry-6.6).
        """
        query = _ReferrersQuery(self._client, source, digest, request_context)
        reasons: list[str] = []
        found: dict[str, Descriptor] = {}
        tags = _artifact_tags_of(digest)

        async def collect(descriptors: Awaitable[Iterable[Descriptor]]) -> None:
            try:
                for descriptor in await descriptors:
                    found.setdefault(descriptor.digest, descriptor)
            except RegistryError as error:
                reasons.append(error.text)

        if self._no_api_until.get(source.name, 0.0) <= self._clock.now():
            await collect(self._fetch_from_api(query))
        if artifact_tags is None or tags[0] in artifact_tags:
            await collect(query.fetch_from_fallback_tag(tags[0]))
        cosign_artifacts = []
        for tag in tags[1:]:
            if artifact_tags is None or tag in artifact_tags:
                try:
                    artifact = await query.fetch_cosign_artifact(tag)
                except RegistryError as error:
                    reasons.append(error.text)
                else:
                    cosign_artifacts.extend([artifact] if artifact is not None else [])
        matching = [each for each in found.values() if artifact_type in {"", each.artifact_type}]
        reason = "; ".join(dict.fromkeys(reasons))
        return Referrers(
            tuple(matching), tuple(cosign_artifacts), complete=not reasons, reason=reason
        )

    async def _fetch_from_api(self, query: _ReferrersQuery) -> list[Descriptor]:
        """Return the descriptors of the referrers API; a missing API is cached for 6 hours.

        The request is unfiltered, because servers may ignore the filter without a sign: the caller
        filters (registry-6.2).
        """
        found = await query.fetch_from_api()
        if found is None:
            if len(self._no_api_until) >= MAX_NO_API_ENTRIES:
                self._no_api_until.clear()
            self._no_api_until[query.source.name] = self._clock.now() + NO_API_TTL_SECONDS
            return []
        return found


@dataclass(frozen=True, slots=True)
class _ReferrersQuery:
    client: ReferrersClient
    source: SourceRepository
    digest: str
    request_context: RequestContext

    async def fetch_from_api(self) -> list[Descriptor] | None:
        """Fetch what the referrers API lists, or None where there is no such API (registry-6.3)."""
        path: str | None = referrers_path(self.source, self.digest)
        first_url = ""
        found: list[Descriptor] = []
        visited_paths: set[str] = set()
        while (
            path is not None
            and path not in visited_paths
            and len(visited_paths) < MAX_REFERRERS_PAGES
        ):
            visited_paths.add(path)
            try:
                response = await self.client.fetch_referrers_page(
                    self.source, path, self.request_context
                )
            except (EgressRefusedError, RegistryDeniedError):
                return None if not first_url else found  # a redirect to another origin, as GHCR's
            if response.status != 200 or not _is_index(response):
                return None if not first_url else found
            first_url = first_url or response.url
            document = parse_manifest(response.content, content_type=OCI_INDEX)
            found.extend(document.manifests if isinstance(document, IndexDocument) else ())
            if len(found) >= MAX_DESCRIPTORS:
                break
            path = next_page_url(
                response.headers.get_list("link"), page_url=response.url, first_url=first_url
            )
        return found[:MAX_DESCRIPTORS]

    async def fetch_from_fallback_tag(self, tag: str) -> list[Descriptor]:
        """Fetch what the fallback tag lists, if each child's own `subject` is the digest.

        The check is needed because GitLab resolves that tag to the image itself, whose platforms
        are no referrers (registry-6.4).
        """
        fetched = await self._fetch_manifest(tag)
        if fetched is None or fetched.digest == self.digest:
            return []
        document = parse_manifest(fetched.content, content_type=fetched.content_type)
        if not isinstance(document, IndexDocument):
            return []
        found = []
        for descriptor in document.manifests[:MAX_FALLBACK_CHILDREN]:
            child = await self._fetch_child(descriptor)
            subject = child.subject if child is not None else None
            if child is None or subject is None or subject.digest != self.digest:
                continue
            artifact_type = (
                descriptor.artifact_type or child.artifact_type or child.config.media_type
            )
            found.append(replace(descriptor, artifact_type=artifact_type))
        return found

    async def _fetch_child(self, descriptor: Descriptor) -> ImageDocument | None:
        try:
            fetched = await self._fetch_manifest(descriptor.digest)
            if fetched is None:
                return None
            document = parse_manifest(
                fetched.content, content_type=fetched.content_type, expected=descriptor
            )
        except (ContentError, InvalidReferenceError):
            return None
        return document if isinstance(document, ImageDocument) else None

    async def fetch_cosign_artifact(self, tag: str) -> CosignArtifact | None:
        """Fetch the manifest under one of cosign's tags with its payloads, or None."""
        fetched = await self._fetch_manifest(tag)
        if fetched is None:
            return None
        document = parse_manifest(fetched.content, content_type=fetched.content_type)
        if not isinstance(document, ImageDocument):
            return None
        payloads = []
        for layer in document.layers[:MAX_PAYLOADS]:
            if layer.media_type in PAYLOAD_TYPES and layer.size <= MAX_PAYLOAD_BYTES:
                blob = await self.client.fetch_blob(
                    self.source, layer.digest, self.request_context, max_bytes=MAX_PAYLOAD_BYTES
                )
                payloads.append(ArtifactPayload(layer, blob.content))
        return CosignArtifact(tag, document.digest, document.media_type, tuple(payloads))

    async def _fetch_manifest(self, tag_or_digest: str) -> VerifiedContent | None:
        """Fetch a manifest, or None where it is missing.

        For these derived tags a refusal means that they do not exist: Artifactory answers 403
        (registry-6.6).
        """
        try:
            return await self.client.fetch_manifest(
                self.source, tag_or_digest, self.request_context
            )
        except (ManifestUnknownError, RegistryDeniedError):
            return None
        except RegistryError as error:
            if error.code in {"auth.denied_or_missing", "http.blocked"}:
                return None
            raise


def _is_index(response: RegistryResponse) -> bool:
    return media_type_of(response.headers.get("content-type", "")) == OCI_INDEX


def _artifact_tags_of(digest: str) -> tuple[str, ...]:
    """Return the fallback tag and cosign's tags of a digest (registry-6.4, registry-6.5)."""
    algorithm, _, encoded = digest.partition(":")
    base = re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm[:32]}-{encoded[:64]}")
    return base, *(base + suffix for suffix in COSIGN_SUFFIXES)
