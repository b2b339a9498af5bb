"""Deletion of old changes from the log, and the floor version that it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, select
from sqlalchemy.orm import Session

from models.store.changes.change_log import FLOOR_PREFIX
from models.store.changes.object_snapshots import KIND_QUERIES
from models.store.database.bulk_statements import insert_into
from models.store.tables.changes import ChangeRow, SequenceRow

CHANGE_RETENTION = timedelta(minutes=30)
MIN_CHANGES_PER_KIND = 1000


def find_stale_changes(
    session: Session,
    *,
    now: datetime,
    retention: timedelta = CHANGE_RETENTION,
    min_per_kind: int = MIN_CHANGES_PER_KIND,
) -> dict[str, int]:
    """Return for each kind the version up to which changes may be deleted, if there is one.

    Those changes are older than `retention` and not among the `min_per_kind` newest of their kind.
    """
    found: dict[str, int] = {}
    for kind in KIND_QUERIES:
        is_of_kind = ChangeRow.kind == kind
        newest = select(ChangeRow.version).where(is_of_kind).order_by(ChangeRow.version.desc())
        last = session.scalar(newest.offset(min_per_kind).limit(1))
        if last is None:
            continue
        stale = select(func.max(ChangeRow.version)).where(is_of_kind, ChangeRow.version <= last)
        last = session.scalar(stale.where(ChangeRow.at < now - retention))
        if last is not None:
            found[kind] = last
    return found


def delete_changes(session: Session, stale: Mapping[str, int]) -> int:
    """Delete the changes of each kind up to its version; return how many those were."""
    deleted_count = 0
    for kind, last in stale.items():
        statement = delete(ChangeRow).where(ChangeRow.kind == kind, ChangeRow.version <= last)
        deleted_count += session.connection().execute(statement).rowcount
        raise_floor(session, last, kind=kind)
    return deleted_count


def prune_changes(
    session: Session,
    *,
    now: datetime,
    retention: timedelta = CHANGE_RETENTION,
    min_per_kind: int = MIN_CHANGES_PER_KIND,
) -> int:
    """Delete what is stale; return how many changes that was."""
    return delete_changes(
        session,
        find_stale_changes(session, now=now, retention=retention, min_per_kind=min_per_kind),
    )


def raise_floor(session: Session, version: int, *, kind: str = "") -> None:
    """Record that changes up to `version` are no longer in the log."""
    insert = insert_into(session, SequenceRow).values(
        name=f"{FLOOR_PREFIX} {kind}".strip(), value=version
    )
    higher = case(
        (insert.excluded.value > SequenceRow.value, insert.excluded.value), else_=SequenceRow.value
    )
    upsert = insert.on_conflict_do_update(index_elements=[SequenceRow.name], set_={"value": higher})
    session.connection().execute(upsert)
