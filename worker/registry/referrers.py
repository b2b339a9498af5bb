"""What refers to a manifest: signatures, attestations, SBOMs (`registry.md` 2.7).

Three places hold them: the referrers API, its fallback tag, and cosign's tags. Discovery is best
effort: nothing here fails an import, and "unknown" is told apart from "none".
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
from worker.registry.registry_types import Answer, Fetched, Place
from worker.registry.request_context import Access
from worker.registry.transport.link_header import next_page

MOST_PAGES = 50
MOST_DESCRIPTORS = 2000
MOST_CHILDREN = 50
MOST_PAYLOADS = 16
LARGEST_PAYLOAD = 4 * 1024 * 1024
NO_API_KEPT = 6 * 3600.0
MOST_KEPT = 10_000
COSIGN_SUFFIXES = (".sig", ".att", ".sbom")
PAYLOAD_TYPES = frozenset(
    {
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.dsse.envelope.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
)


@dataclass(frozen=True, slots=True)
class Payload:
    """A signature's or attestation's content, and what its descriptor says of it."""

    descriptor: Descriptor
    content: bytes


@dataclass(frozen=True, slots=True)
class Companion:
    """A manifest under one of cosign's tags, and its payloads."""

    tag: str
    digest: str
    media_type: str
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True)
class Referrers:
    """Not `complete`: some place could not be asked, and more may exist; `reason` says why."""

    descriptors: tuple[Descriptor, ...] = ()
    companions: tuple[Companion, ...] = ()
    complete: bool = True
    reason: str = ""


class Reader(Protocol):
    """What of the client is needed here."""

    async def ask_referrers(self, place: Place, path: str, access: Access) -> Answer:
        """A page of the referrers API, whatever its status."""
        ...

    async def fetch_manifest(self, place: Place, wanted: str, access: Access) -> Fetched:
        """A manifest by tag or digest."""
        ...

    async def fetch_blob(self, place: Place, digest: str, access: Access, *, cap: int) -> Fetched:
        """A small blob."""
        ...


