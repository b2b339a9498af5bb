"""From one manifest at one source to Images: children chosen or gathered, configs fetched once.

The rules are `import.md` 3.5 and 3.6; what a stranger may make us do is bounded by
`registry.md` 5.2 (depth, number and bytes of what one index leads to).
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
    MOST_NESTED,
    PlatformPreference,
    Reach,
    choose_child,
    has_platform,
    is_attestation,
)
from models.images.manifest import (
    IndexDocument,
    Manifest,
    Schema1Document,
    is_known_image_type,
    parse_manifest,
)
from models.oci import IMAGE_TYPES, INDEX_TYPES, Descriptor, Platform
from models.reference import Reference
from models.resources.image import Image
from models.streams.imports.import_outcome import Imported, Target
from models.streams.imports.import_rules import ImportRules
from worker.imports.content_access import Held
from worker.imports.image_configs import Configs, fill_platforms, once, platform_of
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Fetched, Place
from worker.registry.request_context import Access

MOST_LAYER_SIZES = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest is asked for, and the reference that it was written as."""

    place: Place
    written: Reference


@dataclass(frozen=True, slots=True)
class _Parsed:
    document: Manifest
    scope: str
    place: Place


class Assembler:
    """Builds the Images of one import; every digest is asked for at most once.

    `shared` names (repository key, tag or digest) pairs that several targets want.
    """

    def __init__(
        self,
        *,
        client: RegistryClient,
        access: Access,
        rules: ImportRules,
        held: Held,
        now: datetime,
        shared: Collection[tuple[str, str]] = (),
    ) -> None:
        self._client = client
        self._access = access
        self._rules = rules
        self._held = held
        self._now = now
        self._shared = shared
        self._tops: dict[tuple[Place, str], asyncio.Future[_Parsed]] = {}
        self._untold: set[str] = set()
        self._images: dict[tuple[Any, ...], asyncio.Future[_Child]] = {}
        self._configs = Configs(client, access)
        self.served = Held()

    async def assemble(
        self, source: Source, wanted: str, target: Target, fetched: Fetched | None = None
    ) -> Imported:
        """Import one target from one source, or what was `fetched` of it; errors name `wanted`."""
        top = await self._top(source, wanted, fetched)
        document, scope = top.document, top.scope
        if isinstance(document, IndexDocument):
            if target.import_mode == "PreserveOriginal":
                return await self._preserve(source, wanted, target, top)
            child = await self._legacy(source, wanted, target, top)
        else:
            reference = source.place.reference(wanted)
            child = await self._finish(source, document, scope, target, reference=reference)
        told = document.warnings
        return Imported(child.packed, source_digest=document.digest, scope=scope, warnings=told)

    def stored(self, digest: str, written: Reference) -> PackedImage:
        """An Image that the store holds, under the reference it is asked for by."""
        return PackedImage(digest, pull_spec(written, digest))

    async def _top(self, source: Source, wanted: str, fetched: Fetched | None) -> _Parsed:
        if fetched is not None:
            return self._read(source.place, wanted, fetched)
        if (source.written.repository_key(), wanted) not in self._shared:
            return await self._fetch_parsed(source.place, wanted)
        return await once(
            self._tops, (source.place, wanted), lambda: self._fetch_parsed(source.place, wanted)
        )

    async def _fetch_parsed(
        self, place: Place, wanted: str, expected: Descriptor | None = None
    ) -> _Parsed:
        fetched = await self._client.fetch_manifest(place, wanted, self._access)
        return self._read(place, wanted, fetched, expected)

    def _read(
        self, place: Place, wanted: str, fetched: Fetched, expected: Descriptor | None = None
    ) -> _Parsed:
        reference = place.reference(wanted)
        try:
            document = parse_manifest(
                fetched.content, content_type=fetched.content_type, expected=expected
            )
        except ContentError as error:
            if error.reference or error.text.startswith(_TOLD_WITHOUT_REFERENCE):
                raise
            raise error.about(reference) from error
        if isinstance(document, Schema1Document) and not self._rules.allow_schema1:
            raise ContentError(
                "Docker schema1 manifests are switched off here (TAGSTREAM_ALLOW_SCHEMA1); "
                "push the image again with a current client",
                code="content.unsupported_type",
                reference=reference,
            )
        return _Parsed(document, fetched.scope, place)

    async def _legacy(self, source: Source, wanted: str, target: Target, top: _Parsed) -> _Child:
        """One child instead of the index; every failure is told of the index (3.6)."""
        reference = source.place.reference(wanted)
        prefer = _with_defaults(target.prefer, self._rules.platform)
        root = Reach(reference)
        document, scope = top.document, top.scope
        visited: set[str] = {document.digest}
        try:
            for _ in range(MOST_NESTED):
                if not isinstance(document, IndexDocument):
                    break
                entry = choose_child(document, prefer)
                if entry is None:
                    raise ContentError("no manifests in manifest list", code="content.invalid")
                reused = self._reuse(source, entry, scope, target)
                if reused is not None:
                    return reused
                if entry.digest in visited:
                    raise ContentError("the index contains itself", code="content.invalid")
                visited.add(entry.digest)
                if entry.media_type in IMAGE_TYPES:
                    return await self._once_child(source, entry, target, self._own_manifest)
                parsed = await self._own_manifest(source, entry)
                document, scope = parsed.document, parsed.scope
                root.count(document.content)
            if isinstance(document, IndexDocument):
                raise ContentError(
                    f"indexes are nested deeper than {MOST_NESTED}", code="content.invalid"
                )
            return await self._finish(source, document, scope, target, reference=reference)
        except ManifestUnknownError as error:
            raise ManifestUnknownError(code="notfound.child", reference=reference) from error
        except RegistryError as error:
            if error.reference or error.text == "no manifests in manifest list":
                raise error.about(reference) from error
            raise

    async def _preserve(
        self, source: Source, wanted: str, target: Target, top: _Parsed
    ) -> Imported:
        """The index itself, and an Image of every child."""
        index = top.document
        assert isinstance(index, IndexDocument)
        root = Reach(source.place.reference(wanted))
        leaves = await self._gather(source, index, top.scope, target, root, depth=1)
        image = build_index_image(index, repository=source.written, now=self._now)
        image = fill_platforms(image, index, {leaf.asked: leaf.platform for leaf in leaves})
        self.served.add(source.place.name, index.digest, top.scope)
        return Imported(
            pack_image(image),
            manifests=tuple(leaf.packed for leaf in leaves),
            source_digest=index.digest,
            scope=top.scope,
            warnings=index.warnings,
        )

    async def _gather(
        self,
        source: Source,
        index: IndexDocument,
        scope: str,
        target: Target,
        root: Reach,
        *,
        depth: int,
    ) -> list[_Child]:
        """The leaves of an index in its order. The first failing child by position decides."""
        if depth > MOST_NESTED:
            raise ContentError(
                f"indexes are nested deeper than {MOST_NESTED}",
                code="content.invalid",
                reference=root.reference,
            )
        entries = [entry for entry in index.manifests if is_known_image_type(entry.media_type)]
        root.visits += len(entries)
        root.count(index.content)
        results = await asyncio.gather(
            *(self._leaves(source, entry, scope, target, root, depth=depth) for entry in entries),
            return_exceptions=True,
        )
        leaves: list[_Child] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            leaves.extend(result)
        return leaves

    async def _leaves(
        self,
        source: Source,
        entry: Descriptor,
        scope: str,
        target: Target,
        root: Reach,
        *,
        depth: int,
    ) -> list[_Child]:
        """One entry's Image, or the Images below it where it is an index again (B13)."""
        if entry.media_type in INDEX_TYPES:
            parsed = await self._child_manifest(source, entry)
            if isinstance(parsed.document, IndexDocument):
                return await self._gather(
                    source, parsed.document, parsed.scope, target, root, depth=depth + 1
                )
        if not is_attestation(entry):
            return [await self._child(source, entry, scope, target)]
        try:
            return [await self._child(source, entry, scope, target, attestation=True)]
        except TagstreamError:
            return []  # provenance that is gone fails nothing (B7)

    async def _child(
        self,
        source: Source,
        entry: Descriptor,
        scope: str,
        target: Target,
        *,
        attestation: bool = False,
    ) -> _Child:
        return self._reuse(source, entry, scope, target) or await self._once_child(
            source, entry, target, self._child_manifest, attestation=attestation
        )

    async def _once_child(
        self,
        source: Source,
        entry: Descriptor,
        target: Target,
        fetch: Callable[[Source, Descriptor], Awaitable[_Parsed]],
        *,
        attestation: bool = False,
    ) -> _Child:
        """A child's Image, built once for all targets that lead to it."""

        async def build() -> _Child:
            parsed = await fetch(source, entry)
            return await self._finish(
                Source(parsed.place, source.written),
                parsed.document,
                parsed.scope,
                target,
                reference=source.place.reference(entry.digest),
                attestation=attestation,
            )

        if not has_platform(entry):
            self._untold.add(entry.digest)
        is_untold = entry.digest in self._untold
        key = (source.place, entry.digest, attestation, target.with_content, is_untold)
        child = await once(self._images, key, build)
        packed = replace(child.packed, reference=pull_spec(source.written, child.packed.name))
        return replace(child, packed=packed, asked=entry.digest)

    async def _own_manifest(self, source: Source, entry: Descriptor) -> _Parsed:
        """A child from where its index came from."""
        return await self._fetch_parsed(source.place, entry.digest, entry)

    async def _child_manifest(self, source: Source, entry: Descriptor) -> _Parsed:
        """A child by digest: mirrors for digests come first, whatever served the index (3.3)."""
        by_digest = replace(source.written, tag="", id=entry.digest)
        own = Place.of(source.written)
        errors: list[TagstreamError] = []
        for mirror in self._rules.registries.sources(by_digest):
            place = Place.of(mirror)
            near = source.place.insecure and place.name in {own.name, source.place.name}
            insecure = near or self._rules.registries.is_insecure(place.name)
            place = replace(place, insecure=insecure)
            try:
                return await self._fetch_parsed(place, entry.digest, entry)
            except TagstreamError as error:
                errors.append(error)
        if not errors:
            return await self._fetch_parsed(source.place, entry.digest, entry)
        raise errors[-1]

    def _reuse(
        self, source: Source, entry: Descriptor, scope: str, target: Target
    ) -> _Child | None:
        """What the store holds from this repository for this right needs no request (B3, C7)."""
        is_told = is_attestation(entry) or has_platform(entry)
        if target.with_content or entry.media_type in INDEX_TYPES or not is_told:
            return None
        if not self._held.allows(source.place.name, entry.digest, scope):
            return None
        return _Child(self.stored(entry.digest, source.written), asked=entry.digest)

    async def _finish(
        self,
        source: Source,
        document: Manifest,
        scope: str,
        target: Target,
        *,
        reference: str,
        attestation: bool = False,
    ) -> _Child:
        """Build the Image of one manifest, fetching its config or layer sizes if need be."""
        place = source.place
        if not target.with_content and self._held.allows(place.name, document.digest, scope):
            return _Child(self.stored(document.digest, source.written), asked=document.digest)
        platform, config = None, None
        if isinstance(document, Schema1Document):
            image = await self._schema1(source, document)
        elif isinstance(document, IndexDocument):
            raise ContentError("an index where an image was expected", code="content.invalid")
        else:
            if not attestation and is_image(document):
                config = await self._configs.read(place, document, reference=reference)
                platform = platform_of(config) if document.digest in self._untold else None
            image = build_image(document, config, repository=source.written)
        self.served.add(place.name, document.digest, scope)
        packed = pack_image(image if target.with_content else image.without_content())
        return _Child(packed, asked=document.digest, platform=platform)

    async def _schema1(self, source: Source, document: Schema1Document) -> Image:
        """Sizes that the history lacks are asked of the registry, once a layer (Q27, Q28)."""
        missing = missing_sizes(document)[:MOST_LAYER_SIZES]
        try:
            sizes = await asyncio.gather(
                *(self._client.blob_size(source.place, layer, self._access) for layer in missing)
            )
        except RegistryError as error:
            raise error.about("") from error
        known = dict(zip(missing, sizes, strict=True))
        return build_schema1_image(document, known, repository=source.written)


@dataclass(frozen=True, slots=True)
class _Child:
    """An Image, the digest it was asked for by, and the platform its config tells."""

    packed: PackedImage
    asked: str
    platform: Platform | None = None


_TOLD_WITHOUT_REFERENCE = (
    "image has no v1Compatibility history",
    "the image ",
    "unrecognized container image manifest schema",
)


def _with_defaults(prefer: PlatformPreference, server: PlatformPreference) -> PlatformPreference:
    return PlatformPreference(
        prefer.architecture or server.architecture, prefer.os or server.os, prefer.variant
    )
