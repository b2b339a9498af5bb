"""Namespaces: created on demand, and emptied before they are deleted (api-17.3)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.errors import StreamConflictError
from models.resources.core import Namespace
from models.resources.meta import ObjectMeta
from models.store.access.namespace_mapping import (
    NAMESPACE_KIND,
    SELECT_NAMESPACES,
    build_namespace,
    namespace_values,
)
from models.store.changes.change_log import Change, Verb, lock_version_sequence, record_changes
from models.store.changes.object_snapshots import count_objects, list_objects
from models.store.database.bulk_statements import insert_into, table_of
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.schedule.schedule_locks import lock_schedule_rows
from models.store.tables.access import NamespaceRow
from models.store.tables.events import CoreEventRow
from models.store.tables.jobs import JobRow
from models.store.tables.stored_secrets import SecretRow
from models.store.tables.streams import StreamRow
from models.store.tables.table_base import Base

DEFAULT_NAMESPACES = ("default", "openshift")
NAME_LABEL = "kubernetes.io/metadata.name"
_PAGE_SIZE = 100
_LOCKED_NAMESPACES = "tagstream_locked_namespaces"  # key of session.info


def ensure_namespace(session: Session, name: str, *, now: datetime) -> None:
    """Create the namespace if it does not exist, and lock it against deletion until the commit."""
    if name in session.info.get(_LOCKED_NAMESPACES, ()):
        return
    query = select(NamespaceRow.id).where(NamespaceRow.name == name)
    if not name or session.scalar(query.with_for_update(read=True, key_share=True)) is not None:
        return
    metadata = ObjectMeta(name=name, labels={NAME_LABEL: name})
    _insert(session, Namespace(metadata=metadata), now=now)


def load_namespace(session: Session, name: str, *, for_update: bool = False) -> Namespace | None:
    """Return the namespace of that name."""
    query = SELECT_NAMESPACES.where(NamespaceRow.name == name)
    row = session.execute(query.with_for_update() if for_update else query).one_or_none()
    return None if row is None else build_namespace(row)


def lock_namespace(session: Session, name: str) -> Namespace | None:
    """Return the namespace of that name, locked against deletion until the transaction ends.

    Writers of objects in it need this. Without the lock, an object that is created while its
    namespace is deleted would stay, and appear in the next namespace of that name.
    """
    query = SELECT_NAMESPACES.where(NamespaceRow.name == name)
    locking_query = query.with_for_update(read=True, key_share=True)
    row = session.execute(locking_query).one_or_none()
    if row is None:
        return None
    session.info.setdefault(_LOCKED_NAMESPACES, set()).add(name)
    return build_namespace(row)


def list_namespaces(session: Session, *, limit: int, after: str | None = None) -> list[Namespace]:
    """Return a page of namespaces in the order of names; `after` is the last one seen."""
    query = SELECT_NAMESPACES.order_by(NamespaceRow.name).limit(limit)
    if after is not None:
        query = query.where(NamespaceRow.name > after)
    return [build_namespace(row) for row in session.execute(query)]


def count_namespaces(session: Session, *, after: str | None = None) -> int:
    """Count the namespaces after the name `after`."""
    return count_objects(session, NAMESPACE_KIND, after=None if after is None else ("", after))


def save_namespace(
    session: Session, old: Namespace | None, new: Namespace, *, now: datetime
) -> Namespace:
    """Insert `new`, or replace `old` by it; return what is stored now. An equal one is not written.

    Raise StreamConflictError when the stored namespace is no longer `old`.
    """
    name = new.metadata.name
    if old is None:
        if not _insert(session, new, now=now):
            raise _conflict(name)
        return _load(session, name)
    stored = load_namespace(session, name, for_update=True)
    if stored is None or stored.metadata.resource_version != old.metadata.resource_version:
        raise _conflict(name)
    values = namespace_values(new)
    if values == namespace_values(stored):
        return stored
    change = Change(NAMESPACE_KIND, name, Verb.MODIFIED, before=stored.wire())
    version = record_changes(session, [change], now=now)
    table = table_of(NamespaceRow)
    statement = update(table).where(table.c.name == name).values(version=version, **values)
    session.connection().execute(statement)
    return _load(session, name)


def delete_namespace(session: Session, name: str, *, now: datetime) -> int:
    """Delete a namespace and everything in it; return the version of its own deletion, or 0.

    Streams, secrets, jobs and events are deleted first, each with its own change. A worker that
    runs one of the jobs loses its lease.
    """
    stored = load_namespace(session, name, for_update=True)
    if stored is None:
        return 0
    for row in (StreamRow, SecretRow):
        query = select(row.id).where(row.namespace == name).order_by(row.id)
        session.execute(query.with_for_update(key_share=True)).all()
    lock_schedule_rows(session, name)
    lock_version_sequence(session)
    _delete_objects(session, "ImageStream", StreamRow, name, now=now)
    _delete_objects(session, "Secret", SecretRow, name, now=now)
    session.execute(select(JobRow.id).where(JobRow.namespace == name).with_for_update()).all()
    _delete_objects(session, "ImportJob", JobRow, name, now=now)
    _delete_objects(session, "Event", CoreEventRow, name, now=now)
    table = table_of(NamespaceRow)
    session.connection().execute(delete(table).where(table.c.name == name))
    change = Change(NAMESPACE_KIND, name, Verb.DELETED, before=stored.wire())
    return record_changes(session, [change], now=now)


def _delete_objects(
    session: Session, kind: str, row: type[Base], namespace: str, *, now: datetime
) -> None:
    """Delete a kind's objects, whose rows are locked, a page at a time."""
    table = table_of(row)
    while page := list_objects(session, kind, namespace=namespace, limit=_PAGE_SIZE):
        uids = [UUID(each["metadata"]["uid"]) for each in page]
        uid = table.c.id if row is JobRow else table.c.uid
        session.connection().execute(delete(table).where(uid.in_(uids)))
        changes = [
            Change(kind, each["metadata"]["name"], Verb.DELETED, namespace, each) for each in page
        ]
        record_changes(session, changes, now=now)


def _insert(session: Session, new: Namespace, *, now: datetime) -> bool:
    """Insert a namespace; return False if another transaction has created it meanwhile."""
    name = new.metadata.name
    statement = insert_into(session, NamespaceRow).values(
        name=name, uid=uuid4(), created=now, version=0, **namespace_values(new)
    )
    insert = statement.on_conflict_do_nothing().returning(NamespaceRow.id)
    if session.connection().execute(insert).scalar_one_or_none() is None:
        return False
    version = record_changes(session, [Change(NAMESPACE_KIND, name, Verb.ADDED)], now=now)
    table = table_of(NamespaceRow)
    session.connection().execute(update(table).where(table.c.name == name).values(version=version))
    return True


def _load(session: Session, name: str) -> Namespace:
    stored = load_namespace(session, name)
    assert stored is not None
    return stored


def _conflict(name: str) -> StreamConflictError:
    return StreamConflictError(MODIFIED_MESSAGE, name=name, resource="namespaces", group="")