class Finder:
    """Looks in all three places, and remembers which repositories have no referrers API."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._no_api: dict[str, float] = {}

    async def find(
        self,
        place: Place,
        digest: str,
        access: Access,
        *,
        artifact_type: str = "",
        companions: Collection[str] | None = None,
    ) -> Referrers:
        """Everything that refers to `digest`, each once.

        `companions`: the artifact tags of a listing where one is at hand; others are not probed.
        """
        look = _Look(self._reader, place, digest, access)
        reasons: list[str] = []
        found: dict[str, Descriptor] = {}
        tags = _companion_tags(digest)

        async def gather(work: Awaitable[Iterable[Descriptor]]) -> None:
            try:
                for descriptor in await work:
                    found.setdefault(descriptor.digest, descriptor)
            except RegistryError as error:
                reasons.append(error.text)

        if self._no_api.get(place.name, 0.0) <= self._clock.now():
            await gather(self._ask_api(look))
        if companions is None or tags[0] in companions:
            await gather(look.read_fallback(tags[0]))
        beside = []
        for tag in tags[1:]:
            if companions is None or tag in companions:
                try:
                    companion = await look.read_companion(tag)
                except RegistryError as error:
                    reasons.append(error.text)
                else:
                    beside.extend([companion] if companion is not None else [])
        kept = [each for each in found.values() if artifact_type in {"", each.artifact_type}]
        reason = "; ".join(dict.fromkeys(reasons))
        return Referrers(tuple(kept), tuple(beside), complete=not reasons, reason=reason)

    async def _ask_api(self, look: _Look) -> list[Descriptor]:
        """Unfiltered: servers that do not filter need not tell (E7)."""
        found = await look.read_api()
        if found is None:
            if len(self._no_api) >= MOST_KEPT:
                self._no_api.clear()
            self._no_api[look.place.name] = self._clock.now() + NO_API_KEPT
            return []
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    reader: Reader
    place: Place
    digest: str
    access: Access

    async def read_api(self) -> list[Descriptor] | None:
        """What the referrers API lists; None where there is no such API."""
        path: str | None = referrers_path(self.place, self.digest)
        first = ""
        found: list[Descriptor] = []
        seen: set[str] = set()
        while path is not None and path not in seen and len(seen) < MOST_PAGES:
            seen.add(path)
            try:
                answer = await self.reader.ask_referrers(self.place, path, self.access)
            except (EgressRefusedError, RegistryDeniedError):
                return None if not first else found  # a redirect off the registry, as GHCR's
            if answer.status != 200 or not _is_index(answer):
                return None if not first else found
            first = first or answer.url
            document = parse_manifest(answer.content, content_type=OCI_INDEX)
            found.extend(document.manifests if isinstance(document, IndexDocument) else ())
            if len(found) >= MOST_DESCRIPTORS:
                break
            path = next_page(answer.headers.get_list("link"), page=answer.url, first=first)
        return found[:MOST_DESCRIPTORS]

    async def read_fallback(self, tag: str) -> list[Descriptor]:
        """What the fallback tag lists, each of which says itself that it refers to the digest.

        GitLab resolves that tag to the image itself, whose platforms are no referrers.
        """
        fetched = await self._fetch(tag)
        if fetched is None or fetched.digest == self.digest:
            return []
        document = parse_manifest(fetched.content, content_type=fetched.content_type)
        if not isinstance(document, IndexDocument):
            return []
        found = []
        for descriptor in document.manifests[:MOST_CHILDREN]:
            child = await self._child(descriptor)
            subject = child.subject if child is not None else None
            if child is None or subject is None or subject.digest != self.digest:
                continue
            known = descriptor.artifact_type or child.artifact_type or child.config.media_type
            found.append(replace(descriptor, artifact_type=known))
        return found

    async def _child(self, descriptor: Descriptor) -> ImageDocument | None:
        try:
            fetched = await self._fetch(descriptor.digest)
            if fetched is None:
                return None
            document = parse_manifest(
                fetched.content, content_type=fetched.content_type, expected=descriptor
            )
        except (ContentError, InvalidReferenceError):
            return None
        return document if isinstance(document, ImageDocument) else None

    async def read_companion(self, tag: str) -> Companion | None:
        """The manifest under one of cosign's tags, with its payloads."""
        fetched = await self._fetch(tag)
        if fetched is None:
            return None
        document = parse_manifest(fetched.content, content_type=fetched.content_type)
        if not isinstance(document, ImageDocument):
            return None
        payloads = []
        for layer in document.layers[:MOST_PAYLOADS]:
            if layer.media_type in PAYLOAD_TYPES and layer.size <= LARGEST_PAYLOAD:
                blob = await self.reader.fetch_blob(
                    self.place, layer.digest, self.access, cap=LARGEST_PAYLOAD
                )
                payloads.append(Payload(layer, blob.content))
        return Companion(tag, document.digest, document.media_type, tuple(payloads))

    async def _fetch(self, wanted: str) -> Fetched | None:
        """A manifest; of these derived tags a refusal means absence (Artifactory answers 403)."""
        try:
            return await self.reader.fetch_manifest(self.place, wanted, self.access)
        except (ManifestUnknownError, RegistryDeniedError):
            return None
        except RegistryError as error:
            if error.code in {"auth.denied_or_missing", "http.blocked"}:
                return None
            raise


def _is_index(answer: Answer) -> bool:
    return media_type_of(answer.headers.get("content-type", "")) == OCI_INDEX


def _companion_tags(digest: str) -> tuple[str, ...]:
    """The fallback tag and cosign's tags of a digest."""
    algorithm, _, encoded = digest.partition(":")
    base = re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm[:32]}-{encoded[:64]}")
    return base, *(base + suffix for suffix in COSIGN_SUFFIXES)
