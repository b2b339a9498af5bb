"""The number of tags in each repository when it was last listed, by credential scope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import in_chunks, insert_into
from models.store.tables.tag_lists import TagListRow
from models.streams.imports.tag_list_guard import KnownTagList, ObservedTagList, next_known_list

_COLUMNS = (
    TagListRow.repository,
    TagListRow.scope,
    TagListRow.tag_count,
    TagListRow.shrunk_tag_count,
    TagListRow.shrunk_at,
)
TagListKey = tuple[str, str]  # repository and scope


def load_tag_lists(session: Session, repositories: Iterable[str]) -> dict[TagListKey, KnownTagList]:
    """Return the known sizes of these repositories' lists, for every credential scope."""
    found: dict[TagListKey, KnownTagList] = {}
    for names in in_chunks(sorted(set(repositories))):
        rows = session.execute(select(*_COLUMNS).where(TagListRow.repository.in_(names)))
        found.update(
            (
                (row.repository, row.scope),
                KnownTagList(row.tag_count, row.shrunk_tag_count, row.shrunk_at),
            )
            for row in rows
        )
    return found


def save_tag_lists(session: Session, seen: Sequence[ObservedTagList], *, now: datetime) -> None:
    """Save the sizes of lists; a size that is unchanged is not written."""
    if not seen:
        return
    known = load_tag_lists(session, (each.repository for each in seen))
    for each in sorted(seen, key=lambda one: (one.repository, one.credential_scope)):
        key = (each.repository, each.credential_scope)
        updated = next_known_list(known.get(key), each, now=now)
        if updated is None:
            continue
        values = {
            "tag_count": updated.tags,
            "shrunk_tag_count": updated.shrunk,
            "shrunk_at": updated.shrunk_at,
        }
        row = insert_into(session, TagListRow).values(
            repository=each.repository, scope=each.credential_scope, **values
        )
        session.connection().execute(
            row.on_conflict_do_update(
                index_elements=[TagListRow.repository, TagListRow.scope], set_=values
            )
        )
