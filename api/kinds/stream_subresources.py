"""What a stream is made of: one image, all layers, its secrets; and images pushed onto tags."""

from __future__ import annotations

from typing import Any

from api.kinds.kind_base import Kind, Work
from api.kinds.stored_kind import require_namespace
from api.kinds.streams import store_stream
from api.object_meta import check_metadata, check_namespace
from api.response.http_response import status_success
from api.served_resources import STREAM_IMAGES, STREAM_LAYERS, STREAM_MAPPINGS
from models.errors import NotFoundError
from models.images.image_strategy import prepare_image_create
from models.resources.image import Image
from models.resources.stream import ImageStream, ImageStreamMapping
from models.resources.wire import Wire
from models.store.images.image_store import load_image, load_images, save_images
from models.store.streams.stream_list import SHOWN_HISTORY
from models.store.streams.stream_store import load_stream
from models.streams.tags.image_stream_mapping import apply_mapping, check_mapping
from models.streams.tags.tag_views import parse_image_name, resolve_isimage, view_isimage
from models.streams.writes.stream_layers import build_layers, wanted_images
from models.streams.writes.stream_strategy import decorate


class StreamImageKind(Kind):
    """ImageStreamImage: an image by its digest, if the stream ever had it (B10)."""

    info = STREAM_IMAGES

    def check_name(self, name: str) -> None:
        parse_image_name(name)

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        stream_name, wanted = parse_image_name(name)
        stream = _open(work, self, namespace, stream_name)
        images = _images_of(work, stream)
        layers = build_layers(stream, images)
        digest = resolve_isimage(layers.images, stream_name, wanted)
        image = images.get(digest)
        if image is None:
            raise self.not_found(digest)
        return self.show(view_isimage(stream, wanted, image))


class LayersKind(Kind):
    """ImageStreamLayers: every blob that the stream's images need (B11)."""

    info = STREAM_LAYERS
    has_table = False

    def get(self, work: Work, namespace: str, name: str) -> dict[str, Any]:
        stream = _open(work, self, namespace, name)
        return self.show(build_layers(stream, _images_of(work, stream)))


class MappingKind(Kind):
    """ImageStreamMapping: an image is stored and put onto a tag (B12). Answers a Status."""

    info = STREAM_MAPPINGS
    has_table = False

    def post(self, work: Work, namespace: str, body: Wire) -> dict[str, Any]:
        assert isinstance(body, ImageStreamMapping)
        metadata = body.metadata
        check_namespace(metadata, namespace)
        metadata = metadata.replace(namespace=namespace)
        body = check_mapping(
            body.replace(metadata=metadata), rules=work.house.rules, check_meta=check_metadata
        )
        require_namespace(work, self, metadata)
        stream = load_stream(
            work.session, namespace, metadata.name, history=SHOWN_HISTORY, for_update=True
        )
        if stream is None:
            raise NotFoundError(resource=self.info.resource, name=metadata.name)
        stream = decorate(stream, work.house.rules)
        stored = load_image(work.session, body.image.name)
        if stored is None:
            save_images(
                work.session, [prepare_image_create(body.image, now=work.now)], now=work.now
            )
        new = apply_mapping(stream, body, now=work.now, rules=work.house.rules, stored=stored)
        if new is not None:
            store_stream(work, stream, new)
        return status_success() | {"code": 201}


def _open(work: Work, kind: Kind, namespace: str, name: str) -> ImageStream:
    stream = load_stream(work.session, namespace, name, history=SHOWN_HISTORY)
    if stream is None:
        raise kind.not_found(name)
    return decorate(stream, work.house.rules)


def _images_of(work: Work, stream: ImageStream) -> dict[str, Image]:
    """All images of a stream's history, and their children, as far as they are stored."""
    found: dict[str, Image] = {}
    asked: set[str] = set()
    while missing := wanted_images(stream, found) - asked:
        asked |= missing
        found |= load_images(work.session, sorted(missing))
    return found
