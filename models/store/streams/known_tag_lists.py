"""How many tags each repository had when it was listed last, by the right that was used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import in_chunks, insert_into
from models.store.tables.tag_lists import TagListRow
from models.streams.imports.tag_list_guard import KnownList, SeenList, next_known

_COLUMNS = (
    TagListRow.repository,
    TagListRow.scope,
    TagListRow.tags,
    TagListRow.shrunk,
    TagListRow.shrunk_at,
)
ListKey = tuple[str, str]  # repository and scope


def load_tag_lists(session: Session, repositories: Iterable[str]) -> dict[ListKey, KnownList]:
    """What is known of the lists of these repositories, whoever saw them."""
    found: dict[ListKey, KnownList] = {}
    for names in in_chunks(sorted(set(repositories))):
        rows = session.execute(select(*_COLUMNS).where(TagListRow.repository.in_(names)))
        found.update(
            ((row.repository, row.scope), KnownList(row.tags, row.shrunk, row.shrunk_at))
            for row in rows
        )
    return found


def save_tag_lists(session: Session, seen: Sequence[SeenList], *, now: datetime) -> None:
    """Remember what was listed; where that is no news, nothing is written."""
    if not seen:
        return
    known = load_tag_lists(session, (each.repository for each in seen))
    for each in sorted(seen, key=lambda one: (one.repository, one.scope)):
        key = (each.repository, each.scope)
        news = next_known(known.get(key), each, now=now)
        if news is None:
            continue
        values = {"tags": news.tags, "shrunk": news.shrunk, "shrunk_at": news.shrunk_at}
        row = insert_into(session, TagListRow).values(
            repository=each.repository, scope=each.scope, **values
        )
        session.connection().execute(
            row.on_conflict_do_update(
                index_elements=[TagListRow.repository, TagListRow.scope], set_=values
            )
        )
