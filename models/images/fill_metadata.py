"""What an Image's own manifest and config say of it, for images that clients write (`api.md` B3.8).

Imports have read the manifest already; this is for manifests as clients send them. They are read
less strictly than those of registries, and where one makes no sense, what was filled in stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.errors import ContentError
from models.images.docker_metadata import build_metadata
from models.images.image_builder import ASCENDING, LAYER_ORDER, build_index_image
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
class _Filled:
    """How far the filling came, and why no further."""

    image: Image
    problem: ContentError | None = None


def fill_metadata(image: Image, *, now: datetime) -> Image:
    """The Image with layers, media type and metadata from its manifest and config text.

    An Image without a manifest, or with everything filled in already, stays as it is, but for the
    order of its layers.
    """
    return _fill(image, now=now).image


def fill_problem(image: Image, *, now: datetime) -> str:
    """Why not everything could be filled in; empty where it could. For a log, never a refusal."""
    problem = _fill(image, now=now).problem
    return "" if problem is None else problem.text


def _fill(image: Image, *, now: datetime) -> _Filled:
    if not image.docker_image_manifest:
        return _Filled(image)
    image = _order_layers(image)
    size = image.docker_image_metadata.get("Size")
    if image.docker_image_layers and size and image.docker_image_manifest_media_type:
        return _Filled(image)
    try:
        manifest = _read_object(image.docker_image_manifest)
        if _type_of(manifest, image) in INDEX_TYPES:
            return _Filled(_fill_index(image, now))
        if not image.docker_image_layers:
            image = _with_layers(image, _read_layers(manifest))
        version = manifest.get("schemaVersion")
        if version == 1:
            return _Filled(_fill_schema1(image, manifest))
        if version == 2:
            media_type = (
                _text(manifest, "mediaType")
                or image.docker_image_manifest_media_type
                or DOCKER_MANIFEST
            )
            image = image.replace(docker_image_manifest_media_type=media_type)
            return _Filled(_fill_schema2(image, manifest))
        raise _wrong(f"unrecognized container image manifest schema {version!r}"[:120])
    except ContentError as problem:
        return _Filled(image, problem)


def _order_layers(image: Image) -> Image:
    """Oldest layer first. Without a mark, the media type says which way they were written."""
    layers = image.docker_image_layers
    order = image.metadata.annotations.get(LAYER_ORDER)
    media_type = image.docker_image_manifest_media_type
    if not layers or (order is None and media_type not in SCHEMA1_TYPES | IMAGE_TYPES):
        return image
    if order == "descending" or (order is None and media_type in IMAGE_TYPES):
        layers = layers[::-1]
    return _with_layers(image, layers)


def _with_layers(image: Image, layers: list[ImageLayer]) -> Image:
    annotations = {**image.metadata.annotations, **ASCENDING}
    return image.replace(
        docker_image_layers=layers, metadata=image.metadata.replace(annotations=annotations)
    )


def _type_of(manifest: Mapping[str, Any], image: Image) -> str:
    return _text(manifest, "mediaType") or image.docker_image_manifest_media_type


def _fill_index(image: Image, now: datetime) -> Image:
    """An index is its own id. It is dated once, so that writing it again changes nothing."""
    metadata = image.docker_image_metadata
    if metadata.get("Id") == image.name and metadata.get("Created"):
        return image
    dated = {**metadata, "Id": image.name, "Created": format_time(now)}
    return image.replace(docker_image_metadata=dated)


def _fill_schema1(image: Image, manifest: Mapping[str, Any]) -> Image:
    image = image.replace(docker_image_manifest_media_type=SCHEMA1)
    history = _list(manifest, "history")
    if not history:
        return image
    newest = _compatibility(history[0])
    metadata = build_metadata(
        newest, image_id=_text(newest, "id"), size=_layers_size(image, except_for="")
    )
    return image.replace(docker_image_metadata=metadata)


def _fill_schema2(image: Image, manifest: Mapping[str, Any]) -> Image:
    if not image.docker_image_config:
        raise _wrong("dockerImageConfig must not be empty for manifest schema 2")
    config = image.docker_image_config.encode("utf-8", "replace")
    described = manifest.get("config")
    digest = _text(described, "digest") if isinstance(described, dict) else ""
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        raise _wrong("the image config is no JSON object")
    size = len(config) + _layers_size(image, except_for=digest)
    metadata = build_metadata(document, image_id=digest, size=size)
    return image.replace(docker_image_metadata=metadata)


def _layers_size(image: Image, *, except_for: str) -> int:
    """The bytes of the distinct layers."""
    sizes: dict[str, int] = {}
    for layer in image.docker_image_layers:
        sizes.setdefault(layer.name, layer.size)
    sizes.pop(except_for, None)
    return sum(sizes.values())


def _read_layers(manifest: Mapping[str, Any]) -> list[ImageLayer]:
    version = manifest.get("schemaVersion")
    if version == 2:
        return [_schema2_layer(layer) for layer in _list(manifest, "layers")]
    if version != 1:
        raise _wrong(f"unrecognized container image manifest schema {version!r}"[:120])
    layers, history = _list(manifest, "fsLayers"), _list(manifest, "history")
    if len(layers) != len(history):
        raise _wrong(
            f"mismatched history and fslayer cardinality ({len(history)} != {len(layers)})"
        )
    return [
        ImageLayer(
            name=_text(layer, "blobSum"),
            size=_number(_compatibility(entry), "Size"),
            media_type=SCHEMA1_LAYER,
        )
        for layer, entry in reversed(list(zip(layers, history, strict=True)))
    ]


def _schema2_layer(layer: Any) -> ImageLayer:
    return ImageLayer(
        name=_text(layer, "digest"),
        size=_number(layer, "size"),
        media_type=_text(layer, "mediaType"),
    )


def _compatibility(entry: Any) -> dict[str, Any]:
    return _read_object(_text(entry, "v1Compatibility"))


def _read_object(text: str) -> dict[str, Any]:
    document = strict_json(text.encode("utf-8", "replace"), duplicates="last")
    if not isinstance(document, dict):
        raise _wrong("the document is no JSON object")
    return document


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list | None):
        raise _wrong(f"{key} is no list")
    return value or []


def _text(document: Any, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else ""
    if not isinstance(value, str | None):
        raise _wrong(f"{key} is no text")
    return value or ""


def _number(document: Any, key: str) -> int:
    value = document.get(key) if isinstance(document, dict) else 0
    if value is not None and type(value) is not int:
        raise _wrong(f"{key} is no whole number")
    return value or 0


def _wrong(text: str) -> ContentError:
    return ContentError(text, code="content.invalid")


def list_manifests(image: Image, *, now: datetime) -> list[ImageManifest]:
    """The entries of an Image whose manifest text is a list or index; else those it has."""
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
