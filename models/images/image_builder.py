"""Images with layers and metadata, built from a manifest and its config (imports-3.21)."""

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
LAYERS_ASCENDING = {LAYER_ORDER: "ascending"}
EMPTY_CONFIG_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def needs_config(manifest: ImageDocument) -> bool:
    """Return whether the config is an image config and has to be fetched.

    Configs of artifacts are never fetched, and embedded or empty configs need no request
    (imports-3.28, imports-3.30).
    """
    return is_image(manifest) and inline_config(manifest) is None


def is_image(manifest: ImageDocument) -> bool:
    """Return whether the config of the manifest is an image config (registry-22.5)."""
    if manifest.artifact_type:
        return False
    kind = manifest.config.media_type
    old_docker = manifest.media_type == DOCKER_MANIFEST and kind == "application/octet-stream"
    return kind in {OCI_CONFIG, DOCKER_CONFIG} or old_docker


def inline_config(manifest: ImageDocument) -> bytes | None:
    """Return the config's bytes where no request is needed for them, else None (imports-3.30)."""
    if manifest.config.data is not None:
        return manifest.config.data
    return b"{}" if manifest.config.digest == EMPTY_CONFIG_DIGEST else None


def build_image(manifest: ImageDocument, config: bytes | None, *, repository: Reference) -> Image:
    """Build the Image of a schema2 or OCI manifest.

    `repository` is the reference as it was written; the Image's own reference keeps its registry,
    namespace and name. Without `config` the Image is built from the manifest alone: artifacts and
    attestations (imports-3.19, imports-3.28). The size counts the config's fetched bytes
    (imports-3.23) and every distinct layer once.
    """
    document = None if config is None else _read_config(config)
    config_size = manifest.config.size if config is None else len(config)
    return Image(
        metadata=ObjectMeta(name=manifest.digest, annotations=dict(LAYERS_ASCENDING)),
        docker_image_reference=pull_spec(repository, manifest.digest),
        docker_image_metadata=build_metadata(
            document,
            image_id=manifest.config.digest,
            size=config_size + _distinct_size(manifest.layers, except_for=manifest.config.digest),
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
    """Build the Image of a list or index that is imported as such (PreserveOriginal; imports-3.17).

    An index has no creation time of its own: `Created` is the time of the import (imports-3.21).
    """
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
    """Build the Image of a schema1 manifest, layers oldest first.

    `sizes` are the layer sizes that were requested (`missing_sizes`); they are used where the
    history has none (imports-3.24).
    """
    history_sizes = _history_sizes(manifest)
    known = {**sizes, **{digest: size for digest, size in history_sizes.items() if size}}
    has_all_sizes = _has_all_sizes(manifest)
    layers = [
        ImageLayer(
            name=layer.digest,
            size=_size_of(layer.compatibility) if has_all_sizes else known.get(layer.digest, 0),
            media_type=SCHEMA1_LAYER,
        )
        for layer in reversed(manifest.layers)
    ]
    newest = manifest.layers[0].compatibility
    return Image(
        metadata=ObjectMeta(name=manifest.digest, annotations=dict(LAYERS_ASCENDING)),
        docker_image_reference=pull_spec(repository, manifest.digest),
        docker_image_metadata=build_metadata(
            newest,
            image_id=str(newest.get("id") or ""),
            size=sum({**history_sizes, **known}.values()),
        ),
        docker_image_manifest=manifest.content.decode("utf-8", "replace"),
        docker_image_layers=layers,
        docker_image_manifest_media_type=SCHEMA1,
    )


def missing_sizes(manifest: Schema1Document) -> tuple[str, ...]:
    """Return the digests of the distinct layers whose size the history lacks, oldest first."""
    if _has_all_sizes(manifest):
        return ()
    history_sizes = _history_sizes(manifest)
    unsized = [
        layer.digest
        for layer in reversed(manifest.layers)
        if not history_sizes[layer.digest] and not _has_size(layer.compatibility)
    ]
    return tuple(dict.fromkeys(unsized))


def pull_spec(repository: Reference, digest: str) -> str:
    """Return the reference as written, by digest: `redis:7` becomes `redis@sha256:…`."""
    by_digest = Reference(
        repository.registry, repository.namespace, repository.name, repository.tag, digest
    )
    return by_digest.most_specific().exact()


def normalise_layer_order(image: Image) -> Image:
    """Order the layers of an old stored Image that has no order annotation (imports-3.35)."""
    if not image.docker_image_layers or LAYER_ORDER in image.metadata.annotations:
        return image
    layers = image.docker_image_layers
    if "manifest.v1+" not in image.docker_image_manifest_media_type or (
        image.docker_image_manifest_media_type.startswith("application/vnd.oci.")
    ):
        layers = layers[::-1]
    annotations = {**image.metadata.annotations, **LAYERS_ASCENDING}
    return image.replace(
        docker_image_layers=layers, metadata=image.metadata.replace(annotations=annotations)
    )


def _read_config(config: bytes) -> dict[str, Any]:
    document = strict_json(config, duplicates="last")
    if not isinstance(document, dict):
        raise ContentError("the image config is not a JSON object", code="content.invalid")
    return document


def _distinct_size(layers: tuple[Descriptor, ...], *, except_for: str) -> int:
    sizes: dict[str, int] = {}
    for layer in layers:
        sizes.setdefault(layer.digest, layer.size)
    sizes.pop(except_for, None)
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
    """Return sizes by layer digest; of duplicates the first nonzero size, oldest first, wins."""
    sizes: dict[str, int] = {}
    for layer in reversed(manifest.layers):
        size = _size_of(layer.compatibility)
        if not sizes.get(layer.digest):
            sizes[layer.digest] = size
    return sizes


def _has_all_sizes(manifest: Schema1Document) -> bool:
    """Return whether the history has a size for every layer; only zeros count as none."""
    all_have_size = all(_has_size(layer.compatibility) for layer in manifest.layers)
    return all_have_size and any(_size_of(layer.compatibility) for layer in manifest.layers)


def _has_size(compatibility: Mapping[str, Any]) -> bool:
    return any(key.lower() == "size" for key in compatibility)


def _size_of(compatibility: Mapping[str, Any]) -> int:
    for key, value in compatibility.items():
        if key.lower() == "size":
            return value if type(value) is int and value > 0 else 0
    return 0
