"""Image configs of one import: each fetched once; and what they say of platforms."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from models.errors import ContentError, RegistryError
from models.images.image_builder import inline_config, needs_config
from models.images.image_index import has_platform
from models.images.manifest import ImageDocument, IndexDocument
from models.oci import Platform, storable_text, strict_json
from models.resources.image import Image
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

T = TypeVar("T")

KEPT = 8 * 1024 * 1024
LARGEST = 4 * 1024 * 1024


class Configs:
    """The configs that one import reads, by repository and digest; the latest 8 MiB are kept."""

    def __init__(self, client: RegistryClient, access: Access) -> None:
        self._client = client
        self._access = access
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._flights: dict[tuple[str, str], asyncio.Future[bytes]] = {}
        self._size = 0

    async def read(self, place: Place, document: ImageDocument, *, reference: str) -> bytes:
        """The config of an image, from its descriptor or the registry. Errors name `reference`."""
        if not needs_config(document):
            return inline_config(document) or b""
        digest, size = document.config.digest, document.config.size
        if size > LARGEST:
            raise ContentError(
                "response body too large", code="content.too_large", reference=reference
            )
        key = (place.name, digest)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]

        async def fetch() -> bytes:
            fetched = await self._client.fetch_blob(place, digest, self._access, declared=size)
            return fetched.content

        try:
            content = await once(self._flights, key, fetch)
        except RegistryError as error:
            raise error.about(reference) from error
        finally:
            self._flights.pop(key, None)
        self._keep(key, content)
        return content

    def _keep(self, key: tuple[str, str], content: bytes) -> None:
        if key not in self._kept:
            self._kept[key] = content
            self._size += len(content)
        while self._size > KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


async def once(
    flights: dict[Any, asyncio.Future[T]], key: Any, work: Callable[[], Awaitable[T]]
) -> T:
    """The result of `work`, shared by all who ask for `key`, also while it is under way.

    A flight that is cancelled is flown again by the next who asks.
    """
    flight = flights.get(key)
    if flight is None or flight.cancelled():
        flight = asyncio.ensure_future(work())
        flights[key] = flight
    return await asyncio.shield(flight)


def platform_of(config: bytes) -> Platform | None:
    """What a config says of its platform; None where it is no object (build says why)."""
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        return None
    parts = (document.get(key) for key in ("architecture", "os", "variant"))
    return Platform(*(storable_text(part) if isinstance(part, str) else "" for part in parts))


def fill_platforms(
    image: Image, index: IndexDocument, platforms: Mapping[str, Platform | None]
) -> Image:
    """Entries without a platform take it from their child's config (Q23, B12)."""
    entries = []
    for entry, shown in zip(index.manifests, image.docker_image_manifests, strict=True):
        told = platforms.get(entry.digest)
        if told is None or has_platform(entry):
            entries.append(shown)
            continue
        entries.append(
            shown.replace(
                architecture=told.architecture or shown.architecture,
                os=told.os or shown.os,
                variant=told.variant or shown.variant,
            )
        )
    return image.replace(docker_image_manifests=entries)
