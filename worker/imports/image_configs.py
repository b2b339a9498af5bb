"""Image configs of one import, each fetched once, and the platforms that they name."""

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
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

T = TypeVar("T")

MAX_CACHED_BYTES = 8 * 1024 * 1024
MAX_CONFIG_BYTES = 4 * 1024 * 1024


class ImageConfigCache:
    """Fetches the configs of one import; the most recently used 8 MiB are cached."""

    def __init__(self, client: RegistryClient, request_context: RequestContext) -> None:
        self._client = client
        self._request_context = request_context
        self._cached: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._in_flight: dict[tuple[str, str], asyncio.Future[bytes]] = {}
        self._cached_bytes = 0

    async def fetch(
        self, repository: SourceRepository, document: ImageDocument, *, reference: str
    ) -> bytes:
        """Return an image's config, from its descriptor or the registry (imports-3.30).

        Raises ContentError if it is larger than 4 MiB (imports-3.32), RegistryError if it cannot be
        fetched; both name `reference`.
        """
        if not needs_config(document):
            return inline_config(document) or b""
        digest, size = document.config.digest, document.config.size
        if size > MAX_CONFIG_BYTES:
            raise ContentError(
                "response body too large", code="content.too_large", reference=reference
            )
        key = (repository.name, digest)
        if key in self._cached:
            self._cached.move_to_end(key)
            return self._cached[key]

        async def fetch_blob() -> bytes:
            blob = await self._client.fetch_blob(
                repository, digest, self._request_context, declared_size=size
            )
            return blob.content

        try:
            content = await single_flight(self._in_flight, key, fetch_blob)
        except RegistryError as error:
            raise error.with_reference(reference) from error
        finally:
            self._in_flight.pop(key, None)
        self._cache(key, content)
        return content

    def _cache(self, key: tuple[str, str], content: bytes) -> None:
        if key not in self._cached:
            self._cached[key] = content
            self._cached_bytes += len(content)
        while self._cached_bytes > MAX_CACHED_BYTES:
            _, evicted = self._cached.popitem(last=False)
            self._cached_bytes -= len(evicted)


async def single_flight(
    in_flight: dict[Any, asyncio.Future[T]], key: Any, work: Callable[[], Awaitable[T]]
) -> T:
    """Return the result of `work`, run once for all callers with an equal `key`.

    Callers that arrive while it runs wait for the same result. Work that was cancelled is started
    again by the next caller.
    """
    future = in_flight.get(key)
    if future is None or future.cancelled():
        future = asyncio.ensure_future(work())
        in_flight[key] = future
    return await asyncio.shield(future)


def platform_of(config: bytes) -> Platform | None:
    """Return the platform that a config names, None if it is no object (then the build fails)."""
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        return None
    parts = (document.get(key) for key in ("architecture", "os", "variant"))
    return Platform(*(storable_text(part) if isinstance(part, str) else "" for part in parts))


def fill_platforms(
    image: Image, index: IndexDocument, platforms: Mapping[str, Platform | None]
) -> Image:
    """Give index entries without a platform the one of their child's config (imports-3.20)."""
    entries = []
    for entry, shown in zip(index.manifests, image.docker_image_manifests, strict=True):
        platform = platforms.get(entry.digest)
        if platform is None or has_platform(entry):
            entries.append(shown)
            continue
        entries.append(
            shown.replace(
                architecture=platform.architecture or shown.architecture,
                os=platform.os or shown.os,
                variant=platform.variant or shown.variant,
            )
        )
    return image.replace(docker_image_manifests=entries)
