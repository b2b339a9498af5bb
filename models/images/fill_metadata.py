"""Layers, media type and metadata of Images that clients write (api-21.3, api-21.4, api-21.5,
api-21.6).

They are read from the Image's own manifest and config. Imports have read the manifest already; this
is for manifests as clients send them. These are read less strictly than those of registries, and
where one cannot be read, everything filled in so far stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.errors import ContentError
from models.images.docker_metadata import build_metadata
from models.images.image_builder import LAYER_ORDER, LAYERS_ASCENDING, build_index_image
from models.images.manifest import IndexDocument, parse_manifest
from models.oci import (
    DOCKER_MANIFEST,
    IMAGE_TYPES,
    INDEX_TYPES,
    SCHEMA1,
    SCHEMA1_LAYER,
    SCHEMA1_TYPES,
    strict_json,
)
from models.reference import Reference
from models.resources.image import Image, ImageLayer, ImageManifest
from models.resources.wire import format_time


@dataclass(frozen=True, slots=True)
class _FillResult:
    """The Image as far as it could be filled in, and the problem that stopped it."""

    image: Image
    problem: ContentError | None = None


def fill_metadata(image: Image, *, now: datetime) -> Image:
    """Fill in layers, media type and metadata from the manifest and config of the Image.

    An Image without a manifest, or with all of them filled in already, stays as it is, apart from
    the order of its layers.
    """
    return _fill(image, now=now).image


def fill_problem(image: Image, *, now: datetime) -> str:
    """Return why not everything could be filled in, or empty text.

    It is logged; it is never a reason for a refusal.
    """
    problem = _fill(image, now=now).problem
    return "" if problem is None else problem.text


def _fill(image: Image, *, now: datetime) -> _FillResult:
    if not image.docker_image_manifest:
        return _FillResult(image)
    image = _order_layers(image)
    size = image.docker_image_metadata.get("Size")
    if image.docker_image_layers and size and image.docker_image_manifest_media_type:
        return _FillResult(image)
    try:
        manifest = _parse_object(image.docker_image_manifest)
        if _media_type_of(manifest, image) in INDEX_TYPES:
            return _FillResult(_fill_index(image, now))
        if not image.docker_image_layers:
            image = _with_layers(image, _read_layers(manifest))
        version = manifest.get("schemaVersion")
        if version == 1:
            return _FillResult(_fill_schema1(image, manifest))
        if version == 2:
            media_type = (
                _text_field(manifest, "mediaType")
                or image.docker_image_manifest_media_type
                or DOCKER_MANIFEST
            )
            image = image.replace(docker_image_manifest_media_type=media_type)
            return _FillResult(_fill_schema2(image, manifest))
        raise _content_error(f"unrecognized container image manifest schema {version!r}"[:120])
    except ContentError as problem:
        return _FillResult(image, problem)


def _order_layers(image: Image) -> Image:
    """Order layers oldest first.

    Without an order annotation, the media type decides how they were written.
    """
    layers = image.docker_image_layers
    order = image.metadata.annotations.get(LAYER_ORDER)
    media_type = image.docker_image_manifest_media_type
    if not layers or (order is None and media_type not in SCHEMA1_TYPES | IMAGE_TYPES):
        return image
    if order == "descending" or (order is None and media_type in IMAGE_TYPES):
        layers = layers[::-1]
    return _with_layers(image, layers)


def _with_layers(image: Image, layers: list[ImageLayer]) -> Image:
    annotations = {**image.metadata.annotations, **LAYERS_ASCENDING}
    return image.replace(
        docker_image_layers=layers, metadata=image.metadata.replace(annotations=annotations)
    )


def _media_type_of(manifest: Mapping[str, Any], image: Image) -> str:
    return _text_field(manifest, "mediaType") or image.docker_image_manifest_media_type


def _fill_index(image: Image, now: datetime) -> Image:
    """Fill in an index, which is its own id.

    The date is set once, so a second write changes nothing.
    """
    metadata = image.docker_image_metadata
    if metadata.get("Id") == image.name and metadata.get("Created"):
        return image
    metadata_with_time = {**metadata, "Id": image.name, "Created": format_time(now)}
    return image.replace(docker_image_metadata=metadata_with_time)


def _fill_schema1(image: Image, manifest: Mapping[str, Any]) -> Image:
    image = image.replace(docker_image_manifest_media_type=SCHEMA1)
    history = _list_field(manifest, "history")
    if not history:
        return image
    newest = _parse_v1_compatibility(history[0])
    metadata = build_metadata(
        newest, image_id=_text_field(newest, "id"), size=_layers_size(image, except_for="")
    )
    return image.replace(docker_image_metadata=metadata)


def _fill_schema2(image: Image, manifest: Mapping[str, Any]) -> Image:
    if not image.docker_image_config:
        raise _content_error("dockerImageConfig must not be empty for manifest schema 2")
    config = image.docker_image_config.encode("utf-8", "replace")
    config_descriptor = manifest.get("config")
    digest = _text_field(config_descriptor, "digest") if isinstance(config_descriptor, dict) else ""
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        raise _content_error("the image config is not a JSON object")
    size = len(config) + _layers_size(image, except_for=digest)
    metadata = build_metadata(document, image_id=digest, size=size)
    return image.replace(docker_image_metadata=metadata)


def _layers_size(image: Image, *, except_for: str) -> int:
    """Return the bytes of the distinct layers, without the layer of digest `except_for`."""
    sizes: dict[str, int] = {}
    for layer in image.docker_image_layers:
        sizes.setdefault(layer.name, layer.size)
    sizes.pop(except_for, None)
    return sum(sizes.values())


def _read_layers(manifest: Mapping[str, Any]) -> list[ImageLayer]:
    version = manifest.get("schemaVersion")
    if version == 2:
        return [_schema2_layer(layer) for layer in _list_field(manifest, "layers")]
    if version != 1:
        raise _content_error(f"unrecognized container image manifest schema {version!r}"[:120])
    layers, history = _list_field(manifest, "fsLayers"), _list_field(manifest, "history")
    if len(layers) != len(history):
        raise _content_error(
            f"mismatched history and fslayer cardinality ({len(history)} != {len(layers)})"
        )
    return [
        ImageLayer(
            name=_text_field(layer, "blobSum"),
            size=_int_field(_parse_v1_compatibility(entry), "Size"),
            media_type=SCHEMA1_LAYER,
        )
        for layer, entry in reversed(list(zip(layers, history, strict=True)))
    ]


def _schema2_layer(layer: Any) -> ImageLayer:
    return ImageLayer(
        name=_text_field(layer, "digest"),
        size=_int_field(layer, "size"),
        media_type=_text_field(layer, "mediaType"),
    )


def _parse_v1_compatibility(entry: Any) -> dict[str, Any]:
    return _parse_object(_text_field(entry, "v1Compatibility"))


def _parse_object(text: str) -> dict[str, Any]:
    document = strict_json(text.encode("utf-8", "replace"), duplicates="last")
    if not isinstance(document, dict):
        raise _content_error("the document is not a JSON object")
    return document


def _list_field(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list | None):
        raise _content_error(f"{key} is not a list")
    return value or []


def _text_field(document: Any, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else ""
    if not isinstance(value, str | None):
        raise _content_error(f"{key} is not a string")
    return value or ""


def _int_field(document: Any, key: str) -> int:
    value = document.get(key) if isinstance(document, dict) else 0
    if value is not None and type(value) is not int:
        raise _content_error(f"{key} is not an integer")
    return value or 0


def _content_error(text: str) -> ContentError:
    return ContentError(text, code="content.invalid")


def build_manifest_entries(image: Image, *, now: datetime) -> list[ImageManifest]:
    """Return the index entries if the manifest text is an index, else the present entries."""
    media_type = image.docker_image_manifest_media_type
    if not image.docker_image_manifest or media_type not in INDEX_TYPES:
        return image.docker_image_manifests
    content = image.docker_image_manifest.encode("utf-8", "replace")
    try:
        index = parse_manifest(content, content_type=media_type)
    except ContentError:
        return image.docker_image_manifests
    if not isinstance(index, IndexDocument):
        return image.docker_image_manifests
    return build_index_image(index, repository=Reference(), now=now).docker_image_manifests
