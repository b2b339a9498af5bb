"""Images: stored once under their digest and never changed by another import (Q30).

They come in batches of a hundred, each unpacked only for its own statements, so that an import of
ten thousand needs the memory of a hundred.
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
from models.store.database.db_errors import MODIFIED
from models.store.images.image_mapping import (
    KIND,
    ImageValues,
    build_images,
    image_values,
    read_images,
    select_images,
)
from models.store.tables.changes import ChangeRow
from models.store.tables.images import (
    ImageRow,
    ImageSourceRow,
    LayerRow,
    ManifestRow,
    SourceRow,
)

BATCH = 100
_PARTS: dict[str, type[LayerRow | ManifestRow]] = {"layers": LayerRow, "manifests": ManifestRow}


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


def load_image(session: Session, digest: str, *, for_update: bool = False) -> Image | None:
    """The Image of that name; `for_update` keeps other writers of it waiting."""
    return read_images(session, [digest], for_update=for_update).get(digest)


def load_images(session: Session, digests: Collection[str]) -> dict[str, Image]:
    """Those of the Images that are stored, by name."""
    return read_images(session, digests)


def list_images(session: Session, *, limit: int, after: str | None = None) -> list[Image]:
    """A page of Images in the order of names; `after` is the last one seen."""
    return build_images(session, session.execute(select_images(after).limit(limit)).all())


def count_images(session: Session, *, after: str | None = None) -> int:
    """How many Images lie behind `after`."""
    return count_objects(session, KIND, after=None if after is None else ("", after))


def update_image(session: Session, old: Image, new: Image, *, now: datetime) -> Image:
    """Replace an Image, which is none of an import's business; as it is stored now.

    Raises StreamConflictError when the stored Image is no longer `old`. An equal one is not
    written again.
    """
    stored = load_image(session, old.name, for_update=True)
    if stored is None or stored.metadata.resource_version != old.metadata.resource_version:
        raise StreamConflictError(MODIFIED, name=old.name, resource="images")
    values, then = image_values(new, now=now), image_values(stored, now=now)
    kept = ("digest", "uid", "created")
    columns = {name: value for name, value in values.image.items() if name not in kept}
    before = {name: value for name, value in then.image.items() if name not in kept}
    moved = [part for part in _PARTS if getattr(values, part) != getattr(then, part)]
    if columns == before and not moved:
        return stored
    change = Change(KIND, old.name, Verb.MODIFIED, before=stored.wire())
    version = record_changes(session, [change], now=now)
    table = table_of(ImageRow)
    written = update(table).where(table.c.digest == old.name).values(version=version, **columns)
    image_id = session.connection().execute(written.returning(table.c.id)).scalar_one()
    for part in moved:
        row = _PARTS[part]
        session.connection().execute(delete(row).where(row.image_id == image_id))
        rows = [{"image_id": image_id, **each} for each in getattr(values, part)]
        insert_rows(session, row, rows)
    return read_images(session, [old.name])[old.name]


def delete_image(session: Session, digest: str, *, now: datetime) -> int:
    """Remove an Image, whoever still names it; the version of the deletion, 0: there is none."""
    stored = load_image(session, digest, for_update=True)
    if stored is None:
        return 0
    session.connection().execute(delete(ImageRow).where(ImageRow.digest == digest))
    change = Change(KIND, digest, Verb.DELETED, before=stored.wire())
    return record_changes(session, [change], now=now)


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
    for part, row in _PARTS.items():
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
