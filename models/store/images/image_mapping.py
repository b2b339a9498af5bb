"""Conversion between an Image and its rows.

The packed form is converted to rows directly, without a resource in between.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.images.compressed_image import PackedImage
from models.images.image_builder import normalise_layer_order
from models.resources.image import Image
from models.store.database.bulk_statements import AnyRow, AnySelect, in_chunks
from models.store.database.object_metadata import metadata_without_columns
from models.store.tables.images import ImageLayerRow, ImageManifestRow, ImageRow

IMAGE_KIND = "Image"
IMAGE_COLUMNS = (
    ImageRow.id,
    ImageRow.digest,
    ImageRow.uid,
    ImageRow.version,
    ImageRow.created,
    ImageRow.reference,
    ImageRow.media_type,
    ImageRow.details,
    ImageRow.details_version,
    ImageRow.annotations,
    ImageRow.rest,
)
LAYER_COLUMNS = (
    ImageLayerRow.image_id,
    ImageLayerRow.digest,
    ImageLayerRow.size,
    ImageLayerRow.media_type,
)
MANIFEST_COLUMNS = (
    ImageManifestRow.image_id,
    ImageManifestRow.digest,
    ImageManifestRow.media_type,
    ImageManifestRow.size,
    ImageManifestRow.architecture,
    ImageManifestRow.os,
    ImageManifestRow.variant,
)
# Wire keys without a column. Imports leave them empty: of a packed Image they are not stored.
_KEYS_WITHOUT_COLUMN = (
    "dockerImageManifest",
    "dockerImageConfig",
    "signatures",
    "dockerImageSignatures",
)


@dataclass(slots=True)
class ImageValues:
    """The rows of one Image; layers and manifests lack only the image's id."""

    uid: UUID
    image: dict[str, Any]
    layers: list[dict[str, Any]]
    manifests: list[dict[str, Any]]


def image_values(image: PackedImage | Image, *, now: datetime) -> ImageValues:
    """Return the rows of an Image. A packed one comes from an import (imports-3.33)."""
    rest: dict[str, Any] = {}
    if isinstance(image, PackedImage):
        wire = json.loads(zlib.decompress(image.content))
        reference = image.reference
    else:
        wire = image.wire()
        reference = image.docker_image_reference
        rest = _values_without_columns(image, wire)
    uid = uuid4()
    return ImageValues(
        uid,
        {
            "digest": wire["metadata"]["name"],
            "uid": uid,
            "created": now,
            "reference": reference,
            "media_type": wire.get("dockerImageManifestMediaType", ""),
            "details": wire["dockerImageMetadata"],
            "details_version": wire["dockerImageMetadataVersion"],
            "annotations": wire["metadata"].get("annotations"),
            "rest": rest or None,
        },
        [
            {
                "position": position,
                "digest": layer["name"],
                "size": layer["size"],
                "media_type": layer["mediaType"],
            }
            for position, layer in enumerate(wire.get("dockerImageLayers", ()))
        ],
        [
            {
                "position": position,
                "digest": entry["digest"],
                "media_type": entry["mediaType"],
                "size": entry["manifestSize"],
                "architecture": entry["architecture"],
                "os": entry["os"],
                "variant": entry.get("variant", ""),
            }
            for position, entry in enumerate(wire.get("dockerImageManifests", ()))
        ],
    )


def build_stored_image(
    row: AnyRow, layers: Sequence[dict[str, Any]], manifests: Sequence[dict[str, Any]]
) -> Image:
    """Build the Image from its rows."""
    rest = dict(row.rest or {})
    image = Image.model_validate(
        {
            "metadata": {
                "name": row.digest,
                "uid": str(row.uid),
                "resource_version": str(row.version),
                "creation_timestamp": row.created,
                "annotations": row.annotations or {},
                **rest.pop("metadata", {}),
            },
            "docker_image_reference": row.reference,
            "docker_image_metadata": row.details,
            "docker_image_metadata_version": row.details_version,
            "docker_image_manifest_media_type": row.media_type,
            "docker_image_layers": layers,
            "docker_image_manifests": manifests,
            **rest,
        }
    )
    return normalise_layer_order(image)


def select_images(after: str | None = None) -> AnySelect:
    """Return the query of images after the digest `after`, in the order of digests."""
    query = select(*IMAGE_COLUMNS).order_by(ImageRow.digest)
    return query if after is None else query.where(ImageRow.digest > after)


def load_images_by_digest(
    session: Session, digests: Iterable[str], *, for_update: bool = False
) -> dict[str, Image]:
    """Return the Images that are stored, by name."""
    found: dict[str, Image] = {}
    for names in in_chunks(dict.fromkeys(digests)):
        query = select(*IMAGE_COLUMNS).where(ImageRow.digest.in_(names))
        if for_update:
            query = query.with_for_update()
        images = load_images_of_rows(session, session.execute(query).all())
        found.update({image.name: image for image in images})
    return found


def load_images_of_rows(session: Session, rows: Sequence[AnyRow]) -> list[Image]:
    """Return the Images of rows of IMAGE_COLUMNS, with their layers and manifests."""
    layers: dict[int, list[dict[str, Any]]] = {}
    manifests: dict[int, list[dict[str, Any]]] = {}
    for ids in in_chunks(row.id for row in rows):
        for layer in session.execute(
            select(*LAYER_COLUMNS)
            .where(ImageLayerRow.image_id.in_(ids))
            .order_by(ImageLayerRow.image_id, ImageLayerRow.position)
        ):
            layers.setdefault(layer.image_id, []).append(layer_values(layer))
        for entry in session.execute(
            select(*MANIFEST_COLUMNS)
            .where(ImageManifestRow.image_id.in_(ids))
            .order_by(ImageManifestRow.image_id, ImageManifestRow.position)
        ):
            manifests.setdefault(entry.image_id, []).append(manifest_values(entry))
    return [
        build_stored_image(row, layers.get(row.id, []), manifests.get(row.id, [])) for row in rows
    ]


def layer_values(row: AnyRow) -> dict[str, Any]:
    """Return a row of LAYER_COLUMNS in the form that the resource parses."""
    return {"name": row.digest, "size": row.size, "media_type": row.media_type}


def manifest_values(row: AnyRow) -> dict[str, Any]:
    """Return a row of MANIFEST_COLUMNS in the form that the resource parses."""
    return {
        "digest": row.digest,
        "media_type": row.media_type,
        "manifest_size": row.size,
        "architecture": row.architecture,
        "os": row.os,
        "variant": row.variant,
    }


def _values_without_columns(image: Image, wire: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of an Image that have no column."""
    metadata = metadata_without_columns(image.metadata)
    if image.metadata.labels:
        metadata["labels"] = image.metadata.labels
    rest = {key: wire[key] for key in _KEYS_WITHOUT_COLUMN if wire.get(key)}
    return {**rest, "metadata": metadata} if metadata else rest
