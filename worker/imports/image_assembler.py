"""Assembles Images from one manifest of one source: selects or gathers children, builds Images.

The rules are imports-3.12, imports-3.15 and imports-3.17. Depth, number and bytes of what an
index of an untrusted registry leads to are bounded (registry-23.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from models.errors import ContentError, ManifestUnknownError, RegistryError, TagstreamError
from models.images.compressed_image import PackedImage, pack_image
from models.images.image_builder import (
    build_image,
    build_index_image,
    build_schema1_image,
    is_image,
    missing_sizes,
    pull_spec,
)
from models.images.image_index import (
    MAX_INDEX_DEPTH,
    IndexTraversalBudget,
    PlatformPreference,
    choose_child,
    has_platform,
    is_attestation,
)
from models.images.manifest import (
    IndexDocument,
    Manifest,
    Schema1Document,
    is_known_image_type,
)
from models.oci import IMAGE_TYPES, INDEX_TYPES, Descriptor, Platform
from models.reference import Reference
from models.resources.image import Image
from models.streams.imports.import_outcome import Imported, ImportTarget
from models.streams.imports.import_rules import ImportRules
from worker.imports.content_access import ContentAccess
from worker.imports.image_configs import (
    ImageConfigCache,
    fill_platforms,
    platform_of,
    single_flight,
)
from worker.imports.manifest_fetcher import ManifestFetcher, ManifestSource, ParsedManifest
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import VerifiedContent
from worker.registry.request_context import RequestContext

MAX_LAYER_SIZE_REQUESTS = 200


class ImageAssembler:
    """Builds the Images of one import; every digest is requested at most once.

    `repeated` has the (repository key, tag or digest) pairs that several targets request.
    `content_access` is what the store holds; `served` is added to by every Image that is built.
    """

    def __init__(
        self,
        *,
        client: RegistryClient,
        request_context: RequestContext,
        rules: ImportRules,
        content_access: ContentAccess,
        now: datetime,
        repeated: Collection[tuple[str, str]] = (),
    ) -> None:
        self._client = client
        self._request_context = request_context
        self._rules = rules
        self._content_access = content_access
        self._now = now
        self._manifests = ManifestFetcher(client, request_context, rules, repeated)
        self._without_platform: set[str] = set()
        self._images: dict[tuple[Any, ...], asyncio.Future[_ChildImage]] = {}
        self._configs = ImageConfigCache(client, request_context)
        self.served = ContentAccess()

    async def assemble(
        self,
        source: ManifestSource,
        tag_or_digest: str,
        target: ImportTarget,
        fetched: VerifiedContent | None = None,
    ) -> Imported:
        """Build the Image of one target from one source; in PreserveOriginal mode its children too.

        `fetched` is the manifest of `tag_or_digest` if a check fetched it already. Errors name the
        repository and `tag_or_digest`.
        """
        top = await self._manifests.fetch_top_manifest(source, tag_or_digest, fetched)
        document, scope = top.document, top.scope
        if isinstance(document, IndexDocument):
            if target.import_mode == "PreserveOriginal":
                return await self._assemble_preserved(source, tag_or_digest, target, top)
            child = await self._assemble_legacy(source, tag_or_digest, target, top)
        else:
            reference = source.repository.reference(tag_or_digest)
            child = await self._build_image(source, document, scope, target, reference=reference)
        warnings = document.warnings
        return Imported(
            child.packed, source_digest=document.digest, credential_scope=scope, warnings=warnings
        )

    def stored_image(self, digest: str, written_reference: Reference) -> PackedImage:
        """Return a stored Image under the reference that requested it (imports-3.4)."""
        return PackedImage(digest, pull_spec(written_reference, digest))

    async def _assemble_legacy(
        self, source: ManifestSource, tag_or_digest: str, target: ImportTarget, top: ParsedManifest
    ) -> _ChildImage:
        """Build the selected child instead of the index; failures name the index (imports-3.17)."""
        reference = source.repository.reference(tag_or_digest)
        prefer = _platform_with_defaults(target.platform_preference, self._rules.platform)
        root = IndexTraversalBudget(reference)
        document, scope = top.document, top.scope
        visited: set[str] = {document.digest}
        try:
            for _ in range(MAX_INDEX_DEPTH):
                if not isinstance(document, IndexDocument):
                    break
                entry = choose_child(document, prefer)
                if entry is None:
                    raise ContentError("no manifests in manifest list", code="content.invalid")
                reused = self._reuse_stored(source, entry, scope, target)
                if reused is not None:
                    return reused
                if entry.digest in visited:
                    raise ContentError("the index contains itself", code="content.invalid")
                visited.add(entry.digest)
                if entry.media_type in IMAGE_TYPES:
                    return await self._build_child_once(
                        source, entry, target, self._manifests.fetch_child_from_index_source
                    )
                parsed = await self._manifests.fetch_child_from_index_source(source, entry)
                document, scope = parsed.document, parsed.scope
                root.add_manifest(document.content)
            if isinstance(document, IndexDocument):
                raise ContentError(
                    f"indexes are nested deeper than {MAX_INDEX_DEPTH}", code="content.invalid"
                )
            return await self._build_image(source, document, scope, target, reference=reference)
        except ManifestUnknownError as error:
            raise ManifestUnknownError(code="notfound.child", reference=reference) from error
        except RegistryError as error:
            if error.reference or error.text == "no manifests in manifest list":
                raise error.with_reference(reference) from error
            raise

    async def _assemble_preserved(
        self, source: ManifestSource, tag_or_digest: str, target: ImportTarget, top: ParsedManifest
    ) -> Imported:
        """Build the Image of the index, and an Image of every child (imports-3.17)."""
        index = top.document
        assert isinstance(index, IndexDocument)
        root = IndexTraversalBudget(source.repository.reference(tag_or_digest))
        leaves = await self._gather_leaves(source, index, top.scope, target, root, depth=1)
        image = build_index_image(index, repository=source.written_reference, now=self._now)
        image = fill_platforms(
            image, index, {leaf.requested_digest: leaf.platform for leaf in leaves}
        )
        self.served.add(source.repository.name, index.digest, top.scope)
        return Imported(
            pack_image(image),
            manifests=tuple(leaf.packed for leaf in leaves),
            source_digest=index.digest,
            credential_scope=top.scope,
            warnings=index.warnings,
        )

    async def _gather_leaves(
        self,
        source: ManifestSource,
        index: IndexDocument,
        scope: str,
        target: ImportTarget,
        root: IndexTraversalBudget,
        *,
        depth: int,
    ) -> list[_ChildImage]:
        """Build the Images of an index's children concurrently, nested indexes resolved, in order.

        The first failing child by position is the error, so the result does not depend on timing
        (imports-3.2).
        """
        if depth > MAX_INDEX_DEPTH:
            raise ContentError(
                f"indexes are nested deeper than {MAX_INDEX_DEPTH}",
                code="content.invalid",
                reference=root.reference,
            )
        entries = [entry for entry in index.manifests if is_known_image_type(entry.media_type)]
        root.manifests += len(entries)
        root.add_manifest(index.content)
        results = await asyncio.gather(
            *(
                self._entry_leaves(source, entry, scope, target, root, depth=depth)
                for entry in entries
            ),
            return_exceptions=True,
        )
        leaves: list[_ChildImage] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            leaves.extend(result)
        return leaves

    async def _entry_leaves(
        self,
        source: ManifestSource,
        entry: Descriptor,
        scope: str,
        target: ImportTarget,
        root: IndexTraversalBudget,
        *,
        depth: int,
    ) -> list[_ChildImage]:
        """Build the Image of one entry, or those below a nested index (imports-3.18)."""
        if entry.media_type in INDEX_TYPES:
            parsed = await self._manifests.fetch_child_by_digest(source, entry)
            if isinstance(parsed.document, IndexDocument):
                return await self._gather_leaves(
                    source, parsed.document, parsed.scope, target, root, depth=depth + 1
                )
        if not is_attestation(entry):
            return [await self._load_child(source, entry, scope, target)]
        try:
            return [await self._load_child(source, entry, scope, target, attestation=True)]
        except TagstreamError:
            return []  # a missing attestation does not fail the import (imports-3.19)

    async def _load_child(
        self,
        source: ManifestSource,
        entry: Descriptor,
        scope: str,
        target: ImportTarget,
        *,
        attestation: bool = False,
    ) -> _ChildImage:
        return self._reuse_stored(source, entry, scope, target) or await self._build_child_once(
            source, entry, target, self._manifests.fetch_child_by_digest, attestation=attestation
        )

    async def _build_child_once(
        self,
        source: ManifestSource,
        entry: Descriptor,
        target: ImportTarget,
        fetch: Callable[[ManifestSource, Descriptor], Awaitable[ParsedManifest]],
        *,
        attestation: bool = False,
    ) -> _ChildImage:
        """Build the Image of a child, once for all targets that lead to it."""

        async def build() -> _ChildImage:
            parsed = await fetch(source, entry)
            return await self._build_image(
                ManifestSource(parsed.repository, source.written_reference),
                parsed.document,
                parsed.scope,
                target,
                reference=source.repository.reference(entry.digest),
                attestation=attestation,
            )

        if not has_platform(entry):
            self._without_platform.add(entry.digest)
        lacks_platform = entry.digest in self._without_platform
        key = (source.repository, entry.digest, attestation, target.with_content, lacks_platform)
        child = await single_flight(self._images, key, build)
        packed = replace(
            child.packed, reference=pull_spec(source.written_reference, child.packed.name)
        )
        return replace(child, packed=packed, requested_digest=entry.digest)

    def _reuse_stored(
        self, source: ManifestSource, entry: Descriptor, scope: str, target: ImportTarget
    ) -> _ChildImage | None:
        """Return the stored Image of a child if this scope may reuse it, else None.

        Such content needs no request (imports-3.31, registry-27.4). An entry without a platform is
        fetched nevertheless, because its config names the platform (imports-3.20).
        """
        has_known_platform = is_attestation(entry) or has_platform(entry)
        if target.with_content or entry.media_type in INDEX_TYPES or not has_known_platform:
            return None
        if not self._content_access.allows(source.repository.name, entry.digest, scope):
            return None
        return _ChildImage(
            self.stored_image(entry.digest, source.written_reference), requested_digest=entry.digest
        )

    async def _build_image(
        self,
        source: ManifestSource,
        document: Manifest,
        scope: str,
        target: ImportTarget,
        *,
        reference: str,
        attestation: bool = False,
    ) -> _ChildImage:
        """Build the Image of one manifest; fetch its config or its layer sizes if needed."""
        repository = source.repository
        if not target.with_content and self._content_access.allows(
            repository.name, document.digest, scope
        ):
            return _ChildImage(
                self.stored_image(document.digest, source.written_reference),
                requested_digest=document.digest,
            )
        platform, config = None, None
        if isinstance(document, Schema1Document):
            image = await self._build_schema1(source, document)
        elif isinstance(document, IndexDocument):
            raise ContentError("an index where an image was expected", code="content.invalid")
        else:
            if not attestation and is_image(document):
                config = await self._configs.fetch(repository, document, reference=reference)
                platform = (
                    platform_of(config) if document.digest in self._without_platform else None
                )
            image = build_image(document, config, repository=source.written_reference)
        self.served.add(repository.name, document.digest, scope)
        packed = pack_image(image if target.with_content else image.without_content())
        return _ChildImage(packed, requested_digest=document.digest, platform=platform)

    async def _build_schema1(self, source: ManifestSource, document: Schema1Document) -> Image:
        """Build a schema1 Image; request layer sizes that its history lacks (imports-3.24)."""
        missing = missing_sizes(document)[:MAX_LAYER_SIZE_REQUESTS]
        try:
            sizes = await asyncio.gather(
                *(
                    self._client.fetch_blob_size(source.repository, layer, self._request_context)
                    for layer in missing
                )
            )
        except RegistryError as error:
            raise error.with_reference("") from error
        known = dict(zip(missing, sizes, strict=True))
        return build_schema1_image(document, known, repository=source.written_reference)


@dataclass(frozen=True, slots=True)
class _ChildImage:
    """An Image, the digest that requested it, and the platform that its config names."""

    packed: PackedImage
    requested_digest: str
    platform: Platform | None = None


def _platform_with_defaults(
    prefer: PlatformPreference, server: PlatformPreference
) -> PlatformPreference:
    return PlatformPreference(
        prefer.architecture or server.architecture, prefer.os or server.os, prefer.variant
    )
