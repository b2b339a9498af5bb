"""Between an Image and its rows. The packed form goes straight to rows, without the resource."""

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
from models.store.database.object_metadata import rare_metadata
from models.store.tables.images import ImageRow, LayerRow, ManifestRow

KIND = "Image"
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
LAYER_COLUMNS = (LayerRow.image_id, LayerRow.digest, LayerRow.size, LayerRow.media_type)
MANIFEST_COLUMNS = (
    ManifestRow.image_id,
    ManifestRow.digest,
    ManifestRow.media_type,
    ManifestRow.size,
    ManifestRow.architecture,
    ManifestRow.os,
    ManifestRow.variant,
)
# Wire keys without a column. Imports leave them empty: of a packed Image they are not stored.
_REST = (
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
    """The rows of an Image. A packed one comes from an import (`import.md` 3.8 item 2)."""
    rest: dict[str, Any] = {}
    if isinstance(image, PackedImage):
        wire = json.loads(zlib.decompress(image.content))
        reference = image.reference
    else:
        wire = image.wire()
        reference = image.docker_image_reference
        rest = _rest_of(image, wire)
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
    """The Image of those rows."""
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
    """The rows of images behind `after`, in the order of digests."""
    wanted = select(*IMAGE_COLUMNS).order_by(ImageRow.digest)
    return wanted if after is None else wanted.where(ImageRow.digest > after)


def read_images(
    session: Session, digests: Iterable[str], *, for_update: bool = False
) -> dict[str, Image]:
    """Those of the Images that are stored, by name."""
    found: dict[str, Image] = {}
    for names in in_chunks(dict.fromkeys(digests)):
        wanted = select(*IMAGE_COLUMNS).where(ImageRow.digest.in_(names))
        if for_update:
            wanted = wanted.with_for_update()
        images = build_images(session, session.execute(wanted).all())
        found.update({image.name: image for image in images})
    return found


def build_images(session: Session, rows: Sequence[AnyRow]) -> list[Image]:
    """The Images of rows of IMAGE_COLUMNS, with what they are made of."""
    layers: dict[int, list[dict[str, Any]]] = {}
    manifests: dict[int, list[dict[str, Any]]] = {}
    for ids in in_chunks(row.id for row in rows):
        for layer in session.execute(
            select(*LAYER_COLUMNS)
            .where(LayerRow.image_id.in_(ids))
            .order_by(LayerRow.image_id, LayerRow.position)
        ):
            layers.setdefault(layer.image_id, []).append(layer_of(layer))
        for entry in session.execute(
            select(*MANIFEST_COLUMNS)
            .where(ManifestRow.image_id.in_(ids))
            .order_by(ManifestRow.image_id, ManifestRow.position)
        ):
            manifests.setdefault(entry.image_id, []).append(manifest_of(entry))
    return [
        build_stored_image(row, layers.get(row.id, []), manifests.get(row.id, [])) for row in rows
    ]


def layer_of(row: AnyRow) -> dict[str, Any]:
    """One layer of a row of LAYER_COLUMNS, as the resource reads it."""
    return {"name": row.digest, "size": row.size, "media_type": row.media_type}


def manifest_of(row: AnyRow) -> dict[str, Any]:
    """One entry of a row of MANIFEST_COLUMNS, as the resource reads it."""
    return {
        "digest": row.digest,
        "media_type": row.media_type,
        "manifest_size": row.size,
        "architecture": row.architecture,
        "os": row.os,
        "variant": row.variant,
    }


def _rest_of(image: Image, wire: dict[str, Any]) -> dict[str, Any]:
    """What of an Image has no column."""
    metadata = rare_metadata(image.metadata)
    if image.metadata.labels:
        metadata["labels"] = image.metadata.labels
    rest = {key: wire[key] for key in _REST if wire.get(key)}
    return {**rest, "metadata": metadata} if metadata else rest
