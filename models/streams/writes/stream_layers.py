"""ImageStreamLayers: every blob that a stream's images need (api-26.3, api-26.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from models.oci import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST
from models.resources.image import Image
from models.resources.stream import (
    ImageBlobReferences,
    ImageLayerData,
    ImageStream,
    ImageStreamLayers,
)

_CONFIG_TYPES = {DOCKER_MANIFEST: DOCKER_CONFIG, OCI_MANIFEST: OCI_CONFIG}


def missing_images(stream: ImageStream, images: Mapping[str, Image]) -> set[str]:
    """Return the names of all images that the view reaches and `images` lacks.

    Load them and call again with what was found until nothing is new: the children of an index are
    known only once the index is loaded.
    """
    return {name for name in _walk_images(stream, images) if name not in images}


def build_layers(stream: ImageStream, images: Mapping[str, Image]) -> ImageStreamLayers:
    """Build the view of a stream with its whole history.

    An image that `images` lacks counts as missing.
    """
    blobs: dict[str, ImageLayerData] = {}
    found: dict[str, ImageBlobReferences] = {}
    for name in _walk_images(stream, images):
        image = images.get(name)
        if image is None:
            found[name] = ImageBlobReferences(image_missing=True)
            continue
        for layer in image.docker_image_layers:
            data = ImageLayerData(size=layer.size, media_type=layer.media_type)
            blobs.setdefault(layer.name, data)
        config = _config_of(image)
        if config is not None:
            kind = _CONFIG_TYPES[image.docker_image_manifest_media_type]
            blobs.setdefault(config, ImageLayerData(media_type=kind))
        kind = image.docker_image_manifest_media_type or DOCKER_MANIFEST
        blobs.setdefault(name, ImageLayerData(media_type=kind))
        found[name] = ImageBlobReferences(
            layers=[layer.name for layer in image.docker_image_layers] or None,
            config=config,
            manifests=[entry.digest for entry in image.docker_image_manifests],
        )
    return ImageStreamLayers(metadata=stream.metadata, blobs=blobs, images=found)


def _walk_images(stream: ImageStream, images: Mapping[str, Image]) -> Iterator[str]:
    """Yield each image of the stream's history and each of their children, once, parents first."""
    seen: dict[str, None] = {
        event.image: None
        for history in stream.status.tags
        for event in history.items or ()
        if event.image
    }
    queue = deque(seen)
    while queue:
        name = queue.popleft()
        yield name
        image = images.get(name)
        for entry in image.docker_image_manifests if image is not None else ():
            if entry.digest not in seen:
                seen[entry.digest] = None
                queue.append(entry.digest)


def _config_of(image: Image) -> str | None:
    """Return the digest of the config, where the type of image has one and it is known."""
    if image.docker_image_manifest_media_type not in _CONFIG_TYPES:
        return None
    config = image.docker_image_metadata.get("Id")
    return config if isinstance(config, str) and config else None
