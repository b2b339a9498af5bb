"""Fetches and parses the manifests of one import: top-level manifests and children of indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace

from models.errors import ContentError, TagstreamError
from models.images.manifest import Manifest, Schema1Document, parse_manifest
from models.oci import Descriptor
from models.reference import Reference
from models.streams.imports.import_rules import ImportRules
from worker.imports.image_configs import single_flight
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository, VerifiedContent
from worker.registry.request_context import RequestContext

_ERRORS_WITHOUT_REFERENCE = (  # (imports-3.14)
    "image has no v1Compatibility history",
    "the image ",
    "unrecognized container image manifest schema",
)


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """The repository that a manifest is fetched from, and the reference as it was written."""

    repository: SourceRepository
    written_reference: Reference


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """A manifest, the credential scope that it was served to, and the repository that served it."""

    document: Manifest
    scope: str
    repository: SourceRepository


class ManifestFetcher:
    """Fetches the manifests of one import.

    `repeated` has the (repository key, tag or digest) pairs that several targets request: those are
    fetched once.
    """

    def __init__(
        self,
        client: RegistryClient,
        request_context: RequestContext,
        rules: ImportRules,
        repeated: Collection[tuple[str, str]],
    ) -> None:
        self._client = client
        self._request_context = request_context
        self._rules = rules
        self._repeated = repeated
        self._top_manifests: dict[tuple[SourceRepository, str], asyncio.Future[ParsedManifest]] = {}

    async def fetch_top_manifest(
        self, source: ManifestSource, tag_or_digest: str, fetched: VerifiedContent | None
    ) -> ParsedManifest:
        """Fetch the manifest of a tag or digest, or parse what was `fetched` of it already.

        Errors name the repository and `tag_or_digest`. Raises ManifestUnknownError, ContentError or
        another RegistryError.
        """
        if fetched is not None:
            return self._parse(source.repository, tag_or_digest, fetched)
        if (source.written_reference.repository_key(), tag_or_digest) not in self._repeated:
            return await self._fetch_manifest(source.repository, tag_or_digest)
        return await single_flight(
            self._top_manifests,
            (source.repository, tag_or_digest),
            lambda: self._fetch_manifest(source.repository, tag_or_digest),
        )

    async def fetch_child_from_index_source(
        self, source: ManifestSource, entry: Descriptor
    ) -> ParsedManifest:
        """Fetch a child from the repository that served its index (Legacy, imports-3.8)."""
        return await self._fetch_manifest(source.repository, entry.digest, entry)

    async def fetch_child_by_digest(
        self, source: ManifestSource, entry: Descriptor
    ) -> ParsedManifest:
        """Fetch a child by digest: digest mirrors first, whatever served the index (imports-3.8).

        Raises the error of the last source. A source is insecure by policy, or because the index
        came from it, or from the repository as written, insecurely.
        """
        by_digest = replace(source.written_reference, tag="", id=entry.digest)
        own_repository = SourceRepository.from_reference(source.written_reference)
        errors: list[TagstreamError] = []
        for mirror in self._rules.registries.manifest_sources(by_digest):
            repository = SourceRepository.from_reference(mirror)
            insecure_as_index = source.repository.insecure and repository.name in {
                own_repository.name,
                source.repository.name,
            }
            insecure = insecure_as_index or self._rules.registries.is_insecure(repository.name)
            repository = replace(repository, insecure=insecure)
            try:
                return await self._fetch_manifest(repository, entry.digest, entry)
            except TagstreamError as error:
                errors.append(error)
        if not errors:
            return await self._fetch_manifest(source.repository, entry.digest, entry)
        raise errors[-1]

    async def _fetch_manifest(
        self, repository: SourceRepository, tag_or_digest: str, expected: Descriptor | None = None
    ) -> ParsedManifest:
        fetched = await self._client.fetch_manifest(
            repository, tag_or_digest, self._request_context
        )
        return self._parse(repository, tag_or_digest, fetched, expected)

    def _parse(
        self,
        repository: SourceRepository,
        tag_or_digest: str,
        fetched: VerifiedContent,
        expected: Descriptor | None = None,
    ) -> ParsedManifest:
        reference = repository.reference(tag_or_digest)
        try:
            document = parse_manifest(
                fetched.content, content_type=fetched.content_type, expected=expected
            )
        except ContentError as error:
            if error.reference or error.text.startswith(_ERRORS_WITHOUT_REFERENCE):
                raise
            raise error.with_reference(reference) from error
        if isinstance(document, Schema1Document) and not self._rules.allow_schema1:
            raise ContentError(
                "Docker schema1 manifests are switched off here (TAGSTREAM_ALLOW_SCHEMA1); "
                "push the image again with a current client",
                code="content.unsupported_type",
                reference=reference,
            )
        return ParsedManifest(document, fetched.scope, repository)
