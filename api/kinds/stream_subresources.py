"""The kinds ImageStreamImage, ImageStreamLayers and ImageStreamMapping."""

from __future__ import annotations

from typing import Any

from api.kinds.kind_base import Kind, UnitOfWork
from api.kinds.stored_kind import require_namespace
from api.kinds.streams import save_stream_and_enqueue
from api.object_meta import check_metadata, check_namespace
from api.response.http_response import build_success_status
from api.served_resources import STREAM_IMAGES, STREAM_LAYERS, STREAM_MAPPINGS
from models.errors import NotFoundError
from models.images.image_strategy import prepare_image_create
from models.resources.image import Image
from models.resources.stream import ImageStream, ImageStreamMapping
from models.resources.wire import Wire
from models.store.images.image_store import load_image, load_images, save_images
from models.store.streams.stream_list import MAX_SHOWN_HISTORY
from models.store.streams.stream_store import load_stream
from models.streams.tags.image_stream_mapping import apply_mapping, check_mapping
from models.streams.tags.tag_views import build_isimage, parse_image_name, resolve_isimage
from models.streams.writes.stream_layers import build_layers, missing_images
from models.streams.writes.stream_strategy import decorate


class StreamImageKind(Kind):
    """ImageStreamImage: an image of the stream's history, by its digest (api-26.1, api-26.2)."""

    info = STREAM_IMAGES

    def check_name(self, name: str) -> None:
        parse_image_name(name)

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        stream_name, image_id = parse_image_name(name)
        stream = _load_decorated(work, self, namespace, stream_name)
        images = _load_images_of(work, stream)
        layers = build_layers(stream, images)
        digest = resolve_isimage(layers.images, stream_name, image_id)
        image = images.get(digest)
        if image is None:
            raise self.not_found(digest)
        return self.show(build_isimage(stream, image_id, image))


class LayersKind(Kind):
    """ImageStreamLayers: every blob that the stream's images consist of (api-26.3)."""

    info = STREAM_LAYERS
    has_table = False

    def get(self, work: UnitOfWork, namespace: str, name: str) -> dict[str, Any]:
        stream = _load_decorated(work, self, namespace, name)
        return self.show(build_layers(stream, _load_images_of(work, stream)))


class MappingKind(Kind):
    """ImageStreamMapping: stores an image and sets it on a tag (api-27.1).

    Returns a Status (api-27.5).
    """

    info = STREAM_MAPPINGS
    has_table = False

    def post(self, work: UnitOfWork, namespace: str, body: Wire) -> dict[str, Any]:
        assert isinstance(body, ImageStreamMapping)
        metadata = body.metadata
        check_namespace(metadata, namespace)
        metadata = metadata.replace(namespace=namespace)
        body = check_mapping(
            body.replace(metadata=metadata), rules=work.context.rules, check_meta=check_metadata
        )
        require_namespace(work, self, metadata)
        stream = load_stream(
            work.session, namespace, metadata.name, history=MAX_SHOWN_HISTORY, for_update=True
        )
        if stream is None:
            raise NotFoundError(resource=self.info.resource, name=metadata.name)
        stream = decorate(stream, work.context.rules)
        stored = load_image(work.session, body.image.name)
        if stored is None:
            save_images(
                work.session, [prepare_image_create(body.image, now=work.now)], now=work.now
            )
        new = apply_mapping(stream, body, now=work.now, rules=work.context.rules, stored=stored)
        if new is not None:
            save_stream_and_enqueue(work, stream, new)
        return build_success_status() | {"code": 201}


def _load_decorated(work: UnitOfWork, kind: Kind, namespace: str, name: str) -> ImageStream:
    stream = load_stream(work.session, namespace, name, history=MAX_SHOWN_HISTORY)
    if stream is None:
        raise kind.not_found(name)
    return decorate(stream, work.context.rules)


def _load_images_of(work: UnitOfWork, stream: ImageStream) -> dict[str, Image]:
    """Return all stored images of a stream's history, with the images that their indexes list."""
    found: dict[str, Image] = {}
    requested: set[str] = set()
    while missing := missing_images(stream, found) - requested:
        requested |= missing
        found |= load_images(work.session, sorted(missing))
    return found
