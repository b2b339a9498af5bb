"""Images: stored once by digest and never changed by another import (imports-3.33).

They are written in batches of a hundred, each unpacked only for its own statements, so that an
import of ten thousand needs the memory of a hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import and_, delete, literal, select, update
from sqlalchemy.orm import Session

from models.errors import StreamConflictError
from models.images.compressed_image import PackedImage
from models.resources.image import Image
from models.store.changes.change_log import Change, Verb, record_changes
from models.store.changes.object_snapshots import count_objects
from models.store.database.bulk_statements import (
    in_chunks,
    insert_into,
    insert_missing,
    insert_rows,
    table_of,
)
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.images.image_mapping import (
    IMAGE_KIND,
    ImageValues,
    image_values,
    load_images_by_digest,
    load_images_of_rows,
    select_images,
)
from models.store.tables.changes import ChangeRow
from models.store.tables.images import (
    ImageLayerRow,
    ImageManifestRow,
    ImageRow,
    ImageSourceRow,
    SourceRepositoryRow,
)

IMAGE_BATCH_SIZE = 100
_PART_TABLES: dict[str, type[ImageLayerRow | ImageManifestRow]] = {
    "layers": ImageLayerRow,
    "manifests": ImageManifestRow,
}


def save_images(session: Session, images: Iterable[PackedImage | Image], *, now: datetime) -> int:
    """Store the Images that do not exist yet; return how many those were.

    A stored Image stays exactly as it is. Packed Images, which come from imports, are stored
    without manifest, config and signatures (imports-3.33).
    """
    added = insert_images(session, images, now=now)
    assign_image_versions(session, added, now=now)
    return len(added)


def insert_images(
    session: Session, images: Iterable[PackedImage | Image], *, now: datetime
) -> list[str]:
    """Insert the Images that do not exist yet; return their digests.

    They still need `assign_image_versions`. Rows are inserted in the order of digests: an import of
    A, B and one of B, A would otherwise each hold one row and wait for the other (deadlock).
    """
    by_digest = {image.name: image for image in images if not _is_stored(image)}
    added: list[str] = []
    for names in in_chunks(sorted(by_digest), IMAGE_BATCH_SIZE):
        stored = set(session.scalars(select(ImageRow.digest).where(ImageRow.digest.in_(names))))
        batch = [image_values(by_digest[name], now=now) for name in names if name not in stored]
        if batch:
            added.extend(_insert_batch(session, batch))
    return added


def assign_image_versions(session: Session, names: Collection[str], *, now: datetime) -> None:
    """Assign resource versions to Images that were just inserted.

    Call it late in the transaction: from here on it blocks all other writers of changes.
    """
    if not names:
        return
    changes = [Change(IMAGE_KIND, name, Verb.ADDED) for name in names]
    first = record_changes(session, changes, now=now)
    is_new_change = and_(ChangeRow.version >= first, ChangeRow.version < first + len(changes))
    statement = update(table_of(ImageRow)).values(version=ChangeRow.version)
    session.connection().execute(statement.where(is_new_change, ChangeRow.name == ImageRow.digest))


def load_image(session: Session, digest: str, *, for_update: bool = False) -> Image | None:
    """Return the Image of that name; with `for_update`, block its other writers."""
    return load_images_by_digest(session, [digest], for_update=for_update).get(digest)


def load_images(session: Session, digests: Collection[str]) -> dict[str, Image]:
    """Return the Images that are stored, by name."""
    return load_images_by_digest(session, digests)


def list_images(session: Session, *, limit: int, after: str | None = None) -> list[Image]:
    """Return a page of Images in the order of names; `after` is the last one seen."""
    return load_images_of_rows(session, session.execute(select_images(after).limit(limit)).all())


def count_images(session: Session, *, after: str | None = None) -> int:
    """Count the Images after the name `after`."""
    return count_objects(session, IMAGE_KIND, after=None if after is None else ("", after))


def update_image(session: Session, old: Image, new: Image, *, now: datetime) -> Image:
    """Replace an Image, which no import does; return it as it is stored now.

    Raise StreamConflictError when the stored Image is no longer `old`. An equal one is not written
    again.
    """
    stored = load_image(session, old.name, for_update=True)
    if stored is None or stored.metadata.resource_version != old.metadata.resource_version:
        raise StreamConflictError(MODIFIED_MESSAGE, name=old.name, resource="images")
    values, old_values = image_values(new, now=now), image_values(stored, now=now)
    immutable = ("digest", "uid", "created")
    columns = {name: value for name, value in values.image.items() if name not in immutable}
    before = {name: value for name, value in old_values.image.items() if name not in immutable}
    changed_parts = [
        part for part in _PART_TABLES if getattr(values, part) != getattr(old_values, part)
    ]
    if columns == before and not changed_parts:
        return stored
    change = Change(IMAGE_KIND, old.name, Verb.MODIFIED, before=stored.wire())
    version = record_changes(session, [change], now=now)
    table = table_of(ImageRow)
    statement = update(table).where(table.c.digest == old.name).values(version=version, **columns)
    image_id = session.connection().execute(statement.returning(table.c.id)).scalar_one()
    for part in changed_parts:
        row = _PART_TABLES[part]
        session.connection().execute(delete(row).where(row.image_id == image_id))
        rows = [{"image_id": image_id, **each} for each in getattr(values, part)]
        insert_rows(session, row, rows)
    return load_images_by_digest(session, [old.name])[old.name]


def delete_image(session: Session, digest: str, *, now: datetime) -> int:
    """Delete an Image, even if tags still refer to it; return the version of the deletion, or 0."""
    stored = load_image(session, digest, for_update=True)
    if stored is None:
        return 0
    session.connection().execute(delete(ImageRow).where(ImageRow.digest == digest))
    change = Change(IMAGE_KIND, digest, Verb.DELETED, before=stored.wire())
    return record_changes(session, [change], now=now)


def list_images_with_layer(session: Session, digest: str) -> list[str]:
    """Return the names of all Images that contain a layer, sorted."""
    return _list_image_names(session, ImageLayerRow, digest)


def list_images_with_manifest(session: Session, digest: str) -> list[str]:
    """Return the names of all indexes that list a manifest, sorted."""
    return _list_image_names(session, ImageManifestRow, digest)


def load_served_images(
    session: Session, repository: str, credential_scopes: Collection[str]
) -> list[tuple[str, str]]:
    """Return digest and scope of each Image the repository served to one of `credential_scopes`."""
    if not credential_scopes:
        return []
    query = (
        select(ImageRow.digest, SourceRepositoryRow.scope)
        .join(ImageSourceRow, ImageSourceRow.image_id == ImageRow.id)
        .join(SourceRepositoryRow, SourceRepositoryRow.id == ImageSourceRow.source_id)
        .where(
            SourceRepositoryRow.repository == repository,
            SourceRepositoryRow.scope.in_(list(credential_scopes)),
        )
    )
    return [(digest, scope) for digest, scope in session.execute(query)]


def save_served_images(
    session: Session, repository: str, credential_scope: str, digests: Collection[str]
) -> None:
    """Record that a repository served those Images to that credential scope; others are ignored."""
    if not digests:
        return
    insert_missing(
        session, SourceRepositoryRow, [{"repository": repository, "scope": credential_scope}]
    )
    source_id = session.scalars(
        select(SourceRepositoryRow.id).where(
            SourceRepositoryRow.repository == repository,
            SourceRepositoryRow.scope == credential_scope,
        )
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
    """Insert the Images that no other transaction has inserted meanwhile; return their names."""
    insert_missing(session, ImageRow, [values.image for values in batch])
    names = [values.image["digest"] for values in batch]
    found = session.execute(select(ImageRow.uid, ImageRow.id).where(ImageRow.digest.in_(names)))
    ids = {row.uid: row.id for row in found}
    inserted = [values for values in batch if values.uid in ids]
    for part, row in _PART_TABLES.items():
        insert_rows(
            session,
            row,
            [
                {"image_id": ids[values.uid], **each}
                for values in inserted
                for each in getattr(values, part)
            ],
        )
    return [values.image["digest"] for values in inserted]


def _list_image_names(
    session: Session, row: type[ImageLayerRow | ImageManifestRow], digest: str
) -> list[str]:
    names = (
        select(ImageRow.digest)
        .join(row, row.image_id == ImageRow.id)
        .where(row.digest == digest)
        .distinct()
        .order_by(ImageRow.digest)
    )
    return list(session.scalars(names))
