"""From a manifest and its config to an Image with layers and metadata (`import.md` 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.errors import ContentError
from models.images.docker_metadata import build_metadata
from models.images.manifest import ImageDocument, IndexDocument, Schema1Document
from models.oci import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    SCHEMA1,
    SCHEMA1_LAYER,
    Descriptor,
    strict_json,
)
from models.reference import Reference
from models.resources.image import Image, ImageLayer, ImageManifest
from models.resources.meta import ObjectMeta
from models.resources.wire import format_time

LAYER_ORDER = "image.openshift.io/dockerLayersOrder"
ASCENDING = {LAYER_ORDER: "ascending"}
EMPTY_CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def needs_config(manifest: ImageDocument) -> bool:
    """Whether the config is an image's and has to be fetched; artifacts' never are (B8 to B10)."""
    return is_image(manifest) and inline_config(manifest) is None


def is_image(manifest: ImageDocument) -> bool:
    """Whether the config is an image config (`registry.md` 5.2)."""
    if manifest.artifact_type:
        return False
    kind = manifest.config.media_type
    old_docker = manifest.media_type == DOCKER_MANIFEST and kind == "application/octet-stream"
    return kind in {OCI_CONFIG, DOCKER_CONFIG} or old_docker


def inline_config(manifest: ImageDocument) -> bytes | None:
    """The config's bytes where they are known without a request."""
    if manifest.config.data is not None:
        return manifest.config.data
    return b"{}" if manifest.config.digest == EMPTY_CONFIG else None


def build_image(manifest: ImageDocument, config: bytes | None, *, repository: Reference) -> Image:
    """The Image of a schema2 or OCI manifest.

    `repository` is the reference as it was written, whose registry, namespace and name the
    Image's own reference keeps. Without `config` the image is built from the manifest alone:
    artifacts and attestations (B7, B8). The size counts the config's fetched bytes (Q26) and
    every distinct layer once.
    """
    document = None if config is None else _read_config(config)
    config_size = manifest.config.size if config is None else len(config)
    return Image(
        metadata=ObjectMeta(name=manifest.digest, annotations=dict(ASCENDING)),
        docker_image_reference=pull_spec(repository, manifest.digest),
        docker_image_metadata=build_metadata(
            document,
            image_id=manifest.config.digest,
            size=config_size + _distinct_size(manifest.layers, seen=manifest.config.digest),
            created=manifest.created,
        ),
        docker_image_manifest=manifest.content.decode("utf-8", "replace"),
        docker_image_layers=[
            ImageLayer(name=layer.digest, size=layer.size, media_type=layer.media_type)
            for layer in manifest.layers
        ],
        docker_image_manifest_media_type=manifest.media_type,
        docker_image_config="" if config is None else config.decode("utf-8", "replace"),
    )


def build_index_image(index: IndexDocument, *, repository: Reference, now: datetime) -> Image:
    """The Image of a list or index that is kept as such (PreserveOriginal)."""
    metadata = build_metadata(None, image_id=index.digest)
    metadata["Created"] = format_time(now)
    return Image(
        metadata=ObjectMeta(name=index.digest),
        docker_image_reference=pull_spec(repository, index.digest),
        docker_image_metadata=metadata,
        docker_image_manifest_media_type=index.media_type,
        docker_image_manifests=[_index_entry(entry) for entry in index.manifests],
    )


def build_schema1_image(
    manifest: Schema1Document, sizes: Mapping[str, int], *, repository: Reference
) -> Image:
    """The Image of a schema1 manifest, layers oldest first.

    `sizes` holds the layers that were asked for (`missing_sizes`); it fills in what the history
    does not say (Q27, Q28).
    """
    written = _history_sizes(manifest)
    known = {**sizes, **{digest: size for digest, size in written.items() if size}}
    complete = _is_complete(manifest)
    layers = [
        ImageLayer(
            name=layer.digest,
            size=_size_of(layer.compatibility) if complete else known.get(layer.digest, 0),
            media_type=SCHEMA1_LAYER,
        )
        for layer in reversed(manifest.layers)
    ]
    top = manifest.layers[0].compatibility
    return Image(
        metadata=ObjectMeta(name=manifest.digest, annotations=dict(ASCENDING)),
        docker_image_reference=pull_spec(repository, manifest.digest),
        docker_image_metadata=build_metadata(
            top, image_id=str(top.get("id") or ""), size=sum({**written, **known}.values())
        ),
        docker_image_manifest=manifest.content.decode("utf-8", "replace"),
        docker_image_layers=layers,
        docker_image_manifest_media_type=SCHEMA1,
    )


def missing_sizes(manifest: Schema1Document) -> tuple[str, ...]:
    """The distinct layers whose size the history does not say, oldest first."""
    if _is_complete(manifest):
        return ()
    written = _history_sizes(manifest)
    silent = [
        layer.digest
        for layer in reversed(manifest.layers)
        if not written[layer.digest] and not _says_size(layer.compatibility)
    ]
    return tuple(dict.fromkeys(silent))


def pull_spec(repository: Reference, digest: str) -> str:
    """The reference as written, by digest: `redis:7` becomes `redis@sha256:…`."""
    by_digest = Reference(
        repository.registry, repository.namespace, repository.name, repository.tag, digest
    )
    return by_digest.most_specific().exact()


def normalise_layer_order(image: Image) -> Image:
    """An Image of old data without the order mark, as it is read today (`import.md` 3.8)."""
    if not image.docker_image_layers or LAYER_ORDER in image.metadata.annotations:
        return image
    layers = image.docker_image_layers
    if "manifest.v1+" not in image.docker_image_manifest_media_type or (
        image.docker_image_manifest_media_type.startswith("application/vnd.oci.")
    ):
        layers = layers[::-1]
    annotations = {**image.metadata.annotations, **ASCENDING}
    return image.replace(
        docker_image_layers=layers, metadata=image.metadata.replace(annotations=annotations)
    )


def _read_config(config: bytes) -> dict[str, Any]:
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        raise ContentError("the image config is no JSON object", code="content.invalid")
    return document


def _distinct_size(layers: tuple[Descriptor, ...], *, seen: str) -> int:
    sizes: dict[str, int] = {}
    for layer in layers:
        sizes.setdefault(layer.digest, layer.size)
    sizes.pop(seen, None)
    return sum(sizes.values())


def _index_entry(entry: Descriptor) -> ImageManifest:
    platform = entry.platform
    return ImageManifest(
        digest=entry.digest,
        media_type=entry.media_type,
        manifest_size=entry.size,
        architecture=platform.architecture if platform and platform.architecture else "unknown",
        os=platform.os if platform and platform.os else "unknown",
        variant=platform.variant if platform else "",
    )


def _history_sizes(manifest: Schema1Document) -> dict[str, int]:
    """Size by layer digest; of doubles the first that is said, oldest first, wins."""
    sizes: dict[str, int] = {}
    for layer in reversed(manifest.layers):
        size = _size_of(layer.compatibility)
        if not sizes.get(layer.digest):
            sizes[layer.digest] = size
    return sizes


def _is_complete(manifest: Schema1Document) -> bool:
    """Whether the history says every layer's size; all zeros say nothing."""
    said = all(_says_size(layer.compatibility) for layer in manifest.layers)
    return said and any(_size_of(layer.compatibility) for layer in manifest.layers)


def _says_size(compatibility: Mapping[str, Any]) -> bool:
    return any(key.lower() == "size" for key in compatibility)


def _size_of(compatibility: Mapping[str, Any]) -> int:
    for key, value in compatibility.items():
        if key.lower() == "size":
            return value if type(value) is int and value > 0 else 0
    return 0
