"""Images: stored once under their digest and never changed by another import (Q30).

They come in batches of a hundred, each unpacked only for its own statements, so that an import of
ten thousand needs the memory of a hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import and_, literal, select, update
from sqlalchemy.orm import Session

from models.images.packed import PackedImage
from models.resources.image import Image
from models.store.bulk import in_chunks, insert_into, insert_missing, insert_rows, table_of
from models.store.changes import Change, Verb, record_changes
from models.store.image_rows import (
    IMAGE_COLUMNS,
    LAYER_COLUMNS,
    MANIFEST_COLUMNS,
    ImageValues,
    build_stored_image,
    image_values,
    layer_of,
    manifest_of,
)
from models.store.tables.changes import ChangeRow
from models.store.tables.images import (
    ImageRow,
    ImageSourceRow,
    LayerRow,
    ManifestRow,
    SourceRow,
)

KIND = "Image"
BATCH = 100


def save_images(session: Session, images: Iterable[PackedImage | Image], *, now: datetime) -> int:
    """Store the Images that are not there yet; how many those were.

    A stored Image stays exactly as it was. Of packed ones, which imports bring, the manifest, the
    config and the signatures are left out (`import.md` 3.8).
    """
    added = insert_images(session, images, now=now)
    number_images(session, added, now=now)
    return len(added)


def insert_images(
    session: Session, images: Iterable[PackedImage | Image], *, now: datetime
) -> list[str]:
    """The digests of the Images that were added; they still need `number_images`.

    In the order of digests, so that two imports of the same images wait for each other instead of
    embracing.
    """
    wanted = {image.name: image for image in images if not _is_stored(image)}
    added: list[str] = []
    for names in in_chunks(sorted(wanted), BATCH):
        stored = set(session.scalars(select(ImageRow.digest).where(ImageRow.digest.in_(names))))
        batch = [image_values(wanted[name], now=now) for name in names if name not in stored]
        if batch:
            added.extend(_insert_batch(session, batch))
    return added


def number_images(session: Session, names: Collection[str], *, now: datetime) -> None:
    """Give resource versions to Images that were just added. Late: others wait from here on."""
    if not names:
        return
    changes = [Change(KIND, name, Verb.ADDED) for name in names]
    first = record_changes(session, changes, now=now)
    ours = and_(ChangeRow.version >= first, ChangeRow.version < first + len(changes))
    statement = update(table_of(ImageRow)).values(version=ChangeRow.version)
    session.connection().execute(statement.where(ours, ChangeRow.name == ImageRow.digest))


def load_image(session: Session, digest: str) -> Image | None:
    """The Image of that name."""
    return load_images(session, [digest]).get(digest)


def load_images(session: Session, digests: Collection[str]) -> dict[str, Image]:
    """Those of the Images that are stored, by name."""
    found: dict[str, Image] = {}
    for names in in_chunks(dict.fromkeys(digests)):
        rows = session.execute(select(*IMAGE_COLUMNS).where(ImageRow.digest.in_(names))).all()
        ids = [row.id for row in rows]
        layers: dict[int, list[dict[str, Any]]] = {}
        manifests: dict[int, list[dict[str, Any]]] = {}
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
        for row in rows:
            parts = layers.get(row.id, []), manifests.get(row.id, [])
            found[row.digest] = build_stored_image(row, *parts)
    return found


def images_with_layer(session: Session, digest: str) -> list[str]:
    """The names of all Images that hold a layer, sorted."""
    return _names_by(session, LayerRow, digest)


def images_with_manifest(session: Session, digest: str) -> list[str]:
    """The names of all indexes that list a manifest, sorted."""
    return _names_by(session, ManifestRow, digest)


def load_held(session: Session, repository: str, scopes: Collection[str]) -> list[tuple[str, str]]:
    """Digest and scope of each stored Image that the repository served to one of `scopes`."""
    if not scopes:
        return []
    held = (
        select(ImageRow.digest, SourceRow.scope)
        .join(ImageSourceRow, ImageSourceRow.image_id == ImageRow.id)
        .join(SourceRow, SourceRow.id == ImageSourceRow.source_id)
        .where(SourceRow.repository == repository, SourceRow.scope.in_(list(scopes)))
    )
    return [(digest, scope) for digest, scope in session.execute(held)]


def save_held(session: Session, repository: str, scope: str, digests: Collection[str]) -> None:
    """Remember that a repository served those Images by that right; only stored ones count."""
    if not digests:
        return
    insert_missing(session, SourceRow, [{"repository": repository, "scope": scope}])
    source_id = session.scalars(
        select(SourceRow.id).where(SourceRow.repository == repository, SourceRow.scope == scope)
    ).one()
    for names in in_chunks(sorted(set(digests))):
        images = (
            select(literal(source_id), ImageRow.id)
            .where(ImageRow.digest.in_(names))
            .order_by(ImageRow.id)
        )
        statement = insert_into(session, ImageSourceRow).from_select(
            ["source_id", "image_id"], images
        )
        session.connection().execute(statement.on_conflict_do_nothing())


def _is_stored(image: PackedImage | Image) -> bool:
    return isinstance(image, PackedImage) and image.is_stored


def _insert_batch(session: Session, batch: list[ImageValues]) -> list[str]:
    """Insert what nobody else inserted meanwhile; the names of those."""
    insert_missing(session, ImageRow, [values.image for values in batch])
    names = [values.image["digest"] for values in batch]
    found = session.execute(select(ImageRow.uid, ImageRow.id).where(ImageRow.digest.in_(names)))
    ids = {row.uid: row.id for row in found}
    ours = [values for values in batch if values.uid in ids]
    for row, part in ((LayerRow, "layers"), (ManifestRow, "manifests")):
        insert_rows(
            session,
            row,
            [
                {"image_id": ids[values.uid], **each}
                for values in ours
                for each in getattr(values, part)
            ],
        )
    return [values.image["digest"] for values in ours]


def _names_by(session: Session, row: type[LayerRow | ManifestRow], digest: str) -> list[str]:
    names = (
        select(ImageRow.digest)
        .join(row, row.image_id == ImageRow.id)
        .where(row.digest == digest)
        .distinct()
        .order_by(ImageRow.digest)
    )
    return list(session.scalars(names))
