"""Rechecks of tags that a registry refused, when the pull secrets of their namespace change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from models.pull_secrets import (
    KeyringScope,
    keyring_scopes,
    parse_host_port,
    registry_host_aliases,
    scope_covers,
)
from models.resources.meta import Secret
from models.store.database.bulk_statements import in_chunks, table_of
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.store.tables.streams import StreamRow

_TABLE = table_of(ScheduledTagRow)


def recheck_refused(
    session: Session, namespace: str, secrets: Collection[Secret] | None, *, now: datetime
) -> int:
    """Make the namespace's tags due at once that registries refused (scheduling-7.3).

    Also those that a worker checks right now, because it uses the old credentials. Only tags that
    the changed secrets cover; None: all. Return how many tags that was. Their streams are locked
    until the transaction ends, as every writer of rows and changes does; so call this before the
    change is recorded.
    """
    is_refused = or_(
        ScheduledTagRow.error_code.startswith("auth."),
        ScheduledTagRow.error_code.startswith("notfound."),
    )
    is_affected = and_(
        ScheduledTagRow.id.in_(
            select(ScheduleLookupRow.id).where(ScheduleLookupRow.namespace == namespace)
        ),
        ScheduledTagRow.suspended.is_(False),
        or_(
            ScheduledTagRow.batch.is_not(None),
            and_(ScheduledTagRow.consecutive_failures > 0, is_refused),
        ),
    )
    query = select(
        ScheduledTagRow.id, ScheduledTagRow.host, ScheduledTagRow.key, ScheduledTagRow.stream_id
    )
    rows = session.execute(query.where(is_affected).order_by(ScheduledTagRow.id)).all()
    if secrets is not None and rows:
        scopes = keyring_scopes(secrets)
        rows = [row for row in rows if _is_covered(scopes, row.host, row.key)]
    for streams in in_chunks(sorted({row.stream_id for row in rows})):
        stream_query = select(StreamRow.id).where(StreamRow.id.in_(streams)).order_by(StreamRow.id)
        session.execute(stream_query.with_for_update(key_share=True)).all()
    for chunk in in_chunks([row.id for row in rows]):
        is_in_chunk = _TABLE.c.id.in_(chunk)
        row_query = (
            select(_TABLE.c.id)
            .where(is_in_chunk, is_affected)
            .order_by(_TABLE.c.id)
            .with_for_update()
        )
        ids = session.scalars(row_query).all()
        statement = update(_TABLE).where(_TABLE.c.id.in_(ids))
        values = {"due_at": now, "next_check_at": now, "batch": None, "worker": ""}
        session.connection().execute(statement.values(values))
    return len(rows)


def _is_covered(scopes: Collection[KeyringScope], registry: str, key: str) -> bool:
    path = key.partition(" ")[0].partition("/")[2]
    names = [parse_host_port(name) for name in registry_host_aliases(registry)]
    return any(scope_covers(scope, host, port, path) for scope in scopes for host, port in names)
